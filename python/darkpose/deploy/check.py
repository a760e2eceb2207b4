# SPDX-License-Identifier: Apache-2.0
"""Compare an exported file with the checkpoint it came from.

The two add up the same products in another order. A joint whose map has two maxima of nearly the
same height, or one so flat that its Taylor step hangs on the last digits, is decided by that: such
joints are told from wrong ones by changing the map a little and decoding again.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.drawing import draw_skeleton
from darkpose.data.images import Image, crop_image
from darkpose.data.joint_sets import COCO
from darkpose.deploy.program import CropsToKeypoints, ImageToKeypoints, Precision, Program

Runner = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

BATCHES = (1, 2, 5, 24, 32, 32, 32)  # people
DECIDED = 0.5  # of the joints, at least: what hangs on rounding says nothing of the file
TRIALS = 16


class Tolerance(NamedTuple):
    """What a file may differ by, and what explains a joint that differs by more."""

    pixels: float
    """Of the image, between a joint's two places."""
    score: float
    """Of the largest score, between two scores of a joint."""
    rounding: float
    """Of a map's height, by which it is changed to see what hangs on rounding."""


TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(1e-3, 1e-4, 1e-5),  # sums in another order
    "fp16": Tolerance(0.1, 5e-3, 5e-3),  # layers that round to 1 in 2048
}
GRAY_LEVELS = 1  # between crops

_SIDE = 256  # pixels of a drawn person's image
# A standing person's joints in COCO's order, in percent of the box's width and height.
_STANDING = np.column_stack(
    [
        (50, 53, 47, 57, 43, 66, 34, 75, 25, 78, 22, 60, 40, 61, 39, 62, 38),
        (8, 6, 6, 7, 7, 20, 20, 35, 35, 50, 50, 53, 53, 74, 74, 96, 96),
    ]
)


@dataclass(frozen=True)
class Comparison:
    """How many joints of the file are where the checkpoint has them."""

    joints: int
    agreeing: int
    undecided: int
    """Others, that a small change of their map moves as well."""
    largest: float
    """Distance in image pixels among those that agree."""
    tolerance: Tolerance = TOLERANCES["fp32"]
    levels: int = 0
    """By which the file's own crops differ from the checkpoint's."""

    @property
    def fault(self) -> str:
        """Why the file is no good; nothing if it is.

        All joints agree but those that rounding decides, and at least half are not decided so.
        """
        if self.levels > GRAY_LEVELS:
            return f"its crops differ by up to {self.levels} gray levels from the checkpoint's"
        decided = self.joints - self.undecided
        if wrong := decided - self.agreeing:
            return f"{wrong} of {self.joints} joints are not where the checkpoint has them"
        if decided < DECIDED * self.joints:
            return f"{self.undecided} of {self.joints} joints hang on rounding, too many to compare"
        return ""

    @property
    def passed(self) -> bool:
        """Whether the file is good."""
        return not self.fault

    def __str__(self) -> str:
        batches = ", ".join(map(str, dict.fromkeys(BATCHES)))
        text = (
            f"{self.agreeing} of {self.joints} joints within {self.tolerance.pixels:g} pixels of "
            f"the checkpoint's, at most {self.largest:.1g} apart (batches of {batches} people)"
        )
        rest = self.joints - self.agreeing
        if rest == 0:
            return text
        return (
            f"{text}; of the other {rest}, {self.undecided} hang on rounding: near-ties of the "
            "maximum or maps too flat for a step, which a change of "
            f"{self.tolerance.rounding:g} moves as far"
        )


