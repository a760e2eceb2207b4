# SPDX-License-Identifier: Apache-2.0
"""DARK inside a heatmap, and near its border, where DARK does not work, a fitted Gaussian.

Within two pixels of the border DARK's stencil leaves the map and it stays at the argmax; within two
sigma the zeros that its smoothing finds beyond the map pull the peak inward. Other libraries refine
there all the same, from repeated or mirrored values, and so the drop-ins for them have to be good
there too. This matters for maps that have a peak there. Of those that networks really predicted few
have even their maximum there, most of these are wrong, and DARK's answer and the fit's differ by
nothing that could be measured (`benchmarks/interop.py`).

A Gaussian of any width is a paraboloid in the logarithm: c + b (p - m) - a |p - m|^2 / 2 round the
argmax m, with its peak at m + b / a. These four unknowns are fitted to the pixels that exist within
1.5 sigma. The error of a logarithm is that of its value h divided by h, hence weights h^2.

Maps are tensors, decoded where they are, or NumPy arrays, for which no torch is needed. The few
pixels that are fitted go to main memory, so that both have the same answer.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Maps = TypeVar("Maps", bound="Tensor | NDArray[Any]")
Floats = NDArray[np.float64]

REACH = 2.0
"""In sigma: how near to the border a maximum must be to be refined by the fit."""
WINDOW = 1.5
"""In sigma: the half side of the square of pixels that are fitted."""
SHIFT = (1.0, 0.5)
"""Pixels and sigmas: a step longer than both, in x or y, is none from a peak's highest pixel to the
peak, and is not taken."""
DETERMINED = 1e-6
"""Least determinant of the correlations of the unknowns; 0 if the pixels leave one of them open."""
MAX_STEP = 3.0
"""Heatmap pixels: `darkpose_ext.decode` takes no longer one."""
_AT_ONCE = 256  # maps that are fitted, so that windows take little memory


def decode_to_the_border(
    heatmaps: Maps,  # [B, K, H, W]
    taps: Sequence[float],
    sigma: float,
    *,
    flipped: Maps | None = None,  # [B, K, H, W]
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
) -> tuple[Maps, Maps]:  # [B, K, 2], [B, K]
    """Return coordinates in heatmap pixels and scores; `darkpose_ext.decode` wherever that works.

    Args:
        heatmaps, taps, flipped, flip_index, flip_shift: as in `darkpose_ext.decode`.
        sigma: about that of the peaks, in heatmap pixels: it sets how far "near" is.

    Raises:
        TypeError, ValueError: as `darkpose_ext.decode`.
    """
    if heatmaps.ndim != 4:
        raise ValueError(f"heatmaps must be [B, K, H, W], got {list(heatmaps.shape)}")
    flip: dict[str, Any] = {"flipped": flipped, "flip_index": flip_index, "flip_shift": flip_shift}
    coords, scores = decode_of(heatmaps)(heatmaps, taps, **flip)
    last, margin = np.array(heatmaps.shape[:1:-1]) - 1, REACH * sigma
    points, heights = as_array(coords), as_array(scores)
    may_be = _near(points, last, margin + MAX_STEP) & (heights > 0) & (heights < np.inf)
    chosen = np.argwhere(may_be)
    for first in range(0, len(chosen), _AT_ONCE):
        some = chosen[first : first + _AT_ONCE]
        people, joints = some.T
        peak = heights[people, joints, None]
        around = np.rint(points[people, joints]).astype(np.int64)
        pixels = around[:, None] + _design(math.ceil(MAX_STEP))[0]
        highest = (_read(heatmaps, some, pixels, **flip) == peak).argmax(1)
        start = pixels[np.arange(len(some)), highest]
        near = _near(start, last, margin)
        some, start, peak = some[near], start[near], peak[near]
        offset, terms, products = _design(max(1, round(WINDOW * sigma)))
        values = _read(heatmaps, some, start[:, None] + offset, **flip) / peak
        step, sound = _fit(values, terms, products)
        sound &= np.abs(step).max(-1) <= max(SHIFT[0], SHIFT[1] * sigma)
        people, joints = some[sound].T
        coords[people, joints] = like(start[sound] + step[sound], coords)
    return coords, scores


def _near(points: Floats, last: NDArray[np.int64], margin: float) -> NDArray[np.bool_]:
    """Return whether points [..., 2] are nearer than `margin` to the border; of NaN none is."""
    return np.asarray(((points < margin) | (points > last - margin)).any(-1))


def _read(
    heatmaps: Any,
    some: NDArray[np.int64],  # [M, 2], of whom and which joint
    pixels: NDArray[np.int64],  # [M, P, 2]
    flipped: Any,
    flip_index: Sequence[int] | None,
    flip_shift: int,
) -> Floats:  # [M, P]
    """Return the values that `decode` finds there, NaN outside of the map."""
    people, joints = some.T[..., None]
    width, height = heatmaps.shape[:1:-1]
    column, row = pixels[..., 0], pixels[..., 1]
    x, y = column.clip(0, width - 1), row.clip(0, height - 1)
    values = as_array(heatmaps[people, joints, y, x])
    if flipped is not None:
        swapped = joints if flip_index is None else np.asarray(flip_index)[joints]
        mirror = as_array(flipped[people, swapped, y, width - 1 - (x - flip_shift).clip(0)])
        arithmetic = np.float64 if heatmaps.dtype.itemsize == 8 else np.float32
        values = ((values.astype(arithmetic) + mirror.astype(arithmetic)) / 2).astype(np.float64)
    return np.where((x == column) & (y == row), values, np.nan)


# ---- tensors and arrays --------------------------------------------------------------------------


def decode_of(maps: Any) -> Callable[..., tuple[Any, Any]]:
    """Return `decode` for maps of this kind."""
    if isinstance(maps, np.ndarray):
        from darkpose_ext.numpy import decode as decode_array

        return decode_array
    from darkpose_ext import decode

    return decode


def as_array(values: Any) -> Floats:
    """Return a tensor or an array in main memory, float64."""
    plain = values if isinstance(values, np.ndarray) else values.detach().cpu().double().numpy()
    return plain.astype(np.float64, copy=False)


def like(array: Floats, other: Any) -> Any:
    """Return an array as what `other` is, of its type and on its device."""
    is_array = isinstance(other, np.ndarray)
    return array.astype(other.dtype) if is_array else other.new_tensor(array)


# ---- the fit -------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _design(reach: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return the window's pixels [P, 2] round its middle, the terms that each pixel gives the four
    unknowns [P, 4], and the products of any two of those [P, 16]."""
    axis = np.arange(-reach, reach + 1)
    offset = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    squared = (offset**2).sum(-1, keepdims=True)
    terms = np.hstack((np.ones_like(squared), offset, -squared / 2))
    return offset, terms, (terms[:, :, None] * terms[:, None]).reshape(-1, 16)


def _fit(
    values: Floats,  # [M, P], NaN and those not positive do not count
    terms: Floats,  # [P, 4]
    products: Floats,  # [P, 16]
) -> tuple[Floats, NDArray[np.bool_]]:  # [M, 2], [M]
    """Return the way to each peak, and whether its values tell it; 0 where they do not."""
    lit = values > 0
    weights = np.where(lit, values, 0.0) ** 2
    log = np.log(np.where(lit, values, 1.0))
    normal = (weights @ products).reshape(-1, 4, 4)
    size = np.sqrt(np.diagonal(normal, axis1=1, axis2=2)).clip(1e-30)
    correlation = normal / size[:, None] / size[:, :, None]
    sound = np.linalg.det(correlation) > DETERMINED
    correlation[~sound] = np.eye(4)
    right = (weights * log) @ terms / size
    answer = np.linalg.solve(correlation, right[..., None])[..., 0] / size
    sound &= answer[:, 3] > 0
    curvature = np.where(sound, answer[:, 3], np.inf)
    return answer[:, 1:3] / curvature[:, None], sound
