# SPDX-License-Identifier: Apache-2.0
"""Skeletons and heatmaps on images, as pixels: what figures, commands and reports have in common.

Points are (x, y) with pixel centers at integers, as everywhere; colors are (red, green, blue).
"""

import colorsys
import math
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkpose.data import joint_sets
from darkpose.data.sides import sides
from darkpose.data.spec import KeypointSpec
from darkpose.geometry import Matrix

Image = NDArray[np.uint8]  # [H, W, 3], RGB
Color = tuple[int, int, int]

LEFT: Color = (0, 255, 0)
RIGHT: Color = (255, 128, 0)
CENTER: Color = (51, 153, 255)
"""What the field draws COCO's, MPII's and AI Challenger's left, right and middle with (mmpose)."""

_WHITE: Color = (255, 255, 255)
_FAR = 1e6  # pixels: a line that long is drawn right, and OpenCV's fixed point can hold it
_SHIFT = 4  # OpenCV's fixed point: positions to 1/16 pixel
_SLENDER = 100  # limbs' widths in a person's longer side
_FACE = {"nose", "eye", "ear"}
_LIMBS = {("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")}


def _joints(spec: KeypointSpec) -> frozenset[tuple[str, str]]:
    """Return the sides and joints of a keypoint set, whatever its names are spelled like."""
    return frozenset((one.side, one.joint) for one in sides(spec.names))


@cache
def _sided_limbs() -> dict[frozenset[tuple[str, str]], set[tuple[str, str]]]:
    """Return by joints the limbs with a side's color; all others are the middle's.

    LSP has the joints of AI Challenger.
    """
    trunk = {("pelvis", "hip"), ("thorax", "shoulder"), ("upper_neck", "shoulder")}
    return {
        _joints(joint_sets.COCO): _LIMBS,
        _joints(joint_sets.AIC): _LIMBS,
        _joints(joint_sets.MPII): _LIMBS | trunk,
    }


class SkeletonColors(NamedTuple):
    """A color for each joint and each limb of a keypoint set."""

    joints: tuple[Color, ...]
    limbs: tuple[Color, ...]


@lru_cache(maxsize=16)
def skeleton_colors(spec: KeypointSpec) -> SkeletonColors:
    """Return the colors that a keypoint set's skeleton is customarily drawn with.

    COCO, MPII, AI Challenger and LSP, told by their joints' names in any order and spelling, have
    their left arm and leg green, the right ones orange, face, head and trunk blue. In other sets
    each joint has a color of its own, warm if it is a left one, cold if a right one, and a limb has
    that of its second end. What the keypoint set itself says goes before all of it.
    """
    if spec.joint_colors or spec.limb_colors:
        customary = skeleton_colors(replace(spec, joint_colors=(), limb_colors=()))
        given = tuple(map(_rgb, spec.joint_colors)) or customary.joints
        lines = tuple(map(_rgb, spec.limb_colors)) or tuple(given[b] for _, b in spec.skeleton)
        return SkeletonColors(given, lines)
    named = sides(spec.names)
    sided = _sided_limbs().get(_joints(spec))
    if sided is None:
        joints = tuple(
            _own_color(one.side, k / max(1, len(named) - 1)) for k, one in enumerate(named)
        )
        return SkeletonColors(joints, tuple(joints[b] for _, b in spec.skeleton))
    limbs = []
    for a, b in ((named[a], named[b]) for a, b in spec.skeleton):
        of = {a.side, b.side} - {""}
        own = len(of) == 1 and ((a.joint, b.joint) in sided or (b.joint, a.joint) in sided)
        limbs.append(_side_color(of.pop()) if own else CENTER)
    return SkeletonColors(
        tuple(CENTER if one.joint in _FACE else _side_color(one.side) for one in named),
        tuple(limbs),
    )


def _side_color(side: str) -> Color:
    return {"left": LEFT, "right": RIGHT}.get(side, CENTER)


def _rgb(text: str) -> Color:
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def _own_color(side: str, place: float) -> Color:
    hue = {"left": 0.0, "right": 0.5}.get(side, 0.28) + 0.16 * place
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


# ---- drawing -------------------------------------------------------------------------------------


