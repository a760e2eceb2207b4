# SPDX-License-Identifier: Apache-2.0
"""Swatches: the colors and patterns of clothes, skin, hair, furniture and walls.

Backgrounds and occluders use the same swatches as people, skin included, so that no color or
pattern tells a person from its surroundings.
"""

from functools import cache

import cv2
import numpy as np

from darkpose.paper.synthetic.render import SWATCH

_V, _U = np.mgrid[:SWATCH, :SWATCH].astype(np.float32)
_WAVE = 2 * np.pi / SWATCH
# One table of noise, cut at random places, is much faster than noise of every swatch's own.
_NOISE = np.random.default_rng(0).standard_normal((2 * SWATCH, 2 * SWATCH, 1), np.float32)
_PATTERNS = ("plain",) * 3 + ("rings", "pinstripes", "checks", "dots", "diagonal", "blotches")
SKIN = np.array(
    [(255, 222, 198), (240, 196, 166), (224, 172, 128), (198, 138, 96), (150, 98, 66), (92, 58, 42)]
)
HAIR = np.column_stack(
    [
        (22, 48, 92, 160, 214, 150, 150),
        (18, 32, 60, 116, 182, 146, 62),
        (18, 24, 36, 62, 118, 142, 30),
    ]
)


def blend(rng: np.random.Generator, palette: np.ndarray) -> np.ndarray:
    """Draw a color [3] between two neighbors of a palette [N, 3], slightly varied."""
    position = rng.uniform(0, len(palette) - 1)
    index = int(position)
    color = palette[index] + (position - index) * (palette[index + 1] - palette[index])
    return np.clip(color * rng.uniform(0.88, 1.1) + rng.normal(0, 4, 3), 0, 255)


def cloth_color(rng: np.random.Generator) -> np.ndarray:
    """Draw a color as clothes, furniture and walls have it, float [3] RGB."""
    hue, saturation = rng.integers(180), 255 * rng.beta(1.3, 2.2)
    value = 255 * rng.uniform(0.18, 1.0)
    pixel = np.array([[[hue, saturation, value]]]).astype(np.uint8)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float64)


def weave(rng: np.random.Generator) -> np.ndarray:
    """Return an unshaded swatch float32 [SWATCH, SWATCH, 3] of random colors and pattern."""
    first, second = cloth_color(rng), cloth_color(rng)
    second = first + rng.uniform(0.4, 1.0) * (second - first)
    share = _pattern(rng, _PATTERNS[rng.integers(len(_PATTERNS))])
    cloth = grain(rng, first, rng.uniform(1, 9))
    return cloth + share[..., None] * (second - first).astype(np.float32)


def grain(rng: np.random.Generator, color: np.ndarray, amount: float) -> np.ndarray:
    """Return a swatch float32 [SWATCH, SWATCH, 3] of one color with noise."""
    row, column = rng.integers(0, SWATCH, 2)
    noise = _NOISE[row : row + SWATCH, column : column + SWATCH]
    return color.astype(np.float32) + np.float32(amount) * noise


def shade(swatch: np.ndarray) -> np.ndarray:
    """Round a swatch [h, w, 3] off as a cylinder lit from its left; return uint8."""
    height, width = swatch.shape[:2]
    return cv2.multiply(swatch, _cylinder(height, width), dtype=cv2.CV_8U)


@cache
def _cylinder(height: int, width: int) -> np.ndarray:
    """Return brightness across a cylinder, float32 [height, width, 3]."""
    u = np.linspace(-1, 1, width)
    light = 0.52 + 0.5 * np.sqrt(np.maximum(1 - ((u + 0.3) / 1.3) ** 2, 0)) - 0.1 * np.abs(u) ** 6
    return np.ascontiguousarray(np.broadcast_to(light[:, None], (height, width, 3)), np.float32)


def _pattern(rng: np.random.Generator, pattern: str) -> np.ndarray:
    """Return the share of the second color, float32 [SWATCH, SWATCH] in 0..1."""
    count = rng.integers(1, 5)
    along, across = np.sin(_WAVE * count * _V), np.sin(_WAVE * rng.integers(1, 4) * _U)
    width = rng.uniform(-0.6, 0.6)
    match pattern:
        case "plain":
            return np.zeros((SWATCH, SWATCH), np.float32)
        case "blotches":
            coarse = np.tile(rng.random((4, 4), np.float32), (3, 3))
            smooth = cv2.resize(coarse, (3 * SWATCH, 3 * SWATCH), interpolation=cv2.INTER_CUBIC)
            return np.clip(2 * smooth[SWATCH : 2 * SWATCH, SWATCH : 2 * SWATCH] - 0.5, 0, 1)
        case "checks":
            return ((along > 0).astype(np.float32) + (across > 0)) / 2
        case "rings":
            wave = along
        case "pinstripes":
            wave = across
        case "dots":
            wave, width = along * np.sin(_WAVE * count * _U), 0.35
        case _:  # diagonal
            wave = np.sin(_WAVE * (count * _V + rng.integers(1, 3) * _U))
    return (wave > width).astype(np.float32)
