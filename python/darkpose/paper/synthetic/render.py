# SPDX-License-Identifier: Apache-2.0
"""Drawing with sub-pixel accuracy and knowing what every pixel shows.

A thing (person or occluder) is a list of parts, back to front. `cut` draws their outlines into a
stencil that remembers which part lies on top at each sample: shape, masks and visibility come
from the stencil alone. `paint` then colors the same samples and blends them into the picture.
Shape and color never meet before that, so silhouettes are exact twins of people.

Stencils have two samples per pixel and axis. Pixel centers are at integers, so that image
coordinate x is sample coordinate 2 x + 1/2.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

SAMPLES = 2  # per pixel and axis
SWATCH = 32  # width of a swatch of fabric; swatches tile seamlessly
WIDE = 3  # swatches across a trunk, which is about as many times as wide as a limb
_THREADS = 240  # pixels of fabric per standing height
_HALF = (SAMPLES - 1) / 2
_SHIFT = 6  # fractional bits of polygon corners
_CAP = np.linspace(-np.pi / 2, np.pi / 2, 7)

Surface = Callable[[np.ndarray, np.ndarray, tuple[int, int]], np.ndarray]
"""Returns the colors [h, w, 3] that a swatch gives a window of (w, h) samples, the first of which
lies at [2] (x, y) in image pixels."""


@dataclass(frozen=True)
class Part:
    """One piece of a thing, uniform in what it is and what it is made of."""

    name: str  # body part, as in "left thigh"
    fabric: str
    outlines: Sequence[np.ndarray]  # convex, each [N, 2] (x, y), image pixels; their union is drawn
    depth: float  # larger is nearer to the viewer
    surface: Surface


# ---- outlines ------------------------------------------------------------------------------------


def capsules(
    ends: np.ndarray,  # [2, P, 2] (x, y)
    radii: np.ndarray,  # [2, P]
    bulges: np.ndarray | float = 1.0,  # [2, P] 1 for a round end, 0 for a flat one
) -> np.ndarray:
    """Return the outlines [P, 14, 2] of tapered capsules."""
    along = ends[1] - ends[0]
    length = np.linalg.norm(along, axis=1, keepdims=True)
    along = np.where(length > 1e-3, along / np.maximum(length, 1e-3), (0.0, 1.0))[:, None]
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    reach = radii * np.array([[-1.0], [1.0]])
    forward = np.cos(_CAP)[:, None] * (bulges * reach)[..., None, None] * along
    sideways = np.sin(_CAP)[:, None] * reach[..., None, None] * across
    return np.concatenate(list(ends[:, :, None] + forward + sideways), axis=1)


def hull(*points: np.ndarray) -> np.ndarray:
    """Return the convex hull [N, 2] of point sets [., 2]."""
    return cv2.convexHull(np.concatenate(points).astype(np.float32))[:, 0].astype(np.float64)


def ellipse(center: np.ndarray, half_axes: np.ndarray, corners: int = 20) -> np.ndarray:
    """Return the outline [corners, 2] of an ellipse; `half_axes` [2, 2] holds them as columns."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return center + np.stack([np.cos(angles), np.sin(angles)], axis=1) @ half_axes.T


# ---- surfaces ------------------------------------------------------------------------------------


def frame(
    origin: np.ndarray,  # [2] image pixels, mapped to the middle of the swatch's upper edge
    along: np.ndarray | tuple[float, float],  # [2] unit vector, mapped to the swatch's +y
    half_width: float,  # image pixels across `along`, mapped to half the swatch's width
    stretch: float,  # swatch pixels per image pixel along `along`
    repeats: int = 1,  # width of the swatch in SWATCH
) -> Surface:
    """Return the plane surface of fabric that runs from `origin` along `along`, tiled."""
    (x, y), (dx, dy) = origin, along
    middle = repeats * SWATCH / 2
    # The bright side of shaded fabric is its left; light comes from the upper left of the image.
    side = middle / half_width * (-1 if dy - 0.4 * dx < 0 else 1)
    across, down = (side * dy, -side * dx), (stretch * dx, stretch * dy)
    shift = (middle - across[0] * x - across[1] * y, -down[0] * x - down[1] * y)
    return partial(_tile, np.array([(*across, shift[0]), (*down, shift[1])]))


