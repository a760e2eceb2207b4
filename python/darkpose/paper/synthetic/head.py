# SPDX-License-Identifier: Apache-2.0
"""The head: an ellipsoid wrapped in a painted map of face and hair, with nose and ears on it.

The face is painted once, flat, as a map of longitude and latitude, and wrapped around the skull
by solving for the point of the ellipsoid behind each sample. Features therefore foreshorten and
disappear behind the head as they should, from any direction.
"""

from collections.abc import Iterable, Sequence
from functools import partial

import cv2
import numpy as np

from darkpose.paper.synthetic.body import SIDE_NAMES, SIDES, Build, Skeleton, Viewpoint
from darkpose.paper.synthetic.fabric import cloth_color
from darkpose.paper.synthetic.render import (
    SAMPLES,
    Part,
    capsules,
    direction,
    ellipse,
    frame,
    hull,
)

# Nose, left and right eye, left and right ear in units of the skull's half-axes.
FACE_POINTS = np.column_stack(
    [
        (0, 0.37, -0.37, 1.06, -1.06),
        (0.16, -0.1, -0.1, 0.04, 0.04),
        (1.12, 0.91, 0.91, -0.08, -0.08),
    ]
)
_BRIDGE = np.array([[0, -0.05, 0.95], [0, 0.16, 1.06]])  # of the nose, to its tip
_WIDTH, _HEIGHT = 160, 80  # 360 x 180 degrees; the middle column is the middle of the face


def head_axes(build: Build) -> np.ndarray:
    """Return the skull's half-axes [3] (sideways, up, forward) in standing heights."""
    return build.head * np.array([0.37, 0.5, 0.44])


def head_parts(build: Build, body: Skeleton, hair: float, view: Viewpoint) -> list[Part]:
    """Return skull, nose, ears and, where `hair` (head heights) is long, hair."""
    axes = body.head_frame * head_axes(build)
    zoom = view.scale * float(view.magnification(body.head))
    size = build.head * zoom
    center, pixels = view.project(body.head), axes * zoom
    depth = float(body.head[2]) + 0.04

    def on_skull(name: str, point: np.ndarray, outlines: Sequence[np.ndarray]) -> Part:
        """Return a feature of skin, behind the skull where `point` is on its far side."""
        level = depth + (0.001 if axes[2] @ point > 0 else -0.001)
        where = view.project(body.head + axes @ point)
        return Part(name, "skin", outlines, level, frame(where, (0, 1), 0.14 * size, 3.0))

    directions, lengths, _ = np.linalg.svd(pixels[:2])
    skull = [ellipse(center, directions * lengths)]
    bridge = view.project(body.head + _BRIDGE @ axes.T)
    nose = capsules(bridge[:, None], np.array([[0.05], [0.085]]) * size)
    parts = [
        Part("head", "head", skull, depth, partial(_wrap, center, pixels)),
        on_skull("nose", FACE_POINTS[0], tuple(nose)),
    ]
    for side, side_name, point in zip(SIDES, SIDE_NAMES, FACE_POINTS[3:], strict=True):
        deep = 0.16 * pixels[:2, 2] + 0.1 * side * pixels[:2, 0]
        lobe = np.stack([0.2 * pixels[:2, 1], deep], axis=1)
        outline = ellipse(view.project(body.head + axes @ point), lobe, 12)
        parts.append(on_skull(f"{side_name} ear", point, [outline]))
    return [*parts, _long_hair(build, body, hair, view)] if hair else parts


def _long_hair(build: Build, body: Skeleton, length: float, view: Viewpoint) -> Part:
    """Return hair that hangs down the back of the head, between gravity and the spine."""
    axes = body.head_frame * head_axes(build)
    down = 0.6 * body.chest_frame[:, 1] + np.array([0, 0.4, 0])
    crown = body.head + axes @ np.array([0, -0.25, -0.35])
    nape = body.head + axes @ np.array([0, 0.35, -0.55])
    end = nape + (0.25 + length) * build.head * down
    zoom = view.scale * build.head
    points = view.project(np.stack([crown, nape, end]))
    radii = np.array([0.42, 0.43, 0.3]) * zoom
    bulges = np.array([[1.0], [0.5]])
    upper, lower = capsules(
        np.stack([points[:-1], points[1:]]), np.stack([radii[:-1], radii[1:]]), bulges
    )
    surface = frame(points[0], direction(points[::2])[0], 0.45 * zoom, 1.0)
    # Hair hangs behind head and trunk unless the back of the head faces the viewer.
    behind = body.head_frame[2, 2] > -0.25
    levels = (body.head[2], body.chest[2], body.waist[2])
    depth = float(min(levels) - 0.05 if behind else max(levels) + 0.05)
    return Part("hair", "hair", (hull(upper, lower[:7]), lower), depth, surface)


