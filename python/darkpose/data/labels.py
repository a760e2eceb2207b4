# SPDX-License-Identifier: Apache-2.0
"""What the annotations of a COCO-style file say of people, made into what the rest may rely on.

Tools differ in null, in text for numbers, in the field that has the joints, in areas. Training and
evaluation both read what `labeled` returns, so that they cannot differ about a person.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose.data import wholebody
from darkpose.data.annotation_file import Entry, called, known_id
from darkpose.data.tally import Tally
from darkpose.geometry import FARTHEST
from darkpose.values import flag, number, numbers, shown

AREA_PER_BOX = 0.53
"""The area of a person without a segmentation, as a share of the box: the customary estimate."""

_AREAS = "areas that are missing or not positive, estimated from the boxes"
_NO_CATEGORY = "annotations of a category that is not listed, left out"
_CONTRADICTION = (
    "people whose keypoints contradict num_keypoints, which pycocotools would trust and have other "
    "figures"
)


@dataclass(frozen=True, eq=False)
class Labeled:
    """The annotations of some categories with the same joints, N in the file's order."""

    content: dict[str, Any]
    """Of a COCO-style file with these annotations alone, of one category, and complete: numbers are
    numbers, joints are in `keypoints`, `num_keypoints` is counted, `area` is there, and so is
    `bbox`, four zeros where there is none."""
    joints: NDArray[np.float64]
    """[N, K, 3]: x, y in image pixels, and v: 0 not labeled, 1 occluded, 2 visible."""
    found: Sequence[Entry]
    """The annotations as the file has them."""


def labeled(content: Entry, path: object, categories: Sequence[Entry], num_joints: int) -> Labeled:
    """Return the annotations of `categories`, their values checked.

    What is assumed, left out or contradicts itself is counted and said once. Content that has been
    through this function comes out of it as it is, and nothing is said.

    Args:
        content: as `checked` returns it.
        path: what messages call the file.
        categories: see `keypoint_categories`.
        num_joints: of their joints, K.

    Raises:
        ValueError: a value is not what it should be; names file, annotation and value.
    """
    tally = Tally(path)
    found = _of_categories(content, path, categories, tally)
    field = _field_of_joints(found, num_joints, tally)
    joints, plain = _joints(found, field, num_joints, path)
    boxes = _table(found, "bbox", 4, path)[0]
    boxes[~(np.abs(boxes) <= FARTHEST).all(1)] = 0
    images = {image["id"]: image for image in content["images"]}
    visible = np.count_nonzero(joints[..., 2], axis=1).tolist()
    in_fields = wholebody.in_fields(found, num_joints)  # num_keypoints is then the body's
    complete = []
    for row, (annotation, box) in enumerate(zip(found, boxes.tolist(), strict=True)):
        try:
            values = _values(annotation, box, images)
        except ValueError as error:
            raise ValueError(f"{path}: {called(annotation)}: {error}") from error
        if values["area"] is None:
            values["area"] = AREA_PER_BOX * values["bbox"][2] * values["bbox"][3]
            if visible[row] and not values["iscrowd"]:
                tally.add(_AREAS, called(annotation))
        said = values["num_keypoints"]
        if not (in_fields or math.isnan(said)) and (said > 0) != (visible[row] > 0):
            tally.add(_CONTRADICTION, called(annotation))
        values |= {"category_id": categories[0]["id"], "num_keypoints": visible[row]}
        if not plain:
            values["keypoints"] = joints[row].ravel().tolist()
        complete.append({**annotation, **values})
    tally.say()
    narrowed = {**content, "annotations": complete, "categories": [categories[0]]}
    return Labeled(narrowed, joints, found)


def _of_categories(
    content: Entry, path: object, categories: Sequence[Entry], tally: Tally
) -> list[Entry]:
    listed = {one["id"]: one for one in content["categories"]}
    wanted = {one["id"] for one in categories}
    found = []
    for annotation in content["annotations"]:
        said = annotation.get("category_id")
        category = (
            next(iter(listed)) if said is None and len(listed) == 1 else known_id(said, listed)
        )
        if category in wanted:
            found.append(annotation)
        elif category is None and said is not None:
            tally.add(_NO_CATEGORY, called(annotation))
        elif category is None and annotation.get("keypoints"):
            raise ValueError(
                f"{path}: {called(annotation)} must name one of {len(listed)} categories "
                "as category_id, got none"
            )
    return found


