# SPDX-License-Identifier: Apache-2.0
"""People that a detector has found, for evaluation on the boxes it gives.

Published accuracies are mostly on detected boxes: the annotated ones are too good, and a test set
has none. The boxes come in COCO's results format, as every detector writes it.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose.data.annotations import (
    AREA_PER_BOX,
    DETECTED,
    Annotations,
    PersonRecord,
    image_file,
    keypoint_category,
    read_annotation_file,
    read_json,
)
from darkpose.data.joint_sets import COCO
from darkpose.data.spec import KeypointSpec, read_spec_yaml

_logger = logging.getLogger(__name__)


def load_detections(
    detections: str | Path,
    images: str | Path,
    image_root: str | Path,
    *,
    spec: KeypointSpec | str | Path | None = None,
    threshold: float = 0.0,
    category_id: int | None = None,
    content: Mapping[str, Any] | None = None,
) -> Annotations:
    """Read detected people, without opening any image.

    Their joints are all unlabeled. Boxes of zero size, of which no crop can be made, are left out
    with a warning.

    Args:
        detections: a list of `image_id`, `category_id`, `bbox` (x, y, width, height) and `score`.
        images: COCO-style file with the images that the detector has seen; it may be a test set's
            image information, which has no annotations.
        image_root: folder that each image's `file_name` is relative to.
        spec: the joints to predict. None: those of the category of `images`, or COCO's if it names
            none; a path: a YAML file that completes them; a `KeypointSpec`: used as it is.
        threshold: least score of a box; 0 as in HRNet.
        category_id: whom to take. None: the category with keypoints, or the one named `person`.
        content: of `images`, if `read_annotation_file` has read it already.

    Raises:
        FileNotFoundError: a file is missing; the message says who publishes it.
        ValueError: a file is not what it should be; a detection lacks a value or has NaN in it; the
            detections are of other images; nobody is left.
    """
    if content is None:
        content = read_annotation_file(images, annotated=False)
    category = _category(content, images, category_id)
    if not isinstance(spec, KeypointSpec):
        extra = None if spec is None else read_spec_yaml(spec)
        named = extra is not None or category.get("keypoints")
        spec = KeypointSpec.from_category(category, extra) if named else COCO

    found = read_json(detections)
    if not isinstance(found, list):
        raise ValueError(f"{detections} must be a list of detections, got {type(found).__name__}")
    people = [
        (position, detection)
        for position, detection in enumerate(found)
        if _checked(detection, position, detections)["category_id"] == category["id"]
    ]
    known = {image["id"]: image for image in content["images"]}
    strange = [person["image_id"] for _, person in people if person["image_id"] not in known]
    if strange:
        raise ValueError(
            f"{detections} must be detections in images of {images}, got a detections file for "
            f"other images: {len(strange)} of {len(people)}, first of image_id {strange[0]!r}"
        )
    confident = [(position, person) for position, person in people if person["score"] >= threshold]
    sized = [(position, person) for position, person in confident if min(person["bbox"][2:]) > 0]
    if len(sized) < len(confident):
        _logger.warning(
            "%s: %d detections are left out, as their boxes have no size",
            detections,
            len(confident) - len(sized),
        )
    if not sized:
        raise ValueError(
            f"{detections} must hold boxes of category {category['id']} with a score of at least "
            f"{threshold:g}, got none among {len(found)} detections"
        )
    unlabeled = np.zeros((spec.num_joints, 3))
    unlabeled.flags.writeable = False  # all share it: a test set has a million detections
    records = (
        _record(person, position, known[person["image_id"]], Path(image_root), unlabeled)
        for position, person in sized
    )
    truth = content if "annotations" in content else None
    return Annotations(tuple(records), spec, category["id"], truth)


def _category(
    content: Mapping[str, Any], images: str | Path, category_id: int | None
) -> Mapping[str, Any]:
    """Return the category of the people to take."""
    categories: Sequence[Mapping[str, Any]] = content["categories"]
    if category_id is not None:
        chosen = [category for category in categories if category["id"] == category_id]
        wanted = f"category {category_id}"
    elif content.get("annotations") or any(category.get("keypoints") for category in categories):
        return keypoint_category(content, images)
    else:
        chosen = [category for category in categories if category.get("name") == "person"]
        wanted = "a category named 'person', or one with keypoints"
    if not chosen:
        names = [category.get("name") for category in categories]
        raise ValueError(f"{images} must have {wanted}, got {names}")
    return chosen[0]


def _checked(detection: Any, position: int, path: str | Path) -> Mapping[str, Any]:
    name = f"{path}: the detection at position {position}"
    for key in ("image_id", "category_id", "bbox", "score"):
        if not isinstance(detection, dict) or key not in detection:
            raise ValueError(f"{name} must have {key!r}, got none")
    box, score = detection["bbox"], detection["score"]
    if not (isinstance(box, list) and len(box) == 4):
        raise ValueError(f"{name} must have a bbox of 4 numbers, got {box}")
    for value in (*box, score):
        if not (isinstance(value, int | float) and math.isfinite(value)):
            raise ValueError(f"{name} must have a finite bbox and score, got {box} and {score}")
    return detection


def _record(
    person: Mapping[str, Any],
    position: int,
    image: Mapping[str, Any],
    image_root: Path,
    unlabeled: NDArray[np.float64],  # [K, 3]
) -> PersonRecord:
    path, size = image_file(image, image_root, f"the detection at position {position}")
    x, y, width, height = (float(value) for value in person["bbox"])
    return PersonRecord(
        image_path=path,
        image_id=person["image_id"],
        annotation_id=DETECTED,
        image_size=size,
        box=(x, y, width, height),
        area=AREA_PER_BOX * width * height,
        joints=unlabeled,
        score=float(person["score"]),
    )
