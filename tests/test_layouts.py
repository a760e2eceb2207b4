# SPDX-License-Identifier: Apache-2.0
"""Every op on every element type, layout, number of leading dimensions and size of map."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import Implementation
from darkpose_ext import reference
from darkpose_ext._values import METHODS
from samples import DTYPES, LAYOUTS, LEADING, STRIDED, made_maps, taps_of
from tolerances import BLURRED, LOSS, PIXELS, TARGETS, assert_within

K, HEIGHT, WIDTH = 3, 15, 14
TAPS = [0.0625, 0.25, 0.375, 0.25, 0.0625]
SIZES = ((1, 1), (1, 9), (9, 1), (2, 2), (4, 5), (5, 5), (32, 24), (96, 72), (384, 288))
# Numbers of joints less than a vector, a few vectors with a rest, and more than are worked on at a
# time; few and no maps.
SHAPES = (
    *((*leading, k, 6, 5) for leading in ((), (3,), (2, 2), (2, 3)) for k in (K, 17, 70)),
    *((0, 17, 6, 5), (2, 17, 6, 1), (2, 17, 1, 6)),
)

each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
each_layout = pytest.mark.parametrize("layout", LAYOUTS)


def maps_of(leading: tuple[int, ...]) -> Tensor:
    maps = made_maps("noisy", K * math.prod(leading), HEIGHT, WIDTH)
    return maps.view(*leading, K, HEIGHT, WIDTH)


def joints_of(leading: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Joints, weights and transforms in float64, some joints without weight."""
    joints = torch.rand(*leading, K, 2, dtype=torch.float64) * 30 - 6
    weights = torch.randint(0, 3, (*leading, K)).double()
    transform = torch.eye(2, 3).double() + 0.1 * torch.randn(*leading, 2, 3).double()
    return joints, weights, transform


def scattered(t: Any) -> Any:
    """The same small tensor with gaps, its last two dimensions swapped in memory."""
    if not isinstance(t, Tensor) or t.dim() < 2:
        return t
    return t.repeat_interleave(2, -1).mT.contiguous().mT[..., ::2]


@each_layout
@each_dtype
def test_decode_does_not_depend_on_the_layout(
    ops: Implementation, dtype: torch.dtype, layout: str
) -> None:
    for leading in LEADING:
        maps, flipped = maps_of(leading).to(dtype), maps_of(leading).to(dtype)
        transform = joints_of(leading)[2].to(dtype)
        options = {"flip_index": [1, 0, 2], "flip_shift": 1}
        expected = reference.decode(maps, TAPS, flipped=flipped, transform=transform, **options)
        laid, other = (LAYOUTS[layout](ops.put(t)) for t in (maps, flipped))
        matrix = scattered(ops.put(transform))
        actual = ops.decode(laid, TAPS, flipped=other, transform=matrix, **options)
        assert_within(actual, expected, PIXELS[dtype])


@each_layout
@each_dtype
def test_modulate_does_not_depend_on_the_layout(
    ops: Implementation, dtype: torch.dtype, layout: str
) -> None:
    for leading in LEADING:
        maps = maps_of(leading).to(dtype)
        actual = ops.modulate(LAYOUTS[layout](ops.put(maps)), TAPS)
        assert_within(actual, reference.modulate(maps, TAPS), BLURRED[dtype])


@each_dtype
def test_encode_does_not_depend_on_the_layout(ops: Implementation, dtype: torch.dtype) -> None:
    for leading in LEADING:
        joints, weights, transform = (t.to(dtype) for t in joints_of(leading))
        expected = reference.encode(joints, weights, HEIGHT, WIDTH, 2.0, transform=transform)
        laid = [scattered(ops.put(t)) for t in (joints, weights, transform)]
        assert leading == () or not laid[0].is_contiguous()
        actual = ops.encode(laid[0], laid[1], HEIGHT, WIDTH, 2.0, transform=laid[2])
        assert_within(actual, expected, TARGETS[expected[0].dtype])


@pytest.mark.parametrize("layout", STRIDED)
@each_dtype
def test_heatmap_mse_does_not_depend_on_the_layout_and_its_gradient_has_it(
    ops: Implementation, dtype: torch.dtype, layout: str
) -> None:
    for shape in SHAPES:
        maps = STRIDED[layout](ops.put(torch.rand(shape, dtype=torch.float64).to(dtype)))
        joints = 5 * torch.rand(*shape[:-2], 2, dtype=torch.float64)
        weights = torch.rand(shape[:-2], dtype=torch.float64) - 0.25  # some do not count
        transform = torch.eye(2, 3).double() + 0.1 * torch.randn(*shape[:-3], 2, 3).double()
        given = {"joints": joints, "weights": weights, "sigma": 2.0, "transform": transform}
        laid = {name: scattered(ops.put(value)) for name, value in given.items()}
        grad, plain = torch.rand_like(weights), maps.cpu().contiguous()
        gradient = ops.heatmap_mse_backward(scattered(ops.put(grad)), maps, **laid)
        assert gradient.stride() == torch.empty_like(maps).stride()
        expected = reference.heatmap_mse_backward(grad, plain, **given)
        assert_within(gradient, expected, LOSS[dtype], TARGETS[dtype])
        loss, expected = ops.heatmap_mse(maps, **laid), reference.heatmap_mse(plain, **given)
        assert_within(loss, expected, LOSS[dtype], LOSS[dtype])


