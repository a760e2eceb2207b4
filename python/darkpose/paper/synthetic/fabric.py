# SPDX-License-Identifier: Apache-2.0
"""Swatches: the colors and patterns of clothes, skin, hair, faces, furniture and walls.

Backgrounds and occluders use the same swatches as people, skin included, so that no color or
pattern tells a person from its surroundings.
"""

from functools import cache

import cv2
import numpy as np

from darkpose.paper.synthetic.head import MAP_HEIGHT, MAP_WIDTH
from darkpose.paper.synthetic.render import SWATCH, WIDE

_V, _U = np.mgrid[:SWATCH, :SWATCH].astype(np.float32)
# One table of noise, cut at random places, is much faster than noise of every swatch's own.
_NOISE = np.random.default_rng(0).standard_normal((2 * SWATCH, 2 * SWATCH, 1), np.float32)
Color = np.ndarray | tuple[int, int, int]
_WAVE = 2 * np.pi / SWATCH
_PATTERNS = (
    "plain",
    "plain",
    "plain",
    "rings",
    "pinstripes",
    "checks",
    "dots",
    "diagonal",
    "blotches",
)
_SKIN = np.array(
    [(255, 222, 198), (240, 196, 166), (224, 172, 128), (198, 138, 96), (150, 98, 66), (92, 58, 42)]
)
_HAIR = np.array(
    [
        (22, 18, 18),
        (48, 32, 24),
        (92, 60, 36),
        (160, 116, 62),
        (214, 182, 118),
        (150, 146, 142),
        (150, 62, 30),
    ]
)


