# SPDX-License-Identifier: Apache-2.0
"""COCO-WholeBody's files: COCO's, with feet, face and hands in fields of their own beside the body.

`data.joints: coco_wholebody` reads a person's five fields, one after another, as 133 joints;
without it such a file is COCO's.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from darkpose.data import joint_sets
from darkpose.data.sides import same_joints
from darkpose.data.spec import KeypointSpec

NAME = "coco_wholebody"
FIELDS = {
    "keypoints": 17,
    "foot_kpts": 6,
    "face_kpts": 68,
    "lefthand_kpts": 21,
    "righthand_kpts": 21,
}
"""Joints by field, in the order of the joint set."""
NUM_JOINTS = sum(FIELDS.values())
_PARTS = ("body", "foot", "face", "left hand", "right hand")


def further(annotation: Mapping[str, Any]) -> list[str]:
    """Return which fields beside `keypoints` an annotation has joints in."""
    return [field for field in list(FIELDS)[1:] if annotation.get(field)]


def in_fields(annotations: Sequence[Mapping[str, Any]], num_joints: int) -> bool:
    """Whether so many joints are these fields together, and not `keypoints` alone."""
    return num_joints == NUM_JOINTS and any(
        further(one) and len(one.get("keypoints") or ()) <= 3 * FIELDS["keypoints"]
        for one in annotations
    )


def of_category(category: Mapping[str, Any], given: KeypointSpec | None) -> bool:
    """Whether a category names the body's joints alone of the 133 that are asked for."""
    names = category.get("keypoints") or ()
    body = joint_sets.COCO.names
    return given == joint_sets.JOINT_SETS[NAME] and (
        not names or len(same_joints(list(map(str, names)), body)) == len(names) == len(body)
    )


@cache
def parts(names: tuple[str, ...]) -> Mapping[str, Sequence[int]]:
    """Return which of K joints are of the body, the feet, the face and either hand.

    Nothing, if they are not COCO-WholeBody's.
    """
    if len(names) != NUM_JOINTS:
        return {}
    places = [place for _, place in same_joints(names, joint_sets.JOINT_SETS[NAME].names)]
    if len(places) != NUM_JOINTS:
        return {}
    found, first = {}, 0
    for part, count in zip(_PARTS, FIELDS.values(), strict=True):
        found[part] = [k for k, place in enumerate(places) if first <= place < first + count]
        first += count
    return found
