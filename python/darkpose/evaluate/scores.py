# SPDX-License-Identifier: Apache-2.0
"""The score of a person from those of the joints: what people are ranked by for AP."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkpose.codec import HeatmapCodec

SCORE_THRESHOLD = 0.2
"""What a joint's peak must exceed to count for its person's score, as in HRNet."""


def score_threshold(codec: HeatmapCodec) -> float:
    """Return what a joint's score must exceed to count for its person's.

    HRNet's threshold is of a peak's height, which coordinate regression does not have: 0 there.
    """
    return 0.0 if codec.regresses else SCORE_THRESHOLD


def person_scores(
    scores: ArrayLike,  # [..., K]
    box_scores: ArrayLike = 1.0,  # [...]
    threshold: float = SCORE_THRESHOLD,
) -> NDArray[np.float64]:
    """Return [...]: the mean of the joint scores above `threshold` (0 if none), times the box's.

    As HRNet and DarkPose rank people for AP; annotated boxes have score 1.
    """
    scores = np.asarray(scores, dtype=np.float64)
    counted = scores > threshold
    mean: NDArray[np.float64] = np.where(counted, scores, 0).sum(-1) / np.maximum(
        counted.sum(-1), 1
    )
    return mean * np.asarray(box_scores, dtype=np.float64)
