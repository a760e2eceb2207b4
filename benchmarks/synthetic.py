# SPDX-License-Identifier: Apache-2.0
"""Are the synthetic people a problem worth solving? Three figures and an error table, as Markdown.

    python benchmarks/synthetic.py [--out runs/synthetic] [--epochs 14]

A predictor of the mean pose, a network trained and evaluated on the images, the same network
trained and evaluated on silhouettes of the very same scenes: not fooled by them, but given all that
they tell. Then the errors of occluded joints beside those of visible ones.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkpose.data.batches import Batches
from darkpose.data.spec import KeypointSpec
from darkpose.evaluate.metrics import (
    bootstrap_difference,
    coco_results,
    error_table,
    evaluate_oks,
    oks,
)
from darkpose.paper.ablation import by_encoding
from darkpose.paper.demo import synthetic_build
from darkpose.paper.runs import Run
from darkpose.paper.synthetic import write_dataset


def mean_pose_ap(data: Batches) -> float:
    """Return the AP of the training people's mean pose, placed into each annotated box."""
    train, val = data.train_set.records, data.val_set.records
    boxes = np.array([record.box for record in train])[:, None]
    joints = np.stack([record.joints for record in train])
    weights = (joints[..., 2:] > 0).astype(float)
    relative = (joints[..., :2] - boxes[..., :2]) / boxes[..., 2:]
    mean = (weights * relative).sum(0) / weights.sum(0)
    targets = np.array([record.box for record in val])[:, None]
    points = targets[..., :2] + mean * targets[..., 2:]
    results = coco_results(val, points, np.ones(points.shape[:2]))
    assert data.truth is not None
    return evaluate_oks(data.truth, results, data.spec.oks_sigmas)["AP"]


def similarity(run: Run, spec: KeypointSpec) -> NDArray[np.float64]:
    """Return the OKS [N] of a run's people."""
    found = run.predictions["dark"]
    areas = [record.area for record in found.records]
    return oks(found.points, found.joints, areas, spec.oks_sigmas)


def main() -> None:
    """Draw, train, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/synthetic"))
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--train-images", type=int, default=2000)
    options = parser.parse_args()
    figures: dict[str, float] = {}
    runs: dict[str, Run] = {}
    for appearance in ("people", "silhouettes"):
        folder = options.out / appearance
        images = {"train": options.train_images, "val": 200}
        write_dataset(folder, images, appearance=appearance)
        build = synthetic_build(folder, options.epochs)
        out = options.out / f"{appearance}-runs"
        runs[appearance] = by_encoding(build, out, ["unbiased"], [0])["unbiased"][0]
        if not figures:
            data = build({}, 0, out / "unbiased-0")[1]
            data.setup("fit")
            figures["the mean pose in every box"] = mean_pose_ap(data)
            spec = data.spec
        where = "the images" if appearance == "people" else "silhouettes"
        name = f"the small network, trained and evaluated on {where}"
        figures[name] = runs[appearance].figures["dark"]["AP"]

    print("| predictor | AP |\n| --- | --- |")
    for name, value in figures.items():
        print(f"| {name} | {value:.4f} |")
    images, outlines = (similarity(runs[name], spec) for name in ("people", "silhouettes"))
    d = bootstrap_difference(images, outlines)
    print(f"\nmean OKS {images.mean():.3f} on the images, {outlines.mean():.3f} on silhouettes, ")
    print(f"difference {d.mean:+.3f} ({d.low:+.3f} to {d.high:+.3f}), p = {d.p:.2f}")
    print("\n| joint | visible | median error | PCK@0.1 | occluded | median error | PCK@0.1 |")
    print("| --- " * 7 + "|")
    table = {}
    found = runs["people"].predictions["dark"]
    for row in error_table(found.points, found.joints, found.boxes, spec.names):
        table[row.name, row.visibility] = row
    for name in dict.fromkeys(name for name, _ in table):
        cells = [
            f"{row.count} | {row.median:.3f} | {row.pck[0.1]:.3f}"
            for row in (table[name, "visible"], table[name, "occluded"])
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
