# SPDX-License-Identifier: Apache-2.0
"""What moved when crops became those of the op and no longer OpenCV's: pixels, joints, AP.

    DARKPOSE_DATA=... python benchmarks/crop_change.py CHECKPOINT [--data lspet] [--json FILE]

The same network sees both crops of the people of `coco_mini`, or of Leeds Sports Pose Extended's
300; as Markdown. Before is `cv2.warpAffine` on four channels, as all of darkpose's crops were
before it had the op. A joint that moved further than 0.05 pixels of the image hangs on single gray
levels if it moves as far when as many values of OpenCV's crop as differ, at random places, are a
level higher or lower; other joints of the same people that would move so are counted beside.
"""

import argparse
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
import darkpose_ext  # noqa: E402
from benchmarks import harness  # noqa: E402  from the folder this file is in
from darkpose.codec import HeatmapCodec  # noqa: E402
from darkpose.data.annotations import load_annotations  # noqa: E402
from darkpose.data.dataset import KeypointDataset  # noqa: E402
from darkpose.data.images import Image, read_image  # noqa: E402
from darkpose.evaluate.evaluation import Evaluation  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402
from darkpose.geometry import Matrix, invert  # noqa: E402
from darkpose.models.pose import PoseModel  # noqa: E402

DATA = {
    "coco_mini": ("annotations/person_keypoints_val2017.json", "images/val2017"),
    "lspet": ("lspet_val.json", "images"),
}
PIXELS = 0.05  # of the image
TRIALS = 256
BATCH = 32
DECODER = "dark"


def before(image: Image, to_input: Matrix, size: tuple[int, int]) -> Image:
    """Return the crop [H, W, 3] as it was, of (width, height)."""
    rgba = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    warped = cv2.warpAffine(rgba, to_input, size, flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), np.uint8)


def now(image: Image, to_input: Matrix, size: tuple[int, int]) -> Image:
    """Return the op's crop [H, W, 3]."""
    to_image = torch.from_numpy(invert(to_input))[None]
    index = torch.zeros(1, dtype=torch.int64)
    crops = darkpose_ext.crop([torch.from_numpy(image)], index, to_image, size[1], size[0])
    return np.asarray(crops[0].numpy())


def both(codec: HeatmapCodec, people: KeypointDataset) -> tuple[Tensor, Tensor, Tensor]:
    """Return everybody's crops before and now [N, H, W, 3], and maps to the image [N, 2, 3]."""
    read = lru_cache(2)(read_image)  # people of an image come one after another
    crops: tuple[list[Image], list[Image]] = ([], [])
    to_image = []
    for record, crop in zip(people.records, people.crops, strict=True):
        to_input = codec.image_to_input(crop)
        for made, cut in zip(crops, (before, now), strict=True):
            made.append(cut(read(record.image_path), to_input, codec.input_size))
        to_image.append(codec.heatmap_to_image(crop).astype(np.float32))
    old, new = (torch.from_numpy(np.stack(made)) for made in crops)
    return old, new, torch.from_numpy(np.stack(to_image))


@torch.inference_mode()
def joints(
    model: PoseModel, crops: Tensor, to_image: Tensor, flip_test: bool
) -> tuple[Tensor, Tensor]:
    """Return coordinates [N, K, 2] in image pixels and scores [N, K]."""
    found = []
    for some, maps in zip(crops.split(BATCH), to_image.split(BATCH), strict=True):
        heatmaps, flipped = model.heatmaps(some, flip_test)
        found.append(model.codec.decode(heatmaps, maps, decoder=DECODER, flipped=flipped))
    points, scores = zip(*found, strict=True)
    return torch.cat(points), torch.cat(scores)


