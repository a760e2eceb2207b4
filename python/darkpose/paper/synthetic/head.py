# SPDX-License-Identifier: Apache-2.0
"""The head: an ellipsoid wrapped in a painted map of face and hair, with nose and ears on it.

The face is painted once, flat, as a map of longitude and latitude, and wrapped around the skull
by solving for the point of the ellipsoid behind each sample. Features therefore foreshorten and
disappear behind the head as they should, from any direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from darkpose.paper.synthetic.body import SIDE_NAMES, SIDES, Build, Skeleton, View
from darkpose.paper.synthetic.render import SAMPLES, Part, frame
from darkpose.paper.synthetic.shapes import capsules, ellipse, hull

# Nose, left and right eye, left and right ear in units of the skull's half-axes.
FACE_POINTS = np.array(
    [
        [0, 0.16, 1.12],
        [0.37, -0.1, 0.91],
        [-0.37, -0.1, 0.91],
        [1.06, 0.04, -0.08],
        [-1.06, 0.04, -0.08],
    ]
)
_BRIDGE = np.array([[0, -0.05, 0.95], [0, 0.16, 1.06]])  # of the nose, to its tip
_DOWN = np.array([0.0, 1.0])
MAP_WIDTH, MAP_HEIGHT = 160, 80  # 360 x 180 degrees; the middle column is the middle of the face


def head_axes(build: Build) -> np.ndarray:
    """Return the skull's half-axes [3] (sideways, up, forward) in standing heights."""
    return build.head * np.array([0.37, 0.5, 0.44])


@dataclass(frozen=True)
class Globe:
    """The visible half of an ellipsoid; its swatch is a map of longitude and latitude."""

    center: np.ndarray  # [2] image pixels
    axes: np.ndarray  # [3, 3], columns are the half-axes left, down and front, image pixels

    def sample(self, swatch: np.ndarray, origin: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        width, height = size
        x = np.arange(width) / SAMPLES + origin[0] - self.center[0]
        y = np.arange(height) / SAMPLES + origin[1] - self.center[1]
        inverse = np.linalg.inv(self.axes).astype(np.float32)
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
        longitude = np.arctan2(left, front)
        latitude = np.arctan2(down, np.hypot(left, front))
        map_height, map_width = swatch.shape[:2]
        columns = longitude * np.float32(map_width / (2 * np.pi)) + np.float32(map_width / 2 - 0.5)
        rows = latitude * np.float32(map_height / np.pi) + np.float32(map_height / 2 - 0.5)
        return cv2.remap(swatch, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def head_parts(build: Build, body: Skeleton, hair: float, view: View) -> list[Part]:
    """Return skull, nose, ears and, where ``hair`` (head heights) is long, hair."""
    axes = body.head_frame * head_axes(build)  # columns are half-axes
    zoom = view.scale * float(view.magnification(body.head))
    size = build.head * zoom
    center, pixels = view.project(body.head), axes * zoom
    depth = float(body.head[2]) + 0.04

    def on_skull(name: str, point: np.ndarray, outlines: Sequence[np.ndarray]) -> Part:
        """Return a feature of skin, behind the skull where ``point`` is on its far side."""
        level = depth + (0.001 if axes[2] @ point > 0 else -0.001)
        where = view.project(body.head + axes @ point)
        return Part(name, "skin", outlines, level, frame(where, _DOWN, 0.14 * size, 3.0))

    directions, lengths, _ = np.linalg.svd(pixels[:2])
    skull = [ellipse(center, directions * lengths)]
    bridge = view.project(body.head + _BRIDGE @ axes.T)
    radii = np.array([0.05, 0.085]) * size
    round_ = np.ones(1)
    nose = capsules(bridge[:1], bridge[1:], radii[:1], radii[1:], round_, round_)
    parts = [
        Part("head", "head", skull, depth, Globe(center, pixels)),
        on_skull("nose", FACE_POINTS[0], tuple(nose)),
    ]
    for side, side_name, point in zip(SIDES, SIDE_NAMES, FACE_POINTS[3:], strict=True):
        deep = 0.16 * pixels[:2, 2] + 0.1 * side * pixels[:2, 0]
        lobe = np.stack([0.2 * pixels[:2, 1], deep], axis=1)
        outline = ellipse(view.project(body.head + axes @ point), lobe, 12)
        parts.append(on_skull(f"{side_name} ear", point, (outline,)))
    return [*parts, _long_hair(build, body, hair, view)] if hair else parts


def _long_hair(build: Build, body: Skeleton, length: float, view: View) -> Part:
    """Return hair that hangs down the back of the head, between gravity and the spine."""
    axes = body.head_frame * head_axes(build)
    down = 0.6 * body.chest_frame[:, 1] + np.array([0, 0.4, 0])
    crown = body.head + axes @ np.array([0, -0.25, -0.35])
    nape = body.head + axes @ np.array([0, 0.35, -0.55])
    end = nape + (0.25 + length) * build.head * down
    zoom = view.scale * build.head
    points = view.project(np.stack([crown, nape, end]))
    radii = np.array([0.42, 0.43, 0.3]) * zoom
    strands = capsules(points[:-1], points[1:], radii[:-1], radii[1:], np.ones(2), np.full(2, 0.5))
    along = points[2] - points[0]
    surface = frame(points[0], along / max(float(np.hypot(*along)), 1e-3), 0.45 * zoom, 1.0)
    # Hair hangs behind head and trunk unless the back of the head faces the viewer.
    behind = body.head_frame[2, 2] > -0.25
    levels = (body.head[2], body.chest[2], body.waist[2])
    depth = float(min(levels) - 0.05 if behind else max(levels) + 0.05)
    return Part("hair", "hair", (hull(strands[0], strands[1][:7]), strands[1]), depth, surface)
