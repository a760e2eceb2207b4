# SPDX-License-Identifier: Apache-2.0
"""Every op on every element type, layout, number of leading dimensions and size of map."""

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import Implementation
from darkpose_ext import reference
from samples import DTYPES, LAYOUTS, LEADING, STRIDED, made_maps
from tolerances import BLURRED, LOSS, PIXELS, TARGETS

K, HEIGHT, WIDTH = 3, 15, 14
TAPS = [0.0625, 0.25, 0.375, 0.25, 0.0625]
SIZES = ((1, 1), (1, 9), (9, 1), (2, 2), (4, 5), (5, 5), (32, 24), (96, 72), (384, 288))


def maps_of(leading: tuple[int, ...], height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    n = K
    for size in leading:
        n *= size
    return made_maps("noisy", n, height, width).view(*leading, K, height, width)


def joints_of(leading: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Joints, weights and transforms in float64, some joints without weight."""
    joints = torch.rand(*leading, K, 2, dtype=torch.float64) * 30 - 6
    weights = torch.randint(0, 3, (*leading, K)).double()
    transform = torch.eye(2, 3).double() + 0.1 * torch.randn(*leading, 2, 3).double()
    return joints, weights, transform


def scattered(t: Tensor) -> Tensor:
    """The same small tensor with gaps, its last two dimensions swapped in memory."""
    return t.repeat_interleave(2, -1).mT.contiguous().mT[..., ::2] if t.dim() > 1 else t


@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_decode_does_not_depend_on_the_layout(
    ops: Implementation, dtype: torch.dtype, layout: str, leading: tuple[int, ...]
) -> None:
    maps, flipped = maps_of(leading).to(dtype), maps_of(leading).to(dtype)
    transform = joints_of(leading)[2].to(dtype)
    options = {"flip_index": [1, 0, 2], "flip_shift": 1}
    expected = reference.decode(maps, TAPS, flipped=flipped, transform=transform, **options)
    laid = [LAYOUTS[layout](t.to(ops.device)) for t in (maps, flipped)]
    matrix = scattered(transform.to(ops.device))
    actual = ops.decode(laid[0], TAPS, flipped=laid[1], transform=matrix, **options)
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape and a.dtype == e.dtype
        torch.testing.assert_close(a.cpu(), e, rtol=0, atol=PIXELS[dtype])


@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_modulate_does_not_depend_on_the_layout(
    ops: Implementation, dtype: torch.dtype, layout: str, leading: tuple[int, ...]
) -> None:
    maps = maps_of(leading).to(dtype)
    expected = reference.modulate(maps, TAPS)
    actual = ops.modulate(LAYOUTS[layout](maps.to(ops.device)), TAPS).cpu()
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, rtol=0, atol=BLURRED[dtype])


@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_encode_does_not_depend_on_the_layout(
    ops: Implementation, dtype: torch.dtype, leading: tuple[int, ...]
) -> None:
    joints, weights, transform = (t.to(dtype) for t in joints_of(leading))
    expected = reference.encode(joints, weights, HEIGHT, WIDTH, 2.0, transform=transform)
    laid = [scattered(t.to(ops.device)) for t in (joints, weights, transform)]
    assert leading == () or not laid[0].is_contiguous()
    actual = ops.encode(laid[0], laid[1], HEIGHT, WIDTH, 2.0, transform=laid[2])
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape and a.dtype == e.dtype
        torch.testing.assert_close(a.cpu(), e, rtol=0, atol=TARGETS[e.dtype])


@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_heatmap_mse_and_its_gradient_do_not_depend_on_the_layout(
    ops: Implementation, dtype: torch.dtype, layout: str, leading: tuple[int, ...]
) -> None:
    maps = maps_of(leading).to(dtype)
    others = joints_of(leading)
    laid = LAYOUTS[layout](maps.to(ops.device))
    joints, weights, transform = (scattered(t.to(ops.device)) for t in others)
    grad = scattered(torch.rand(*leading, K, dtype=torch.float64).to(ops.device))
    expected = reference.heatmap_mse(maps, *others[:2], 2.0, transform=others[2])
    actual = ops.heatmap_mse(laid, joints, weights, 2.0, transform=transform)
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    torch.testing.assert_close(actual.cpu(), expected, rtol=LOSS[dtype], atol=LOSS[dtype])
    expected = reference.heatmap_mse_backward(
        grad.cpu(), maps, *others[:2], 2.0, transform=others[2]
    )
    actual = ops.heatmap_mse_backward(grad, laid, joints, weights, 2.0, transform=transform)
    assert actual.shape == maps.shape and actual.dtype == dtype
    torch.testing.assert_close(actual.cpu(), expected, rtol=TARGETS[dtype], atol=LOSS[dtype])


# Numbers of joints less than a vector, a few vectors with a rest, and more than are worked on at a
# time.
@pytest.mark.parametrize("joints", [K, 17, 70])
@pytest.mark.parametrize("leading", [(), (3,), (2, 2), (2, 3)], ids=str)
@pytest.mark.parametrize("layout", STRIDED)
def test_gradient_of_heatmap_mse_lies_in_memory_as_its_heatmaps(
    ops: Implementation, layout: str, leading: tuple[int, ...], joints: int
) -> None:
    shape = (*leading, joints)
    for dtype in DTYPES:
        maps = torch.rand(*shape, 6, 5, dtype=torch.float64).to(dtype)
        maps = STRIDED[layout](maps.to(ops.device))
        points = 5 * torch.rand(*shape, 2, dtype=torch.float64)
        weights = torch.rand(shape, dtype=torch.float64) - 0.25  # some do not count
        grad = torch.rand(shape, dtype=torch.float64)
        plain = maps.cpu().contiguous()
        expected = reference.heatmap_mse_backward(grad, plain, points, weights, 2.0)
        moved = [t.to(ops.device) for t in (grad, points, weights)]
        actual = ops.heatmap_mse_backward(moved[0], maps, *moved[1:], 2.0)
        assert actual.dtype == dtype and actual.stride() == torch.empty_like(maps).stride()
        actual = actual.cpu().contiguous()
        torch.testing.assert_close(actual, expected, rtol=TARGETS[dtype], atol=LOSS[dtype])
        loss = ops.heatmap_mse(maps, *moved[1:], 2.0).cpu()
        expected = reference.heatmap_mse(plain, points, weights, 2.0)
        torch.testing.assert_close(loss, expected, rtol=LOSS[dtype], atol=LOSS[dtype])


@pytest.mark.parametrize("shape", [(17, 6, 5), (0, 17, 6, 5), (2, 17, 6, 1), (2, 17, 1, 6)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_of_few_or_no_maps_lies_in_memory_as_they_do(
    ops: Implementation, layout: str, shape: tuple[int, ...]
) -> None:
    maps = LAYOUTS[layout](torch.rand(shape, device=ops.device))
    joints, weights = maps.new_ones(*shape[:-2], 2), maps.new_ones(shape[:-2])
    gradient = ops.heatmap_mse_backward(weights, maps, joints, weights, 2.0)
    expected = reference.heatmap_mse_backward(weights, maps, joints, weights, 2.0)
    assert gradient.stride() == torch.empty_like(maps).stride()
    torch.testing.assert_close(gradient, expected, rtol=0, atol=LOSS[torch.float32])


@pytest.mark.parametrize("layout", STRIDED)
def test_gradient_of_heatmap_mse_is_not_copied_by_autograd(device: str, layout: str) -> None:
    maps = STRIDED[layout](torch.rand(2, 2, 17, 6, 5, device=device)).requires_grad_()
    joints, weights = maps.detach().new_ones(2, 2, 17, 2), maps.detach().new_ones(2, 2, 17)
    (gradient,) = torch.autograd.grad(
        torch.ops.dark.heatmap_mse(maps, joints, weights, 2.0).sum(), maps
    )
    assert gradient.stride() == torch.empty_like(maps).stride()


@pytest.mark.parametrize("method", ["argmax", "standard", "second_max", "dark"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_maps_decode_as_their_float32_copy(
    ops: Implementation, dtype: torch.dtype, method: str
) -> None:
    maps = maps_of((ops.count(32),)).to(dtype).to(ops.device)
    taps = TAPS if method == "dark" else []
    half = ops.decode(maps, taps, method=method, flipped=maps)
    single = ops.decode(maps.float(), taps, method=method, flipped=maps.float())
    assert torch.equal(half[0], single[0]) and torch.equal(half[1], single[1])


@pytest.mark.parametrize("leading", [(0,), (0, 2), (2, 0)], ids=str)
def test_empty_batches_give_empty_results(ops: Implementation, leading: tuple[int, ...]) -> None:
    maps = maps_of(leading).to(ops.device)
    joints, weights, transform = (t.to(ops.device) for t in joints_of(leading))
    coords, scores = ops.decode(maps, TAPS, flipped=maps, transform=transform)
    assert coords.shape == (*leading, K, 2) and scores.shape == (*leading, K)
    assert ops.modulate(maps, TAPS).shape == maps.shape
    targets, out = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0, transform=transform)
    assert targets.shape == maps.shape and out.shape == weights.shape
    loss = ops.heatmap_mse(maps, joints, weights, 2.0, transform=transform)
    assert loss.shape == weights.shape
    gradient = ops.heatmap_mse_backward(loss, maps, joints, weights, 2.0, transform=transform)
    assert gradient.shape == maps.shape


def test_no_joints_give_empty_results(ops: Implementation) -> None:
    maps = torch.rand(2, 0, HEIGHT, WIDTH, device=ops.device)
    joints, weights = maps.new_zeros(2, 0, 2), maps.new_zeros(2, 0)
    assert ops.decode(maps, TAPS)[0].shape == (2, 0, 2)
    assert ops.encode(joints, weights, HEIGHT, WIDTH, 2.0)[0].shape == maps.shape
    assert ops.heatmap_mse(maps, joints, weights, 2.0).shape == (2, 0)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_op_equals_its_twin_on_maps_of_every_size(
    kernels: Implementation, size: tuple[int, int]
) -> None:
    height, width = size
    maps = made_maps("clean", 3, height, width).float().view(3, 1, height, width)
    maps = maps + 0.001 * torch.rand_like(maps)
    joints = torch.rand(3, 1, 2) * torch.tensor([width, height])
    weights = torch.ones(3, 1)
    moved = [t.to(kernels.device) for t in (maps, joints, weights)]

    def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
        assert actual.shape == expected.shape
        torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=tolerance)

    single = torch.float32
    for method in ("argmax", "standard", "second_max", "dark"):
        taps = TAPS if method == "dark" else []
        actual = kernels.decode(moved[0], taps, method=method)
        for a, e in zip(actual, reference.decode(maps, taps, method=method), strict=True):
            assert_close(a, e, PIXELS[single])
    assert_close(kernels.modulate(moved[0], TAPS), reference.modulate(maps, TAPS), BLURRED[single])
    targets = kernels.encode(*moved[1:], height, width, 2.0)[0]
    assert_close(targets, reference.encode(joints, weights, height, width, 2.0)[0], TARGETS[single])
    loss = kernels.heatmap_mse(*moved, 2.0)
    assert_close(loss, reference.heatmap_mse(maps, joints, weights, 2.0), LOSS[single])
    gradient = kernels.heatmap_mse_backward(loss, *moved, 2.0)
    expected = reference.heatmap_mse_backward(loss.cpu(), maps, joints, weights, 2.0)
    assert_close(gradient, expected, LOSS[single])


@pytest.mark.parametrize("joints", [1, 17, 133, 1024])
def test_flip_serves_any_number_of_joints_up_to_the_limit(ops: Implementation, joints: int) -> None:
    if ops.name == "emulated" and joints > 17:
        joints = 40
    maps = torch.rand(2, joints, 6, 5)
    flipped, index = torch.rand(2, joints, 6, 5), torch.randperm(joints).tolist()
    expected = reference.decode(maps, [], method="argmax", flipped=flipped, flip_index=index)
    moved = (maps.to(ops.device), flipped.to(ops.device))
    actual = ops.decode(moved[0], [], method="argmax", flipped=moved[1], flip_index=index)
    assert torch.equal(actual[0].cpu(), expected[0])
    assert torch.equal(actual[1].cpu(), expected[1])


def test_more_joints_than_flip_serves_decode_without_flip(ops: Implementation) -> None:
    maps = torch.rand(1, 1500, 3, 3, device=ops.device)[:, : ops.count(1500)]
    assert ops.decode(maps, [])[1].shape == maps.shape[:2]


def lazy_zeros(count: int, device: str) -> Tensor:
    """Return half-precision zeros whose pages, on the CPU, cost nothing until they are written."""
    if device == "cpu":
        return torch.from_numpy(np.zeros(count, np.float16))
    return torch.zeros(count, dtype=torch.float16, device=device)


def test_decode_reads_maps_beyond_2_to_the_31_elements(device: str) -> None:
    height, width, apart = 384, 288, 2**30 + 5
    storage = lazy_zeros(2 * apart + height * width, device)
    maps = storage.as_strided((3, 1, height, width), (apart, 0, width, 1))
    maps[1, 0, 30, 20] = maps[2, 0, 300, 200] = 1.0
    coords, scores = torch.ops.dark.decode(maps, [], method="argmax")
    assert coords[:, 0].tolist() == [[0, 0], [20, 30], [200, 300]]
    assert scores[:, 0].tolist() == [0, 1, 1]


def test_heatmap_mse_takes_more_than_2_to_the_31_elements(device: str) -> None:
    count, height, width = 20_000, 384, 288
    maps = lazy_zeros(count * height * width, device).view(count, 1, height, width)
    assert maps.numel() > 2**31
    maps[-1, 0, 300, 200] = 1.0
    maps[-2, 0, 30, 20] = 1.0
    joints = torch.full((count, 1, 2), 1000.0, device=device)  # nowhere: no target
    joints[-2:] = torch.tensor([[20.0, 30.0], [200.0, 300.0]], device=device)[:, None]
    weights = torch.ones(count, 1, device=device)
    assert torch.ops.dark.heatmap_mse(maps, joints, weights, 0.05).count_nonzero() == 0
    joints[-2:] = joints[-2:].flip(0)
    loss = torch.ops.dark.heatmap_mse(maps, joints, weights, 0.05)
    assert loss.nonzero()[:, 0].tolist() == [count - 2, count - 1]
