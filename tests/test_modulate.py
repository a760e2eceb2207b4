# SPDX-License-Identifier: Apache-2.0
"""modulate against NumPy and OpenCV, and where its formula would divide by zero."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from conftest import Implementation
from darkpose_ext import gaussian_taps, opencv_taps, reference
from darkpose_ext._values import RESCALES
from samples import DTYPES, MADE, made_maps
from tolerances import BLURRED, TAPS, assert_within

UNIT = [0.25, 0.5, 0.25]
each_rescale = pytest.mark.parametrize("rescale", RESCALES)


def modulate(ops: Implementation, maps: Tensor, k: int, rescale: str) -> np.ndarray:
    return ops.modulate(maps, oracles.opencv_taps(k).tolist(), rescale=rescale).cpu().numpy()


@pytest.mark.parametrize("k", [1, 3, 7, 11, 17])
@each_rescale
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_modulate_equals_numpy(
    ops: Implementation, k: int, rescale: str, dtype: torch.dtype
) -> None:
    maps = torch.cat([made_maps(kind, ops.count(16), 20, 13) for kind in MADE])
    taps = oracles.opencv_taps(k)
    expected = np.array([oracles.modulate(m.numpy(), taps, rescale) for m in maps])
    largest = np.abs(expected).max((1, 2), keepdims=True).clip(1)
    difference = np.abs(modulate(ops, maps.to(dtype), k, rescale) - expected) / largest
    assert difference.max() <= BLURRED[dtype]


# The last two reach beyond the map.
@pytest.mark.parametrize("k", [3, 5, 7, 9, 11, 17, 31, 63])
def test_modulate_with_opencv_taps_equals_opencv_on_a_zero_padded_map(
    ops: Implementation, k: int
) -> None:
    maps = made_maps("signed_noise", ops.count(32), *((15, 22) if k < 31 else (5, 4)))
    expected = np.array([oracles.blur(m.numpy(), k) for m in maps])
    actual = modulate(ops, maps, k, "none")
    np.testing.assert_allclose(actual, expected, rtol=0, atol=BLURRED[torch.float64])


@each_rescale
def test_modulate_does_not_rescale_to_a_peak_that_is_not_positive(
    ops: Implementation, rescale: str
) -> None:
    maps = made_maps("noisy", 4, 20, 13)
    maps = maps - maps.amax((1, 2), keepdim=True) - torch.tensor([0.0, 0.1, 1, 9])[:, None, None]
    assert np.array_equal(modulate(ops, maps, 7, rescale), modulate(ops, maps, 7, "none"))


@each_rescale
@pytest.mark.parametrize("value", [0.0, 0.5, -0.5, 1e-30, 1e30])
def test_modulate_keeps_flat_maps_finite(ops: Implementation, rescale: str, value: float) -> None:
    for taps in ([1.0], UNIT, [0.0, 0.0, 0.0]):
        for shape in ((1, 1), (3, 3), (24, 18)):
            maps = torch.full((2, *shape), value)
            assert ops.modulate(maps, taps, rescale=rescale).isfinite().all()


@each_rescale
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_modulate_does_not_rescale_rounding_noise(
    ops: Implementation, dtype: torch.dtype, rescale: str
) -> None:
    # Equal taps that reach over the whole map make it flat, up to the order of the sums.
    taps = [1 / 63] * 63
    maps = made_maps("noise", ops.count(32), 17, 32).to(dtype)
    expected = maps.sum((1, 2), keepdim=True) / 63**2
    if rescale == "max":
        expected = maps.amax((1, 2), keepdim=True)
    actual = ops.modulate(maps, taps, rescale=rescale)
    assert_within(actual, expected.expand_as(actual), BLURRED[dtype])


def test_modulate_rescales_what_is_just_above_rounding_noise(ops: Implementation) -> None:
    maps = torch.full((1, 9, 9), 1.0, dtype=torch.float64)
    maps[0, 4, 4] += 1e-12
    assert ops.modulate(maps, [1.0]).amin() == 0


@each_rescale
def test_modulate_keeps_a_nan_in_its_map(ops: Implementation, rescale: str) -> None:
    maps = made_maps("noisy", 3, 9, 9).float()
    clean = ops.modulate(maps, UNIT, rescale=rescale)
    maps[1, 4, 4] = math.nan
    actual = ops.modulate(maps, UNIT, rescale=rescale)
    assert actual[1, 3:6, 3:6].isnan().all()
    assert torch.equal(actual[::2], clean[::2])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@each_rescale
def test_modulate_returns_half_precision_maps_in_float32(
    ops: Implementation, dtype: torch.dtype, rescale: str
) -> None:
    maps = made_maps("noisy", 4, 20, 13).to(dtype)
    wide = maps.to(reference.arithmetic_dtype(dtype))
    expected = ops.modulate(wide, UNIT, rescale=rescale)
    assert expected.dtype == wide.dtype
    assert_within(ops.modulate(maps, UNIT, rescale=rescale), expected, 0)


def test_opencv_taps_equal_opencv() -> None:
    for k in range(1, 64, 2):
        expected = oracles.opencv_taps(k)
        np.testing.assert_allclose(opencv_taps(k), expected, rtol=0, atol=TAPS)


def test_gaussian_taps_are_opencv_taps_at_the_customary_sigmas() -> None:
    np.testing.assert_allclose(gaussian_taps(2), oracles.opencv_taps(11), rtol=0, atol=TAPS)
    assert len(gaussian_taps(3)) == 17


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.7, 2.0, 3.0, 12.0])
def test_gaussian_taps_are_a_normalized_gaussian(sigma: float) -> None:
    taps = np.array(gaussian_taps(sigma))
    radius = math.ceil(2.5 * sigma)
    shape = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    np.testing.assert_allclose(taps, shape / shape.sum(), rtol=0, atol=TAPS)
    assert np.array_equal(taps, taps[::-1])
