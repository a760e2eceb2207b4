# SPDX-License-Identifier: Apache-2.0
"""Suppression of people found twice, against the rule computed from scratch at every step."""

import math
from typing import Any

import numpy as np
import pytest

from darkpose.evaluate.metrics import oks, oks_nms, soft_oks_nms

ROUNDED = 1e-12
SIGMAS = [0.03, 0.1, 0.07]


def crowd(seed: int, count: int) -> tuple[Any, Any, Any]:
    """Return points [N, 3, 2], scores and areas [N] of people of whom many were found twice."""
    rng = np.random.default_rng(seed)
    poses = rng.uniform(0, 100, (max(1, count // 3), 3, 2))
    points = poses[rng.integers(len(poses), size=count)] + rng.normal(0, 2.0, (count, 3, 2))
    return points, rng.uniform(0.1, 1, count), rng.uniform(1e3, 5e3, count)


def alike(points: Any, areas: Any, i: int, j: int) -> float:
    """Sum over the joints one by one, as the formula of OKS between two people reads."""
    area = (areas[i] + areas[j]) / 2
    total = 0.0
    for k, sigma in enumerate(SIGMAS):
        d = math.dist(points[i][k], points[j][k])
        total += math.exp(-(d**2) / (2 * (2 * sigma) ** 2 * area))
    return total / len(SIGMAS)


@pytest.mark.parametrize("threshold", [0.3, 0.9])
@pytest.mark.parametrize("count", [0, 1, 30])
def test_hard_nms_keeps_those_unlike_every_better_kept_one(count: int, threshold: float) -> None:
    points, scores, areas = crowd(count, count)
    expected: list[int] = []
    for i in sorted(range(count), key=lambda i: -scores[i]):
        if all(alike(points, areas, i, j) <= threshold for j in expected):
            expected.append(i)
    kept = oks_nms(points, scores, areas, SIGMAS, threshold)
    assert kept == expected
    assert count < 30 or len(kept) < count


@pytest.mark.parametrize("threshold", [0.3, 0.9])
@pytest.mark.parametrize("count", [0, 1, 12, 30])
def test_soft_nms_takes_whoever_is_best_after_all_decays(count: int, threshold: float) -> None:
    points, scores, areas = crowd(count, count)

    def lowered(i: int, taken: list[int]) -> float:
        likenesses = (alike(points, areas, i, j) for j in taken)
        return float(scores[i]) * math.prod(math.exp(-(a**2) / threshold) for a in likenesses)

    expected: list[int] = []
    decayed: list[float] = []
    while len(expected) < min(count, 20):
        left = set(range(count)) - set(expected)
        best = max(left, key=lambda i: lowered(i, expected))
        decayed.append(lowered(best, expected))
        expected.append(best)

    kept, stored = soft_oks_nms(points, scores, areas, SIGMAS, threshold)
    assert kept == expected
    assert stored.tolist() == scores[expected].tolist()
    kept, stored = soft_oks_nms(points, scores, areas, SIGMAS, threshold, decay=True)
    assert kept == expected
    np.testing.assert_allclose(stored, decayed, rtol=ROUNDED)
    assert count < 12 or expected != np.argsort(-scores)[: len(expected)].tolist()


def test_likeness_counts_every_joint_and_the_mean_area() -> None:
    points, _, areas = crowd(3, 2)
    joints = np.concatenate([points[1], np.full((3, 1), 2)], axis=-1)
    assert alike(points, areas, 0, 1) == pytest.approx(
        float(oks(points[0], joints, areas.mean(), SIGMAS)), rel=ROUNDED
    )


def test_soft_nms_takes_as_many_as_asked() -> None:
    points, scores, areas = crowd(0, 30)
    before = scores.copy()
    kept, stored = soft_oks_nms(points, scores, areas, SIGMAS, max_people=5, decay=True)
    np.testing.assert_array_equal(scores, before)
    assert len(kept) == len(stored) == 5
    every, _ = soft_oks_nms(points, scores, areas, SIGMAS, max_people=100)
    assert every[:5] == kept and sorted(every) == list(range(30))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="equally many, got 1, 2, 1"):
        oks_nms(np.zeros((1, 3, 2)), [1.0, 2], [1.0], SIGMAS)
    with pytest.raises(ValueError, match="equally many, got 2, 2, 1"):
        soft_oks_nms(np.zeros((2, 3, 2)), [1.0, 2], [1.0], SIGMAS)
    with pytest.raises(ValueError, match="threshold must be positive, got 0"):
        soft_oks_nms(np.zeros((0, 3, 2)), [], [], SIGMAS, 0)