def moved_by_levels(
    model: PoseModel, old: Tensor, new: Tensor, to_image: Tensor, *, flip_test: bool
) -> Tensor:
    """Return how far joints [N, K] move, at most, where levels change at random places."""
    random = torch.Generator().manual_seed(0)
    if not len(old):
        return torch.zeros(0, model.spec.num_joints)
    expected, _ = joints(model, old, to_image, flip_test)
    changes = (old != new).flatten(1).sum(1).tolist()
    most = torch.zeros(expected.shape[:2])
    for _ in range(TRIALS):
        changed = old.flatten(1).clone()
        for row, count in zip(changed, changes, strict=True):
            places = torch.randint(row.numel(), (count,), generator=random)
            level = 2 * torch.randint(2, (count,), generator=random) - 1
            row[places] = (row[places] + level).clamp(0, 255).to(torch.uint8)
        points, _ = joints(model, changed.view_as(old), to_image, flip_test)
        most = torch.maximum(most, (points - expected).norm(dim=-1))
    return most


def levels(old: Tensor, new: Tensor) -> dict[str, Any]:
    """Return how crops differ, in gray levels."""
    apart = (old.int() - new.int()).abs()
    shares = {"values": apart.numel(), "values that differ": (apart > 0).double().mean().item()}
    return {"people": len(old), **shares, "levels at most": int(apart.max())}


def compared(
    model: PoseModel, people: KeypointDataset, annotations: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return how the crops differ, and what becomes of it without and with the flip test."""
    old, new, to_image = both(model.codec, people)
    rows = []
    for flip_test in (False, True):
        found = [joints(model, crops, to_image, flip_test) for crops in (old, new)]
        distance = (found[0][0] - found[1][0]).norm(dim=-1)
        far = distance > PIXELS
        row: dict[str, Any] = {"flip test": flip_test, "joints": distance.numel()}
        row |= {"within 0.05": (~far).double().mean().item(), "median": distance.median().item()}
        row |= {"moved further": int(far.sum()), "at most": distance.max().item()}
        whose = far.any(1)
        those = (each[whose] for each in (old, new, to_image))
        moved = moved_by_levels(model, *those, flip_test=flip_test)
        hang = moved > PIXELS
        row["hang on gray levels"] = int((hang & far[whose]).sum())
        row["of the same people's others"] = (
            f"{(hang & ~far[whose]).sum()} of {(~far[whose]).sum()}"
        )
        scale = to_image[:, None, 0, 0]
        row["at most, heatmap pixels"] = (distance / scale).max().item()
        for when, (points, scores) in zip(("before", "now"), found, strict=True):
            figures = scored(model, people, annotations, points, scores)
            row |= {f"{name} {when}": value for name, value in figures.items()}
        rows.append(row)
    return levels(old, new), rows


def scored(
    model: PoseModel, people: KeypointDataset, annotations: Any, points: Tensor, scores: Tensor
) -> dict[str, float]:
    """Return AP and AR of keypoints, as `darkpose validate` has them."""
    evaluation = Evaluation(model.codec, people, annotations, [DECODER])
    found = [{DECODER: each.double().numpy()} for each in (points, scores)]
    evaluation.put(np.arange(len(people)), np.ones(len(people), bool), *found)
    figures = evaluation.figures(DECODER)
    return {name: figures[name] for name in ("AP", "AR")}


def main() -> None:
    """Compare, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="of a trained network")
    parser.add_argument("--data", choices=DATA, default="coco_mini", help="whose people")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    harness.set_threads(1)
    file, images = (
        Path(os.environ["DARKPOSE_DATA"]) / options.data / n for n in DATA[options.data]
    )
    annotations = load_annotations(file, images)
    model = PoseModel.load(options.checkpoint).eval()
    codec = model.codec
    people = KeypointDataset(
        annotations,
        codec.input_size,
        heatmap_size=codec.heatmap_size,
        convention=codec.convention,
        padding=codec.padding,
    )
    crops, rows = compared(model, people, annotations.content)
    for each in ([crops], rows):
        cells = [[shown(value) for value in row.values()] for row in each]
        print(table(list(each[0]), cells), end="\n\n")
    if options.json:
        harness.write(
            options.json, {"machine": harness.machine(), "crops": [crops], "joints": rows}
        )


def shown(value: object) -> str:
    """Return a cell."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
