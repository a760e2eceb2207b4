# SPDX-License-Identifier: Apache-2.0
"""Every way through the CUDA kernels, at its borders: packs or elements, warps or blocks, maps or
rows of all joints, maps that fit shared memory or do not. On a GPU and by emulation."""

import math

import pytest
import torch
from torch import Tensor

from conftest import Implementation, present
from darkpose_ext import reference
from darkpose_ext._values import METHODS
from samples import DTYPES, LAYOUTS, made_maps
from tolerances import BLURRED, LOSS, PIXELS, TARGETS, assert_within

if not present("gpu"):
    pytest.skip("neither a GPU nor emulated kernels", allow_module_level=True)

TAPS = [0.0625, 0.25, 0.375, 0.25, 0.0625]
WIDE = [1 / 63] * 63
JOINTS = (1, 3, 16, 17, 21, 133)
SHIFTS = (None, 0, 1, 3)  # None: no flip test
SIGMA = 2.0
PACK = 16  # bytes
SINGLE = torch.float32
# Widths that are whole numbers of packs and not, and maps of several tiles.
SIZES = ((5, 7), (12, 16), (3, 520), (520, 3), (2, 1030))

channels_last = LAYOUTS["channels_last"]
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
each_joints = pytest.mark.parametrize("joints", JOINTS)
each_size = pytest.mark.parametrize("size", SIZES, ids=str)


def shifted(t: Tensor, elements: int) -> Tensor:
    """The same values, so many elements after an aligned address, amid NaN."""
    storage = t.new_full((t.numel() + elements + PACK,), math.nan)
    return storage[elements : elements + t.numel()].view(t.shape).copy_(t)


def noisy(gpu: Implementation, dtype: torch.dtype, *shape: int) -> Tensor:  # [B, K, H, W]
    return gpu.put(made_maps("noisy", shape[0] * shape[1], *shape[2:]).to(dtype).view(shape))


