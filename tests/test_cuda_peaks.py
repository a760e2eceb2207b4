# SPDX-License-Identifier: Apache-2.0
"""Every way through decode_peaks' CUDA kernel and that of the fit at the border: maps in shared
memory and larger ones, packs and pixels, lists that a warp sorts and a block. On a GPU and by
emulation."""

import math

import pytest
import torch
from torch import Tensor

from conftest import Implementation, present
from darkpose_ext import gaussian_taps, reference
from darkpose_ext.taps import fit_rule
from samples import DTYPES, LAYOUTS, made_maps
from tolerances import PIXELS, assert_within

if not present("gpu"):
    pytest.skip("neither a GPU nor emulated kernels", allow_module_level=True)

TAPS = gaussian_taps(1.0)
INDEX = [2, 0, 1]
MATRIX = torch.tensor([[0.9, 0.1, 1.0], [0.2, 1.1, -2.0]])
PACK = 16  # bytes
KINDS = ("noisy", "noise", "two_peaks", "plateaus", "borders", *["signed_noise"] * 4)

each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def hard(dtype: torch.dtype, *size: int) -> Tensor:  # [3, 3, H, W]
    """Maps of many kinds: of noise, with ties, a NaN at either end, infinities, or nothing."""
    maps = torch.cat([made_maps(kind, 1, *size) for kind in KINDS])
    one, last = size[0] * size[1] // 3, size[0] * size[1] - 1
    maps[0].view(-1)[one], maps[1].view(-1)[[one, last]] = math.nan, math.inf
    maps[7].view(-1)[last], maps[8] = math.nan, -math.inf
    maps[6].sign_()
    return maps.to(dtype).view(3, 3, *size)


def assert_decodes(gpu: Implementation, maps: Tensor, k: int, radius: int, **options: object):
    """Heights and counts exactly, coordinates within the tolerance."""
    plain = {**options, "heatmaps": maps.contiguous(), "radius": radius}
    if "flipped" in options:
        plain["flipped"] = options["flipped"].contiguous()
    expected = reference.decode_peaks(taps=TAPS, k=k, **plain)
    actual = gpu.decode_peaks(maps, TAPS, k, radius=radius, **options)
    assert_within(actual[0], expected[0], PIXELS[maps.dtype], equal_nan=True)
    assert_within(actual[1:], expected[1:], 0, equal_nan=True)


# Within the largest radius a thread looks at by itself, within one more, and beyond the map. Every
# pixel, more than there are, and none but the highest.
@pytest.mark.parametrize("radius", [0, 1, 2, 3, 7, 8, 100])
@each_dtype
def test_peaks_are_the_highest_of_their_windows(
    gpu: Implementation, dtype: torch.dtype, radius: int
) -> None:
    for size in ((13, 9), (1, 30), (17, 1), (1, 1)):
        maps = hard(dtype, *size)
        for k, threshold in ((300, -math.inf), (4, 0.0), (3, 0.3), (1, 1e300)):
            assert_decodes(gpu, maps, k, radius, threshold=threshold, border="fit")


@pytest.mark.parametrize("shift", [None, 0, 1, 100])  # None: no flip test
@each_dtype
def test_peaks_of_maps_laid_out_in_any_way(
    gpu: Implementation, dtype: torch.dtype, shift: int | None
) -> None:
    for size in ((12, 16), (9, 7)):  # rows of whole packs, and not
        maps, flipped = hard(dtype, *size), hard(dtype, *size).roll(1, 0)
        for name, laid in LAYOUTS.items():
            other = LAYOUTS["transposed" if name == "apart" else name](flipped)
            flip = {"flipped": other, "flip_index": INDEX, "flip_shift": shift}
            options = {"transform": MATRIX.expand(3, 2, 3).to(dtype), "max_shift": 0.4}
            options |= {} if shift is None else flip
            assert_decodes(gpu, laid(maps), 5, 1, **options)
            # Shifted by more than the map is wide, rows are constant: a fit could be anything.
            border = "stay" if shift == 100 else "fit"
            assert_decodes(gpu, laid(maps), 3, 2, border=border, **options)