def strip(
    ends: np.ndarray,  # [2, 2] image pixels
    length: float,  # in space, standing heights
    half_width: float,  # image pixels
    repeats: int = 1,
) -> Surface:
    """Return the surface from end to end, its pattern squeezed by foreshortening."""
    along, shown = direction(ends)
    stretch = _THREADS * length / max(shown, 0.5 * half_width)
    return frame(ends[0], along, half_width, stretch, repeats)


def _tile(
    to_swatch: np.ndarray, swatch: np.ndarray, origin: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Sample by an affine map [2, 3] from image pixels to swatch pixels."""
    to_samples = to_swatch / SAMPLES
    to_samples[:, 2] = to_swatch[:, :2] @ origin + to_swatch[:, 2]
    # The averaging of samples interpolates already.
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(swatch, to_samples, size, flags=flags, borderMode=cv2.BORDER_WRAP)


# ---- pictures ------------------------------------------------------------------------------------


def cut(parts: Sequence[Part], size: tuple[int, int]) -> np.ndarray:
    """Draw `parts`, back to front, into a stencil for an image of `size` (w, h).

    It is uint8 [h * SAMPLES, w * SAMPLES] and holds 1 + the index of the part on top, 0 outside.
    """
    stencil = np.zeros((size[1] * SAMPLES, size[0] * SAMPLES), np.uint8)
    for label, part in enumerate(parts, start=1):
        for outline in part.outlines:
            corners = np.rint((outline * SAMPLES + _HALF) * 2**_SHIFT).astype(np.int32)
            cv2.fillConvexPoly(stencil, corners, label, shift=_SHIFT)
    return stencil


def coverage(stencil: np.ndarray) -> np.ndarray:
    """Return how much of each pixel is covered, uint8 [h, w], 255 for all of it."""
    return _shrink(cv2.threshold(stencil, 0, 255, cv2.THRESH_BINARY)[1])


def label_at(stencil: np.ndarray, point: np.ndarray) -> int:
    """Return the label at `point` (x, y) in image pixels; 0 outside of the image."""
    x, y = np.rint(point * SAMPLES + _HALF).astype(int)
    height, width = stencil.shape
    return int(stencil[y, x]) if 0 <= x < width and 0 <= y < height else 0


def paint(
    image: np.ndarray,
    stencil: np.ndarray,
    parts: Sequence[Part],
    fabrics: Mapping[str, np.ndarray],  # uint8 [., ., 3] each
) -> None:
    """Draw the parts that the stencil was cut from into `image`."""
    colors = np.zeros((*stencil.shape, 3), np.uint8)  # dark where coverage is partial
    for label, part in enumerate(parts, start=1):
        samples = np.concatenate(part.outlines) * SAMPLES
        left, top = np.maximum(np.floor(samples.min(axis=0)).astype(int) - 1, 0)
        right, bottom = np.maximum(np.floor(samples.max(axis=0)).astype(int) + 3, 0)
        mask = (stencil[top:bottom, left:right] == label).view(np.uint8)
        if mask.size and cv2.hasNonZero(mask):
            origin = (np.array([left, top]) - _HALF) / SAMPLES
            sampled = part.surface(fabrics[part.fabric], origin, mask.shape[::-1])
            cv2.copyTo(sampled, mask, colors[top:bottom, left:right])
    rest = cv2.cvtColor(255 - coverage(stencil), cv2.COLOR_GRAY2RGB)
    cv2.add(cv2.multiply(image, rest, scale=1 / 255), _shrink(colors), dst=image)


def direction(ends: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the unit vector [2] from end to end, down where they meet, and how far it is."""
    along = ends[1] - ends[0]
    length = math.hypot(*along)
    return (along / length if length > 1e-3 else np.array([0.0, 1.0])), length


def _shrink(samples: np.ndarray) -> np.ndarray:
    height, width = (side // SAMPLES for side in samples.shape[:2])
    return cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)
