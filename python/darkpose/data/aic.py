# SPDX-License-Identifier: Apache-2.0
"""Read AI Challenger's people, the field's customary extra training data, in its own format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose.data import joint_sets
from darkpose.data.annotation_file import read_json
from darkpose.data.annotations import Annotations, PersonRecord
from darkpose.data.labels import AREA_PER_BOX, settle
from darkpose.data.tally import Tally
from darkpose.values import finite, numbers, shown

_COCO_VISIBILITY = np.array([np.nan, 2.0, 1.0, 0.0])
"""COCO's v for theirs: 1 visible, 2 occluded, 3 not labeled."""
_NOT_LABELED = 3


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
    people, tally = 0, Tally(json_path)
    for image_id, entry in enumerate(entries):
        name = f"{json_path}: the image at position {image_id}"
        boxes, keypoints, stem = _checked(entry, name)
        for human, flat in keypoints.items():
            number, people = people, people + 1
            joints = _joints(flat, f"{name}: {human}")
            x1, y1, x2, y2 = finite(boxes.get(human), f"{name}: {human}: box", 4).tolist()
            if not joints[:, 2].any():
                continue
            if x2 <= x1 or y2 <= y1:
                tally.add("people whose boxes have no size, left out", f"{name}: {human}")
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
    tally.say()
    if not records:
        raise ValueError(f"{json_path} must hold people with labeled joints, got none of {people}")
    return Annotations(tuple(records), joint_sets.AIC, category_id=1, file=json_path)


def _checked(entry: Any, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    """Return an image's boxes, keypoints and name."""
    kinds = {"human_annotations": dict, "keypoint_annotations": dict, "image_id": str}
    for key, kind in kinds.items():
        if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
            raise ValueError(f"{name} must have {key!r} as AI Challenger's files do, got none")
    return entry["human_annotations"], entry["keypoint_annotations"], entry["image_id"]


def _joints(flat: Any, name: str) -> NDArray[np.float64]:
    values, count = numbers(flat, f"{name}: keypoints"), joint_sets.AIC.num_joints
    if values.size != 3 * count:
        raise ValueError(f"{name} must have {count} joints, {3 * count} numbers, got {values.size}")
    joints = values.reshape(-1, 3)
    settle(joints, _NOT_LABELED)
    if not np.isfinite(joints).all():
        raise ValueError(f"{name} must have finite joints, got {shown(flat)}")
    if not np.isin(joints[:, 2], (1, 2, 3)).all():
        raise ValueError(f"{name} must have visibilities 1, 2 or 3, got {joints[:, 2].tolist()}")
    joints[:, 2] = _COCO_VISIBILITY[joints[:, 2].astype(int)]
    return joints
