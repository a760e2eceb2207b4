# SPDX-License-Identifier: Apache-2.0
"""Scenes: people among other people and things, with the truth about every joint.

A scene's shapes and its colors come from two independent random streams. The same scene can thus
be drawn as photograph-like "people" or as "silhouettes" of exactly the same outline, which shows
how much a network learns from what is inside the outline.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

import cv2
import numpy as np

from darkpose.paper.synthetic.body import Skeleton, Viewpoint, sample_build, sample_pose
from darkpose.paper.synthetic.figure import (
    Figure,
    make_figure,
    person_fabrics,
    sample_outfit,
    visible_joints,
)
from darkpose.paper.synthetic.render import Part, coverage, cut, paint
from darkpose.paper.synthetic.surroundings import (
    draw_background,
    occluder_fabrics,
    sample_occluder,
)

Appearance = Literal["people", "silhouettes"]
SIZES = ((320, 240), (320, 240), (240, 320), (320, 256), (288, 288), (256, 320))
SILHOUETTE, SURROUNDINGS = 215, 40  # gray levels

MIN_VISIBLE_PIXELS = 400
MIN_VISIBLE_JOINTS = 5
MIN_LABELLED_JOINTS = 8

_SPAN = ("head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe")
# Gaussian quantiles, so that noise is a table look-up on random bytes: 20 times as fast as
# drawing normal numbers, and as good at eight bits.
_NORMAL = np.array([NormalDist().inv_cdf((level + 0.5) / 256) for level in range(256)])


@dataclass(frozen=True)
class Person:
    """The truth about one person, as COCO annotates it."""

    keypoints: np.ndarray  # float64 [17, 3] (x, y, v); v is 2 visible, 1 occluded, 0 not in image
    box: tuple[float, float, float, float]  # (x, y, w, h) around the visible pixels
    area: int  # number of visible pixels
    mask: np.ndarray  # bool [H, W], the visible pixels


@dataclass(frozen=True)
class Scene:
    """A picture and the people in it."""

    image: np.ndarray  # uint8 [H, W, 3] RGB
    people: list[Person]


# Parts and stencil of a person or, where there is no figure, of an object in the scene.
_Thing = tuple[list[Part], np.ndarray, Figure | None]


def draw_scene(seed: int, split: str, index: int, appearance: Appearance = "people") -> Scene:
    """Draw image `index` of a split, alone: the result depends on nothing but the arguments.

    Args:
        seed: of the data set, not negative.
        split: name of the split, for example "train"; every name is a world of its own.
        index: of the image within the split, not negative.
        appearance: "people", or "silhouettes" for the same scene in two flat grays.

    Raises:
        ValueError: for another appearance or a negative number.
    """
    if appearance not in get_args(Appearance):
        raise ValueError(f'appearance must be "people" or "silhouettes", got {appearance!r}')
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, got {seed} and {index}")
    split_number = int.from_bytes(split.encode(), "big")
    streams = np.random.SeedSequence((seed, split_number, index)).spawn(2)
    shapes, colors = (np.random.default_rng(stream) for stream in streams)
    while True:  # until everybody can be seen
        size = SIZES[shapes.integers(len(SIZES))]
        things = _place(shapes, size)
        people = _look(things, size)
        if all(_recognizable(person) for person in people):
            break
    if appearance == "silhouettes":
        image = np.full((size[1], size[0], 3), SURROUNDINGS, np.uint8)
        for person in people:
            image[person.mask] = SILHOUETTE
        return Scene(image, people)
    image = draw_background(colors, size)
    for parts, stencil, figure in things:
        fabrics = person_fabrics(colors) if figure else occluder_fabrics(colors)
        paint(image, stencil, parts, fabrics)
    return Scene(_photograph(colors, image), people)


def _recognizable(person: Person) -> bool:
    visibility = person.keypoints[:, 2]
    return bool(
        person.area >= MIN_VISIBLE_PIXELS
        and (visibility == 2).sum() >= MIN_VISIBLE_JOINTS
        and (visibility > 0).sum() >= MIN_LABELLED_JOINTS
    )


def _place(rng: np.random.Generator, size: tuple[int, int]) -> list[_Thing]:
    """Put people, and things in front of them, into an empty image, back to front."""
    count = (1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4)[rng.integers(12)]
    tallest = 230 if count < 3 else 175
    boxes: list[np.ndarray] = []
    things: list[_Thing] = []
    for _ in range(count):
        figure = _sample_person(rng, size, rng.uniform(110, tallest), boxes)
        things.append((figure.parts, cut(figure.parts, size), figure))
    for _ in range((0, 0, 0, 0, 1, 1)[rng.integers(6)]):
        parts = sample_occluder(rng, boxes[rng.integers(count)])
        things.insert(int(rng.integers(0, len(things) + 1)), (parts, cut(parts, size), None))
    return things


def _sample_person(
    rng: np.random.Generator, size: tuple[int, int], height: float, boxes: list[np.ndarray]
) -> Figure:
    """Draw a person and a place; append the box (x, y, w, h) of its joints to `boxes`."""
    build, outfit = sample_build(rng), sample_outfit(rng)
    body = Skeleton(build, sample_pose(rng))
    view = Viewpoint(np.zeros(2), height, rng.uniform(2.2, 7))
    points = view.project(np.vstack([getattr(body, name) for name in _SPAN]))
    low, high = points.min(axis=0) - 0.06 * height, points.max(axis=0) + 0.06 * height
    extent = high - low
    cut_off = rng.random() < 0.25
    for _ in range(8):
        if cut_off:
            middle = rng.uniform(0.02, 0.98, 2) * size
        else:
            room = np.maximum(np.array(size) - extent, 0) / 2
            middle = np.array(size) / 2 + rng.uniform(-1, 1, 2) * room
        box = np.concatenate([middle - extent / 2, extent])
        if all(_overlap(box, other) < 0.2 for other in boxes):
            break
    boxes.append(box)
    return make_figure(build, body, outfit, Viewpoint(box[:2] - low, height, view.distance))


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the intersection of two boxes (x, y, w, h) over the smaller of their areas."""
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(first[:2] + first[2:], second[:2] + second[2:])
    return float(np.maximum(high - low, 0).prod() / min(first[2:].prod(), second[2:].prod()))


