# SPDX-License-Identifier: Apache-2.0
"""MPII's PCKh: the share of joints with an error below a share of the person's head.

Two means are customary and the field's "PCKh@0.1" is not what it says. HRNet's evaluation tabulates
thresholds 0, 0.01, ... and prints row 11 as 0.1, which is the share at 0.11; the papers that build
on it, DARK among them, quote that. Both are here, each by its own name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

PCKH_THRESHOLDS = (0.5, 0.1, 0.11)
"""What MPII reports, its strict companion, and what has been printed as the latter."""

MPII_GROUPS: dict[str, tuple[int, ...]] = {
    "Head": (9,),
    "Shoulder": (12, 13),
    "Elbow": (11, 14),
    "Wrist": (10, 15),
    "Hip": (2, 3),
    "Knee": (1, 4),
    "Ankle": (0, 5),
}
"""MPII's joints by the names of the customary table; "Head" is the head's top."""

# Pelvis and thorax are in no mean; the upper neck is in both, though in no group.
_MEAN = [joint for joint in range(16) if joint not in (6, 7)]


@dataclass(frozen=True)
class PCKh:
    """The shares of correct joints at one threshold, from 0 to 1; NaN where no joint is visible."""

    threshold: float
    """In heads."""
    joints: NDArray[np.float64]
    """[16]."""
    groups: dict[str, float]
    """By `MPII_GROUPS`: the mean of the left and the right joint's share."""
    mean: float
    """Of all visible joints but pelvis and thorax: what papers call the mean or total."""
    unweighted_mean: float
    """Of the 14 joints' shares, each counting alike."""


def pckh(
    pred: ArrayLike,  # [N, 16, 2]
    joints: ArrayLike,  # [N, 16, 2+] x, y
    visible: ArrayLike,  # [N, 16]
    head_sizes: ArrayLike,  # [N] pixels
    thresholds: Sequence[float] = PCKH_THRESHOLDS,
) -> dict[str, PCKh]:
    """Return PCKh by the names `PCKh@0.5`, `PCKh@0.1`, ..., as HRNet's evaluation computes it.

    A joint is correct if its error is at most the threshold times the head size. A NaN prediction
    is a miss.

    Args:
        pred: predicted joints in image pixels, with the origin of `joints`.
        joints: MPII's 16 annotated joints.
        visible: 0 for joints that do not count: those that are not annotated. Occluded ones count.
        head_sizes: 0.6 times the diagonal of each person's head box.
        thresholds: in heads.

    Raises:
        ValueError: a shape is another, or a head size is not a positive number.
    """
    pred, joints = np.asarray(pred, dtype=np.float64), np.asarray(joints, dtype=np.float64)
    seen, heads = np.asarray(visible) > 0, np.asarray(head_sizes, dtype=np.float64)
    shape = (len(pred), 16)
    if not (pred.shape[:2] == joints.shape[:2] == seen.shape == shape and heads.shape == shape[:1]):
        raise ValueError(
            "pckh needs pred and joints [N, 16, 2], visible [N, 16] and head_sizes [N], got "
            + ", ".join(str(list(a.shape)) for a in (pred, joints, seen, heads))
        )
    wrong = ~(np.isfinite(heads) & (heads > 0))
    if wrong.any():
        raise ValueError(f"head_sizes must be positive and finite, got {heads[wrong][0]}")
    errors = np.linalg.norm(pred[..., :2] - joints[..., :2], axis=-1) / heads[:, None]
    return {f"PCKh@{t:g}": _at(t, (errors <= t) & seen, seen) for t in thresholds}


def _at(threshold: float, correct: NDArray[np.bool_], seen: NDArray[np.bool_]) -> PCKh:
    hits, counts = correct.sum(0), seen.sum(0)  # [16]
    shares = np.full(16, np.nan)
    np.divide(hits, counts, out=shares, where=counts > 0)
    known = [shares[joint] for joint in _MEAN if counts[joint]]
    return PCKh(
        threshold=threshold,
        joints=shares,
        groups={name: float(shares[list(group)].mean()) for name, group in MPII_GROUPS.items()},
        mean=float(hits[_MEAN].sum() / counts[_MEAN].sum()) if known else float("nan"),
        unweighted_mean=float(np.mean(known)) if known else float("nan"),
    )