def people_crops(codec: HeatmapCodec, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return crops [N, H, W, 3] of drawn people and their matrices [N, 2, 3] to the image."""
    return _cut(codec, (_draw_person(np.random.default_rng((seed, i))) for i in range(count)))


def people_image(count: int, seed: int = 0) -> tuple[Image, NDArray[np.float32]]:
    """Return an image [H, W, 3] of drawn people side by side, and their boxes [N, 4]."""
    columns = math.isqrt(count - 1) + 1
    image = np.zeros((_SIDE * -(-count // columns), _SIDE * columns, 3), np.uint8)
    boxes = np.empty((count, 4), np.float32)
    for i in range(count):
        y, x = (_SIDE * place for place in divmod(i, columns))
        drawn, boxes[i] = _draw_person(np.random.default_rng((seed, i)))
        image[y : y + _SIDE, x : x + _SIDE] = drawn
        boxes[i, :2] += x, y
    return image, boxes


def _cut(
    codec: HeatmapCodec, people: Iterable[tuple[Image, NDArray[Any]]]
) -> tuple[Tensor, Tensor]:
    """Return crops and matrices, as `people_crops`, of images and boxes."""
    crops, matrices = [], []
    for image, box in people:
        crop = codec.crop(box)
        to_input = codec.image_to_input(crop)
        crops.append(crop_image(image, to_input, codec.input_size, codec.enlarging))
        matrices.append(codec.heatmap_to_image(crop).astype(np.float32))
    return torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(matrices))


def _draw_person(rng: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
    """Return COCO's skeleton before a scene of colors, RGB [256, 256, 3], and its box (x, y, w, h).

    Trained networks see a person in it: clear peaks, so that hardly a joint hangs on rounding.
    """
    height = rng.uniform(70, 220)
    size = height * np.array([rng.uniform(0.3, 0.8), 1.0])
    corner = rng.uniform(0, _SIDE - size)
    joints = corner + (_STANDING + rng.normal(0, 5, _STANDING.shape)) / 100 * size
    # Detail of every size, as photos have it: also untrained maps then have one maximum.
    octaves = (rng.uniform(-1, 1, (side, side, 3)) for side in (2, 4, 8, 16, 32, 64, 128))
    enlarged = [
        cv2.resize(octave, (_SIDE, _SIDE), None, 0, 0, cv2.INTER_CUBIC) for octave in octaves
    ]
    image = (128 + 60 * np.sum(enlarged, 0)).clip(0, 255).astype(np.uint8)
    return draw_skeleton(image, joints, COCO), np.concatenate([corner, size])


@torch.inference_mode()
def compare(
    program: Program, exported: Runner, cut: Runner | None = None, precision: Precision = "fp32"
) -> Comparison:
    """Run both on drawn people in batches of several sizes.

    Args:
        program: the checkpoint's; its model's own crops, flip test and decoding are what is
            compared with.
        exported: the file, as a function of what the program takes.
        cut: of a program from images, what the file cuts, as `ImageToCrops`. Joints are those of
            these crops, which must be the checkpoint's within a gray level. None: eager torch's.
        precision: of the file's network.
    """
    people = program.people if isinstance(program, ImageToKeypoints) else program
    codec, tolerance = people.model.codec, TOLERANCES[precision]
    joints = agreeing = undecided = levels = 0
    largest = 0.0
    for seed, count in enumerate(BATCHES):
        if isinstance(program, ImageToKeypoints):
            image, boxes = people_image(count, seed)
            given = torch.from_numpy(image), torch.from_numpy(boxes)
            coords, scores = program.joints(*exported(*given))
            expected_crops, matrices = _cut(codec, ((image, box) for box in boxes))
            batch, _ = (cut or program.cut)(*given)
            levels = max(levels, int((batch.int() - expected_crops.int()).abs().max()))
        else:
            batch, matrices = people_crops(codec, count, seed)
            coords, scores = exported(batch, matrices)
        maps = _maps(people, batch)
        expected, heights = _decode(people, maps, matrices)
        distance = (coords - expected).norm(dim=-1)
        alike = (scores - heights).abs() <= tolerance.score * heights.abs().max()
        agrees = (distance <= tolerance.pixels) & alike
        joints += agrees.numel()
        agreeing += int(agrees.sum())
        if agrees.any():
            largest = max(largest, float(distance[agrees].max()))
        if not agrees.all():
            moved = _moved_by_rounding(people, maps, matrices, expected, tolerance.rounding)
            undecided += int((~agrees & alike & (moved > tolerance.pixels)).sum())
    return Comparison(joints, agreeing, undecided, largest, tolerance, levels)


def _maps(program: CropsToKeypoints, crops: Tensor) -> tuple[Tensor, ...]:
    model = program.model
    with torch.autocast(crops.device.type, enabled=False):
        maps = (model(crops), model(crops.flip(2))) if program.flip_test else (model(crops),)
    return maps


def _decode(
    program: CropsToKeypoints, maps: tuple[Tensor, ...], to_image: Tensor
) -> tuple[Tensor, Tensor]:
    flipped = maps[1] if len(maps) > 1 else None
    codec = program.model.codec
    return codec.decode(maps[0], to_image, decoder=program.decoder, flipped=flipped)


def _moved_by_rounding(
    program: CropsToKeypoints,
    maps: tuple[Tensor, ...],
    to_image: Tensor,
    expected: Tensor,
    rounding: float,
) -> Tensor:  # [B, K]
    """Return how far small changes of the maps move each joint, in image pixels."""
    generator = torch.Generator().manual_seed(0)
    moved = torch.zeros(expected.shape[:-1])
    for _ in range(TRIALS):
        changed = []
        for each in maps:
            noise = torch.randn(each.shape, generator=generator)
            changed.append(each + rounding * each.abs().amax((-2, -1), keepdim=True) * noise)
        coords, _ = _decode(program, tuple(changed), to_image)
        moved = torch.maximum(moved, (coords - expected).norm(dim=-1))
    return moved