def _wrap(
    center: np.ndarray,  # [2] image pixels
    axes: np.ndarray,  # [3, 3], columns are the half-axes left, down and front, image pixels
    swatch: np.ndarray,  # a map of longitude and latitude
    origin: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:
    """Sample the visible half of an ellipsoid."""
    x, y = (np.arange(size[i]) / SAMPLES + origin[i] - center[i] for i in range(2))
    inverse = np.linalg.inv(axes).astype(np.float32)
    # A point (x, y, z) of the surface has |inverse @ (x, y, z)| = 1; z is the larger root.
    flat = (
        inverse[:, 0, None, None] * x.astype(np.float32)
        + inverse[:, 1, None, None] * y.astype(np.float32)[:, None]
    )  # [3, h, w]
    toward = inverse[:, 2]
    square = toward @ toward
    dot = np.tensordot(toward, flat, 1) / square
    root = np.sqrt(np.maximum(dot**2 - ((flat**2).sum(axis=0) - 1) / square, 0))
    left, down, front = flat + toward[:, None, None] * (root - dot)
    longitude, latitude = np.arctan2(left, front), np.arctan2(down, np.hypot(left, front))
    columns = longitude * np.float32(_WIDTH / (2 * np.pi)) + np.float32(_WIDTH / 2 - 0.5)
    rows = latitude * np.float32(_HEIGHT / np.pi) + np.float32(_HEIGHT / 2 - 0.5)
    return cv2.remap(swatch, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


# ---- the map -------------------------------------------------------------------------------------


def head_map(rng: np.random.Generator, skin: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Paint face and hair as a map of longitude and latitude, uint8 [h, w, 3]."""
    canvas = np.empty((_HEIGHT, _WIDTH, 3), np.uint8)
    canvas[:] = skin
    dark, lips = skin * 0.72, skin * (0.86, 0.55, 0.55)
    brow = hair * 0.8 if rng.random() < 0.8 else dark

    def spot(
        longitude: float, latitude: float, width: float, height: float, color: Iterable[float]
    ) -> None:
        x, y = _WIDTH / 2 + longitude * _WIDTH / 360, (latitude + 90) * _HEIGHT / 180
        half = width * _WIDTH / 360, height * _HEIGHT / 180
        center, axes = (round(16 * x), round(16 * y)), tuple(max(round(16 * a), 8) for a in half)
        cv2.ellipse(canvas, center, axes, 0, 0, 360, tuple(map(float, color)), -1, cv2.LINE_AA, 4)

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
    chin = 1 - 0.3 * np.linspace(0, 1, _HEIGHT, dtype=np.float32) ** 2  # darker from below
    return (canvas * chin[:, None, None]).astype(np.uint8)


def _put_on_hair(
    canvas: np.ndarray, rng: np.random.Generator, hair: np.ndarray, skin: np.ndarray
) -> None:
    """Color everything above a hairline that is high on the forehead and low on the nape."""
    style = rng.random()
    bald, hat = style < 0.08, style > 0.86
    top, nape = rng.uniform(-48, -28), rng.uniform(20, 45)  # of the forehead
    line = [top, top + 3, -17, -5, max(nape - 18, top), nape]
    if hat:
        line = [top, top, top + 2, top + 4, top + 10, top + 10]
    latitudes = np.array(line) + rng.normal(0, 1.5, 6)
    longitudes = np.array([0, 45, 62, 85, 100, 180])
    x = _WIDTH / 2 * (1 + np.concatenate([-longitudes[::-1], longitudes]) / 180)
    y = _HEIGHT * (np.concatenate([latitudes[::-1], latitudes]) / 180 + 0.5)
    outline = np.vstack([(0, -1), np.column_stack([x, y]), (_WIDTH, -1)])
    color = cloth_color(rng) if hat else hair
    cv2.fillPoly(canvas, [np.rint(outline).astype(np.int32)], tuple(map(float, color)))
    if bald:
        canvas[: int(_HEIGHT * rng.uniform(0.3, 0.45))] = skin
