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

_LONGEST = 640  # pixels of a picture of one person


class Truth(NamedTuple):
    """What is annotated of a person."""

    joints: NDArray[np.float64]  # [K, 3] x, y, v
    area: float  # square pixels
    names: tuple[str, ...]


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
) -> list[Panel]:
    """Return one person as each way finds them, with OKS and errors where the truth is known."""
    crops = [way.predictor.codec.crop(box) for way in ways]
    close = view(pixels, _hull(crops), _LONGEST)
    panels = []
    if truth is not None:
        fitting = [w.predictor.spec for w in ways if w.predictor.spec.names == truth.names]
        if fitting:
            points = apply(close.matrix, truth.joints[:, :2])
            drawn = draw_skeleton(close.pixels, points, fitting[0], truth.joints[:, 2] > 0)
            panels.append(Panel("annotated", drawn))
    for way in ways:
        spec, label = way.predictor.spec, way.label
        person = way.predictor(pixels, box[None]).keypoints[0].astype(np.float64)
        points = apply(close.matrix, person[:, :2])
        drawn = draw_skeleton(close.pixels, points, spec, person[:, 2] > threshold)
        if truth is not None and spec.names == truth.names:
            likeness = float(oks(person, truth.joints, truth.area, spec.oks_sigmas))
            label = f"{label}: OKS {likeness:.3f}"
            joints = truth.joints.copy()
            joints[:, :2] = apply(close.matrix, joints[:, :2])
            drawn = draw_errors(drawn, points, joints)
        panels.append(Panel(label, drawn))
    return panels


def _hull(crops: Sequence[Crop]) -> Box:
    """Return the smallest box that holds all crops."""
    centers, halves = (np.array([getattr(one, n) for one in crops]) for n in ("center", "size"))
    low, high = (centers - halves / 2).min(0), (centers + halves / 2).max(0)
    return (*low.tolist(), *(high - low).tolist())
