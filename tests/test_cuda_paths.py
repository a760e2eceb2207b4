# SPDX-License-Identifier: Apache-2.0
"""Every way through the CUDA kernels, at its borders: packs or elements, warps or blocks, maps or
rows of all joints, maps that fit shared memory or do not. On a GPU and by emulation."""

import math

import pytest
import torch
from torch import Tensor

from conftest import Implementation, implementation
from darkpose_ext import reference
from darkpose_ext._values import METHODS
from samples import DTYPES, LAYOUTS, made_maps
from tolerances import BLURRED, LOSS, PIXELS, TARGETS

TAPS = [0.0625, 0.25, 0.375, 0.25, 0.0625]
WIDE = [1 / 63] * 63
JOINTS = (1, 3, 16, 17, 21, 133)
SHIFTS = (None, 0, 1, 3)  # None: no flip test
FEW = (torch.float16, torch.float32, torch.float64)
SIGMA = 2.0
PACK = 16  # bytes


@pytest.fixture(params=["cuda", "emulated"])
def gpu(request: pytest.FixtureRequest) -> Implementation:
    return implementation(request.param)


def shifted(t: Tensor, elements: int) -> Tensor:
    """The same values, so many elements after an aligned address, amid NaN."""
    storage = t.new_full((t.numel() + elements + PACK,), math.nan)
    return storage[elements : elements + t.numel()].view(t.shape).copy_(t)


