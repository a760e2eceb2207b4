# SPDX-License-Identifier: Apache-2.0
"""Decoding JPEGs at a fraction of their size: what it saves, and how the crops differ, as Markdown.

    DARKPOSE_DATA=... python benchmarks/scaled_decoding.py [--seconds 3] [--json FILE]

An option of the data, off by default. The first table is of evaluation, of the people whose image
is reduced: as for `benchmarks/loading.py`, with whole images and with scaled decoding. The second
is of the crops, of all people whose own crop would allow it, in gray levels: the difference from
crops of the whole image, in the mean and by percentiles; in the mean from crops of the image
averaged over blocks of pixels, which has no aliasing; and in crop pixels, by phase correlation, how
far crops are displaced with the right map between the grids and with x / reduction.
"""

import sys
from dataclasses import replace
from itertools import compress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.loading import (  # noqa: E402  from the folder this file is in
    Row,
    loader_of,
    rates,
    run,
    through,
)
from darkpose.data.annotations import Annotations  # noqa: E402
from darkpose.data.dataset import KeypointDataset  # noqa: E402
from darkpose.data.images import (  # noqa: E402
    DecodedImage,
    Image,
    decode_image,
    largest_reduction,
)
from darkpose.geometry import Matrix, invert  # noqa: E402

SIZES = ((192, 256), (96, 128))


def speed(coco: Annotations, seconds: float) -> list[Row]:
    """Return rates of evaluation with whole and with scaled decoding, where it is scaled at all."""
    rows = []
    for size in SIZES:
        everybody = KeypointDataset(coco, size)
        own = np.array([largest_reduction(everybody.matrices(crop)[0]) for crop in everybody.crops])
        reduced = ~np.isin(everybody.images, everybody.images[own == 1])
        some = replace(coco, records=tuple(compress(everybody.records, reduced)))
        ways = {
            name: through(loader_of(KeypointDataset(some, size, scaled_decoding=name == "scaled")))
            for name in ("whole", "scaled")
        }
        found = rates(ways, len(some), seconds)
        row: Row = {"input": size, "people": len(some), "share": len(some) / len(everybody)}
        row |= {"whole images": found["whole"]["people per second"]}
        rows.append(row | found["scaled"])
    return rows


def differences(coco: Annotations) -> list[Row]:
    """Return how crops from reduced images differ, by input and reduction."""
    rows = []
    for size in SIZES:
        people = KeypointDataset(coco, size)
        found: dict[int, list[tuple[NDArray[np.int16], float, NDArray[np.float64]]]] = {}
        for record, crop in zip(people.records, people.crops, strict=True):
            to_input, _ = people.matrices(crop)
            if (reduction := largest_reduction(to_input)) > 1:
                found.setdefault(reduction, []).append(
                    compare(record.image_path, reduction, to_input, size)
                )
        for reduction, values in sorted(found.items()):
            gray = np.concatenate([levels.ravel() for levels, _, _ in values])
            row: Row = {"input": size, "reduction": reduction, "people": len(values)}
            row |= {"share": len(values) / len(people), "mean": float(gray.mean())}
            row |= {f"{q} %": int(np.percentile(gray, q)) for q in (50, 95, 99)}
            row["mean to averaged"] = float(np.mean([value for _, value, _ in values]))
            moved = np.abs(np.median([shifts for _, _, shifts in values], axis=0)).max(axis=1)
            row |= {"displaced": float(moved[0]), "with x / reduction": float(moved[1])}
            rows.append(row)
    return rows


def compare(
    path: Path, reduction: int, to_input: Matrix, size: tuple[int, int]
) -> tuple[NDArray[np.int16], float, NDArray[np.float64]]:
    """Return the differences from the whole image's crop, the averaged one's mean, displacements.

    The last are [2, 2]: with the right map and with the wrong one, in x and y.
    """
    whole, reduced = decode_image(path), decode_image(path, reduction)
    crop = whole.crop(invert(to_input), size)
    scaled = reduced.crop(invert(to_input), size)
    without = DecodedImage(reduced.pixels, reduced.size)  # as if on the stored image's grid
    wrong = without.crop(invert(to_input @ np.diag([reduction, reduction, 1.0])), size)
    means = averaged(whole, reduction).crop(invert(to_input), size)
    shifts = np.array([displacement(crop, other) for other in (scaled, wrong)])
    signed = scaled.astype(np.int16)
    return np.abs(signed - crop), float(np.abs(signed - means).mean()), shifts


def averaged(image: DecodedImage, reduction: int) -> DecodedImage:
    """Return an image of the means of blocks of pixels; the last ones repeat the border."""
    height, width = image.pixels.shape[:2]
    more = ((0, -height % reduction), (0, -width % reduction), (0, 0))
    blocks = np.pad(image.pixels, more, mode="edge")
    blocks = blocks.reshape(-(-height // reduction), reduction, -1, reduction, 3)
    return DecodedImage(blocks.mean((1, 3)).round().astype(np.uint8), image.size, reduction)


def displacement(one: Image, other: Image) -> tuple[float, float]:
    """Return by how many pixels (x, y) `other` is moved, by phase correlation."""
    gray = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32) for crop in (one, other)]
    window = cv2.createHanningWindow(gray[0].shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(gray[0], gray[1], window)
    return x, y


def measure(coco: Annotations, seconds: float) -> dict[str, list[Row]]:
    """Return both tables by name."""
    return {"speed": speed(coco, seconds), "crops": differences(coco)}


if __name__ == "__main__":
    run(__doc__, measure)
