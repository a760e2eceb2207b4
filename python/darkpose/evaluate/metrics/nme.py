# SPDX-License-Identifier: Apache-2.0
"""Normalized mean error, the figure of faces, hands and animals: the lower, the better.

What an error is divided by is a matter of the data set: the size of the box where poses vary, the
distance of two joints where those are always labeled, such as the outer corners of the eyes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def nme(
    pred: ArrayLike,  # [N, K, 2]
    joints: ArrayLike,  # [N, K, 3] x, y, v
    normalizers: ArrayLike,  # [N] pixels
) -> float:
    """Return the mean over all labeled joints of distance / normalizer.

    Joints with v = 0 and people whose normalizer is NaN do not count; NaN if nothing counts. A NaN
    prediction that counts makes the mean NaN, so that it is seen: no finite error would be fair.

    Raises:
        ValueError: a normalizer is neither positive and finite nor NaN, or they are not N.
    """
    joints, units = np.asarray(joints, dtype=np.float64), np.asarray(normalizers, dtype=np.float64)
    if units.shape != (len(joints),):
        raise ValueError(f"normalizers must be {len(joints)}, one per person, got {units.shape}")
    wrong = ~(np.isnan(units) | (np.isfinite(units) & (units > 0)))
    if wrong.any():
        raise ValueError(f"normalizers must be positive or NaN, got {units[wrong][0]}")
    distances = np.linalg.norm(
        np.asarray(pred, dtype=np.float64)[..., :2] - joints[..., :2], axis=-1
    )
    counted = (joints[..., 2] > 0) & ~np.isnan(units)[:, None]
    errors = (distances / units[:, None])[counted]
    return float(errors.mean()) if errors.size else float("nan")


def box_normalizers(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return [N]: the root of the area of each box [N, 4] (x, y, width, height)."""
    return np.sqrt(np.asarray(boxes, dtype=np.float64)[:, 2:].prod(-1))


def joint_normalizers(
    joints: ArrayLike,  # [N, K, 3] x, y, v
    names: Sequence[str],  # K
    first: str,
    second: str,
) -> NDArray[np.float64]:
    """Return [N]: the annotated distance of two joints.

    NaN where either is not labeled or both are at one place: there is nothing to divide by.

    Raises:
        ValueError: a name is not among `names`.
    """
    for name in (first, second):
        if name not in names:
            raise ValueError(f"joints must be among {list(names)}, got {name!r}")
    joints = np.asarray(joints, dtype=np.float64)
    a, b = joints[:, names.index(first)], joints[:, names.index(second)]
    distance = np.linalg.norm(a[:, :2] - b[:, :2], axis=-1)
    usable = (a[:, 2] > 0) & (b[:, 2] > 0) & (distance > 0)
    return np.where(usable, distance, np.nan)
