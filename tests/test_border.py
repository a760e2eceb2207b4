# SPDX-License-Identifier: Apache-2.0
"""decode up to the border: a Gaussian is found wherever its maximum is, nothing is made up."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import darkpose_ext.numpy
from conftest import Implementation, implementation
from darkpose.interop.border import decode_to_the_border
from darkpose_ext import decode, gaussian_taps, opencv_taps
from darkpose_ext.reference import mirror_back
from darkpose_ext.taps import fit_rule
from samples import LAYOUTS, MADE, gaussians, made_maps, random_centers

HEIGHT, WIDTH = 64, 48
EXACT = 1e-3  # heatmap pixels, of Gaussians without noise, stored in float32
FITTED = 1e-4  # heatmap pixels, the same least squares solved in another way
SIGMA = 2.0
TAPS = gaussian_taps(SIGMA)
MARGIN = fit_rule(TAPS).margin


@pytest.fixture(params=["reference", "cpu"])
def ops(request: pytest.FixtureRequest) -> Implementation:
    return implementation(request.param)


def find(ops: Implementation, maps: Tensor, sigma: float = SIGMA, **options: Any) -> Any:
    """Decode [N, H, W] maps one by one to [N, 2] and [N]."""
    coords, scores = ops.decode(maps[:, None], gaussian_taps(sigma), border="fit", **options)
    return coords[:, 0].cpu(), scores[:, 0].cpu()


def from_border(points: Tensor, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    last = torch.tensor([width - 1, height - 1])
    return torch.minimum(points, last - points).amin(-1)


def peaks_of(maps: Tensor) -> Tensor:
    return decode(maps[:, None], [], method="argmax")[0][:, 0]


def test_the_rule_is_that_of_the_taps_sigma() -> None:
    for sigma, margin, reach in ((1.0, 2, 2), (2.0, 4, 3), (3.0, 6, 4), (6.0, 12, 9)):
        rule = fit_rule(gaussian_taps(sigma))
        assert math.ceil(rule.margin) == margin and rule.reach == reach  # those of sigma itself
        assert rule.limit == pytest.approx(max(1, sigma / 2), rel=0.05)
    assert fit_rule(opencv_taps(3)) == pytest.approx((math.sqrt(2), 1.0, 1))
    for taps in ([1.0], [-1.0, 2.0, -1.0], [1.0, -3.0, 1.0]):  # of no variance, of a negative one
        assert fit_rule(taps) == pytest.approx((0.0, 1.0, 1))
    assert fit_rule([1.0, -1.99, 1.0]) == pytest.approx(
        (2.0, 1.0, 2)
    )  # not of a sigma beyond the taps


@pytest.mark.parametrize("width", [0.75, 1.0, 1.25], ids="{} of sigma".format)
@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_a_gaussian_is_found_at_the_border_whatever_its_width(
    ops: Implementation, sigma: float, width: float
) -> None:
    centers = random_centers(1500, HEIGHT, WIDTH, -0.5)
    centers = centers[from_border(centers) < 2 * sigma - 0.5]
    maps = gaussians(centers, HEIGHT, WIDTH, width * sigma).float()
    coords, scores = find(ops, 0.8 * maps, sigma)
    assert len(centers) > 100
    assert (coords - centers).norm(dim=-1).max() < EXACT
    assert torch.equal(scores, (0.8 * maps).amax((1, 2)))


@pytest.mark.parametrize("kind", ["clean", "noisy", "noise", "two_peaks", "plateaus"])
def test_away_from_the_border_it_is_stay_to_the_bit(ops: Implementation, kind: str) -> None:
    for height, width in ((HEIGHT, WIDTH), (13, 9)):
        maps = made_maps(kind, 600, height, width).float()
        inside = from_border(peaks_of(maps), height, width) >= MARGIN
        coords, scores = find(ops, maps)
        expected, expected_scores = ops.decode(maps[:, None], TAPS)
        assert 0.01 < inside.double().mean() < 1
        assert torch.equal(coords[inside], expected[inside, 0])
        assert torch.equal(scores, expected_scores[:, 0])


def test_the_fit_is_weighted_least_squares_to_the_logarithm(ops: Implementation) -> None:
    maps = made_maps("borders", 200, HEIGHT, WIDTH).float()
    coords, _ = find(ops, maps)
    compared, reach = 0, 3
    for heatmap, found, peak in zip(maps.double().numpy(), coords, peaks_of(maps), strict=True):
        if from_border(peak) >= MARGIN:
            continue
        x0, y0 = (int(value) for value in peak)
        rows = [y for y in range(y0 - reach, y0 + reach + 1) if 0 <= y < HEIGHT]
        columns = [x for x in range(x0 - reach, x0 + reach + 1) if 0 <= x < WIDTH]
        pixels = [(x - x0, y - y0, heatmap[y, x]) for y in rows for x in columns]
        x, y, value = np.array([pixel for pixel in pixels if pixel[2] > 0]).T
        terms = np.stack((np.ones_like(x), x, y, -(x**2 + y**2) / 2), 1)
        answer, *_ = np.linalg.lstsq(terms * value[:, None], np.log(value) * value, rcond=None)
        step = answer[1:3] / answer[3]
        if answer[3] > 0 and np.abs(step).max() < 1:
            assert np.abs(found.numpy() - (x0, y0) - step).max() < FITTED
            compared += 1
    assert compared > 100


@pytest.mark.parametrize("value", [1.0, 1e-30, 1e30])
def test_what_is_no_peak_stays_at_its_maximum(ops: Implementation, value: float) -> None:
    alone, edge, flat = torch.zeros(3, HEIGHT, WIDTH)
    alone[1, 1] = value
    edge[:, 0] = value  # nothing tells where on the line
    flat[:] = value
    coords, _ = find(ops, torch.stack((alone, edge, flat)))
    assert torch.equal(coords, torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))


def test_maps_without_a_finite_positive_maximum_are_left_to_stay(ops: Implementation) -> None:
    maps = -torch.rand(4, HEIGHT, WIDTH) - 0.1
    maps[:, 0, 1] = torch.tensor([torch.nan, torch.inf, 0.0, -0.05])
    coords, scores = find(ops, maps)
    expected, expected_scores = ops.decode(maps[:, None], TAPS)
    torch.testing.assert_close(coords, expected[:, 0], equal_nan=True, atol=0, rtol=0)
    torch.testing.assert_close(scores, expected_scores[:, 0], equal_nan=True, atol=0, rtol=0)
    assert coords[0].isnan().all() and torch.equal(coords[1:], torch.tensor([[1.0, 0.0]] * 3))


@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_a_step_that_cannot_be_to_this_peak_is_left_to_stay(
    ops: Implementation, sigma: float
) -> None:
    maps = made_maps("noise", 600, HEIGHT, WIDTH).float()
    coords, taps = find(ops, maps, sigma)[0], gaussian_taps(sigma)
    peaks, kept = peaks_of(maps), ops.decode(maps[:, None], taps)[0][:, 0]
    fitted = (coords != kept).any(-1)
    assert 0.01 < fitted.double().mean() < 1
    assert (coords - peaks)[fitted].abs().max() <= fit_rule(taps).limit
    assert (coords - peaks)[fitted].abs().max() > 0.9


@pytest.mark.parametrize("limit", [0.0, 0.3, math.inf])
def test_max_shift_shortens_a_step_along_its_direction(ops: Implementation, limit: float) -> None:
    maps = made_maps("borders", 200, HEIGHT, WIDTH)
    steps, short = (find(ops, maps, max_shift=m)[0] - peaks_of(maps) for m in (math.inf, limit))
    length = steps.norm(dim=-1, keepdim=True)
    shortened = torch.where(length > limit, steps * (limit / length), steps)
    torch.testing.assert_close(short, shortened, atol=1e-12, rtol=0)
    assert length.max() > 0.6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_flip_test_averages_the_maps(ops: Implementation, dtype: torch.dtype) -> None:
    centers = random_centers(60, HEIGHT, WIDTH, -0.5)
    maps = gaussians(centers, HEIGHT, WIDTH, SIGMA).view(20, 3, HEIGHT, WIDTH)
    maps, other = (maps + 0.02 * torch.rand_like(maps) for _ in range(2))
    index, given = [0, 2, 1], {"taps": TAPS, "border": "fit"}
    maps, flipped = maps.to(dtype), other[:, index].flip(-1).to(dtype)
    averaged = (maps.double() + flipped[:, index].flip(-1).double()) / 2
    coords, scores = ops.decode(maps, flipped=flipped, flip_index=index, **given)
    expected, expected_scores = ops.decode(averaged, **given)
    torch.testing.assert_close(coords.double(), expected, atol=EXACT, rtol=0)
    torch.testing.assert_close(scores.double(), expected_scores, atol=EXACT, rtol=0)
    assert (from_border(expected) < MARGIN).any()


@pytest.mark.parametrize("flip_shift", [0, 1])
def test_the_mirrored_maps_are_shifted_and_recovered_in_the_image(
    ops: Implementation, flip_shift: int
) -> None:
    maps, other = (made_maps("borders", 60, HEIGHT, WIDTH).float()[:, None] for _ in range(2))
    transform = torch.tensor([[4.0, 0.0, 7.0], [0.0, 4.0, -3.0]]).expand(60, 2, 3)
    averaged = (maps + mirror_back(other, None, flip_shift)) / 2
    given = {"flipped": other, "flip_shift": flip_shift, "transform": transform}
    coords, scores = ops.decode(maps, TAPS, border="fit", **given)
    found = (coords - transform[:, None, :, 2]) / 4, scores
    torch.testing.assert_close(
        found, ops.decode(averaged, TAPS, border="fit"), atol=EXACT / 4, rtol=0
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_twin_and_every_layout_have_the_same_answer(layout: str) -> None:
    kernel, twin = implementation("cpu"), implementation("reference")
    for kind in MADE:
        for height, width in ((24, 32), (5, 4), (1, 7), (2, 2)):
            maps = made_maps(kind, 40, height, width).view(20, 2, height, width)
            flipped = made_maps(kind, 40, height, width).view(20, 2, height, width)
            given = {"taps": opencv_taps(5), "flipped": LAYOUTS[layout](flipped), "border": "fit"}
            found = kernel.decode(LAYOUTS[layout](maps), **given)
            expected = twin.decode(maps, **{**given, "flipped": flipped})
            torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("kind", ["borders", "plateaus", "signed_noise"])
def test_arrays_have_the_bits_of_tensors_and_drop_ins_both(kind: str, shift: int) -> None:
    maps, flipped = (made_maps(kind, 60, HEIGHT, WIDTH).view(20, 3, HEIGHT, WIDTH) for _ in "12")
    for dtype in (torch.float16, torch.float32, torch.float64):
        given = maps.to(dtype), flipped.to(dtype)
        arrays = tuple(tensor.numpy() for tensor in given)
        flip: dict[str, Any] = {"flip_index": [2, 1, 0], "flip_shift": shift}
        expected = decode(given[0], TAPS, flipped=given[1], border="fit", **flip)
        for of, border in (
            (darkpose_ext.numpy.decode, {"border": "fit"}),
            (decode_to_the_border, {}),
        ):
            found = of(arrays[0], TAPS, flipped=arrays[1], **flip, **border)
            for array, tensor in zip(found, expected, strict=True):
                np.testing.assert_array_equal(array, tensor.numpy(), strict=True)
        found = decode_to_the_border(given[0], TAPS, flipped=given[1], **flip)
        assert all(map(torch.equal, found, expected))
    assert torch.equal(decode_to_the_border(maps, [])[0], decode(maps, [])[0])


def test_people_none_at_all(ops: Implementation) -> None:
    coords, scores = ops.decode(torch.zeros(0, 17, HEIGHT, WIDTH), TAPS, border="fit")
    assert coords.shape == (0, 17, 2) and scores.shape == (0, 17)
