# SPDX-License-Identifier: Apache-2.0
"""Decoding up to the border: a Gaussian is found wherever its maximum is, nothing is made up."""

import numpy as np
import pytest
import torch
from torch import Tensor

from darkpose.interop.border import REACH, SHIFT, WINDOW, decode_to_the_border
from darkpose_ext import decode, gaussian_taps
from darkpose_ext.reference import mirror_back
from samples import gaussians, made_maps, random_centers

HEIGHT, WIDTH = 64, 48
EXACT = 1e-3  # heatmap pixels, of Gaussians without noise, stored in float32
FITTED = 1e-4  # heatmap pixels, the same least squares solved in another way
SIGMA = 2.0


def find(maps: Tensor, sigma: float = SIGMA) -> tuple[Tensor, Tensor]:
    """Decode [N, H, W] maps one by one to [N, 2] and [N]."""
    coords, scores = decode_to_the_border(maps[:, None], gaussian_taps(sigma), sigma)
    return coords[:, 0], scores[:, 0]


def from_border(points: Tensor) -> Tensor:
    last = torch.tensor([WIDTH - 1, HEIGHT - 1])
    return torch.minimum(points, last - points).amin(-1)


@pytest.mark.parametrize("width", [0.75, 1.0, 1.25], ids="{} of sigma".format)
@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_a_gaussian_is_found_at_the_border_whatever_its_width(sigma: float, width: float) -> None:
    centers = random_centers(4000, HEIGHT, WIDTH, -0.5)
    centers = centers[from_border(centers) < REACH * sigma - 0.5]
    maps = gaussians(centers, HEIGHT, WIDTH, width * sigma).float()
    coords, scores = find(0.8 * maps, sigma)
    assert len(centers) > 100
    assert (coords - centers).norm(dim=-1).max() < EXACT
    assert torch.equal(scores, (0.8 * maps).amax((1, 2)))


@pytest.mark.parametrize("kind", ["clean", "noisy", "noise", "two_peaks", "plateaus"])
def test_away_from_the_border_it_is_decode_to_the_bit(kind: str) -> None:
    maps = made_maps(kind, 600, HEIGHT, WIDTH).float()
    peaks, _ = decode(maps[:, None], [], method="argmax")
    inside = from_border(peaks[:, 0]) >= REACH * SIGMA
    coords, scores = find(maps)
    expected, expected_scores = decode(maps[:, None], gaussian_taps(SIGMA))
    assert 0.1 < inside.double().mean() < 1
    assert torch.equal(coords[inside], expected[inside, 0])
    assert torch.equal(scores, expected_scores[:, 0])


def test_the_fit_is_weighted_least_squares_to_the_logarithm() -> None:
    maps = made_maps("borders", 200, HEIGHT, WIDTH).float()
    coords, _ = find(maps)
    peaks, _ = decode(maps[:, None], [], method="argmax")
    compared, reach = 0, round(WINDOW * SIGMA)
    for heatmap, found, peak in zip(maps.double().numpy(), coords, peaks[:, 0], strict=True):
        if from_border(peak) >= REACH * SIGMA:
            continue
        x0, y0 = (int(value) for value in peak)
        rows = [y for y in range(y0 - reach, y0 + reach + 1) if 0 <= y < HEIGHT]
        columns = [x for x in range(x0 - reach, x0 + reach + 1) if 0 <= x < WIDTH]
        pixels = [(x - x0, y - y0, heatmap[y, x]) for y in rows for x in columns]
        x, y, value = np.array([pixel for pixel in pixels if pixel[2] > 0]).T
        terms = np.stack((np.ones_like(x), x, y, -(x**2 + y**2) / 2), 1)
        answer, *_ = np.linalg.lstsq(terms * value[:, None], np.log(value) * value, rcond=None)
        step = answer[1:3] / answer[3]
        if answer[3] > 0 and np.abs(step).max() < SHIFT[0]:
            assert np.abs(found.numpy() - (x0, y0) - step).max() < FITTED
            compared += 1
    assert compared > 100


@pytest.mark.parametrize("value", [1.0, 1e-30, 1e30])
def test_what_is_no_peak_stays_at_its_maximum(value: float) -> None:
    alone, edge, flat = torch.zeros(3, HEIGHT, WIDTH)
    alone[1, 1] = value
    edge[:, 0] = value  # nothing tells where on the line
    flat[:] = value
    coords, _ = find(torch.stack((alone, edge, flat)))
    assert torch.equal(coords, torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))