@pytest.mark.parametrize("layout", STRIDED)
def test_gradient_of_heatmap_mse_is_not_copied_by_autograd(device: str, layout: str) -> None:
    maps = STRIDED[layout](torch.rand(2, 2, 17, 6, 5, device=device)).requires_grad_()
    joints, weights = maps.detach().new_ones(2, 2, 17, 2), maps.detach().new_ones(2, 2, 17)
    (gradient,) = torch.autograd.grad(
        torch.ops.dark.heatmap_mse(maps, joints, weights, 2.0).sum(), maps
    )
    assert gradient.stride() == torch.empty_like(maps).stride()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_maps_decode_as_their_float32_copy(
    ops: Implementation, dtype: torch.dtype, method: str
) -> None:
    maps, taps = maps_of((ops.count(32),)).to(dtype), taps_of(method, TAPS)
    half = ops.decode(maps, taps, method=method, flipped=maps)
    single = ops.decode(maps.float(), taps, method=method, flipped=maps.float())
    assert_within(half, single, 0)


@pytest.mark.parametrize("shape", [(0, K), (0, 2, K), (2, 0, K), (2, 0)], ids=str)
@each_layout
def test_no_people_or_no_joints_give_empty_results(
    ops: Implementation, layout: str, shape: tuple[int, ...]
) -> None:
    maps = LAYOUTS[layout](torch.rand(*shape, HEIGHT, WIDTH))
    joints, weights = torch.rand(*shape, 2), torch.rand(shape)
    transform = torch.rand(*shape[:-1], 2, 3)
    coords, scores = ops.decode(maps, TAPS, flipped=maps, transform=transform)
    assert coords.shape == (*shape, 2) and scores.shape == shape
    assert ops.modulate(maps, TAPS).shape == maps.shape
    targets, out = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0, transform=transform)
    assert targets.shape == maps.shape and out.shape == shape
    loss = ops.heatmap_mse(maps, joints, weights, 2.0, transform=transform)
    assert loss.shape == shape
    gradient = ops.heatmap_mse_backward(loss, maps, joints, weights, 2.0, transform=transform)
    assert gradient.shape == maps.shape


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_op_equals_its_twin_on_maps_of_every_size(
    kernels: Implementation, size: tuple[int, int]
) -> None:
    height, width = size
    maps = made_maps("clean", 3, height, width).float().view(3, 1, height, width)
    maps = maps + 0.001 * torch.rand_like(maps)
    joints, weights = torch.rand(3, 1, 2) * torch.tensor([width, height]), torch.ones(3, 1)
    targets = (joints, weights, 2.0)
    grad = reference.heatmap_mse(maps, *targets)
    calls = [("decode", (maps, taps_of(m, TAPS)), {"method": m}, PIXELS) for m in METHODS]
    calls += [
        ("modulate", (maps, TAPS), {}, BLURRED),
        ("encode", (joints, weights, height, width, 2.0), {}, TARGETS),
        ("heatmap_mse", (maps, *targets), {}, LOSS),
        ("heatmap_mse_backward", (grad, maps, *targets), {}, LOSS),
    ]
    for op, arguments, options, tolerance in calls:
        actual = getattr(kernels, op)(*arguments, **options)
        expected = getattr(reference, op)(*arguments, **options)
        assert_within(actual, expected, tolerance[torch.float32])


@pytest.mark.parametrize("joints", [1, 17, 133, 1024])
def test_flip_serves_any_number_of_joints_up_to_the_limit(ops: Implementation, joints: int) -> None:
    if ops.name == "emulated" and joints > 17:
        joints = 40
    maps = torch.rand(2, joints, 6, 5)
    options = {"flipped": torch.rand_like(maps), "flip_index": torch.randperm(joints).tolist()}
    expected = reference.decode(maps, [], method="argmax", **options)
    assert_within(ops.decode(maps, [], method="argmax", **options), expected, 0)


def test_more_joints_than_flip_serves_decode_without_flip(ops: Implementation) -> None:
    maps = torch.rand(1, 1500, 3, 3)[:, : ops.count(1500)]
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


def misaligned(t: Tensor) -> Tensor:
    """The same tensor, laid out as it is, a byte beyond where its elements may lie."""
    dense = t.clone(memory_format=torch.preserve_format)
    buffer = bytearray(1 + dense.nbytes)
    flat = torch.frombuffer(buffer, dtype=t.dtype, offset=1)
    moved = flat.as_strided(dense.shape, dense.stride()).copy_(dense)
    assert moved.data_ptr() % t.dtype.itemsize != 0
    return moved


@each_layout
@each_dtype
def test_misaligned_tensors_are_read_as_aligned_ones(dtype: torch.dtype, layout: str) -> None:
    maps, flipped = (LAYOUTS[layout](maps_of((2, 2)).to(dtype)) for _ in "ab")
    joints, weights, transform = (t.to(dtype) for t in joints_of((2, 2)))
    dark = torch.ops.dark

    def results(move: Any) -> list[Tensor]:
        targets = [move(t) for t in (joints, weights)]
        own, other, matrices = (move(t) for t in (maps, flipped, transform))
        return [
            *dark.encode(*targets, HEIGHT, WIDTH, 2.0, matrices),
            dark.modulate(own, TAPS),
            *dark.decode(own, TAPS, other, matrices),
            dark.heatmap_mse(own, *targets, 2.0, matrices),
            dark.heatmap_mse_backward(targets[1], own, *targets, 2.0, matrices),
        ]

    for found, expected in zip(results(misaligned), results(lambda t: t), strict=True):
        assert torch.equal(found, expected)
