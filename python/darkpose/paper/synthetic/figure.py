# SPDX-License-Identifier: Apache-2.0
"""A clothed figure around a skeleton: the parts to draw, and which joints can be seen."""

from dataclasses import dataclass

import numpy as np

from darkpose.paper.synthetic.body import SIDE_NAMES, SIDES, Build, Skeleton, View
from darkpose.paper.synthetic.head import FACE_POINTS, head_axes, head_parts
from darkpose.paper.synthetic.limbs import limb_parts
from darkpose.paper.synthetic.outfit import Outfit
from darkpose.paper.synthetic.render import Part, Stencil
from darkpose.paper.synthetic.trunk import trunk_parts

# The joints after the five points of the face, in COCO's order: attribute of the skeleton, parts
# of the same side that show the joint, and parts of the middle that do.
_JOINTS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("shoulder", ("upper arm",), ("trunk", "neck")),
    ("elbow", ("upper arm", "forearm"), ()),
    ("wrist", ("forearm", "hand"), ()),
    ("hip", ("thigh",), ("trunk", "pelvis", "skirt")),
    ("knee", ("thigh", "shin"), ()),
    ("ankle", ("shin", "foot"), ()),
)
# How far a point must face the viewer to be seen, as the depth component of its direction. A nose
# is seen in profile, an eye needs some white; a hip may lie somewhat beyond the spine.
_NOSE_FACES, _EYE_FACES, _TRUNK_FACES = 0.0, 0.22, -0.75


@dataclass(frozen=True)
class Figure:
    """A person ready to be drawn: parts back to front, and COCO's joints in the image."""

    parts: list[Part]
    joints: np.ndarray  # [17, 2] (x, y), image pixels
    facing: np.ndarray  # [17] depth component of the direction each joint faces, -1 to 1


def make_figure(build: Build, body: Skeleton, outfit: Outfit, view: View) -> Figure:
    """Dress the skeleton and project it."""
    parts = limb_parts(build, body, outfit, view) + trunk_parts(build, body, outfit, view)
    parts += head_parts(build, body, outfit.hair, view)
    parts.sort(key=lambda part: part.depth)

    face = body.head + (FACE_POINTS * head_axes(build)) @ body.head_frame.T
    points = np.concatenate([face, *(getattr(body, joint) for joint, _, _ in _JOINTS)])  # [17, 3]
    facing = np.ones(17)
    facing[:5] = FACE_POINTS @ body.head_frame[2]
    facing[5:7] = SIDES * body.chest_frame[2, 0]
    facing[11:13] = SIDES * body.pelvis_frame[2, 0]
    return Figure(parts, view.project(points), facing)


def visible_joints(figure: Figure, stencil: Stencil) -> np.ndarray:
    """Return which of the 17 joints the person's own body does not hide, bool [17].

    A joint shows where the part drawn on top of it is its own limb. The trunk also shows the
    shoulders and hips it carries, unless they lie on its far side; an eye or the nose shows on a
    head that turns it to the viewer, an ear only where the ear itself is on top.
    """
    visible = np.zeros(17, bool)
    for joint, point in enumerate(figure.joints):
        label = stencil.label_at(point)
        if label:
            visible[joint] = _shows(figure.parts[label - 1].name, joint, figure.facing[joint])
    return visible


def _shows(part: str, joint: int, facing: float) -> bool:
    if joint < 3:
        return part in ("head", "nose") and facing > (_EYE_FACES if joint else _NOSE_FACES)
    side = SIDE_NAMES[(joint - 1) % 2]
    if joint < 5:
        return part == f"{side} ear"
    _, own, middle = _JOINTS[(joint - 5) // 2]
    return part in {f"{side} {name}" for name in own} or (part in middle and facing > _TRUNK_FACES)