def test_maps_without_a_finite_positive_maximum_are_left_to_decode() -> None:
    maps = -torch.rand(4, HEIGHT, WIDTH) - 0.1
    maps[:, 0, 1] = torch.tensor([torch.nan, torch.inf, 0.0, -0.05])
    coords, scores = find(maps)
    expected, expected_scores = decode(maps[:, None], gaussian_taps(SIGMA))
    torch.testing.assert_close(coords, expected[:, 0], equal_nan=True, atol=0, rtol=0)
    torch.testing.assert_close(scores, expected_scores[:, 0], equal_nan=True, atol=0, rtol=0)
    assert coords[0].isnan().all() and torch.equal(coords[1:], torch.tensor([[1.0, 0.0]] * 3))


@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_a_step_that_cannot_be_to_this_peak_is_left_to_decode(sigma: float) -> None:
    maps = made_maps("noise", 2000, HEIGHT, WIDTH).float()
    coords, taps = find(maps, sigma)[0], gaussian_taps(sigma)
    peaks, kept = (
        decode(maps[:, None], given, method=method)[0][:, 0]
        for given, method in (([], "argmax"), (taps, "dark"))
    )
    fitted = (coords != kept).any(-1)
    assert 0.01 < fitted.double().mean() < 1
    assert (coords - peaks)[fitted].abs().max() <= max(SHIFT[0], SHIFT[1] * sigma)
    assert (coords - peaks)[fitted].abs().max() > 0.9


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_flip_test_averages_the_maps(dtype: torch.dtype) -> None:
    centers = random_centers(60, HEIGHT, WIDTH, -0.5)
    maps = gaussians(centers, HEIGHT, WIDTH, SIGMA).view(20, 3, HEIGHT, WIDTH)
    maps, other = (maps + 0.02 * torch.rand_like(maps) for _ in range(2))
    index, taps = [0, 2, 1], gaussian_taps(SIGMA)
    maps, flipped = maps.to(dtype), other[:, index].flip(-1).to(dtype)
    averaged = (maps.double() + flipped[:, index].flip(-1).double()) / 2
    coords, scores = decode_to_the_border(maps, taps, SIGMA, flipped=flipped, flip_index=index)
    expected, expected_scores = decode_to_the_border(averaged, taps, SIGMA)
    torch.testing.assert_close(coords.double(), expected, atol=EXACT, rtol=0)
    torch.testing.assert_close(scores.double(), expected_scores, atol=EXACT, rtol=0)
    assert (from_border(expected) < REACH * SIGMA).any()


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("kind", ["borders", "plateaus", "signed_noise"])
def test_arrays_have_the_bits_of_tensors(kind: str, shift: int) -> None:
    maps, flipped = (made_maps(kind, 60, HEIGHT, WIDTH).view(20, 3, HEIGHT, WIDTH) for _ in "12")
    for dtype in (torch.float16, torch.float32, torch.float64):
        given = maps.to(dtype), flipped.to(dtype)
        found, arrays = (
            decode_to_the_border(
                one,
                gaussian_taps(SIGMA),
                SIGMA,
                flipped=other,
                flip_index=[2, 1, 0],
                flip_shift=shift,
            )
            for one, other in (given, [tensor.numpy() for tensor in given])
        )
        for array, tensor in zip(arrays, found, strict=True):
            np.testing.assert_array_equal(array, tensor.numpy(), strict=True)


@pytest.mark.parametrize("flip_shift", [0, 1])
def test_the_mirrored_maps_are_shifted_as_decode_shifts_them(flip_shift: int) -> None:
    maps, other = (made_maps("borders", 60, HEIGHT, WIDTH).float()[:, None] for _ in range(2))
    averaged = (maps + mirror_back(other, None, flip_shift)) / 2
    found = decode_to_the_border(maps, [], SIGMA, flipped=other, flip_shift=flip_shift)
    expected = decode_to_the_border(averaged, [], SIGMA)
    torch.testing.assert_close(found, expected, atol=EXACT, rtol=0)


def test_people_none_at_all() -> None:
    coords, scores = decode_to_the_border(torch.zeros(0, 17, HEIGHT, WIDTH), [], SIGMA)
    assert coords.shape == (0, 17, 2) and scores.shape == (0, 17)
    with pytest.raises(ValueError, match=r"\[B, K, H, W\]"):
        decode_to_the_border(torch.zeros(17, HEIGHT, WIDTH), [], SIGMA)
