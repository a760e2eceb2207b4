# SPDX-License-Identifier: Apache-2.0
"""Read AI Challenger's people, the field's customary extra training data, in its own format."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose.data.annotations import (
    AREA_PER_BOX,
    Annotations,
    PersonRecord,
    finite_numbers,
    read_json,
)
from darkpose.data.joint_sets import AIC

_COCO_VISIBILITY = np.array([np.nan, 2.0, 1.0, 0.0])
"""COCO's v for theirs: 1 visible, 2 occluded, 3 not labeled."""

_logger = logging.getLogger(__name__)


def load_aic(json_path: str | Path, image_root: str | Path) -> Annotations:
    """Read the people of AI Challenger that have labeled joints, without opening any image.

    People whose box has no size are left out with a warning. A record's `annotation_id` counts the
    file's people, its `image_id` the file's images. Image sizes are not known, so boxes are not
    clipped.

    Args:
        json_path: a list of `image_id`, `human_annotations` (x1, y1, x2, y2 by person) and
            `keypoint_annotations` (x, y, v of 14 joints by person).
        image_root: folder of the images, `<image_id>.jpg`.

    Raises:
        FileNotFoundError: there is no such file; the message says who publishes it.
        ValueError: the file is not what it should be, or a person's joints or box are not.
    """
    entries = read_json(json_path, "aic")
    if not isinstance(entries, list):
        raise ValueError(f"{json_path} must be a list of images, got {type(entries).__name__}")
    records: list[PersonRecord] = []
    people = sizeless = 0
    for image_id, entry in enumerate(entries):
        name = f"{json_path}: the image at position {image_id}"
        boxes, keypoints, stem = _checked(entry, name)
        for human, flat in keypoints.items():
            number, people = people, people + 1
            joints = _joints(flat, f"{name}: {human}")
            x1, y1, x2, y2 = _box(boxes.get(human), f"{name}: {human}")
            if not joints[:, 2].any():
                continue
            if x2 <= x1 or y2 <= y1:
                sizeless += 1
                continue
            records.append(
                PersonRecord(
                    image_path=Path(image_root) / f"{stem}.jpg",
                    image_id=image_id,
                    annotation_id=number,
                    image_size=None,
                    box=(x1, y1, x2 - x1, y2 - y1),
                    area=AREA_PER_BOX * (x2 - x1) * (y2 - y1),
                    joints=joints,
                )
            )
    if sizeless:
        _logger.warning(
            "%s: %d people are left out, as their boxes have no size", json_path, sizeless
        )
    if not records:
        raise ValueError(f"{json_path} must hold people with labeled joints, got none of {people}")
    return Annotations(tuple(records), AIC, category_id=1)


def _checked(entry: Any, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    """Return an image's boxes, keypoints and name."""
    kinds = {"human_annotations": dict, "keypoint_annotations": dict, "image_id": str}
    for key, kind in kinds.items():
        if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
            raise ValueError(f"{name} must have {key!r} as AI Challenger's files do, got none")
    return entry["human_annotations"], entry["keypoint_annotations"], entry["image_id"]


def _joints(flat: Any, name: str) -> NDArray[np.float64]:
    numbers = 3 * AIC.num_joints
    if not isinstance(flat, list) or len(flat) != numbers:
        got = len(flat) if isinstance(flat, list) else flat
        raise ValueError(f"{name} must have {AIC.num_joints} joints, {numbers} numbers, got {got}")
    values = finite_numbers(flat, numbers)
    if values is None:
        raise ValueError(f"{name} must have finite joints, got NaN, infinity or other things")
    joints = values.reshape(-1, 3)
    if not np.isin(joints[:, 2], (1, 2, 3)).all():
        raise ValueError(f"{name} must have visibilities 1, 2 or 3, got {joints[:, 2].tolist()}")
    joints[:, 2] = _COCO_VISIBILITY[joints[:, 2].astype(int)]
    return joints


def _box(box: Any, name: str) -> tuple[float, float, float, float]:
    corners = finite_numbers(box, 4)
    if corners is None:
        raise ValueError(f"{name} must have a box of 4 finite numbers, got {box}")
    x1, y1, x2, y2 = corners.tolist()
    return x1, y1, x2, y2
