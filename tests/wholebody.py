# SPDX-License-Identifier: Apache-2.0
"""Made people of COCO-WholeBody, and what a network might say of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import Annotations, load_annotations
from darkpose.data.dataset import KeypointDataset
from darkpose.data.joint_sets import COCO, JOINT_SETS
from darkpose.data.wholebody import FIELDS
from darkpose.evaluate.evaluation import Evaluation

SPEC = JOINT_SETS["coco_wholebody"]
IMAGES, PEOPLE = 12, 5  # of one image


def annotations() -> dict[str, Any]:
    """Return people with faces, hands and feet, some of whose parts are not valid."""
    random = np.random.default_rng(0)
    people = []
    for i in range(IMAGES * PEOPLE):
        size = random.uniform(60, 300)
        corner = random.uniform(0, 300, 2)
        person: dict[str, Any] = {
            "id": i + 1,
            "image_id": i // PEOPLE + 1,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": [*corner.tolist(), size, 2 * size],
            "area": size**2,
        }
        for field, count in FIELDS.items():
            valid = field == "keypoints" or random.random() < 0.7
            points = corner + random.uniform(0, 1, (count, 2)) * (size, 2 * size)
            v = random.choice([0, 1, 2], (count, 1), p=[0.2, 0.2, 0.6]) * valid
            person[field] = (np.hstack([points, v]) * (v > 0)).ravel().tolist()
            if field != "keypoints":
                person[field.replace("_kpts", "_valid")] = bool(valid)
        person["num_keypoints"] = sum(v > 0 for v in person["keypoints"][2::3])
        people.append(person)
    images = [{"id": i + 1, "file_name": "a.jpg", "width": 640, "height": 960} for i in range(12)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.names), "skeleton": []}
    return {"images": images, "annotations": people, "categories": [category]}


def predicted(people: Annotations) -> np.ndarray:
    """Return points [N, 133, 2] that err by the sigmas of their joints, a few times over."""
    random = np.random.default_rng(1)
    points = np.stack([record.joints[:, :2] for record in people.records])
    error = random.uniform(0, 2.5, (len(points), 1, 1)) * np.array(SPEC.oks_sigmas)[:, None]
    scale = np.sqrt([record.area for record in people.records])[:, None, None]
    return points + error * scale * random.normal(size=points.shape)


def results(people: Annotations) -> list[dict[str, Any]]:
    found = np.concatenate([predicted(people), np.full((len(people), 133, 1), 0.5)], -1)
    scores = np.random.default_rng(2).permutation(len(people)) / len(people)
    return [
        {
            "image_id": record.image_id,
            "category_id": 1,
            "keypoints": joints.ravel().tolist(),
            "score": float(score),
        }
        for record, joints, score in zip(people.records, found, scores, strict=True)
    ]


def evaluated(people: Annotations) -> Evaluation:
    """Return the evaluation of `predicted`."""
    dataset = KeypointDataset(people, (64, 64))
    found = Evaluation(HeatmapCodec((64, 64)), dataset, people.content, ["dark"], "none")
    points, readable = predicted(people), np.ones(len(people), bool)
    scores = np.full(points.shape[:2], 0.5)
    found.put(np.arange(len(people)), readable, {"dark": points}, {"dark": scores})
    return found


def loaded(folder: Path) -> Annotations:
    """Return the people of `annotations`, written to a folder, as 133 joints."""
    file = folder / "wholebody.json"
    file.write_text(json.dumps(annotations()))
    return load_annotations(file, folder, spec="coco_wholebody")
