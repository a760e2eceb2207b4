# SPDX-License-Identifier: Apache-2.0
"""One person found twice counts once: suppression by the likeness of whole poses.

Two boxes on one person lead to nearly the same pose, where boxes alone may overlap for two people.
Likeness is the OKS of two people over all K joints with the mean of both areas, those of the padded
crops, as in HRNet.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkpose.evaluate.metrics.oks import joint_similarity


def oks_nms(
    points: ArrayLike,  # [N, K, 2]
    scores: ArrayLike,  # [N]
    areas: ArrayLike,  # [N] square pixels, of the padded crops
    sigmas: ArrayLike,  # [K]
    threshold: float = 0.9,
) -> list[int]:
    """Return which of one image's people to keep, best first: none alike a better one.

    Alike is a likeness above `threshold` to someone kept before. Ties go to the first.

    Raises:
        ValueError: points, scores and areas are not equally many.
    """
    points, scores, areas = _checked(points, scores, areas)
    kept: list[int] = []
    for candidate in np.argsort(-scores, kind="stable"):
        if not (_likeness(points, areas, int(candidate), kept, sigmas) > threshold).any():
            kept.append(int(candidate))
    return kept


def soft_oks_nms(
    points: ArrayLike,  # [N, K, 2]
    scores: ArrayLike,  # [N]
    areas: ArrayLike,  # [N] square pixels, of the padded crops
    sigmas: ArrayLike,  # [K]
    threshold: float = 0.9,
    *,
    max_people: int = 20,
    decay: bool = False,
) -> tuple[list[int], NDArray[np.float64]]:
    """Return which of one image's people to keep, in the order they are taken, and their scores.

    The best one is taken, all others' scores are multiplied by exp(-likeness^2 / threshold) to it,
    and again, until `max_people` are taken. The released code uses the lowered scores for the order
    alone and writes the given ones: an image of up to 20 people loses nobody and changes nothing.
    `decay` returns the lowered ones, so that a person found twice ranks lower the second time.

    Args:
        points, scores, areas, sigmas: as for `oks_nms`.
        threshold: of the Gaussian; the larger, the less a likeness costs.
        max_people: how many to take at most, COCO's 20.
        decay: return lowered scores.

    Raises:
        ValueError: points, scores and areas are not equally many, or the threshold is not positive.
    """
    if not threshold > 0:
        raise ValueError(f"soft_oks_nms: threshold must be positive, got {threshold}")
    points, scores, areas = _checked(points, scores, areas)
    lowered = scores.copy()
    waiting = list(range(len(scores)))
    kept: list[int] = []
    while waiting and len(kept) < max_people:
        best = waiting.pop(int(np.argmax(lowered[waiting])))
        kept.append(best)
        likeness = _likeness(points, areas, best, waiting, sigmas)
        lowered[waiting] *= np.exp(-(likeness**2) / threshold)
    return kept, (lowered if decay else scores)[kept]


def _checked(
    points: ArrayLike, scores: ArrayLike, areas: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    points, scores, areas = (np.asarray(a, dtype=np.float64) for a in (points, scores, areas))
    if not len(points) == len(scores) == len(areas):
        raise ValueError(
            "points, scores and areas must be equally many, "
            f"got {len(points)}, {len(scores)}, {len(areas)}"
        )
    return points, scores, areas


def _likeness(
    points: NDArray[np.float64],  # [N, K, 2]
    areas: NDArray[np.float64],  # [N]
    one: int,
    others: list[int],
    sigmas: ArrayLike,  # [K]
) -> NDArray[np.float64]:
    """Return the likeness [len(others)] of one person to others."""
    area = (areas[others] + areas[one]) / 2
    likeness: NDArray[np.float64] = joint_similarity(
        points[others], points[one], area, sigmas
    ).mean(-1)
    return likeness
