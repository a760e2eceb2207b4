# SPDX-License-Identifier: Apache-2.0
"""encode against the released encoders, its closed form, and its rules for what does not count."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from conftest import Implementation
from darkpose_ext import reference
from darkpose_ext._values import ROUNDINGS
from samples import DTYPES
from tolerances import TARGETS, assert_within

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


def encode(
    ops: Implementation, centers: Tensor, sigma: float, **options: object
) -> tuple[np.ndarray, np.ndarray]:
    """Encode [N, 2] as N joints of one person: maps [N, H, W] and weights [N]."""
    ones = torch.ones_like(centers[:, 0])
    maps, weights = ops.encode(centers, ones, HEIGHT, WIDTH, sigma, **options)
    return maps.cpu().numpy(), weights.cpu().numpy()


# An encoder that was released, and how encode is it.
RELEASED = [
    *((oracles.darkpose_target, sigma, {}) for sigma in (1.0, 2.0, 3.0, 1.7)),
    *((oracles.hrnet_target, s, {"rounding": "round", "truncate": True}) for s in (1, 2, 3)),
]


@pytest.mark.parametrize(("released", "sigma", "options"), RELEASED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_encode_equals_the_released_encoders(
    ops: Implementation,
    released: oracles.Target,
    sigma: float,
    options: dict[str, object],
    dtype: torch.dtype,
) -> None:
    centers = crossing_centers()
    maps, weights = encode(ops, centers.to(dtype), sigma, **options)
    for center, actual, weight in zip(centers.tolist(), maps, weights, strict=True):
        target, expected = released(center, 1.0, WIDTH, HEIGHT, sigma)  # in float32
        assert weight == expected, center
        np.testing.assert_allclose(actual, target, rtol=0, atol=TARGETS[torch.float32])
        assert not options or np.array_equal(actual == 0, target == 0), center


@pytest.mark.parametrize("rounding", ["none", "round"])
def test_encode_stops_counting_joints_exactly_where_released(
    ops: Implementation, rounding: str
) -> None:
    limits = torch.tensor([-9.0, -8.5, -8.0, -7.5, -7.0, 23.5, 24.0, 24.5, 23.0])
    x = torch.cat([limits, limits.nextafter(limits + 1), limits.nextafter(limits - 1)])
    centers = torch.stack((x, torch.full_like(x, 10.0)), 1)
    _, weights = encode(ops, centers, 2.0, rounding=rounding)
    released = oracles.darkpose_target if rounding == "none" else oracles.hrnet_target
    for center, weight in zip(centers.tolist(), weights, strict=True):
        assert weight == released(center, 1.0, WIDTH, HEIGHT, 2)[1], center


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_encode_rounds_centers_in_the_named_direction(ops: Implementation, rounding: str) -> None:
    centers = crossing_centers()
    rounded = torch.from_numpy(oracles.ROUNDINGS[rounding](centers.numpy()))
    for actual, expected in zip(
        encode(ops, centers, 2.0, rounding=rounding), encode(ops, rounded, 2.0), strict=True
    ):
        assert np.array_equal(actual, expected)


def test_encode_truncated_keeps_the_three_sigma_square_alone(ops: Implementation) -> None:
    centers = crossing_centers()
    full, _ = encode(ops, centers, 1.5)
    cut, _ = encode(ops, centers, 1.5, truncate=True)
    nearest = np.floor(centers.numpy() + 0.5)[:, :, None]
    inside_x = np.abs(np.arange(WIDTH) - nearest[:, 0]) <= 4.5
    inside_y = np.abs(np.arange(HEIGHT) - nearest[:, 1]) <= 4.5
    square = inside_y[:, :, None] & inside_x[:, None, :]
    assert np.array_equal(cut, np.where(square, full, 0))


def test_encode_transform_equals_moving_the_joints_first(ops: Implementation) -> None:
    joints = torch.rand(4, 5, 2, dtype=torch.float64) * 100
    matrices = torch.randn(4, 2, 3, dtype=torch.float64) * torch.tensor([0.2, 0.2, 5.0])
    homogeneous = torch.cat((joints, torch.ones(4, 5, 1)), -1)
    moved = torch.einsum("bij,bkj->bki", matrices, homogeneous)
    weights = torch.ones(4, 5, dtype=torch.float64)
    actual = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0, transform=matrices)
    expected = ops.encode(moved, weights, HEIGHT, WIDTH, 2.0)
    assert_within(actual, expected, TARGETS[torch.float64])


def test_encode_leaves_unweighted_joints_empty_and_other_weights_alone(ops: Implementation) -> None:
    weights = torch.tensor([0.0, 0.3, 1.0, 1.5])
    maps, out = ops.encode(torch.full((4, 2), 8.0), weights, HEIGHT, WIDTH, 2.0)
    assert_within(out, weights, 0)
    assert maps[0].count_nonzero() == 0 and maps[1, 8, 8] == maps.max() == 1
    assert torch.equal(maps[1], maps[2]) and torch.equal(maps[2], maps[3])


@pytest.mark.parametrize("coordinate", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("options", [{}, {"rounding": "round", "truncate": True}], ids=str)
def test_encode_does_not_count_joints_that_are_nowhere(
    ops: Implementation, coordinate: float, options: dict[str, object]
) -> None:
    joints = torch.tensor([[coordinate, 5.0], [5.0, coordinate], [5.0, 5.0]])
    maps, weights = encode(ops, joints, 2.0, **options)
    assert weights.tolist() == [0, 0, 1]
    assert not maps[:2].any() and maps[2].max() == 1


@pytest.mark.parametrize("joints_dtype", DTYPES, ids=str)
def test_encode_dtype_rounds_the_maps_and_nothing_before(
    ops: Implementation, joints_dtype: torch.dtype
) -> None:
    joints, weights = (20 * torch.rand(6, 2)).to(joints_dtype), torch.ones(6, dtype=joints_dtype)
    full = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0)
    assert full[0].dtype == full[1].dtype == reference.arithmetic_dtype(joints_dtype)
    for dtype in DTYPES:
        actual = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0, dtype=dtype)
        assert_within(actual, (full[0].to(dtype), full[1]), 0)
