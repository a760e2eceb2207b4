# SPDX-License-Identifier: Apache-2.0
"""What heatmaps are smoothed with (Eq 10)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from darkpose_ext._values import MAX_TAPS, check_integer, check_sigma

# What OpenCV uses for small kernels when only their size is named.
_OPENCV_TABLES = {
    1: (1.0,),
    3: (0.25, 0.5, 0.25),
    5: (0.0625, 0.25, 0.375, 0.25, 0.0625),
    7: (0.03125, 0.109375, 0.21875, 0.28125, 0.21875, 0.109375, 0.03125),
    9: tuple(n / 256 for n in (4, 13, 30, 51, 60, 51, 30, 13, 4)),
}


def gaussian_taps(sigma: float) -> list[float]:
    """Return the normalized taps of a Gaussian of `sigma` heatmap pixels, radius ceil(2.5 sigma).

    Eq 10's K "with the same variation as the training data": name the training sigma. For sigma 2
    these are exactly OpenCV's 11 taps, for sigma 3 its size, 17. Raises ValueError for a sigma that
    is not positive, or so large that there would be more than 63 taps (sigma above 12.4).

    >>> len(gaussian_taps(2.0)), round(sum(gaussian_taps(2.0)), 12)
    (11, 1.0)
    """
    check_sigma("gaussian_taps", sigma)
    radius = math.ceil(2.5 * sigma)
    if 2 * radius + 1 > MAX_TAPS:
        raise ValueError(
            f"gaussian_taps: sigma {sigma:g} needs {2 * radius + 1} taps, "
            f"at most {MAX_TAPS} are possible"
        )
    return _normalized_gaussian(sigma, radius)


def opencv_taps(size: int) -> list[float]:
    """Return what OpenCV blurs with when only an odd kernel size is named.

    For faithful reruns of the released configurations. Tables for sizes up to 9, above them a
    Gaussian of sigma 0.15 size + 0.35 (`cv2.getGaussianKernel(size, 0)`). Raises ValueError for a
    size that is even or not from 1 to 63.

    >>> opencv_taps(3)
    [0.25, 0.5, 0.25]
    """
    check_integer("opencv_taps", "size", size)
    if size % 2 == 0 or not 1 <= size <= MAX_TAPS:
        raise ValueError(f"opencv_taps: size must be odd and from 1 to {MAX_TAPS}, got {size}")
    if size in _OPENCV_TABLES:
        return list(_OPENCV_TABLES[size])
    return _normalized_gaussian(0.15 * size + 0.35, size // 2)


class FitRule(NamedTuple):
    """Where and how `decode` fits a Gaussian near a map's border, in pixels; see `csrc/fit.h`."""

    margin: float
    """A maximum nearer to the border is fitted; 0: none is."""
    limit: float
    """A longer step in x or y is not taken."""
    reach: int
    """Half side of the square of pixels that are fitted."""


def fit_rule(taps: Sequence[float]) -> FitRule:
    """Return what `border="fit"` of `decode` means with these taps, by their variance's root.

    That is at most half of their length: of taps that are not all positive it may be anything.

    >>> fit_rule(opencv_taps(5))
    FitRule(margin=2.0, limit=1.0, reach=2)
    """
    middle, total = (len(taps) - 1) / 2, sum(taps)
    moment = sum(tap * (i - middle) ** 2 for i, tap in enumerate(taps))
    variance = moment / total if total else 0.0
    sigma = min(math.sqrt(variance), middle) if variance > 0 else 0.0
    return FitRule(2 * sigma, max(1.0, sigma / 2) + 1e-9, max(1, round(1.51 * sigma)))


def _normalized_gaussian(sigma: float, radius: int) -> list[float]:
    values = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    total = math.fsum(values)
    return [value / total for value in values]