def person_fabrics(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the swatches of one person, uint8 [., ., 3], by the names its parts know them by."""
    skin, hair = skin_color(rng), _blend(rng, _HAIR)
    top, bottom = weave(rng), weave(rng)
    if rng.random() < 0.15:  # a dress, an overall, a uniform
        bottom = top
    return {
        "skin": shade(_grain(rng, skin, 5)),
        "hair": shade(_grain(rng, hair, 4) + _streaks(rng, 18)),
        "head": _head_map(rng, skin, hair),
        "top": shade(top),
        "wide top": shade(np.tile(top, (1, WIDE, 1))),
        "bottom": shade(bottom),
        "wide bottom": shade(np.tile(bottom, (1, WIDE, 1))),
        "shoe": shade(_grain(rng, cloth_color(rng), 8)),
    }


def skin_color(rng: np.random.Generator) -> np.ndarray:
    """Draw a skin tone, float [3] RGB."""
    return _blend(rng, _SKIN)


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
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))]
    mix = _pattern(rng, pattern)
    cloth = _grain(rng, first, rng.uniform(1, 9))
    return cloth + mix[..., None] * (second - first).astype(np.float32)


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
    if pattern == "rings":
        return (along > width).astype(np.float32)
    if pattern == "pinstripes":
        return (across > width).astype(np.float32)
    if pattern == "checks":
        return ((along > 0).astype(np.float32) + (across > 0)) / 2
    if pattern == "dots":
        return (along * np.sin(_WAVE * count * _U) > 0.35).astype(np.float32)
    if pattern == "diagonal":
        return (np.sin(_WAVE * (count * _V + rng.integers(1, 3) * _U)) > width).astype(np.float32)
    if pattern == "blotches":
        coarse = np.tile(rng.random((4, 4), np.float32), (3, 3))
        smooth = cv2.resize(coarse, (3 * SWATCH, 3 * SWATCH), interpolation=cv2.INTER_CUBIC)
        return np.clip(2 * smooth[SWATCH : 2 * SWATCH, SWATCH : 2 * SWATCH] - 0.5, 0, 1)
    return np.zeros((SWATCH, SWATCH), np.float32)


def _head_map(rng: np.random.Generator, skin: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Paint face and hair as a map of longitude and latitude, uint8 [MAP_HEIGHT, MAP_WIDTH, 3]."""
    canvas = np.empty((MAP_HEIGHT, MAP_WIDTH, 3), np.uint8)
    canvas[:] = skin
    dark, lips = skin * 0.72, skin * (0.86, 0.55, 0.55)
    brow = hair * 0.8 if rng.random() < 0.8 else dark

    def spot(longitude: float, latitude: float, width: float, height: float, color: Color) -> None:
        center = (MAP_WIDTH / 2 + longitude * MAP_WIDTH / 360, (latitude + 90) * MAP_HEIGHT / 180)
        half = (width * MAP_WIDTH / 360, height * MAP_HEIGHT / 180)
        points = tuple(int(round(16 * value)) for value in center)
        axes = tuple(max(int(round(16 * value)), 8) for value in half)
        cv2.ellipse(canvas, points, axes, 0, 0, 360, tuple(map(float, color)), -1, cv2.LINE_AA, 4)

    if rng.random() < 0.18:  # beard
        spot(0, 52, 75, 32, hair)
    spot(0, 34, 17, rng.uniform(3, 7), lips)
    spot(0, 22, 9, 4, dark)
    for side in (-1, 1):
        spot(22 * side, -5, 11, 7, dark)
        spot(22 * side, -5, 9.5, 5.5, (240, 238, 235))
        spot(22 * side, -5, 4.5, 5, (45, 35, 30))
        spot(22 * side, -16, 12, 3, brow)
    if rng.random() < 0.12:  # glasses
        for side in (-1, 1):
            spot(22 * side, -5, 13, 8, (30, 30, 35))
    _put_on_hair(canvas, rng, hair, skin)
    chin = 1 - 0.3 * np.linspace(0, 1, MAP_HEIGHT, dtype=np.float32) ** 2  # darker from below
    return (canvas * chin[:, None, None]).astype(np.uint8)


def _put_on_hair(
    canvas: np.ndarray, rng: np.random.Generator, hair: np.ndarray, skin: np.ndarray
) -> None:
    """Color everything above a hairline that is high on the forehead and low on the nape."""
    style = rng.random()
    bald, hat = style < 0.08, style > 0.86
    forehead, nape = rng.uniform(-48, -28), rng.uniform(20, 45)
    if hat:
        nape = forehead + 10
    longitudes = np.array([0, 45, 62, 85, 100, 180])
    latitudes = np.array(
        [forehead, forehead + 3, -17, -5, max(nape - 18, forehead), nape]
        if not hat
        else [forehead, forehead, forehead + 2, forehead + 4, nape, nape]
    ) + rng.normal(0, 1.5, 6)
    x = MAP_WIDTH / 2 * (1 + np.concatenate([-longitudes[::-1], longitudes]) / 180)
    y = MAP_HEIGHT * (np.concatenate([latitudes[::-1], latitudes]) / 180 + 0.5)
    line = np.column_stack([x, y])
    outline = np.vstack([(0, -1), line, (MAP_WIDTH, -1)])
    color = cloth_color(rng) if hat else hair
    cv2.fillPoly(canvas, [np.rint(outline).astype(np.int32)], tuple(map(float, color)))
    if bald:
        canvas[: int(MAP_HEIGHT * rng.uniform(0.3, 0.45))] = skin


def _grain(rng: np.random.Generator, color: np.ndarray, amount: float) -> np.ndarray:
    row, column = rng.integers(0, SWATCH, 2)
    noise = _NOISE[row : row + SWATCH, column : column + SWATCH]
    return color.astype(np.float32) + np.float32(amount) * noise


def _streaks(rng: np.random.Generator, amount: float) -> np.ndarray:
    return rng.normal(0, amount, (1, SWATCH, 1)).astype(np.float32)


def _blend(rng: np.random.Generator, palette: np.ndarray) -> np.ndarray:
    """Return a color between two neighbors of a palette [N, 3], slightly varied."""
    position = rng.uniform(0, len(palette) - 1)
    index = int(position)
    color = palette[index] + (position - index) * (palette[index + 1] - palette[index])
    return np.clip(color * rng.uniform(0.88, 1.1) + rng.normal(0, 4, 3), 0, 255)