def _look(things: list[_Thing], size: tuple[int, int]) -> list[Person]:
    """Find out what can be seen of every person."""
    owner = np.zeros(size[::-1], np.uint8)  # 1 + index of the thing on top
    for number, (_, stencil, _) in enumerate(things, start=1):
        owner[coverage(stencil) > 127] = number
    people = []
    for number, (_, stencil, figure) in enumerate(things, start=1):
        if figure is None:
            continue
        mask = owner == number
        joints = figure.joints
        inside = np.all((joints >= 0) & (joints <= np.array(size) - 1), axis=1)
        shown = inside & visible_joints(figure, stencil)
        columns, rows = np.rint(joints[shown]).astype(int).T
        shown[shown] = mask[rows, columns]
        keypoints = np.column_stack([joints, np.where(shown, 2.0, 1.0)]) * inside[:, None]
        x, y, w, h = map(float, cv2.boundingRect(mask.view(np.uint8)))
        people.append(Person(keypoints, (x, y, w, h), int(np.count_nonzero(mask)), mask))
    return people


# ---- the camera ----------------------------------------------------------------------------------


def _photograph(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Return `image` under uneven light, exposed, blurred, with sensor noise and compressed."""
    light = rng.uniform(0.75, 1.0, (2, 2)).astype(np.float32) * 255
    light = cv2.resize(light, image.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    image = cv2.multiply(image, cv2.cvtColor(light, cv2.COLOR_GRAY2RGB), scale=1.2 / 255)
    gain, gamma = rng.uniform(0.75, 1.2) * rng.uniform(0.93, 1.07, 3), np.exp(rng.normal(0, 0.22))
    levels = (np.arange(256)[:, None] / 255) ** gamma * gain * 255
    image = cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8).reshape(1, 256, 3))
    sigma = rng.uniform(0, 0.6)
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if rng.random() < 0.7:
        noise = np.rint(_NORMAL * rng.uniform(1, 4))
        random = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
        up, down = (np.maximum(part, 0).astype(np.uint8) for part in (noise, -noise))
        image = cv2.subtract(cv2.add(image, cv2.LUT(random, up)), cv2.LUT(random, down))
    if rng.random() < 0.25:
        quality = int(rng.integers(35, 85))
        _, encoded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return image