def hard_maps(persons: int, joints: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Noisy maps; among the first, one each with a NaN, ties, infinities and nothing at all."""
    maps = made_maps("noisy", persons * joints, height, width).to(dtype)
    size = height * width
    for i, one in enumerate(maps.view(len(maps), -1)[:5]):
        last = (7 * i + 3) % size
        if i == 0:
            one[last] = math.nan
        elif i == 1:
            one[[last, size // 2, size - 1]] = 2
        elif i == 2:
            one[[last, size - 1]] = math.inf
        elif i == 3:
            one[:] = -math.inf
        else:
            one[size - 1] = 3
    return maps[torch.randperm(len(maps))].view(persons, joints, height, width)


def assert_decodes(
    gpu: Implementation, maps: Tensor, flipped: Tensor | None, shift: int | None, **options: object
) -> None:
    """Compare the argmax exactly and DARK's coordinates to within the tolerance."""
    if shift is not None:
        assert flipped is not None
        index = torch.randperm(maps.shape[-3]).tolist()
        options = {"flip_index": index, "flip_shift": shift, **options}
    for method, taps in (("argmax", []), ("dark", TAPS)):
        expected = reference.decode(
            maps.cpu().contiguous(),
            taps,
            method=method,
            flipped=None if shift is None else flipped.cpu().contiguous(),
            **options,
        )
        flip = None if shift is None else flipped
        actual = gpu.decode(maps, taps, method=method, flipped=flip, **options)
        tolerance = 0 if method == "argmax" else PIXELS[maps.dtype]
        for a, e in zip(actual, expected, strict=True):
            assert a.shape == e.shape
            torch.testing.assert_close(a.cpu(), e, rtol=0, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [(13, 9), (8, 16), (2, 3)], ids=str)
def test_decode_reads_maps_from_any_address(
    gpu: Implementation, size: tuple[int, int], dtype: torch.dtype
) -> None:
    maps = hard_maps(2, 3, *size, dtype).to(gpu.device)
    flipped = made_maps("noisy", 6, *size).to(dtype).view_as(maps).to(gpu.device)
    for elements in range(PACK // dtype.itemsize + 1):
        assert_decodes(gpu, shifted(maps, elements), None, None)
        assert_decodes(gpu, shifted(maps, elements), shifted(flipped, 0), 0)
        assert_decodes(gpu, maps, shifted(flipped, elements), 0)


# float32 maps: less than a pack, a pack and a pixel, the most for a warp and a pixel more (a
# block), one round of loads of the largest block and a pixel more.
@pytest.mark.parametrize("size", [1, 3, 5, 127, 128, 129, 511, 512, 513, 8192, 8193], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_decode_finds_the_maximum_wherever_it_stands(
    gpu: Implementation, method: str, size: int
) -> None:
    spots = sorted({0, 1, size // 3, size - 4, size - 1} & set(range(size)))
    for height, width in ((1, size), (size, 1)) if size < 512 else ((1, size),):
        maps = torch.rand(len(spots), 1, height, width)
        for one, spot in zip(maps.flatten(1), spots, strict=True):
            one[spot] = 2
        coords, scores = gpu.decode(maps.to(gpu.device), [], method=method)
        expected = reference.decode(maps, [], method=method)
        assert torch.equal(scores.cpu(), expected[1])
        torch.testing.assert_close(coords.cpu(), expected[0], rtol=0, atol=PIXELS[torch.float32])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_decode_tells_nan_and_infinity_apart_at_every_pixel(
    gpu: Implementation, dtype: torch.dtype
) -> None:
    height, width = 6, 8
    for value, layout in (
        (v, x) for v in (math.nan, math.inf) for x in ("contiguous", "channels_last")
    ):
        maps = torch.rand(height * width, 2, height, width).to(dtype)
        for pixel, one in enumerate(maps[:, 1].flatten(1)):
            one[pixel] = value
        assert_decodes(gpu, LAYOUTS[layout](maps.to(gpu.device)), None, None)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("joints", JOINTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_decode_reads_channels_last_rows(
    gpu: Implementation, dtype: torch.dtype, joints: int, shift: int | None
) -> None:
    persons = 2 if joints < max(JOINTS) else 1
    for height, width in ((9, 8), (6, 5)):  # rows that are whole numbers of packs, and not
        maps = hard_maps(persons, joints, height, width, dtype).to(gpu.device)
        flipped = made_maps("noisy", persons * joints, height, width).to(dtype)
        both = [LAYOUTS["channels_last"](t) for t in (maps, flipped.view_as(maps).to(gpu.device))]
        assert_decodes(gpu, both[0], both[1], shift)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_decode_reads_channels_last_rows_longer_than_a_block(
    gpu: Implementation, dtype: torch.dtype
) -> None:
    for height, width in ((3, 48), (2, 47)):
        maps, flipped = (hard_maps(1, 133, height, width, dtype).to(gpu.device) for _ in range(2))
        both = [LAYOUTS["channels_last"](t) for t in (maps, flipped)]
        assert_decodes(gpu, both[0], both[1], 1)
    assert_decodes(gpu, both[0], None, None)


def test_decode_reads_part_of_channels_last_rows(gpu: Implementation) -> None:
    """Strides that are not those of whole maps, and rows that begin at no pack's address."""
    whole = LAYOUTS["channels_last"](hard_maps(3, 6, 12, 16, torch.float32).to(gpu.device))
    for rows, columns in ((slice(2, 9), slice(4, 12)), (slice(1, 8), slice(3, 11))):
        part = whole[::2, :, rows, columns]
        assert_decodes(gpu, part, whole[::2, :, rows, columns], 1)
        assert_decodes(gpu, part, None, None)


@pytest.mark.parametrize("shift", [0, 1, 3, 100])
@pytest.mark.parametrize("size", [(7, 16), (7, 24), (7, 13), (64, 48)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_decode_averages_contiguous_maps_with_their_mirrored_partners(
    gpu: Implementation, dtype: torch.dtype, size: tuple[int, int], shift: int
) -> None:
    maps = hard_maps(2, 3, *size, dtype).to(gpu.device)
    flipped = made_maps("noisy", 6, *size).to(dtype).view_as(maps).to(gpu.device)
    for layout in ("contiguous", "unaligned", "channels_last", "transposed"):
        assert_decodes(gpu, maps, LAYOUTS[layout](flipped), shift)


@pytest.mark.parametrize("count", [1, 16, 5000])
def test_decode_gives_a_map_the_same_bits_in_every_batch(gpu: Implementation, count: int) -> None:
    """However many threads work on a map, which depends on how many maps there are."""
    count = min(count, 40) if gpu.name == "emulated" else count
    maps = made_maps("noisy", 4, 32, 24).float().view(1, 4, 32, 24).to(gpu.device)
    alone = gpu.decode(maps, TAPS)
    for layout in ("contiguous", "channels_last"):
        many = gpu.decode(LAYOUTS[layout](maps.repeat(count, 1, 1, 1)), TAPS)
        for a, m in zip(alone, many, strict=True):
            assert torch.equal(m, a.expand_as(m))


@pytest.mark.parametrize("count", [1000, 1001])
def test_every_map_of_many_is_decoded(gpu: Implementation, count: int) -> None:
    """More maps than blocks hold at a time, and not a whole number of blocks of them."""
    maps = torch.rand(count, 1, 5, 3, device=gpu.device)
    coords, scores = gpu.decode(maps, [], method="argmax")
    highest, index = maps.flatten(1).max(1)
    assert torch.equal(scores[:, 0], highest)
    assert torch.equal(coords[:, 0], torch.stack((index % 3, index // 3), 1).float())


def assert_modulates(gpu: Implementation, maps: Tensor, taps: list[float], rescale: str) -> None:
    expected = reference.modulate(maps.cpu().contiguous(), taps, rescale=rescale)
    actual = gpu.modulate(maps, taps, rescale=rescale)
    assert actual.is_contiguous() and actual.dtype == expected.dtype
    tolerance = BLURRED[maps.dtype]
    torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("size", [(13, 9), (8, 16), (9, 24)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_modulate_reads_maps_from_any_address(
    gpu: Implementation, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    maps = made_maps("noisy", 4, *size).to(dtype).view(2, 2, *size).to(gpu.device)
    maps[1, 1, 3, 3] = math.nan
    for elements in range(PACK // dtype.itemsize + 1):
        assert_modulates(gpu, shifted(maps, elements), TAPS, "minmax")


# In shared memory as a whole, with as many taps as there may be, and in tiles of either kind.
@pytest.mark.parametrize("size", [(17, 32), (80, 72), (130, 120), (5, 2000), (2000, 3)], ids=str)
@pytest.mark.parametrize("taps", [[1.0], TAPS, WIDE], ids=len)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_modulate_serves_maps_that_fit_shared_memory_and_larger_ones(
    gpu: Implementation, dtype: torch.dtype, taps: list[float], size: tuple[int, int]
) -> None:
    rescale = "max" if len(taps) == 1 else "minmax"
    maps = made_maps("noisy", 2, *size).to(dtype).view(1, 2, *size).to(gpu.device)
    assert_modulates(gpu, maps, taps, rescale)


# Maps that come within a few hundred bytes of what a block may have without asking, or of all there
# is on the smallest GPU: what a launch forgets to reckon with shows here.
@pytest.mark.parametrize(
    ("height", "width", "taps"),
    [(72, 72, 13), (48, 100, 17), (100, 48, 17), (48, 108, 11), (84, 60, 11), (60, 84, 11)],
)
def test_modulate_serves_maps_that_just_fit_shared_memory(
    gpu: Implementation, height: int, width: int, taps: int
) -> None:
    maps = made_maps("noisy", 2, height, width).float().view(1, 2, height, width).to(gpu.device)
    assert_modulates(gpu, maps, [1 / taps] * taps, "minmax")


@pytest.mark.parametrize("joints", [1, 3, 17])
def test_modulate_reads_channels_last_maps(gpu: Implementation, joints: int) -> None:
    for dtype in DTYPES:
        maps = made_maps("noisy", 2 * joints, 11, 16).to(dtype).view(2, joints, 11, 16)
        assert_modulates(gpu, LAYOUTS["channels_last"](maps.to(gpu.device)), TAPS, "minmax")


# Widths that are whole numbers of packs and not, and maps of several tiles.
SIZES = ((5, 7), (12, 16), (3, 520), (520, 3), (2, 1030))


def targets(persons: int, joints: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Joints in and around the map in float32, some without weight."""
    joint = torch.rand(persons, joints, 2) * torch.tensor([width + 8, height + 8]) - 4
    weights = torch.linspace(0.5, 1.5, persons * joints).view(persons, joints)
    weights.view(-1)[1::5] = 0
    return joint, weights


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_encode_writes_maps_of_any_width(
    gpu: Implementation, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    arithmetic = reference.arithmetic_dtype(dtype)
    joints, weights = (t.to(arithmetic) for t in targets(2, 3, *size))
    options = {"truncate": True, "rounding": "round"} if size == SIZES[1] else {}
    expected = reference.encode(joints, weights, *size, SIGMA, dtype=dtype, **options)
    moved = (joints.to(gpu.device), weights.to(gpu.device))
    actual = gpu.encode(*moved, *size, SIGMA, dtype=dtype, **options)
    torch.testing.assert_close(actual[0].cpu(), expected[0], rtol=0, atol=TARGETS[dtype])
    assert torch.equal(actual[1].cpu(), expected[1])


def assert_loss_and_gradient(gpu: Implementation, maps: Tensor) -> None:
    joints, weights = targets(*maps.shape)
    grad = torch.rand_like(weights)
    plain = maps.cpu().contiguous()
    expected = reference.heatmap_mse(plain, joints, weights, SIGMA)
    moved = [t.to(gpu.device) for t in (joints, weights, grad)]
    loss = gpu.heatmap_mse(maps, *moved[:2], SIGMA)
    dtype = maps.dtype
    torch.testing.assert_close(loss.cpu(), expected, rtol=LOSS[dtype], atol=LOSS[dtype])
    expected = reference.heatmap_mse_backward(grad, plain, joints, weights, SIGMA)
    gradient = gpu.heatmap_mse_backward(moved[2], maps, *moved[:2], SIGMA)
    assert gradient.stride() == torch.empty_like(maps).stride() and gradient.dtype == dtype
    torch.testing.assert_close(gradient.cpu(), expected, rtol=TARGETS[dtype], atol=LOSS[dtype])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_heatmap_mse_reads_maps_of_any_width_and_address(
    gpu: Implementation, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    maps = made_maps("noisy", 6, *size).to(dtype).view(2, 3, *size).to(gpu.device)
    for elements in range(0, PACK // dtype.itemsize + 1, 1 if size == SIZES[1] else 3):
        assert_loss_and_gradient(gpu, shifted(maps, elements))


@pytest.mark.parametrize("joints", JOINTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_heatmap_mse_reads_channels_last_rows(
    gpu: Implementation, dtype: torch.dtype, joints: int
) -> None:
    for height, width in ((9, 8), (6, 5)):
        maps = made_maps("noisy", 2 * joints, height, width).to(dtype)
        maps = maps.view(2, joints, height, width).to(gpu.device)
        assert_loss_and_gradient(gpu, LAYOUTS["channels_last"](maps))


@pytest.mark.parametrize("dtype", FEW, ids=str)
def test_heatmap_mse_reads_channels_last_rows_longer_than_a_block(
    gpu: Implementation, dtype: torch.dtype
) -> None:
    # Of the third a block has shared memory for some joints' factors alone; of the tallest for not
    # even one's, and each map is read by itself.
    for joints, height, width in ((133, 3, 48), (133, 2, 31), (133, 440, 3), (3, 19500, 2)):
        maps = made_maps("noisy", joints, height, width).to(dtype).view(1, joints, height, width)
        assert_loss_and_gradient(gpu, LAYOUTS["channels_last"](maps.to(gpu.device)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_heatmap_mse_ignores_channels_last_maps_that_do_not_count(
    gpu: Implementation, value: float
) -> None:
    maps = made_maps("noisy", 34, 9, 8).float().view(2, 17, 9, 8)
    joints, weights = targets(2, 17, 9, 8)
    joints = joints.clamp(1, 6)
    maps[weights == 0] = value
    laid = [t.to(gpu.device) for t in (LAYOUTS["channels_last"](maps), joints, weights)]
    loss = gpu.heatmap_mse(*laid, SIGMA)
    gradient = gpu.heatmap_mse_backward(laid[2], *laid, SIGMA)
    assert torch.equal(loss.cpu() == 0, weights == 0) and loss.isfinite().all()
    assert (gradient.cpu()[weights == 0] == 0).all() and gradient.isfinite().all()


def test_empty_channels_last_batches_give_empty_results(gpu: Implementation) -> None:
    maps = LAYOUTS["channels_last"](torch.rand(0, 17, 8, 8, device=gpu.device))
    joints, weights = maps.new_zeros(0, 17, 2), maps.new_zeros(0, 17)
    assert gpu.decode(maps, TAPS, flipped=maps)[0].shape == (0, 17, 2)
    assert gpu.modulate(maps, TAPS).shape == maps.shape
    assert gpu.heatmap_mse(maps, joints, weights, SIGMA).shape == weights.shape
    gradient = gpu.heatmap_mse_backward(weights, maps, joints, weights, SIGMA)
    assert gradient.shape == maps.shape