def draw_skeleton(
    image: Image,
    points: NDArray[np.floating],  # [K, 2] (x, y) pixels of the image
    spec: KeypointSpec,
    shown: NDArray[np.bool_] | None = None,  # [K]
    doubtful: NDArray[np.bool_] | None = None,  # [K]
) -> Image:
    """Return a copy of the image with a skeleton on it, in the colors of `skeleton_colors`.

    Joints that are not shown, or not finite, are left out together with their limbs; doubtful ones
    have a white middle. Limbs are as thick as the person is large, at most `line_width`.
    """
    canvas = image.copy()
    fixed = _fixed(points)
    visible = np.isfinite(points[:, :2]).all(-1)
    if shown is not None:
        visible &= shown
    colors = skeleton_colors(spec)
    thickness = _thickness(image, points[visible, :2])
    for (a, b), color in zip(spec.skeleton, colors.limbs, strict=True):
        if visible[a] and visible[b]:
            cv2.line(canvas, fixed[a], fixed[b], color, thickness, cv2.LINE_AA, _SHIFT)
    radius = round(1.4 * thickness * 2**_SHIFT)
    for k in np.flatnonzero(visible).tolist():
        cv2.circle(canvas, fixed[k], radius, colors.joints[k], -1, cv2.LINE_AA, _SHIFT)
        if doubtful is not None and doubtful[k]:
            cv2.circle(canvas, fixed[k], radius * 5 // 8, _WHITE, -1, cv2.LINE_AA, _SHIFT)
    return canvas


def draw_errors(
    image: Image,
    points: NDArray[np.floating],  # [K, 2] (x, y) pixels of the image
    truth: NDArray[np.floating],  # [K, 3] x, y, v
) -> Image:
    """Return a copy of the image with a white line from each point to where it should be."""
    canvas = image.copy()
    starts, ends = _fixed(points), _fixed(truth)
    thickness = max(1, line_width(image) // 2)
    known = np.isfinite(points[:, :2]).all(-1) & (truth[:, 2] > 0)
    for k in np.flatnonzero(known).tolist():
        cv2.line(canvas, starts[k], ends[k], _WHITE, thickness, cv2.LINE_AA, _SHIFT)
    return canvas


def line_width(image: Image) -> int:
    """Return how many pixels wide lines on this image are."""
    return max(1, round(max(image.shape) / 200))


def _thickness(image: Image, points: NDArray[np.floating]) -> int:
    """Return how many pixels wide the limbs between points [N, 2] are on this image."""
    near = np.clip(points, -_FAR, _FAR)
    extent = float(np.ptp(near, axis=0).max()) if len(points) > 1 else _FAR
    return max(1, min(line_width(image), round(extent / _SLENDER)))


def _fixed(points: NDArray[np.floating]) -> list[tuple[int, int]]:
    near = np.clip(np.nan_to_num(points[:, :2]), -_FAR, _FAR)
    return [(x, y) for x, y in np.round(near * 2**_SHIFT).astype(int).tolist()]


def overlay(
    image: Image,
    heatmaps: NDArray[np.floating],  # [K, h, w] or [h, w]
    to_image: Matrix,  # [2, 3], heatmap to image pixels
    opacity: float = 0.8,
) -> Image:
    """Return the image with heatmaps over it, the maximum of all where there are several.

    Colors go from dark to bright between 0 and the highest value, which covers the image most; what
    is negative or NaN is not drawn. Each heatmap pixel lies where `to_image` says.
    """
    values = np.nan_to_num(np.asarray(heatmaps, np.float32), nan=0.0)
    values = values.reshape(-1, *values.shape[-2:]).max(0).clip(min=0)
    peak = float(values.max())
    if peak == 0:
        return image.copy()
    height, width = image.shape[:2]
    shares = cv2.warpAffine(values / peak, to_image, (width, height), flags=cv2.INTER_LINEAR)
    tones = np.round(255 * np.asarray(shares)).clip(0, 255).astype(np.uint8)
    colored = cv2.cvtColor(cv2.applyColorMap(tones, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    # Full from half the height on, so that the flanks of a peak are seen and not its top alone.
    weight = opacity * np.minimum(1, 2 * np.asarray(shares))[..., None]
    mixed: Image = np.round(image + weight * (colored.astype(np.float32) - image)).astype(np.uint8)
    return mixed


# ---- views ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class View:
    """A part of an image as it is shown."""

    pixels: Image
    matrix: Matrix
    """[2, 3] from pixels of the image to those of the view."""


def view(
    image: Image,
    region: ArrayLike | None = None,  # x, y, width, height in pixels of the image
    longest: int = 640,
    enlarge: bool = True,
) -> View:
    """Return a part of an image, its longer side `longest` pixels.

    Args:
        image: to look at.
        region: what to show; of a region partly outside of the image, what is inside. None: all.
        longest: of the view's sides, in pixels.
        enlarge: whether a smaller region is enlarged to that size, or shown as it is.
    """
    height, width = image.shape[:2]
    x, y, w, h = (0, 0, width, height) if region is None else np.asarray(region, float).tolist()
    left, top = math.floor(max(0, x)), math.floor(max(0, y))
    right, bottom = math.ceil(min(width, x + w)), math.ceil(min(height, y + h))
    if right <= left or bottom <= top:  # nothing of it is inside: black, as the network sees it
        left, top, right, bottom = math.floor(x), math.floor(y), math.ceil(x + w), math.ceil(y + h)
        factor = longest / max(right - left, bottom - top, 1)
        size = [max(1, round(factor * side)) for side in (right - left, bottom - top)]
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
    else:
        factor = longest / max(right - left, bottom - top)
        factor = factor if enlarge else min(1.0, factor)
        size = [max(1, round(factor * side)) for side in (right - left, bottom - top)]
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        part = image[top:bottom, left:right]
        pixels = np.asarray(cv2.resize(part, (size[0], size[1]), interpolation=how), np.uint8)
    # Both grids cover the same area, so that their corners agree, not their first pixels' centers.
    scale = size[0] / max(right - left, 1), size[1] / max(bottom - top, 1)
    matrix = np.array(
        [
            [scale[0], 0, (0.5 - left) * scale[0] - 0.5],
            [0, scale[1], (0.5 - top) * scale[1] - 0.5],
        ]
    )
    return View(pixels, matrix)
