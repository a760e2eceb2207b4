# SPDX-License-Identifier: Apache-2.0
"""Drawing with sub-pixel accuracy and knowing what every pixel shows.

A thing (person or occluder) is a list of parts, back to front. `cut` draws their outlines into a
stencil that remembers which part lies on top at each sample: shape, masks and visibility come
from the stencil alone. `paint` then colors the same samples, and `lay` blends them into the
picture. Shape and color never meet before that, so silhouettes are exact twins of people.

Stencils have two samples per pixel and axis. Pixel centers are at integers, so that image
coordinate x is sample coordinate 2 x + 1/2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

SAMPLES = 2  # per pixel and axis
SWATCH = 32  # width of a swatch of fabric; swatches tile seamlessly
WIDE = 3  # swatches across a trunk, which is about as many times as wide as a limb
_THREADS = 240  # pixels of fabric per standing height
_HALF = (SAMPLES - 1) / 2
_SHIFT = 6  # fractional bits of polygon corners


class Surface(Protocol):
    """How the points of an image map onto a swatch of fabric."""

    def sample(self, swatch: np.ndarray, origin: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return colors [h, w, 3] of a window of ``size`` (w, h) samples.

        ``origin`` [2] (x, y) is the first sample in image pixels; samples are 1 / SAMPLES apart.
        """


@dataclass(frozen=True)
class Part:
    """One piece of a thing, uniform in what it is and what it is made of."""

    name: str  # body part, as in "left thigh"
    fabric: str
    outlines: Sequence[np.ndarray]  # convex, each [N, 2] (x, y), image pixels; their union is drawn
    depth: float  # larger is nearer to the viewer
    surface: Surface


@dataclass(frozen=True)
class Flat:
    """A plane surface: an affine map [2, 3] from image pixels to swatch pixels, tiled."""

    to_swatch: np.ndarray

    def sample(self, swatch: np.ndarray, origin: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        to_swatch = self.to_swatch / SAMPLES
        to_swatch[:, 2] = self.to_swatch[:, :2] @ origin + self.to_swatch[:, 2]
        # The averaging of samples interpolates already.
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(swatch, to_swatch, size, flags=flags, borderMode=cv2.BORDER_WRAP)


@dataclass(frozen=True)
class Stencil:
    """Which part is on top: ``labels`` uint8 [h * SAMPLES, w * SAMPLES], 1 + index, 0 outside."""

    corner: tuple[int, int]  # (x, y) of the first pixel covered
    labels: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of the covered rows and columns of the picture."""
        x, y = self.corner
        height, width = (side // SAMPLES for side in self.labels.shape)
        return slice(y, y + height), slice(x, x + width)

    def coverage(self) -> np.ndarray:
        """Return how much of each pixel is covered, uint8 [h, w], 255 for all of it."""
        return _shrink(np.where(self.labels > 0, np.uint8(255), np.uint8(0)))

    def label_at(self, point: np.ndarray) -> int:
        """Return the label at ``point`` (x, y) in image pixels; 0 outside."""
        x, y = np.rint((point - self.corner) * SAMPLES + _HALF).astype(int)
        height, width = self.labels.shape
        return int(self.labels[y, x]) if 0 <= x < width and 0 <= y < height else 0


def cut(parts: Sequence[Part], size: tuple[int, int]) -> Stencil:
    """Draw ``parts``, back to front, into a stencil clipped to an image of ``size`` (w, h)."""
    points = np.concatenate([outline for part in parts for outline in part.outlines])
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - 1, 0, size)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 2, low, size)
    width, height = (high - low) * SAMPLES
    labels = np.zeros((height, width), np.uint8)
    if labels.size:
        corners = ((points - low) * SAMPLES + _HALF) * 2**_SHIFT
        corners = np.rint(corners).astype(np.int32)
        first = 0
        for label, part in enumerate(parts, start=1):
            for outline in part.outlines:
                last = first + len(outline)
                cv2.fillConvexPoly(labels, corners[first:last], label, shift=_SHIFT)
                first = last
    return Stencil((int(low[0]), int(low[1])), labels)


def paint(
    stencil: Stencil,
    parts: Sequence[Part],
    fabrics: Mapping[str, np.ndarray],  # uint8 [., ., 3] each
) -> np.ndarray:
    """Return the colors uint8 [h, w, 3] of the stencil's pixels, black where uncovered."""
    colors = np.zeros((*stencil.labels.shape, 3), np.uint8)
    height, width = stencil.labels.shape
    for label, part in enumerate(parts, start=1):
        samples = (np.concatenate(part.outlines) - stencil.corner) * SAMPLES
        x, y, w, h = cv2.boundingRect(samples.astype(np.float32))
        left, top = max(x - 1, 0), max(y - 1, 0)
        right, bottom = min(x + w + 2, width), min(y + h + 2, height)
        if left >= right or top >= bottom:
            continue
        window = slice(top, bottom), slice(left, right)
        mask = (stencil.labels[window] == label).view(np.uint8)
        if cv2.hasNonZero(mask):
            origin = stencil.corner + (np.array([left, top]) - _HALF) / SAMPLES
            sampled = part.surface.sample(fabrics[part.fabric], origin, mask.shape[::-1])
            cv2.copyTo(sampled, mask, colors[window])
    return _shrink(colors)


def lay(image: np.ndarray, stencil: Stencil, coverage: np.ndarray, colors: np.ndarray) -> None:
    """Blend ``colors`` (dark where coverage is partial, as `paint` leaves them) into ``image``."""
    below = image[stencil.window]
    if not below.size:  # OpenCV refuses empty images
        return
    rest = cv2.cvtColor(255 - coverage, cv2.COLOR_GRAY2RGB)
    cv2.add(cv2.multiply(below, rest, scale=1 / 255), colors, dst=below)


def frame(
    origin: np.ndarray,  # [2] image pixels, mapped to the middle of the swatch's upper edge
    along: np.ndarray,  # [2] unit vector, mapped to the swatch's +y
    half_width: float,  # image pixels across `along`, mapped to half the swatch's width
    stretch: float,  # swatch pixels per image pixel along `along`
    repeats: int = 1,  # width of the swatch in SWATCH
) -> Flat:
    """Return the surface of fabric that runs from ``origin`` along ``along``."""
    (x, y), (dx, dy) = origin, along
    middle = repeats * SWATCH / 2
    # The bright side of shaded fabric is its left; light comes from the upper left of the image.
    side = middle / half_width * (-1 if dy - 0.4 * dx < 0 else 1)
    across, down = (side * dy, -side * dx), (stretch * dx, stretch * dy)
    shift = (middle - across[0] * x - across[1] * y, -down[0] * x - down[1] * y)
    return Flat(np.array([(*across, shift[0]), (*down, shift[1])]))


def strip(
    start: np.ndarray,  # [2] image pixels
    end: np.ndarray,  # [2]
    length: float,  # in space, standing heights
    half_width: float,  # image pixels
    repeats: int = 1,
) -> Flat:
    """Return the surface from ``start`` to ``end``, its pattern squeezed by foreshortening."""
    along = end - start
    shown = math.hypot(*along)
    along = along / shown if shown > 1e-3 else np.array([0.0, 1.0])
    stretch = _THREADS * length / max(shown, 0.5 * half_width)
    return frame(start, along, half_width, stretch, repeats)


def _shrink(samples: np.ndarray) -> np.ndarray:
    height, width = (side // SAMPLES for side in samples.shape[:2])
    if not samples.size:
        return samples[:height, :width]
    return cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)