def hard(gpu: Implementation, dtype: torch.dtype, *shape: int) -> Tensor:
    """Noisy maps; among the first, one each with a NaN, ties, infinities and nothing at all."""
    maps, size = noisy(gpu, dtype, *shape).flatten(0, 1), shape[2] * shape[3]
    for i, one in enumerate(maps.flatten(1)[:5]):
        last = (7 * i + 3) % size
        spots = ([last], [last, size // 2, size - 1], [last, size - 1], slice(None), [size - 1])[i]
        one[spots] = (math.nan, 2, math.inf, -math.inf, 3)[i]
    return maps[torch.randperm(len(maps))].view(shape)


def assert_decodes(
    gpu: Implementation, maps: Tensor, flipped: Tensor | None = None, shift: int = 0
) -> None:
    """Compare the argmax exactly and DARK's coordinates to within the tolerance."""
    options, plain = {}, {"heatmaps": maps.cpu().contiguous()}
    if flipped is not None:
        options = {"flip_index": torch.randperm(maps.shape[-3]).tolist(), "flip_shift": shift}
        plain["flipped"] = flipped.cpu().contiguous()
    for method, taps in (("argmax", []), ("dark", TAPS)):
        actual = gpu.decode(maps, taps, flipped=flipped, method=method, **options)
        expected = reference.decode(taps=taps, method=method, **plain, **options)
        tolerance = 0 if method == "argmax" else PIXELS[maps.dtype]
        assert_within(actual, expected, tolerance, equal_nan=True)


@each_dtype
@pytest.mark.parametrize("size", [(13, 9), (8, 16), (2, 3)], ids=str)
def test_decode_reads_maps_from_any_address(
    gpu: Implementation, size: tuple[int, int], dtype: torch.dtype
) -> None:
    maps, flipped = (make(gpu, dtype, 2, 3, *size) for make in (hard, noisy))
    for elements in range(PACK // dtype.itemsize + 1):
        assert_decodes(gpu, shifted(maps, elements))
        assert_decodes(gpu, shifted(maps, elements), shifted(flipped, 0))
        assert_decodes(gpu, maps, shifted(flipped, elements))


# float32 maps: less than a pack, a pack and a pixel, the most for a warp and a pixel more (a
# block), one round of loads of the largest block and a pixel more.
@pytest.mark.parametrize("size", [1, 3, 5, 127, 128, 129, 511, 512, 513, 8192, 8193], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_decode_finds_the_maximum_wherever_it_stands(
    gpu: Implementation, method: str, size: int
) -> None:
    spots = sorted({0, 1, size // 3, size - 4, size - 1} & set(range(size)))
    for shape in ((1, size), (size, 1)) if size < 512 else ((1, size),):
        maps = torch.rand(len(spots), 1, *shape)
        maps.flatten(1)[range(len(spots)), spots] = 2
        coords, scores = gpu.decode(maps, [], method=method)
        expected = reference.decode(maps, [], method=method)
        assert_within(scores, expected[1], 0)
        assert_within(coords, expected[0], PIXELS[SINGLE])


@each_dtype
def test_decode_tells_nan_and_infinity_apart_at_every_pixel(
    gpu: Implementation, dtype: torch.dtype
) -> None:
    for value in (math.nan, math.inf):
        maps = noisy(gpu, dtype, 48, 2, 6, 8)
        maps[:, 1].flatten(1).diagonal()[:] = value
        assert_decodes(gpu, maps)
        assert_decodes(gpu, channels_last(maps))


@pytest.mark.parametrize("shift", SHIFTS)
@each_joints
@each_dtype
def test_decode_reads_channels_last_rows(
    gpu: Implementation, dtype: torch.dtype, joints: int, shift: int | None
) -> None:
    persons = 2 if joints < max(JOINTS) else 1
    for size in ((9, 8), (6, 5)):  # rows that are whole numbers of packs, and not
        shape = (persons, joints, *size)
        maps, flipped = (channels_last(make(gpu, dtype, *shape)) for make in (hard, noisy))
        assert_decodes(gpu, maps, *(() if shift is None else (flipped, shift)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_decode_reads_channels_last_rows_longer_than_a_block(
    gpu: Implementation, dtype: torch.dtype
) -> None:
    for size in ((3, 48), (2, 47)):
        maps, flipped = (channels_last(make(gpu, dtype, 1, 133, *size)) for make in (hard, noisy))
        assert_decodes(gpu, maps, flipped, 1)
    assert_decodes(gpu, maps)


def test_decode_reads_part_of_channels_last_rows(gpu: Implementation) -> None:
    """Strides that are not those of whole maps, and rows that begin at no pack's address."""
    whole = channels_last(hard(gpu, SINGLE, 3, 6, 12, 16))
    for rows, columns in ((slice(2, 9), slice(4, 12)), (slice(1, 8), slice(3, 11))):
        part = whole[::2, :, rows, columns]
        assert_decodes(gpu, part, part, 1)
        assert_decodes(gpu, part)


@pytest.mark.parametrize("shift", [0, 1, 3, 100])
@pytest.mark.parametrize("size", [(7, 16), (7, 24), (7, 13), (64, 48)], ids=str)
@each_dtype
def test_decode_averages_contiguous_maps_with_their_mirrored_partners(
    gpu: Implementation, dtype: torch.dtype, size: tuple[int, int], shift: int
) -> None:
    maps, flipped = (make(gpu, dtype, 2, 3, *size) for make in (hard, noisy))
    for layout in ("contiguous", "unaligned", "channels_last", "transposed"):
        assert_decodes(gpu, maps, LAYOUTS[layout](flipped), shift)


@pytest.mark.parametrize("count", [1000, 1001])
def test_every_map_of_many_is_decoded(gpu: Implementation, count: int) -> None:
    """More maps than blocks hold at a time, and not a whole number of blocks of them."""
    maps = torch.rand(count, 1, 5, 3)
    coords, scores = gpu.decode(maps, [], method="argmax")
    highest, index = maps.flatten(1).max(1)
    assert_within(scores[:, 0], highest, 0)
    assert_within(coords[:, 0], torch.stack((index % 3, index // 3), 1).float(), 0)


def assert_modulates(
    gpu: Implementation, maps: Tensor, taps: list[float] = TAPS, rescale: str = "minmax"
) -> None:
    expected = reference.modulate(maps.cpu().contiguous(), taps, rescale=rescale)
    actual = gpu.modulate(maps, taps, rescale=rescale)
    assert actual.is_contiguous()
    assert_within(actual, expected, BLURRED[maps.dtype], equal_nan=True)


@pytest.mark.parametrize("size", [(13, 9), (8, 16), (9, 24)], ids=str)
@each_dtype
def test_modulate_reads_maps_from_any_address(
    gpu: Implementation, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    maps = noisy(gpu, dtype, 2, 2, *size)
    maps[1, 1, 3, 3] = math.nan
    for elements in range(PACK // dtype.itemsize + 1):
        assert_modulates(gpu, shifted(maps, elements))


# In shared memory as a whole, with as many taps as there may be, and in tiles of either kind.
@pytest.mark.parametrize("size", [(17, 32), (80, 72), (130, 120), (5, 2000), (2000, 3)], ids=str)
@pytest.mark.parametrize("taps", [[1.0], TAPS, WIDE], ids=len)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_modulate_serves_maps_that_fit_shared_memory_and_larger_ones(
    gpu: Implementation, dtype: torch.dtype, taps: list[float], size: tuple[int, int]
) -> None:
    rescale = "max" if len(taps) == 1 else "minmax"
    assert_modulates(gpu, noisy(gpu, dtype, 1, 2, *size), taps, rescale)


# Maps that come within a few hundred bytes of what a block may have without asking, or of all there
# is on the smallest GPU: what a launch forgets to reckon with shows here.
@pytest.mark.parametrize(
    ("height", "width", "taps"),
    [(72, 72, 13), (48, 100, 17), (100, 48, 17), (48, 108, 11), (84, 60, 11), (60, 84, 11)],
)
def test_modulate_serves_maps_that_just_fit_shared_memory(
    gpu: Implementation, height: int, width: int, taps: int
) -> None:
    assert_modulates(gpu, noisy(gpu, SINGLE, 1, 2, height, width), [1 / taps] * taps)


@each_dtype
def test_modulate_reads_channels_last_maps(gpu: Implementation, dtype: torch.dtype) -> None:
    for joints in (1, 3, 17):
        assert_modulates(gpu, channels_last(noisy(gpu, dtype, 2, joints, 11, 16)))


def targets(persons: int, joints: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Joints in and around the map in float32, some without weight."""
    joint = torch.rand(persons, joints, 2) * torch.tensor([width + 8, height + 8]) - 4
    weights = torch.linspace(0.5, 1.5, persons * joints).view(persons, joints)
    weights.view(-1)[1::5] = 0
    return joint, weights


@each_size
@each_dtype
def test_encode_writes_maps_of_any_width(
    gpu: Implementation, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    joints, weights = (t.to(reference.arithmetic_dtype(dtype)) for t in targets(2, 3, *size))
    options = {"truncate": True, "rounding": "round"} if size == SIZES[1] else {}
    expected = reference.encode(joints, weights, *size, SIGMA, dtype=dtype, **options)
    actual = gpu.encode(joints, weights, *size, SIGMA, dtype=dtype, **options)
    assert_within(actual[0], expected[0], TARGETS[dtype])
    assert_within(actual[1], expected[1], 0)


def assert_loss_and_gradient(gpu: Implementation, maps: Tensor) -> None:
    joints, weights = targets(*maps.shape)
    grad, dtype, plain = torch.rand_like(weights), maps.dtype, maps.cpu().contiguous()
    loss = gpu.heatmap_mse(maps, joints, weights, SIGMA)
    expected = reference.heatmap_mse(plain, joints, weights, SIGMA)
    assert_within(loss, expected, LOSS[dtype], LOSS[dtype])
    gradient = gpu.heatmap_mse_backward(grad, maps, joints, weights, SIGMA)
    assert gradient.stride() == torch.empty_like(maps).stride()
    expected = reference.heatmap_mse_backward(grad, plain, joints, weights, SIGMA)
    assert_within(gradient, expected, LOSS[dtype], TARGETS[dtype])


@each_size
@each_dtype
def test_heatmap_mse_reads_maps_of_any_width_and_address(
    gpu: Implementation, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    maps = noisy(gpu, dtype, 2, 3, *size)
    for elements in range(0, PACK // dtype.itemsize + 1, 1 if size == SIZES[1] else 3):
        assert_loss_and_gradient(gpu, shifted(maps, elements))


@each_joints
@each_dtype
def test_heatmap_mse_reads_channels_last_rows(
    gpu: Implementation, dtype: torch.dtype, joints: int
) -> None:
    for size in ((9, 8), (6, 5)):
        assert_loss_and_gradient(gpu, channels_last(noisy(gpu, dtype, 2, joints, *size)))


@each_dtype
def test_heatmap_mse_reads_rows_longer_than_a_block(
    gpu: Implementation, dtype: torch.dtype
) -> None:
    # Of the third a block has shared memory for some joints' factors alone; of the tallest for not
    # even one's, and each map is read by itself.
    for shape in ((133, 3, 48), (133, 2, 31), (133, 440, 3), (3, 19500, 2)):
        assert_loss_and_gradient(gpu, channels_last(noisy(gpu, dtype, 1, *shape)))
