# SPDX-License-Identifier: Apache-2.0
"""Synthetic people on disk, laid out as COCO lays out its key points.

FOLDER/synthetic.json                               what the folder holds, written last
FOLDER/annotations/person_keypoints_SPLIT.json
FOLDER/images/SPLIT/000000.jpg
"""

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2

from darkpose.console import say
from darkpose.data.joint_sets import COCO
from darkpose.paper.synthetic.scene import Appearance, draw_scene

VERSION = 1  # of the pictures: raise it whenever the same settings would draw other bytes
JPEG_QUALITY = 92
SETTINGS_FILE = "synthetic.json"


def write_dataset(
    folder: Path,
    images: dict[str, int],
    seed: int = 0,
    appearance: Appearance = "people",
    workers: int = 0,
) -> None:
    """Write a synthetic COCO-style data set of people.

    Returns at once if the folder already holds this very set. The folder appears only when it is
    complete: everything is written next to it and renamed. Image ids are the indices passed to
    `draw_scene`; annotation ids start at 1.

    Args:
        folder: to create; its parents are created as needed.
        images: number of images per split, for example ``{"train": 1500, "val": 300}``.
        seed: of the data set.
        appearance: "people" or "silhouettes".
        workers: processes to draw with, one per core if 0. More than one start fresh
            interpreters, so a script must keep its calls under ``if __name__ == "__main__"``.

    Raises:
        ValueError: for settings that cannot be drawn.
        FileExistsError: if the folder exists and holds anything else.
    """
    if not images or not all(name.isidentifier() and count > 0 for name, count in images.items()):
        raise ValueError(f"images must map names of splits to positive numbers, got {images!r}")
    if workers < 0:
        raise ValueError(f"workers must not be negative, got {workers}")
    folder = Path(folder)
    settings = {"version": VERSION, "seed": seed, "appearance": appearance, "images": images}
    if folder.exists():
        if _read_settings(folder) == settings:
            return
        raise FileExistsError(
            f"{folder} must not exist or must hold the synthetic set {json.dumps(settings)}, "
            f"but it holds something else"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A process more takes longer to start than some hundred images to draw.
    workers = workers or max(1, min(os.cpu_count() or 1, sum(images.values()) // 400))
    # Forking a process that runs the threads of OpenCV or PyTorch may hang.
    spawn = multiprocessing.get_context("spawn")
    with (
        TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as hidden,
        ProcessPoolExecutor(workers, spawn, cv2.setNumThreads, (1,))
        if workers > 1
        else nullcontext() as pool,
    ):
        parallel = partial(pool.map, chunksize=16) if pool else map
        draft = Path(hidden) / "set"
        (draft / "annotations").mkdir(parents=True)
        for split, count in images.items():
            (draft / "images" / split).mkdir(parents=True)
            draw = partial(_write_image, draft, seed, split, appearance)
            content = _coco(split, list(parallel(draw, range(count))))
            path = draft / "annotations" / f"person_keypoints_{split}.json"
            path.write_text(json.dumps(content))
        (draft / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n")
        draft.rename(folder)


@wraps(write_dataset)
def synth(folder: Path, images: dict[str, int], **options: Any) -> None:
    there = folder.exists()
    write_dataset(folder, images, **options)
    for split, count in images.items():
        file = folder / "annotations" / f"person_keypoints_{split}.json"
        people = len(json.loads(file.read_bytes())["annotations"])
        said = f"{file}: {count} images, {people} people"
        say(f"{said}, drawn before" if there else said)


def _write_image(
    folder: Path, seed: int, split: str, appearance: Appearance, index: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write one picture; return its COCO image record and its annotations, still without ids."""
    scene = draw_scene(seed, split, index, appearance)
    name = f"{index:06d}.jpg"
    parameters = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR), parameters)
    (folder / "images" / split / name).write_bytes(data.tobytes())
    height, width = scene.image.shape[:2]
    annotations = [
        {
            "image_id": index,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": list(person.box),
            "area": person.area,
            "num_keypoints": int((person.keypoints[:, 2] > 0).sum()),
            "keypoints": [
                number
                for x, y, v in person.keypoints
                for number in (round(x, 3), round(y, 3), int(v))
            ],
        }
        for person in scene.people
    ]
    return {"id": index, "file_name": name, "width": width, "height": height}, annotations


def _coco(split: str, drawn: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> dict[str, Any]:
    people = [annotation for _, annotations in drawn for annotation in annotations]
    person = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO.names)}
    return {
        "info": {"description": f"darkpose synthetic people, {split}"},
        "images": [record for record, _ in drawn],
        # COCO's evaluation takes annotation 0 for no annotation at all.
        "annotations": [{"id": i, **annotation} for i, annotation in enumerate(people, start=1)],
        "categories": [{**person, "skeleton": [[a + 1, b + 1] for a, b in COCO.skeleton]}],
    }


def _read_settings(folder: Path) -> Any:
    try:
        return json.loads((folder / SETTINGS_FILE).read_text())
    except (OSError, ValueError):
        return None
