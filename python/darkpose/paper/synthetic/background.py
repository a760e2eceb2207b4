# SPDX-License-Identifier: Apache-2.0
"""Everything behind the people: walls, skies, floors and clutter that looks a little like limbs."""

import cv2
import numpy as np

from darkpose.paper.synthetic.fabric import cloth_color, skin_color, weave


def draw_background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a background uint8 [h, w, 3] for an image of ``size`` (w, h)."""
    base = (_gradient, _clouds, _tiles, _room)[rng.integers(4)]
    canvas = np.ascontiguousarray(base(rng, size))
    for _ in range(rng.integers(0, 2)):
        clutter = (_skyline, _blobs, _sticks, _frames)[rng.integers(4)]
        clutter(canvas, rng)
    return canvas


def _gradient(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    corners = np.array([cloth_color(rng) for _ in range(4)], np.float32).reshape(2, 2, 3)
    return cv2.resize(corners, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def _clouds(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return noise at several scales between two colors, which looks like foliage or stone."""
    mix = np.zeros(size[::-1], np.float32)
    roughness = rng.uniform(0.4, 0.9)
    for octave in range(5):
        cells = rng.random((2 + 3 * 2**octave, 2 + 4 * 2**octave), np.float32) - np.float32(0.5)
        mix += roughness**octave * cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR)
    share = cv2.convertScaleAbs(mix, alpha=150, beta=127)  # folded at zero, like ridges
    first, second = cloth_color(rng), cloth_color(rng)
    ramp = np.linspace(first, second, 256).astype(np.uint8)[:, None]
    return cv2.LUT(cv2.cvtColor(share, cv2.COLOR_GRAY2RGB), ramp.reshape(1, 256, 3))


def _tiles(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a surface of repeated swatches at a random scale and angle."""
    scale, angle = rng.uniform(0.25, 2.0), rng.uniform(-180, 180)
    to_swatch = cv2.getRotationMatrix2D((0, 0), angle, scale)
    swatch = np.clip(weave(rng), 0, 255).astype(np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(swatch, to_swatch, size, flags=flags, borderMode=cv2.BORDER_WRAP)


def _room(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a wall above a floor (or a sky above a meadow)."""
    canvas = (_gradient if rng.random() < 0.5 else _tiles)(rng, size)
    horizon = int(size[1] * rng.uniform(0.35, 0.85))
    floor = (_gradient, _clouds, _tiles)[rng.integers(3)](rng, (size[0], size[1] - horizon))
    canvas[horizon:] = floor
    return canvas


def _color(rng: np.random.Generator) -> tuple[float, ...]:
    color = skin_color(rng) if rng.random() < 0.2 else cloth_color(rng)
    return tuple(map(float, color))


def _skyline(canvas: np.ndarray, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    left, base = 0, int(height * rng.uniform(0.5, 0.95))
    while left < width:
        right = left + int(rng.integers(12, 60))
        top = base - int(height * rng.uniform(0.05, 0.6))
        cv2.rectangle(canvas, (left, top), (right, base), _color(rng), -1)
        if rng.random() < 0.4:
            window = _color(rng)
            for y in range(top + 4, base - 4, 9):
                cv2.line(canvas, (left + 3, y), (right - 3, y), window, 2)
        left = right + int(rng.integers(0, 12))


def _blobs(canvas: np.ndarray, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    for x, y, long, short, angle in rng.random((rng.integers(3, 14), 5)):
        axes = int(5 + 26 * long), int(4 + 18 * short)
        center = int(x * width), int(y * height)
        cv2.ellipse(canvas, center, axes, 360 * angle, 0, 360, _color(rng), -1, cv2.LINE_AA)


def _sticks(canvas: np.ndarray, rng: np.random.Generator) -> None:
    """Draw strokes as thick and as jointed as arms and legs."""
    size = np.array(canvas.shape[1::-1])
    for _ in range(rng.integers(3, 12)):
        start = rng.random(2) * size
        steps = rng.normal(0, 28, (rng.integers(1, 3), 2))
        line = np.rint(16 * np.vstack([start, start + np.cumsum(steps, axis=0)])).astype(np.int32)
        thickness = int(rng.integers(2, 15))
        cv2.polylines(canvas, [line], False, _color(rng), thickness, cv2.LINE_AA, shift=4)


def _frames(canvas: np.ndarray, rng: np.random.Generator) -> None:
    """Draw windows, pictures and shelves."""
    height, width = canvas.shape[:2]
    for x, y, wide, high in rng.random((rng.integers(1, 5), 4)):
        left, top = int(x * width) - 20, int(y * height) - 20
        corner = left + int(20 + 70 * wide), top + int(20 + 70 * high)
        cv2.rectangle(canvas, (left, top), corner, _color(rng), -1)
        cv2.rectangle(canvas, (left, top), corner, _color(rng), int(rng.integers(1, 6)))