@each_dtype
def test_peaks_of_maps_at_any_address(gpu: Implementation, dtype: torch.dtype) -> None:
    maps = hard(dtype, 8, 6)  # whole packs, of rows that are not
    for elements in range(PACK // dtype.itemsize + 1):
        storage = maps.new_full((maps.numel() + elements + PACK,), math.nan)
        moved = storage[elements : elements + maps.numel()].view(maps.shape).copy_(maps)
        assert_decodes(gpu, moved, 4, 1)
        assert_decodes(gpu, moved, 4, 1, flipped=maps, flip_index=INDEX)


# Larger than the shared memory that a block takes, and not so; lists for a block to sort, and short
# ones for a warp, while the block's other warps wait.
@pytest.mark.parametrize(
    ("dtype", "size"),
    [(torch.bfloat16, (160, 170)), (torch.float64, (90, 60)), (torch.float32, (2, 9000))],
    ids=str,
)
def test_peaks_of_large_maps(
    gpu: Implementation, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    maps = made_maps("noisy", 3, *size).view(1, 3, *size).to(dtype)
    for layout in ("contiguous", "channels_last"):
        laid, mirrored = LAYOUTS[layout](maps), LAYOUTS[layout](maps.flip(-1))
        assert_decodes(gpu, laid, 200, 1)
        assert_decodes(gpu, laid, 50, 8, flipped=mirrored, flip_shift=1)
    maps[0, 1, -1, -1] = math.nan
    assert_decodes(gpu, maps, 5, 2)


@pytest.mark.parametrize("border", ["stay", "fit"])
@each_dtype
def test_the_first_peak_is_the_maximum_that_decode_finds(
    gpu: Implementation, dtype: torch.dtype, border: str
) -> None:
    maps = torch.cat((hard(dtype, 32, 24), hard(dtype, 32, 24)))
    flipped = maps.roll(2, 0)
    for layout in ("contiguous", "channels_last"):
        laid, mirrored = map(LAYOUTS[layout], (maps, flipped))
        for flip in ({}, {"flipped": mirrored}, {"flipped": mirrored, "flip_shift": 1}):
            flip |= {"border": border}
            coords, scores, _ = gpu.decode_peaks(laid, TAPS, 1, radius=2, threshold=-1e9, **flip)
            expected, heights = gpu.decode(laid, TAPS, **flip)
            none = heights == -math.inf
            assert_within(coords[..., 0, :][~none], expected[~none], 0, equal_nan=True)
            assert_within(scores[..., 0][~none], heights[~none], 0, equal_nan=True)
            assert coords[none].isnan().all() and (scores[none] == 0).all()


@pytest.mark.parametrize("shift", [None, 0, 1])
@each_dtype
def test_maxima_near_the_border_alone_are_fitted(
    gpu: Implementation, dtype: torch.dtype, shift: int | None
) -> None:
    taps, fitted = gaussian_taps(2.0), 0
    for kind, size in (("borders", (32, 24)), ("noisy", (9, 7)), ("plateaus", (16, 12))):
        maps, flipped = (made_maps(kind, 12, *size).view(4, 3, *size).to(dtype) for _ in "ab")
        maps[0, 0, 0, 0], maps[0, 1], maps[0, 2, 0, 0] = math.nan, -1, math.inf
        flip = {"flip_index": INDEX, "flip_shift": shift, "flipped": flipped}
        flip = {} if shift is None else flip
        expected = reference.decode(maps, taps, border="fit", **flip)
        for name in ("contiguous", "channels_last", "sliced"):
            laid = LAYOUTS[name](maps)
            flip |= {} if shift is None else {"flipped": LAYOUTS[name](flipped)}
            actual = gpu.decode(laid, taps, border="fit", **flip)
            assert_within(actual[0], expected[0], PIXELS[dtype], equal_nan=True)
            assert_within(actual[1], expected[1], 0, equal_nan=True)
        stayed, pixels = (
            gpu.decode(maps, given, method=method, **flip)[0]
            for given, method in ((taps, "dark"), ([], "argmax"))
        )
        last = torch.tensor(size).flip(0).to(pixels) - 1
        far = (torch.minimum(pixels, last - pixels) >= fit_rule(taps).margin).all(-1)
        assert_within(actual[0][far], stayed[far], 0)
        fitted += (actual[0] != stayed)[~far & ~stayed.isnan().any(-1)].any(-1).sum()
    assert fitted > 10
