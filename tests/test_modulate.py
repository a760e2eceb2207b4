# SPDX-License-Identifier: Apache-2.0
"""modulate against NumPy and OpenCV, and where its formula would divide by zero."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from conftest import Implementation
from darkpose_ext import gaussian_taps, opencv_taps
from darkpose_ext._values import RESCALES
from samples import DTYPES, MADE, made_maps
from tolerances import BLURRED, TAPS


def modulate(ops: Implementation, maps: Tensor, k: int, rescale: str) -> np.ndarray:
    taps = oracles.opencv_taps(k).tolist()
    return ops.modulate(maps.to(ops.device), taps, rescale=rescale).cpu().numpy()


@pytest.mark.parametrize("k", [1, 3, 7, 11, 17])
@pytest.mark.parametrize("rescale", RESCALES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_modulate_equals_numpy(
    ops: Implementation, k: int, rescale: str, dtype: torch.dtype
) -> None:
    maps = made_maps("noisy", ops.count(48), 20, 13)
    expected = [oracles.modulate(m.numpy(), oracles.opencv_taps(k), rescale) for m in maps]
    actual = modulate(ops, maps.to(dtype), k, rescale)
    np.testing.assert_allclose(actual, np.array(expected), rtol=0, atol=BLURRED[dtype])


@pytest.mark.parametrize("k", [3, 5, 7, 9, 11, 17])
def test_modulate_with_opencv_taps_equals_opencv_on_a_zero_padded_map(
    ops: Implementation, k: int
) -> None:
    maps = made_maps("signed_noise", ops.count(32), 15, 22)
    expected = np.array([oracles.blur(m.numpy(), k) for m in maps])
    actual = modulate(ops, maps, k, "none")
    np.testing.assert_allclose(actual, expected, rtol=0, atol=BLURRED[torch.float64])


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("rescale", ["minmax", "max"])
def test_modulate_restores_the_range_of_the_map(
    ops: Implementation, kind: str, rescale: str
) -> None:
    maps = made_maps(kind, ops.count(32), 20, 13)
    plain = modulate(ops, maps, 11, "none")
    actual = modulate(ops, maps, 11, rescale)
    axes = (1, 2)
    raw_peak, blurred_peak = maps.numpy().max(axes), plain.max(axes)
    # Elsewhere Eq 11 divides by nothing and "max" would turn the map over.
    restored = (raw_peak > 0) & (plain.min(axes) < blurred_peak if rescale == "minmax" else True)
    restored &= (blurred_peak > 0) | (rescale == "minmax")
    np.testing.assert_allclose(
        actual.max(axes)[restored], raw_peak[restored], rtol=0, atol=BLURRED[torch.float64]
    )
    if rescale == "minmax":
        lowest = actual.min(axes)[restored]
        np.testing.assert_allclose(lowest, 0, rtol=0, atol=BLURRED[torch.float64])
    np.testing.assert_array_equal(actual[~restored], plain[~restored])


@pytest.mark.parametrize("rescale", RESCALES)
def test_modulate_does_not_rescale_to_a_peak_that_is_not_positive(
    ops: Implementation, rescale: str
) -> None:
    maps = made_maps("noisy", 4, 20, 13)
    maps = maps - maps.amax((1, 2), keepdim=True) - torch.tensor([0.0, 0.1, 1, 9])[:, None, None]
    assert np.array_equal(modulate(ops, maps, 7, rescale), modulate(ops, maps, 7, "none"))


@pytest.mark.parametrize("rescale", RESCALES)
@pytest.mark.parametrize("value", [0.0, 0.5, -0.5, 1e-30, 1e30])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (24, 18)])
def test_modulate_keeps_flat_maps_finite(
    ops: Implementation, rescale: str, value: float, shape: tuple[int, int]
) -> None:
    for taps in ([1.0], [0.25, 0.5, 0.25], [0.0, 0.0, 0.0]):
        maps = torch.full((2, *shape), value, device=ops.device)
        assert ops.modulate(maps, taps, rescale=rescale).isfinite().all()


@pytest.mark.parametrize("rescale", RESCALES)
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
    actual = ops.modulate(maps.to(ops.device), taps, rescale=rescale).cpu()
    torch.testing.assert_close(actual, expected.expand_as(actual), rtol=0, atol=BLURRED[dtype])


def test_modulate_rescales_what_is_just_above_rounding_noise(ops: Implementation) -> None:
    maps = torch.full((1, 9, 9), 1.0, dtype=torch.float64)
    maps[0, 4, 4] += 1e-12
    assert ops.modulate(maps.to(ops.device), [1.0]).amin() == 0


@pytest.mark.parametrize("rescale", RESCALES)
def test_modulate_keeps_a_nan_in_its_map(ops: Implementation, rescale: str) -> None:
    maps = made_maps("noisy", 3, 9, 9).float().to(ops.device)
    clean = ops.modulate(maps, [0.25, 0.5, 0.25], rescale=rescale)
    maps[1, 4, 4] = math.nan
    actual = ops.modulate(maps, [0.25, 0.5, 0.25], rescale=rescale)
    assert actual[1, 3:6, 3:6].isnan().all()
    assert torch.equal(actual[::2], clean[::2])


def test_modulate_by_one_leaves_the_map_alone(ops: Implementation) -> None:
    maps = made_maps("noisy", 4, 20, 13).float().to(ops.device)
    assert torch.equal(ops.modulate(maps, [1.0], rescale="none"), maps)


@pytest.mark.parametrize("k", [1, 31, 63])
def test_modulate_takes_taps_wider_than_the_map(ops: Implementation, k: int) -> None:
    maps = made_maps("noise", 3, 5, 4)
    actual = modulate(ops, maps, k, "none")
    expected = [oracles.modulate(m.numpy(), oracles.opencv_taps(k), "none") for m in maps]
    np.testing.assert_allclose(actual, np.array(expected), rtol=0, atol=BLURRED[torch.float64])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rescale", RESCALES)
def test_modulate_returns_half_precision_maps_in_float32(
    ops: Implementation, dtype: torch.dtype, rescale: str
) -> None:
    maps = made_maps("noisy", 4, 20, 13).to(dtype).to(ops.device)
    arithmetic = torch.float64 if dtype == torch.float64 else torch.float32
    actual = ops.modulate(maps, [0.25, 0.5, 0.25], rescale=rescale)
    assert actual.dtype == arithmetic
    assert torch.equal(
        actual, ops.modulate(maps.to(arithmetic), [0.25, 0.5, 0.25], rescale=rescale)
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MADE)
def test_modulate_equals_its_twin(kernels: Implementation, dtype: torch.dtype, kind: str) -> None:
    from darkpose_ext import reference

    maps = made_maps(kind, kernels.count(32), 17, 23).to(dtype)
    for rescale in RESCALES:
        taps = oracles.opencv_taps(11).tolist()
        expected = reference.modulate(maps, taps, rescale=rescale)
        actual = kernels.modulate(maps.to(kernels.device), taps, rescale=rescale).cpu()
        largest = expected.abs().amax((-2, -1), keepdim=True).clamp(min=1)
        difference = (actual - expected).abs() / largest
        assert difference.max() <= BLURRED[dtype]


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
