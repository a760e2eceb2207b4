# SPDX-License-Identifier: Apache-2.0
"""People per second that one core reads and crops, as Markdown: ours beside the released way.

    DARKPOSE_DATA=... python benchmarks/loading.py [--seconds 3] [--json FILE]

On COCO's images (found in memory, as the kernel keeps what has been read), crops of 192 x 256, one
process, one thread, batches of 32 as a loader makes them. The released way reads the image for each
person, warps, normalizes in floating point and renders 17 targets of 48 x 64; its affine maps are
made beforehand. Ours gives uint8 crops and joints. The ways take turns (`benchmarks/harness.py`).

Three tables: evaluation by people per image; training by how many people of an image go together,
and what a batch is then made of; and the ladder: what each step costs.
`benchmarks/scaled_decoding.py` has the option to decode JPEGs at a fraction of their size.
"""

import argparse
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import harness, released  # noqa: E402  from the folder this file is in
from darkpose.data.annotations import Annotations, load_annotations  # noqa: E402
from darkpose.data.augment import Augmentation  # noqa: E402
from darkpose.data.dataset import KeypointDataset  # noqa: E402
from darkpose.data.grouping import image_numbers  # noqa: E402
from darkpose.data.images import decode_image  # noqa: E402
from darkpose.data.loading import ResumableLoader, SeededSampler  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402
from darkpose.geometry import apply  # noqa: E402

BATCH, SIZE, SIGMA = 32, (192, 256), 2.0
PEOPLE_PER_IMAGE = {"1": (1, 1), "2": (2, 2), "3 or 4": (3, 4), "5 to 13": (5, 13), "all": (1, 99)}
TOGETHER = (1, 2, 4, 8)
READ = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
Row = dict[str, Any]


# ---- the released way ----------------------------------------------------------------------------


