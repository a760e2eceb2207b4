# SPDX-License-Identifier: Apache-2.0
"""Which maxima decode_peaks finds, by SciPy's maximum_filter; and that its steps are decode's."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

import darkpose_ext
import darkpose_ext.numpy
from benchmarks.real_heatmaps import load
from conftest import Implementation
from darkpose_ext import gaussian_taps, reference
from samples import DTYPES, STRIDED, made_maps
from tolerances import PIXELS, assert_within

Found = list[tuple[float, float, float]]  # x, y and height


def by_scipy(one: NDArray[Any], k: int, radius: int, threshold: float) -> Found:
    """Find the k highest local maxima of a map [H, W], of equal ones the first."""
    height, width = one.shape
    top = maximum_filter(
        one, min(2 * radius + 1, 2 * max(one.shape) + 1), mode="constant", cval=-np.inf
    )
    maxima = []
    for y, x in np.argwhere((one == top) & (one > np.asarray(threshold, one.dtype))):
        rows, columns = slice(max(0, y - radius), y), slice(max(0, x - radius), x + radius + 1)
        before = (one[rows, columns] == one[y, x]).any() or (
            one[y, columns][: x - columns.start] == one[y, x]
        ).any()
        if not before:
            maxima.append((float(x), float(y), float(one[y, x])))
    return sorted(maxima, key=lambda found: -found[2])[:k]


def pixels(
    ops: Implementation, maps: Tensor, k: int, radius: int, threshold: float = 0.0
) -> list[Found]:
    """Find the maxima of maps [N, H, W] without their steps."""
    coords, scores, count = ops.decode_peaks(
        maps[:, None], [], k, radius=radius, threshold=threshold, max_shift=0.0
    )
    assert coords.shape == (len(maps), 1, k, 2) and scores.shape == coords.shape[:-1]
    assert count.shape == (len(maps), 1) and count.dtype == torch.int64
    found = torch.cat((coords, scores[..., None]), -1)[:, 0].cpu()
    for one, number in zip(found, count[:, 0].tolist(), strict=True):
        assert one[number:, :2].isnan().all() and (one[number:, 2] == 0).all()
    return [
        list(map(tuple, one[:number].tolist()))
        for one, number in zip(found, count[:, 0].tolist(), strict=True)
    ]


def assert_as_scipy(
    ops: Implementation, maps: Tensor, k: int, radius: int, threshold: float
) -> int:
    """Compare maps [N, H, W], and return how many maxima they have."""
    found = pixels(ops, maps, k, radius, threshold)
    assert found == [by_scipy(one, k, radius, threshold) for one in maps.numpy()]
    return sum(map(len, found))


KINDS = ("noisy", "noise", "signed_noise", "plateaus", "two_peaks", "isolated_spikes", "borders")
SEARCHES = ((1, 1, 0.0), (2, 2, 0.1), (10, 3, 0.0), (200, 1, -math.inf), (5, 40, 0.05), (7, 0, 0.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_maxima_are_those_of_scipy(ops: Implementation, kind: str, dtype: torch.dtype) -> None:
    for height, width in ((32, 24), (13, 21), (9, 5)):  # the last ones narrower than a vector
        maps = made_maps(kind, ops.count(16), height, width).to(dtype)
        for search in SEARCHES:
            assert_as_scipy(ops, maps, *search)


@pytest.mark.parametrize("name", ["hourglass_48x48", "cpm_96x96"])
def test_maxima_of_predicted_maps_are_those_of_scipy(
    ops: Implementation, data: Path, name: str
) -> None:
    maps = torch.from_numpy(load(data, name).maps())
    maps = maps[:: len(maps) // ops.count(200)]
    top = float(maps.max())
    assert assert_as_scipy(ops, maps, 2, 2, 0.1 * top) > len(maps) // 2
    assert_as_scipy(ops, maps, 20, 3, 0.0)


# ---- what a maximum is ---------------------------------------------------------------------------


def drawn(*rows: str) -> Tensor:
    """Draw a map [1, H, W] of digits."""
    return torch.tensor([[[float(digit) for digit in row] for row in rows]])


DISC = drawn("00000000000", "00002220000", "00222222200", "00222222200", "00002220000")
DRAWN = {
    "a rectangle is one maximum": (drawn("0000", "0330", "0330", "0330"), 1, [(1, 1)]),
    "whatever its size": (torch.ones(1, 9, 40), 2, [(0, 0)]),
    "a disc's edge moves by two": (DISC, 1, [(4, 1), (2, 2)]),
    "which a radius of two spans": (DISC, 2, [(4, 1)]),
    "equal ones within the radius": (drawn("000000", "001010", "000000"), 2, [(2, 1)]),
    "and beyond it": (drawn("000000", "001001", "000000"), 2, [(2, 1), (5, 1)]),
    "a corner counts": (drawn("2000", "0001", "0003"), 1, [(3, 2), (0, 0)]),
    "further rows count": (drawn("1", "0", "0", "2", "0", "1"), 2, [(0, 3), (0, 0)]),
    "radius 0 takes every pixel": (drawn("12", "21"), 0, [(1, 0), (0, 1), (0, 0), (1, 1)]),
    "what is at the threshold is none": (drawn("000", "000"), 1, []),
}


@pytest.mark.parametrize("what", DRAWN)
def test_of_equal_pixels_the_first_is_the_maximum(ops: Implementation, what: str) -> None:
    one, radius, expected = DRAWN[what]
    found = pixels(ops, one, 4, radius)
    assert [(x, y) for x, y, _ in found[0]] == expected
    wide = torch.nn.functional.pad(one, (0, 9), value=-1.0)  # wider than a vector
    assert [(x, y) for x, y, _ in pixels(ops, wide, 4, radius)[0]] == expected


def test_what_is_not_finite(ops: Implementation) -> None:
    maps = torch.rand(4, 12, 16)
    maps[0, 11, 15] = math.nan
    maps[1, 3, 4], maps[1, 9, 12] = math.inf, math.inf
    maps[2] = -math.inf
    maps[3, :] = -1.0
    coords, scores, count = ops.decode_peaks(maps[:, None], [], 3, radius=5, threshold=-math.inf)
    coords, scores = coords[:, 0].cpu(), scores[:, 0].cpu()
    assert coords[0].isnan().all() and scores[0].isnan().all()
    assert coords[1, :2].tolist() == [[4, 3], [12, 9]]  # no step from infinity
    assert scores[1, :2].tolist() == [math.inf] * 2
    assert coords[2].isnan().all() and (scores[2] == 0).all()  # -inf is above nothing
    assert coords[3, 0].tolist() == [0, 0] and scores[3].tolist() == [-1, 0, 0]
    assert count[:, 0].tolist()[0::2] == [0, 0] and count[3, 0] == 1


# ---- its steps are those of decode ---------------------------------------------------------------


def one_options(maps: Tensor, border: str) -> dict[str, Any]:
    """Return a flip test, a transform and a border for maps [B, K, H, W]."""
    matrices = torch.eye(2, 3) + 0.1 * torch.randn(len(maps), 2, 3)
    index = list(reversed(range(maps.shape[1])))
    flipped = (maps[:, index].flip(-1).float() + 0.05 * torch.rand(maps.shape)).to(maps.dtype)
    return {
        "flipped": flipped,
        "flip_index": index,
        "flip_shift": 1,
        "transform": matrices.to(maps.dtype),
        "border": border,
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("border", ["stay", "fit"])
def test_the_highest_is_that_of_decode_to_the_bit(
    kernels: Implementation, border: str, dtype: torch.dtype
) -> None:
    for kind, height, width in (("borders", 24, 20), ("noisy", 17, 33), ("plateaus", 9, 6)):
        maps = made_maps(kind, 15, height, width).to(dtype).view(5, 3, height, width)
        taps = gaussian_taps(1.5)
        for options in ({"border": border}, one_options(maps, border)):
            for layout in ("contiguous", "channels_last", "sliced", "permuted"):
                laid = {
                    name: STRIDED[layout](value)
                    for name, value in options.items()
                    if name == "flipped"
                }
                laid = options | laid
                expected = kernels.decode(STRIDED[layout](maps), taps, **laid)
                coords, scores, count = kernels.decode_peaks(
                    STRIDED[layout](maps), taps, 1, radius=2, threshold=0.0, **laid
                )
                above = expected[1] > 0
                assert above.any() and torch.equal(count, above.long())
                assert torch.equal(coords[..., 0, :][above], expected[0][above])
                assert torch.equal(scores[..., 0][above], expected[1][above])


@pytest.mark.parametrize("border", ["stay", "fit"])
def test_all_are_those_of_the_twin(kernels: Implementation, border: str) -> None:
    maps = made_maps("two_peaks", 12, 40, 32).float().view(4, 3, 40, 32)
    maps[3, 2, 0, 0] = math.nan
    for options in ({"border": border}, one_options(maps, border)):
        for taps in (gaussian_taps(2.0), gaussian_taps(1.0)):
            search = {"radius": 2, "threshold": 0.05, **options}
            found = kernels.decode_peaks(maps, taps, 3, **search)
            expected = reference.decode_peaks(maps, taps, 3, **search)
            assert torch.equal(found[2].cpu(), expected[2]) and expected[2].max() > 1
            assert_within(found[:2], expected[:2], PIXELS[torch.float32], equal_nan=True)


def test_the_steps_are_those_of_decode_of_the_maps_cut_round_each(kernels: Implementation) -> None:
    # A square of side 15 has what 11 taps read for the 5 x 5 round its middle, its maximum.
    maps = made_maps("noisy", kernels.count(32), 60, 56).float()
    taps, reach = gaussian_taps(2.0), 7
    found = pixels(kernels, maps, 9, reach)
    coords, _, _ = kernels.decode_peaks(maps[:, None], taps, 9, radius=reach)
    compared = 0
    for one, places, own in zip(maps, found, coords[:, 0].cpu(), strict=True):
        for (x, y, score), (to_x, to_y) in zip(places, own.tolist(), strict=False):
            left, top = int(x) - reach, int(y) - reach
            square = one[max(top, 0) : top + 15, max(left, 0) : left + 15]
            if square.shape != (15, 15):
                continue
            cut, height = kernels.decode(square[None], taps)
            assert height.item() == score
            step = torch.tensor([to_x - x, to_y - y])
            assert_within(cut[0].cpu() - reach, step, PIXELS[torch.float32])
            compared += 1
    assert compared > len(maps)


# ---- any maps and any call -----------------------------------------------------------------------


def test_sizes_that_leave_nothing_to_look_at(ops: Implementation) -> None:
    assert pixels(ops, torch.full((1, 1, 1), 0.5), 3, 9) == [[(0, 0, 0.5)]]
    high = torch.arange(6.0).view(1, 2, 3)
    assert pixels(ops, high, 9, 0)[0] == [(x, y, 3 * y + x) for y in (1, 0) for x in (2, 1, 0)][:5]
    assert len(pixels(ops, high, 9, 2**62)[0]) == 1
    for leading in ((0, 3), (2, 0)):
        coords, scores, count = ops.decode_peaks(torch.rand(*leading, 5, 9), [], 2, radius=1)
        assert coords.shape == (*leading, 2, 2) and scores.shape == (*leading, 2)
        assert count.shape == leading


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layout_and_threads_change_no_bit(dtype: torch.dtype) -> None:
    maps = made_maps("two_peaks", 240, 40, 32).to(dtype).view(20, 3, 4, 40, 32)
    taps, search = gaussian_taps(2.0), {"radius": 2, "threshold": 0.05}
    expected = darkpose_ext.decode_peaks(maps, taps, 3, **search)
    for layout, laid in STRIDED.items():
        if layout.startswith("expanded"):
            continue
        found = darkpose_ext.decode_peaks(laid(maps), taps, 3, **search)
        assert_within(found, expected, 0.0, equal_nan=True)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        found = darkpose_ext.decode_peaks(maps, taps, 3, **search)
    finally:
        torch.set_num_threads(before)
    assert_within(found, expected, 0.0, equal_nan=True)
    if dtype != torch.bfloat16:
        arrays = darkpose_ext.numpy.decode_peaks(maps.numpy(), taps, 3, threads=2, **search)
        assert [array.dtype for array in arrays] == [t.numpy().dtype for t in expected]
        for array, tensor in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, tensor.numpy())


def test_one_compilation_serves_any_k() -> None:
    counted = CompileCounterWithBackend("aot_eager")

    def search(maps: Tensor, k: int) -> Any:
        return torch.ops.dark.decode_peaks(maps, gaussian_taps(1.0), k, radius=2)

    compiled, maps = (
        torch.compile(search, fullgraph=True, dynamic=True, backend=counted),
        torch.rand(5, 3, 16, 12),
    )
    for k in (4, 9, 300):
        assert_within(compiled(maps, k), search(maps, k), 0.0, equal_nan=True)
    assert counted.frame_count == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"radius": -1}, "radius must not be negative, got -1"),
        ({"threshold": math.nan}, "threshold must be a number, got nan"),
    ],
)
def test_numpy_refuses_a_search_in_the_words_of_the_op(change: dict[str, Any], words: str) -> None:
    search = {"k": 1, "radius": 1, **change}
    with pytest.raises(ValueError, match=f"^decode_peaks: {words}$"):
        darkpose_ext.numpy.decode_peaks(np.zeros((1, 9, 9)), [], **search)
