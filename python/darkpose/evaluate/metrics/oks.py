# SPDX-License-Identifier: Apache-2.0
"""Object keypoint similarity: how alike two poses are, from 0 to 1, in units of labeling noise."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def oks(
    pred: ArrayLike,  # [..., K, 2+] x, y
    joints: ArrayLike,  # [..., K, 3] x, y, v
    area: ArrayLike,  # [...] square pixels
    sigmas: ArrayLike,  # [K]
) -> NDArray[np.float64]:
    """Return the object keypoint similarity [...]: the mean over labeled joints of
    exp(-d^2 / (2 area (2 sigma)^2)).

    Joints with v = 0 do not count; a person without labeled joints gives NaN.
    """
    joints = np.asarray(joints, dtype=np.float64)
    similarity = joint_similarity(pred, joints, area, sigmas)
    labeled = joints[..., 2] > 0
    count = labeled.sum(-1)
    total = np.where(labeled, similarity, 0).sum(-1)
    mean: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def joint_similarity(
    points: ArrayLike,  # [..., K, 2+] x, y
    others: ArrayLike,  # [..., K, 2+] x, y
    area: ArrayLike,  # [...] square pixels
    sigmas: ArrayLike,  # [K]
) -> NDArray[np.float64]:
    """Return [..., K]: exp(-d^2 / (2 area (2 sigma)^2)) of each joint, labeled or not."""
    points, others = np.asarray(points, dtype=np.float64), np.asarray(others, dtype=np.float64)
    squared = ((points[..., :2] - others[..., :2]) ** 2).sum(-1)
    variance = (2 * np.asarray(sigmas, dtype=np.float64)) ** 2
    area = np.asarray(area, dtype=np.float64)[..., None]
    similarity: NDArray[np.float64] = np.exp(-squared / (2 * variance * (area + np.spacing(1))))
    return similarity
