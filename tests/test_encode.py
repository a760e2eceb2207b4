# SPDX-License-Identifier: Apache-2.0
"""encode against the released encoders, its closed form, and its rules for what does not count."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from conftest import Implementation
from darkpose_ext._values import ROUNDINGS
from samples import DTYPES
from tolerances import TARGETS

HEIGHT, WIDTH = 24, 18
REACH = 12.0  # pixels outside the border that centers are tried for


def centers_across(size: int, step: float) -> list[float]:
    """List coordinates from REACH pixels before one border to REACH beyond the other."""
    return np.arange(-REACH, size + REACH, step).tolist()


def crossing_centers() -> Tensor:
    """Centers [N, 2] float32 along a row, a column and a diagonal, all far beyond the borders."""
    row = [(x, 11.3) for x in centers_across(WIDTH, 0.37)]
    column = [(7.6, y) for y in centers_across(HEIGHT, 0.37)]
    halves = [(x, x) for x in centers_across(HEIGHT, 0.5)]
    return torch.tensor(row + column + halves)


def encode_one_by_one(
    ops: Implementation, centers: Tensor, sigma: float, **options: object
) -> tuple[np.ndarray, np.ndarray]:
    """Encode [N, 2] as N joints of one person: maps [N, H, W] and weights [N]."""
    joints = centers.to(ops.device)
    weights = torch.ones_like(joints[:, 0])
    maps, weights = ops.encode(joints, weights, HEIGHT, WIDTH, sigma, **options)
    return maps.cpu().numpy(), weights.cpu().numpy()


def assert_targets(actual: np.ndarray, expected: np.ndarray, dtype: torch.dtype) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TARGETS[dtype])


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0, 1.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_encode_equals_released_darkpose_encoder(
    ops: Implementation, sigma: float, dtype: torch.dtype
) -> None:
    centers = crossing_centers()
    maps, weights = encode_one_by_one(ops, centers.to(dtype), sigma)
    for center, actual, weight in zip(centers.tolist(), maps, weights, strict=True):
        target, expected = oracles.darkpose_target(tuple(center), 1.0, WIDTH, HEIGHT, sigma)
        assert weight == expected, center
        assert_targets(actual, target, torch.float32)


@pytest.mark.parametrize("sigma", [1, 2, 3])
def test_encode_rounded_and_truncated_equals_released_hrnet_encoder(
    ops: Implementation, sigma: int
) -> None:
    centers = crossing_centers()
    maps, weights = encode_one_by_one(ops, centers, sigma, rounding="round", truncate=True)
    for center, actual, weight in zip(centers.tolist(), maps, weights, strict=True):
        target, expected = oracles.hrnet_target(tuple(center), 1.0, WIDTH, HEIGHT, sigma)
        assert weight == expected, center
        assert_targets(actual, target, torch.float32)
        assert np.array_equal(actual == 0, target == 0), center


@pytest.mark.parametrize("rounding", ["none", "round"])
def test_encode_stops_counting_joints_exactly_where_released(
    ops: Implementation, rounding: str
) -> None:
    limits = torch.tensor([-9.0, -8.5, -8.0, -7.5, -7.0, 23.5, 24.0, 24.5, 23.0])
    x = torch.cat([limits, limits.nextafter(limits + 1), limits.nextafter(limits - 1)])
    centers = torch.stack((x, torch.full_like(x, 10.0)), 1)
    _, weights = encode_one_by_one(ops, centers, 2.0, rounding=rounding)
    released = oracles.darkpose_target if rounding == "none" else oracles.hrnet_target
    for center, weight in zip(centers.tolist(), weights, strict=True):
        assert weight == released(tuple(center), 1.0, WIDTH, HEIGHT, 2)[1], center


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_encode_rounds_centers_in_the_named_direction(ops: Implementation, rounding: str) -> None:
    centers = crossing_centers()
    rounded = torch.from_numpy(oracles.ROUNDINGS[rounding](centers.numpy()))
    actual = encode_one_by_one(ops, centers, 2.0, rounding=rounding)
    expected = encode_one_by_one(ops, rounded, 2.0)
    assert np.array_equal(actual[0], expected[0])
    assert np.array_equal(actual[1], expected[1])


def test_encode_truncated_keeps_the_three_sigma_square_and_nothing_else(
    ops: Implementation,
) -> None:
    centers = crossing_centers()
    full, _ = encode_one_by_one(ops, centers, 1.5)
    cut, _ = encode_one_by_one(ops, centers, 1.5, truncate=True)
    nearest = np.floor(centers.numpy() + 0.5)[:, :, None]
    inside_x = np.abs(np.arange(WIDTH) - nearest[:, 0]) <= 4.5
    inside_y = np.abs(np.arange(HEIGHT) - nearest[:, 1]) <= 4.5
    square = inside_y[:, :, None] & inside_x[:, None, :]
    assert np.array_equal(cut, np.where(square, full, 0))


def test_encode_peak_is_one_at_a_pixel_center(ops: Implementation) -> None:
    joints = torch.tensor([[5.0, 7.0]], device=ops.device)
    maps, _ = ops.encode(joints, torch.ones(1, device=ops.device), HEIGHT, WIDTH, 2.0)
    assert maps.max() == maps[0, 7, 5] == 1


def test_encode_transform_equals_moving_the_joints_first(ops: Implementation) -> None:
    joints = torch.rand(4, 5, 2, dtype=torch.float64) * 100
    matrices = torch.randn(4, 2, 3, dtype=torch.float64) * torch.tensor([0.2, 0.2, 5.0])
    homogeneous = torch.cat((joints, torch.ones(4, 5, 1)), -1)
    moved = torch.einsum("bij,bkj->bki", matrices, homogeneous)
    on_device = [t.to(ops.device) for t in (joints, moved, matrices)]
    weights = torch.ones(4, 5, dtype=torch.float64, device=ops.device)
    actual = ops.encode(on_device[0], weights, HEIGHT, WIDTH, 2.0, transform=on_device[2])
    expected = ops.encode(on_device[1], weights, HEIGHT, WIDTH, 2.0)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=0, atol=TARGETS[torch.float64])


def test_encode_leaves_unweighted_joints_empty_and_other_weights_alone(
    ops: Implementation,
) -> None:
    weights = torch.tensor([0.0, 0.3, 1.0, 1.5], device=ops.device)
    joints = torch.full((4, 2), 8.2, device=ops.device)
    maps, out = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0)
    assert torch.equal(out, weights)
    assert maps[0].count_nonzero() == 0
    assert torch.equal(maps[1], maps[2]) and torch.equal(maps[2], maps[3])


@pytest.mark.parametrize("coordinate", [math.nan, math.inf, -math.inf, 1e30])
def test_encode_does_not_count_joints_that_are_nowhere(
    ops: Implementation, coordinate: float
) -> None:
    joints = torch.tensor([[coordinate, 5.0], [5.0, coordinate], [5.0, 5.0]], device=ops.device)
    for options in ({}, {"rounding": "round", "truncate": True}):
        weights = torch.ones(3, device=ops.device)
        maps, weights = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0, **options)
        assert weights.tolist() == [0, 0, 1]
        assert maps[:2].count_nonzero() == 0 and maps[2].max() == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("joints_dtype", DTYPES)
def test_encode_dtype_rounds_the_maps_and_nothing_before(
    ops: Implementation, dtype: torch.dtype, joints_dtype: torch.dtype
) -> None:
    joints = (torch.rand(6, 2) * 20).to(joints_dtype).to(ops.device)
    weights = torch.ones(6, dtype=joints_dtype, device=ops.device)
    full, full_weights = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0)
    maps, out = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0, dtype=dtype)
    arithmetic = torch.float64 if joints_dtype == torch.float64 else torch.float32
    assert full.dtype == full_weights.dtype == out.dtype == arithmetic
    assert maps.dtype == dtype
    assert torch.equal(maps, full.to(dtype))
    assert torch.equal(out, full_weights)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options", [{}, {"rounding": "ceil"}, {"truncate": True, "rounding": "round"}]
)
def test_encode_equals_its_twin(
    kernels: Implementation, dtype: torch.dtype, options: dict[str, object]
) -> None:
    from darkpose_ext import reference

    joints = (torch.rand(3, 7, 2) * 40 - 10).to(dtype)
    weights = torch.randint(0, 3, (3, 7)).to(dtype)
    expected = reference.encode(joints, weights, HEIGHT, WIDTH, 2.0, **options)
    moved = (joints.to(kernels.device), weights.to(kernels.device))
    actual = kernels.encode(*moved, HEIGHT, WIDTH, 2.0, **options)
    tolerance = TARGETS[expected[0].dtype]
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a.cpu(), e, rtol=0, atol=tolerance)
