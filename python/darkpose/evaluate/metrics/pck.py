# SPDX-License-Identifier: Apache-2.0
"""Localization error by joint, and whether the difference of two methods is more than chance.

AP answers how good a network is; these answer where it errs. Errors are divided by the longer side
of the person's box, so that they compare across people, and visible joints are told from occluded
ones, which are harder and far less exactly labeled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLDS = (0.02, 0.05, 0.1, 0.2)
_VISIBILITY = {"occluded": 1, "visible": 2}


@dataclass(frozen=True)
class JointErrors:
    """The errors of one joint, or of all, over a set of people."""

    name: str
    """Of the joint, or "all"."""
    visibility: str
    """"visible" (v = 2) or "occluded" (v = 1)."""
    count: int
    """Labeled joints; the figures are NaN if there are none."""
    median: float
    """Share of the box's longer side, as all errors here."""
    mean: float
    pck: dict[float, float]
    """Share of joints with an error of at most each threshold."""


class Difference(NamedTuple):
    """A paired difference of means, a - b, with its bootstrap distribution."""

    mean: float
    low: float
    """2.5 % quantile."""
    high: float
    """97.5 % quantile."""
    p: float
    """Two-sided: how often chance alone makes the difference change its sign, doubled."""


def normalized_errors(
    pred: ArrayLike,  # [N, K, 2]
    joints: ArrayLike,  # [N, K, 3] x, y, v
    boxes: ArrayLike,  # [N, 4] x, y, width, height
) -> NDArray[np.float64]:
    """Return [N, K]: distance over the box's longer side; NaN where the joint is not labeled."""
    joints = np.asarray(joints, dtype=np.float64)
    sides = np.asarray(boxes, dtype=np.float64)[:, 2:].max(-1)
    distances = np.linalg.norm(
        np.asarray(pred, dtype=np.float64)[..., :2] - joints[..., :2], axis=-1
    )
    return np.where(joints[..., 2] > 0, distances / sides[:, None], np.nan)


def pck(
    pred: ArrayLike,  # [N, K, 2]
    joints: ArrayLike,  # [N, K, 3] x, y, v
    boxes: ArrayLike,  # [N, 4] x, y, width, height
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[str, float]:
    """Return `PCK@t` per threshold t: the share of labeled joints with an error of at most t.

    A NaN prediction is a miss. NaN if no joint is labeled.
    """
    errors = normalized_errors(pred, joints, boxes)
    labeled = np.asarray(joints)[..., 2] > 0
    return {f"PCK@{t:g}": _share(errors[labeled] <= t) for t in thresholds}


def pck_per_joint(
    pred: ArrayLike, joints: ArrayLike, boxes: ArrayLike, threshold: float
) -> NDArray[np.float64]:
    """Return [K]: `pck` at one threshold of each joint, NaN where nobody has it labeled."""
    return _mean_of_labeled(pred, joints, boxes, threshold, axis=0)


def pck_per_person(
    pred: ArrayLike, joints: ArrayLike, boxes: ArrayLike, threshold: float
) -> NDArray[np.float64]:
    """Return [N]: `pck` at one threshold of each person, NaN for one without labeled joints."""
    return _mean_of_labeled(pred, joints, boxes, threshold, axis=1)


def error_table(
    pred: ArrayLike,  # [N, K, 2]
    joints: ArrayLike,  # [N, K, 3] x, y, v
    boxes: ArrayLike,  # [N, 4] x, y, width, height
    names: Sequence[str],  # K
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[JointErrors]:
    """Return one row per joint and visibility, then two for all joints together.

    A NaN prediction is a miss for PCK and makes its row's median and mean NaN, so that it is seen.
    """
    visibility = np.asarray(joints)[..., 2]
    if visibility.shape[1] != len(names):
        raise ValueError(f"names must be {visibility.shape[1]}, one per joint, got {len(names)}")
    errors = normalized_errors(pred, joints, boxes)
    columns: list[tuple[str, slice]] = [(name, slice(k, k + 1)) for k, name in enumerate(names)]
    rows = []
    for name, column in [*columns, ("all", slice(None))]:
        for label, value in _VISIBILITY.items():
            chosen = errors[:, column][visibility[:, column] == value]
            rows.append(
                JointErrors(
                    name=name,
                    visibility=label,
                    count=chosen.size,
                    median=float(np.median(chosen)) if chosen.size else float("nan"),
                    mean=float(np.mean(chosen)) if chosen.size else float("nan"),
                    pck={t: _share(chosen <= t) for t in thresholds},
                )
            )
    return rows


def bootstrap_difference(
    per_person_a: ArrayLike,  # [N]
    per_person_b: ArrayLike,  # [N]
    samples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Compare two methods on the same people, by drawing people with replacement.

    Pairing is what makes it sharp: people differ far more than methods do.

    Args:
        per_person_a, per_person_b: a figure per person, such as `oks` or `pck_per_person`.
        samples: number of draws; p is at least 2 / (samples + 1).
        seed: of the draws.

    Raises:
        ValueError: the figures are not two equally long, finite lists.
    """
    a, b = np.asarray(per_person_a, dtype=np.float64), np.asarray(per_person_b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise ValueError(f"a and b must be one figure per person each, got {a.shape} and {b.shape}")
    difference = a - b
    if not np.isfinite(difference).all():
        raise ValueError("a and b must be finite, got NaN: leave out people without labeled joints")
    rng = np.random.default_rng(seed)
    means = np.array([difference[rng.integers(0, a.size, a.size)].mean() for _ in range(samples)])
    return of_draws(float(difference.mean()), means)


def of_draws(mean: float, draws: NDArray[np.float64]) -> Difference:
    """Return a difference that was `mean` of all people, and those of draws of people [S]."""
    # Counting the observed sample as one of the draws keeps p above zero.
    tail = (1 + min((draws <= 0).sum(), (draws >= 0).sum())) / (draws.size + 1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Difference(mean, float(low), float(high), float(min(1.0, 2 * tail)))


def _mean_of_labeled(
    pred: ArrayLike, joints: ArrayLike, boxes: ArrayLike, threshold: float, axis: int
) -> NDArray[np.float64]:
    labeled = np.asarray(joints)[..., 2] > 0
    correct = (normalized_errors(pred, joints, boxes) <= threshold) & labeled
    count = labeled.sum(axis)
    share: NDArray[np.float64] = np.full(count.shape, np.nan)
    np.divide(correct.sum(axis), count, out=share, where=count > 0)
    return share


def _share(correct: NDArray[np.bool_]) -> float:
    return float(correct.mean()) if correct.size else float("nan")