class ReleasedDataset(Dataset[tuple[torch.Tensor, ...]]):
    """Whom another data set holds, as released loaders read them; maps are made beforehand."""

    def __init__(self, people: KeypointDataset) -> None:
        self.records = people.records
        self.maps = [people.matrices(crop) for crop in people.crops]
        self.joints = [
            apply(to_heatmap, record.joints[:, :2]).astype(np.float32)
            for record, (_, to_heatmap) in zip(people.records, self.maps, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        record, (to_input, _) = self.records[index], self.maps[index]
        image = cv2.imread(str(record.image_path), READ)
        crop = cv2.warpAffine(image, to_input, SIZE, flags=cv2.INTER_LINEAR)
        pixels = released.normalized(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB))
        labeled = record.joints[:, 2] > 0
        targets = rendered(self.joints[index], labeled)
        return pixels, torch.from_numpy(targets), torch.from_numpy(labeled.astype(np.float32))


def rendered(joints: NDArray[np.float32], labeled: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the targets of one person [K, H, W]; a joint without a label costs nothing."""
    maps = np.zeros((len(joints), SIZE[1] // 4, SIZE[0] // 4), np.float32)
    maps[labeled] = released.encode(joints[None, labeled], *maps.shape[1:], SIGMA)[0]
    return maps


# ---- timing --------------------------------------------------------------------------------------


def through(batches: Iterable[Any]) -> Callable[[], object]:
    """Return a call that asks a loader for all of an epoch and keeps nothing."""
    return lambda: deque(batches, 0)


def loader_of(people: KeypointDataset, together: int | None = None) -> ResumableLoader:
    """Return our loader: for evaluation, or for training with so many of an image together."""
    images = None if together == 1 else people.images
    sampler = SeededSampler(
        len(people), shuffle=together is not None, images=images, together=together or 1
    )
    return ResumableLoader(people, BATCH, sampler=sampler)  # type: ignore[arg-type]


def rates(ways: Mapping[str, Callable[[], object]], people: int, seconds: float) -> dict[str, Row]:
    """Return for each way the people per second, and the ratio to the first way's, by turns."""
    samples = harness.take_turns(ways, seconds)
    first = next(iter(samples.values()))
    return {
        name: {
            "people per second": 1e6 * people / median(taken),
            "ratio": median(slow / fast for slow, fast in zip(first, taken, strict=True)),
        }
        for name, taken in samples.items()
    }


# ---- tables --------------------------------------------------------------------------------------


def evaluation(coco: Annotations, seconds: float) -> list[Row]:
    """Return rates of evaluation, by people per image."""
    found = Counter(record.image_path for record in coco.records)
    rows = []
    for name, (least, most) in PEOPLE_PER_IMAGE.items():
        chosen = tuple(r for r in coco.records if least <= found[r.image_path] <= most)
        people = KeypointDataset(replace(coco, records=chosen), SIZE)
        ways = {
            "released": through(DataLoader(ReleasedDataset(people), BATCH)),
            "ours": through(loader_of(people)),
        }
        row: Row = {"people per image": name, "people": len(people)}
        row |= {"images": len(set(people.images))}
        found_rates = rates(ways, len(people), seconds)
        row |= {"released": found_rates["released"]["people per second"]}
        rows.append(row | found_rates["ours"])
    return rows


def training(coco: Annotations, images: NDArray[np.int64], seconds: float) -> list[Row]:
    """Return rates of training, and what a batch of COCO's val2017 is then made of.

    The released way shuffles but does not augment, which would only add to it.
    """
    plain = KeypointDataset(coco, SIZE)
    augmented = KeypointDataset(coco, SIZE, augmentation=Augmentation())
    ways = {"released": through(DataLoader(ReleasedDataset(plain), BATCH, shuffle=True))}
    ways |= {str(most): through(loader_of(augmented, most)) for most in TOGETHER}
    found = rates(ways, len(plain), seconds)
    rows: list[Row] = [{"together": "released", **found["released"], **mixture(images, 1)}]
    for most in TOGETHER:
        rows.append({"together": most, **found[str(most)], **mixture(images, most)})
    return rows


def mixture(images: NDArray[np.int64], most: int, epochs: int = 10) -> Row:
    """Return what a batch is made of, on average over epochs.

    Decodings per person; the number of images; the share of pairs of people that are of one image.
    """
    given = None if most == 1 else images
    sampler = SeededSampler(len(images), step=BATCH, images=given, together=most)
    decoded, distinct, pairs = [], [], []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        order = images[[index for _, index in sampler]].reshape(-1, BATCH)
        for batch in order:
            counts = np.unique(batch, return_counts=True)[1]
            decoded.append((1 + np.count_nonzero(np.diff(batch))) / BATCH)
            distinct.append(len(counts))
            pairs.append((counts * (counts - 1)).sum() / (BATCH * (BATCH - 1)))
    return {
        "decodings per person": float(np.mean(decoded)),
        "images per batch": float(np.mean(distinct)),
        "pairs of one image": float(np.mean(pairs)),
    }


def ladder(coco: Annotations, seconds: float) -> list[Row]:
    """Return the microseconds of each step, per call, averaged over people."""
    people = KeypointDataset(coco, SIZE)
    held = KeypointDataset(coco, SIZE, cache_images=True)
    theirs, n = ReleasedDataset(people), len(people)
    paths = [record.image_path for record in people.records]
    data = [np.frombuffer(path.read_bytes(), np.uint8) for path in paths]
    images = {path: cv2.imread(str(path), READ) for path in paths}
    decoded = {path: decode_image(path) for path in paths}
    to_image = [people.to_image(crop)[0] for crop in people.crops]
    maps = [to_input for to_input, _ in theirs.maps]
    crop = decoded[paths[0]].crop(to_image[0], SIZE)
    labeled = [record.joints[:, 2] > 0 for record in people.records]
    steps: dict[str, Callable[[int], object]] = {
        "released: cv2.imread": lambda i: cv2.imread(str(paths[i]), READ),
        "released: warp 3 channels": lambda i: cv2.warpAffine(images[paths[i]], maps[i], SIZE),
        "released: to RGB, normalize": lambda i: released.normalized(
            cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
        ),
        "released: render targets": lambda i: rendered(theirs.joints[i], labeled[i]),
        "ours, per image: read the file": lambda i: paths[i].read_bytes(),
        "ours, per image: decode": lambda i: cv2.imdecode(data[i], READ),
        "ours, per image: all, checked": lambda i: decode_image(paths[i]),
        "ours: crop": lambda i: decoded[paths[i]].crop(to_image[i], SIZE),
        "ours: affine maps": lambda i: people.to_image(people.crops[i]),
        "ours: a sample, its image in memory": lambda i: held[i],
    }

    def over_people(step: Callable[[int], object]) -> Callable[[], object]:
        return lambda: deque(map(step, range(n)), 0)

    samples = harness.take_turns({name: over_people(steps[name]) for name in steps}, seconds)
    return [{"step": name, "microseconds": median(taken) / n} for name, taken in samples.items()]


# ---- printing ------------------------------------------------------------------------------------


def text(value: object) -> str:
    """Return a cell: counts and names as they are, other numbers with three digits."""
    if isinstance(value, tuple):
        return " x ".join(map(text, value))
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def report(tables: Mapping[str, list[Row]], file: Path | None) -> None:
    """Print tables as Markdown, and write them to a file if there is one."""
    about = harness.machine()
    print(*(f"{key} {value}" for key, value in about.items()), sep=" | ")
    for name, rows in tables.items():
        cells = [[text(value) for value in row.values()] for row in rows]
        print(f"\n{name}\n\n{table(list(rows[0]), cells)}")
    if file:
        harness.write(file, {"machine": about, **tables})


def coco_mini() -> Annotations:
    """Return people of COCO's val2017, with their images."""
    root = Path(os.environ["DARKPOSE_DATA"]) / "coco_mini"
    file = root / "annotations" / "person_keypoints_val2017.json"
    return load_annotations(file, root / "images" / "val2017")


def run(description: str, measure: Callable[[Annotations, float], Mapping[str, list[Row]]]) -> None:
    """Be a command: measure, print, write."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3, help="to measure each way for")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    harness.set_threads(1)
    report(measure(coco_mini(), options.seconds), options.json)


def measure(coco: Annotations, seconds: float) -> dict[str, list[Row]]:
    """Return all tables by name."""
    joints = np.load(Path(os.environ["DARKPOSE_DATA"]) / "coco_val2017_joints.npz")
    val2017 = image_numbers(joints["image_id"].tolist())
    return {
        "evaluation": evaluation(coco, seconds),
        "training": training(coco, val2017, seconds),
        "ladder": ladder(coco, seconds),
    }


if __name__ == "__main__":
    run(__doc__, measure)
