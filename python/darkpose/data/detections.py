# SPDX-License-Identifier: Apache-2.0
"""People that a detector has found, for evaluation on the boxes it gives.

Published accuracies are mostly on detected boxes: the annotated ones are too good, and a test set
has none. The boxes come in COCO's results format, as every detector writes it.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from darkpose.data import joint_sets
from darkpose.data.annotation_file import checked, keypoint_categories, known_id, read_json
from darkpose.data.annotations import DETECTED, Annotations, ImageFiles, PersonRecord, spec_of
from darkpose.data.labels import AREA_PER_BOX, labeled
from darkpose.data.spec import KeypointSpec
from darkpose.data.tally import Tally
from darkpose.values import finite, number, shown

OWN_BOX = "box"
"""The field of a person's box in results that `darkpose predict` writes: pycocotools would take the
person's area from one called `bbox`."""


def box_of(person: Mapping[str, Any], name: str) -> Any:
    """Return a detected or predicted person's box; `name` is what messages call the person.

    Raises:
        ValueError: there is none.
    """
    for key in ("bbox", OWN_BOX):
        if person.get(key) is not None:
            return person[key]
    poses = ": results of keypoints serve as boxes if each has a 'box', as darkpose predict writes"
    raise ValueError(f"{name} must have 'bbox', got none{poses * ('keypoints' in person)}")


def load_detections(
    detections: str | Path,
    images: str | Path,
    image_root: str | Path,
    *,
    spec: KeypointSpec | str | Path | None = None,
    threshold: float = 0.0,
    category: str | int | None = None,
    content: Mapping[str, Any] | None = None,
) -> Annotations:
    """Read detected people, without opening any image.

    Their joints are all unlabeled. Boxes of zero size, of which no crop can be made, are left out
    with a warning.

    Args:
        detections: a list of `image_id`, `category_id`, `bbox` (x, y, width, height) and `score`;
            or what `darkpose predict` wrote.
        images: COCO-style file with the images that the detector has seen; it may be a test set's
            image information, which has no annotations.
        image_root: folder that each image's `file_name` is relative to.
        spec: the joints to predict. None: those of the category of `images`, or COCO's if it names
            none; a path: a YAML file that completes them; a `KeypointSpec`: used as it is.
        threshold: least score of a box; 0 as in HRNet.
        category: name or id of whom to take. None: the categories with keypoints, or `person`.
        content: of `images`, if it has been read already.

    Raises:
        FileNotFoundError: a file is missing; the message says who publishes it.
        ValueError: a file is not what it should be; a detection lacks a value or has NaN in it; the
            detections are of other images; nobody is left.
    """
    content = read_json(images) if content is None else content
    content = checked(content, images, annotated=False)
    categories = _categories(content, images, category)
    if spec is None and not categories[0].get("keypoints"):
        spec = joint_sets.COCO
    spec = spec_of(categories[0], images, spec)

    found = read_json(detections)
    if not isinstance(found, list):
        raise ValueError(f"{detections} must be a list of detections, got {type(found).__name__}")
    wanted = {one["id"]: one for one in categories}
    people = [
        (f"{detections}: the detection at position {position}", detection)
        for position, detection in enumerate(found)
        if _category_of(detection, position, detections, wanted) is not None
    ]
    listed = {image["id"]: image for image in content["images"]}
    strange = [one["image_id"] for _, one in people if known_id(one["image_id"], listed) is None]
    if strange:
        raise ValueError(
            f"{detections} must be detections in images of {images}, got a detections file for "
            f"other images: {len(strange)} of {len(people)}, first of image_id {shown(strange[0])}"
        )
    files, tally = ImageFiles(content["images"], images, Path(image_root)), Tally(detections)
    unlabeled = np.zeros((spec.num_joints, 3))
    unlabeled.flags.writeable = False  # all share it: a test set has a million detections
    records = []
    for name, person in people:
        x, y, width, height = finite(box_of(person, name), f"{name}: bbox", 4).tolist()
        score = number(person["score"], f"{name}: score")
        if not math.isfinite(score):
            raise ValueError(f"{name} must have a finite score, got {shown(person['score'])}")
        if score < threshold:
            continue
        if min(width, height) <= 0:
            tally.add("detections whose boxes have no size, left out", name)
            continue
        image_id = known_id(person["image_id"], listed)
        file, size = files.of(image_id, name)
        records.append(
            PersonRecord(
                image_path=file,
                image_id=image_id,
                annotation_id=DETECTED,
                image_size=size,
                box=(x, y, width, height),
                area=AREA_PER_BOX * width * height,
                joints=unlabeled,
                score=score,
            )
        )
    tally.say()
    if not records:
        raise ValueError(
            f"{detections} must hold boxes of category {', '.join(map(str, wanted))} with a score "
            f"of at least {threshold:g}, got none among {len(found)} detections"
        )
    truth = None
    if "annotations" in content:
        truth = labeled(content, images, categories, spec.num_joints).content
    return Annotations(tuple(records), spec, categories[0]["id"], truth, detections)


def _categories(
    content: Mapping[str, Any], images: str | Path, wanted: str | int | None
) -> Sequence[Mapping[str, Any]]:
    """Return the categories of the people to take."""
    categories: Sequence[Mapping[str, Any]] = content["categories"]
    if content.get("annotations") or any(one.get("keypoints") for one in categories):
        return keypoint_categories(content, images, wanted)
    name = "person" if wanted is None else str(wanted)
    chosen = [one for one in categories if name in (str(one["id"]), one.get("name"))]
    if not chosen:
        what = f"category {shown(wanted)}"
        if wanted is None:
            what = "a category named 'person', or one with keypoints"
        raise ValueError(
            f"{images} must have {what}, got {[one.get('name') for one in categories]}"
        )
    return chosen


def _category_of(detection: Any, position: int, path: str | Path, wanted: Mapping[Any, Any]) -> Any:
    """Return which of the wanted categories a detection is of, None if of another."""
    name = f"{path}: the detection at position {position}"
    for key in ("image_id", "category_id", "score"):
        if not isinstance(detection, dict) or detection.get(key) is None:
            raise ValueError(f"{name} must have {key!r}, got none")
    box_of(detection, name)
    return known_id(detection["category_id"], wanted)
