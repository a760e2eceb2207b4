# SPDX-License-Identifier: Apache-2.0
"""What is behind people and in front of them: walls, floors, clutter; crates, plants, chairs."""

from collections.abc import Sequence

import cv2
import numpy as np

from darkpose.paper.synthetic.fabric import SKIN, blend, cloth_color, shade, weave
from darkpose.paper.synthetic.render import Part, capsules, ellipse, frame

# ---- behind --------------------------------------------------------------------------------------


def draw_background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a background uint8 [h, w, 3] for an image of `size` (w, h)."""
    base = (_gradient, _clouds, _tiles, _room)[rng.integers(4)]
    canvas = np.ascontiguousarray(base(rng, size))
    if rng.integers(0, 2):
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
    return np.linspace(first, second, 256).astype(np.uint8)[share]


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
    return tuple(blend(rng, SKIN) if rng.random() < 0.2 else cloth_color(rng))


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


# ---- in front ------------------------------------------------------------------------------------


def sample_occluder(rng: np.random.Generator, box: np.ndarray) -> list[Part]:
    """Return the parts of an object that covers some of `box` (x, y, w, h), image pixels."""
    at = box[:2] + box[2:] * rng.uniform((0.0, 0.15), (1.0, 1.0))
    reach = float(np.clip(np.sqrt(box[2:].prod()), 40, 140))
    return _OBJECTS[rng.integers(len(_OBJECTS))](rng, at, reach)


def occluder_fabrics(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the swatches of one object, uint8; a few of them have the color of skin."""
    first = weave(rng)
    if rng.random() < 0.15:
        first = np.full_like(first, blend(rng, SKIN))
    second = weave(rng) if rng.random() < 0.5 else 0.75 * first
    return {"first": shade(first), "second": shade(second)}


def _piece(outline: np.ndarray, fabric: str = "first") -> Part:
    surface = frame(outline.mean(axis=0), (0, 1), 0.5 * np.ptp(outline[:, 0]) + 1e-3, 0.8)
    return Part("occluder", fabric, [outline], 0.0, surface)


def _quad(center: np.ndarray, half: np.ndarray, degrees: float = 0.0) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    return center + corners @ np.array([[cosine, sine], [-sine, cosine]])


def _bars(
    at: np.ndarray, half: tuple[float, float], shifts: Sequence[tuple[float, float]], fabric: str
) -> list[Part]:
    """Return upright rectangles of one size."""
    return [_piece(_quad(at + shift, np.array(half)), fabric) for shift in shifts]


def _crate(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    half = reach * rng.uniform(0.14, 0.38, 2)
    front = _quad(at, half, rng.normal(0, 8))
    back = front[:2] + reach * np.array([rng.uniform(-0.2, 0.2), -rng.uniform(0.05, 0.2)])
    return [_piece(np.vstack([front[1::-1], back]), "second"), _piece(front)]


def _pole(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    half = np.array([reach * rng.uniform(0.025, 0.1), 400])
    return [_piece(_quad(at, half, rng.normal(0, 12)))]


def _plant(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    count = int(rng.integers(5, 12))
    lean = np.radians(rng.uniform(-75, 75, count))
    long = reach * rng.uniform(0.3, 0.7, (count, 1))
    tips = np.stack([np.sin(lean), -np.cos(lean)], axis=1) * long
    root = at + (0, 0.22 * reach)
    points = root + np.array([0 * tips, 0.5 * tips, tips])  # [3, P, 2]
    radii = reach * rng.uniform(0.03, 0.07) * np.array([[0.2], [1.0], [0.1]]) * np.ones(count)
    halves = zip(capsules(points[:2], radii[:2]), capsules(points[1:], radii[1:]), strict=True)
    leaves = [
        Part("occluder", "second", half, 0.0, frame(middle, (0, 1), reach * 0.3, 0.8))
        for half, middle in zip(halves, points[1], strict=True)
    ]
    return [*leaves, _piece(_quad(at + (0, 0.3 * reach), reach * np.array([0.12, 0.1])))]


def _table(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    width, height, thick = reach * rng.uniform((0.4, 0.25, 0.03), (0.8, 0.5, 0.08))
    feet = [(-0.85 * width, height), (0.85 * width, height)]
    legs = _bars(at, (0.6 * thick, height), feet, "second")
    return legs + _bars(at, (width, thick), [(0, 0)], "first")


def _chair(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    width, back = reach * rng.uniform((0.15, 0.2), (0.28, 0.4))
    slats = [(0, -back * part) for part in (0.9, 0.5, 0.1)]
    posts = _bars(at, (0.09 * width, 1.1 * back), [(-width, 0), (width, 0)], "second")
    return _bars(at, (width, 0.11 * back), slats, "first") + posts


def _screen(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    half = reach * rng.uniform((0.1, 0.2), (0.3, 0.6))
    return [_piece(_quad(at, half, rng.uniform(-90, 90)))]


def _ball(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    return [_piece(ellipse(at, np.diag(np.full(2, reach * rng.uniform(0.08, 0.25))), 28))]


_OBJECTS = (_crate, _pole, _plant, _table, _chair, _screen, _ball)
