# SPDX-License-Identifier: Apache-2.0
"""What predictors see in an image, as pictures: skeletons, heatmaps, one way beside another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.data.drawing import Image, View, draw_errors, draw_skeleton, overlay, view
from darkpose.data.spec import KeypointSpec
from darkpose.evaluate.metrics import oks
from darkpose.geometry import Box, Crop, apply, compose
from darkpose.predict.predictor import Predictor
from darkpose.show.maps import PersonMaps
from darkpose.show.truths import Truth

_LONGEST = 640  # pixels of a picture of one person


class Panel(NamedTuple):
    """A picture and what it shows."""

    title: str
    picture: Image


class Way(NamedTuple):
    """A way to find keypoints, and what a column of a comparison is called."""

    label: str
    predictor: Predictor


def with_skeletons(
    whole: View,
    people: NDArray[np.float32],  # [N, K, 3] x, y in pixels of the image, score
    spec: KeypointSpec,
    threshold: float = 0.2,
) -> Image:
    """Return the view of an image with skeletons; joints below the threshold are left out."""
    picture = whole.pixels
    for person in people:
        points = apply(whole.matrix, person[:, :2])
        picture = draw_skeleton(picture, points, spec, person[:, 2] > threshold)
    return picture


def with_heatmaps(whole: View, people: Sequence[PersonMaps], joint: int | None = None) -> Image:
    """Return the view of an image with everybody's heatmaps over it: of one joint, or of all."""
    picture = whole.pixels
    for seen in people:
        maps = seen.heatmaps if joint is None else seen.heatmaps[joint]
        picture = overlay(picture, maps.numpy(), compose(whole.matrix, seen.to_image))
    return picture


def compare(
    ways: Sequence[Way],
    pixels: Image,
    box: NDArray[np.float64],  # x, y, width, height
    truth: Truth | None = None,
    threshold: float = 0.2,
    *,
    annotated: bool = False,
) -> list[Panel]:
    """Return one person as each way finds them, with OKS and errors where the truth is known; the
    box of one who is `annotated` is clipped as each predictor does."""
    size, given = (pixels.shape[1], pixels.shape[0]), box[None]
    boxes = [way.predictor.clipped(given, size) if annotated else given for way in ways]
    crops = [way.predictor.codec.crop(its[0]) for way, its in zip(ways, boxes, strict=True)]
    close = view(pixels, _hull(crops), _LONGEST)
    panels = []
    if truth is not None:
        specs = (way.predictor.spec for way in ways)
        fitting = [(spec, joints) for spec in specs if (joints := truth.of(spec)) is not None]
        if fitting:
            spec, joints = fitting[0]
            points = apply(close.matrix, joints[:, :2])
            panels.append(
                Panel("annotated", draw_skeleton(close.pixels, points, spec, joints[:, 2] > 0))
            )
    for way, its in zip(ways, boxes, strict=True):
        spec, label = way.predictor.spec, way.label
        person = way.predictor(pixels, its).keypoints[0].astype(np.float64)
        points = apply(close.matrix, person[:, :2])
        drawn = draw_skeleton(close.pixels, points, spec, person[:, 2] > threshold)
        known = None if truth is None else truth.of(spec)
        if truth is not None and known is not None:
            likeness = float(oks(person, known, truth.area, spec.oks_sigmas))
            label = f"{label}: OKS {likeness:.3f}"
            known[:, :2] = apply(close.matrix, known[:, :2])
            drawn = draw_errors(drawn, points, known)
        panels.append(Panel(label, drawn))
    return panels


def _hull(crops: Sequence[Crop]) -> Box:
    """Return the smallest box that holds all crops."""
    centers, halves = (np.array([getattr(one, n) for one in crops]) for n in ("center", "size"))
    low, high = (centers - halves / 2).min(0), (centers + halves / 2).max(0)
    return (*low.tolist(), *(high - low).tolist())