def _field_of_joints(found: Sequence[Entry], num_joints: int, tally: Tally) -> str:
    """Return which field has the joints: `keypoints`, unless only another one's length fits."""
    for annotation in found:
        lengths = {
            key: sum(len(each) if isinstance(each, list) else 1 for each in value)
            for key, value in annotation.items()
            if key.startswith("keypoints") and isinstance(value, list)
        }
        if not any(lengths.values()):
            continue
        fitting = [key for key, length in lengths.items() if length == 3 * num_joints]
        if not fitting or "keypoints" in fitting:
            break
        tally.note(f"joints are read from {fitting[0]}, which has the category's {num_joints}")
        return fitting[0]
    return "keypoints"


def _table(
    found: Sequence[Entry], field: str, count: int, path: object, of: str = ""
) -> tuple[NDArray[np.float64], bool]:
    """Return lists of so many numbers as an array [N, count], zeros for null and for an empty list,
    and whether there are only flat lists of numbers in the field."""
    rows = [annotation.get(field) for annotation in found]
    given = [row for row in rows if row is not None and row != []]
    if len(given) < len(rows):
        rows = [[0.0] * count if row is None or row == [] else row for row in rows]
    try:
        values = np.asarray(rows)
    except ValueError:  # of different lengths
        values = np.empty(0)
    if values.shape == (len(rows), count) and values.dtype.kind in "if":
        return values.astype(np.float64), len(given) == len(rows)
    checked = np.empty((len(rows), count))
    for row, value in enumerate(rows):
        name = f"{path}: {called(found[row])}: {field}{of}"
        checked[row] = numbers(value, name, count).ravel()
    return checked, not rows


def _joints(
    found: Sequence[Entry], field: str, num_joints: int, path: object
) -> tuple[NDArray[np.float64], bool]:
    """Return the joints [N, K, 3], and whether `keypoints` are flat lists of just these numbers."""
    if wholebody.in_fields(found, num_joints):
        joints, plain = _joints_of_fields(found, path), False
    else:
        flat, plain = _table(found, field, 3 * num_joints, path, f" of {num_joints} joints")
        joints = flat.reshape(-1, num_joints, 3)
    changed = settle(joints)
    for right, what in (
        (np.isfinite(joints).all((1, 2)), "finite joints"),
        ((np.abs(joints) <= FARTHEST).all((1, 2)), f"joints within {FARTHEST:.0f} pixels"),
        (np.isin(joints[..., 2], (0, 1, 2)).all(1), "visibilities 0, 1 or 2"),
    ):
        if not right.all():
            row = int(np.argmin(right))
            got = shown(joints[row].tolist())
            raise ValueError(f"{path}: {called(found[row])} must have {what}, got {got}")
    return joints, plain and field == "keypoints" and not changed


def _joints_of_fields(found: Sequence[Entry], path: object) -> NDArray[np.float64]:
    """Return COCO-WholeBody's joints [N, 133, 3]; those of a part that is not valid are unlabeled.

    Beside the body's, any v above 0 is labeled, as COCO-WholeBody's evaluation has it.
    """
    parts = []
    for field, count in wholebody.FIELDS.items():
        flat = _table(found, field, 3 * count, path, f" of {count} joints")[0]
        part = flat.reshape(-1, count, 3)
        if field != "keypoints":
            valid = field.replace("_kpts", "_valid")
            for row, one in enumerate(found):
                if not flag(one.get(valid, True), f"{path}: {called(one)}: {valid}"):
                    part[row] = 0
            v = part[..., 2]
            v[(v > 0) & (v != 1)] = 2
        parts.append(part)
    return np.concatenate(parts, axis=1)


def settle(joints: NDArray[np.float64], unlabeled: int = 0) -> bool:
    """Make joints [..., K, 3] whose v or coordinates are null not labeled, in place.

    A joint with another v than `unlabeled` whose coordinates are not numbers stays as it is.

    Returns:
        Whether there were any.
    """
    v = joints[..., 2]
    null = np.isnan(v) | ((v == unlabeled) & ~np.isfinite(joints).all(-1))
    joints[null] = (0, 0, unlabeled)
    return bool(null.any())


def _values(annotation: Entry, box: list[float], images: Mapping[Any, Entry]) -> dict[str, Any]:
    """Return what an annotation says besides its joints; `area` is None where that is no positive
    number."""
    image = known_id(annotation.get("image_id"), images)
    if image is None:
        got = shown(annotation.get("image_id"))
        raise ValueError(f"image_id must be that of an image of the file, got {got}")
    if min(box[2:]) < 0:
        got = shown(annotation["bbox"])
        raise ValueError(f"bbox must have a positive width and height, got {got}")
    area = number(annotation.get("area"), "area")
    return {
        "image_id": image,
        "iscrowd": int(flag(annotation.get("iscrowd"), "iscrowd")),
        "bbox": box,
        "num_keypoints": number(annotation.get("num_keypoints"), "num_keypoints"),
        "area": area if math.isfinite(area) and area > 0 else None,
    }
