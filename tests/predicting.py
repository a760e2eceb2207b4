# SPDX-License-Identifier: Apache-2.0
"""Untrained networks as checkpoints, for the tests of prediction: their heatmaps have peaks."""

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from darkpose.codec import HeatmapCodec
from darkpose.data.joint_sets import COCO
from darkpose.data.spec import KeypointSpec
from darkpose.models.pose import PoseModel
from darkpose.predict.command import predict
from darkpose.predict.options import PredictOptions
from photos import photo

BATCH = 8
SIZE = (320, 240)
CLOSE = 1e-2  # pixels, for `MOST` joints: the same network in batches of another size
MOST = 0.99
BOXES = np.array([[40.0, 30, 100, 150], [150, 20, 80, 200], [0, 0, 320, 240]])


def untrained(spec: KeypointSpec = COCO, seed: int = 0, **codec: Any) -> PoseModel:
    """Return a network of seeded random weights whose heatmaps are uneven, with clear peaks."""
    torch.manual_seed(seed)
    task = PoseModel(HeatmapCodec(**{"input_size": (64, 64), **codec}), spec)
    with torch.no_grad():
        task.network.final_layer.weight *= 100  # type: ignore[operator, union-attr]
        task.network.final_layer.bias += 4  # type: ignore[operator, union-attr]
    return task.eval()


def save(model: PoseModel, path: Path) -> Path:
    """Write a checkpoint as `convert` does."""
    model.save(path)
    return path


def rgb_photo(size: tuple[int, int] = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    """A picture of blurred noise [H, W, 3], of that (width, height)."""
    return photo(size, seed)


def share_within(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> float:
    """Return the share of joints [..., 2] that are nearer than the tolerance."""
    return float((np.linalg.norm(found - expected, axis=-1) <= tolerance).mean())


def close(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Whether joints [..., 2] are those of the same network in batches of another size."""
    return share_within(found, expected, CLOSE) >= MOST


def run(*arguments: Any, **options: Any) -> str:
    """Run the command and return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        predict(PredictOptions(*arguments, **options))
    return printed.getvalue()


def clip(path: Path, frames: int = 5, codec: str = "MJPG") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, SIZE)
    assert writer.isOpened()
    for seed in range(frames):
        writer.write(rgb_photo(seed=seed)[..., ::-1])
    writer.release()
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def points(row: dict[str, Any]) -> NDArray[np.float64]:
    return np.array([[float(row[f"{name}_{axis}"]) for axis in "xy"] for name in COCO.names])


INLINE = ";".join(",".join(f"{value:g}" for value in box) for box in BOXES)


PERSON = {"id": 1, "name": "person", "keypoints": ["nose"]}
"""A category of COCO-style files."""

RUN = {"format of results": "one", "checkpoint": "ab", "batch_size": 32, "images": {"a": [5, 0]}}
"""What a folder of results may say of a run on many machines."""


def annotation(number: int, image: int, box: Any, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": 1, "bbox": box, **more}


def write_json(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def write_parquet(path: Path, columns: dict[str, Any], group: int = 1000) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return str(path)
