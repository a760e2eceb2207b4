# SPDX-License-Identifier: Apache-2.0
"""The joints of published data sets whose files do not name them, or not all of them."""

from collections.abc import Sequence
from dataclasses import replace

from darkpose.data.sides import same_joints
from darkpose.data.spec import KeypointSpec

COCO = KeypointSpec.from_names(
    [
        "nose",
        *("left_eye", "right_eye", "left_ear", "right_ear"),
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
        *("left_wrist", "right_wrist", "left_hip", "right_hip"),
        *("left_knee", "right_knee", "left_ankle", "right_ankle"),
    ],
    skeleton=[
        *(("left_ankle", "left_knee"), ("left_knee", "left_hip")),
        *(("right_ankle", "right_knee"), ("right_knee", "right_hip")),
        *(("left_hip", "right_hip"), ("left_shoulder", "left_hip")),
        *(("right_shoulder", "right_hip"), ("left_shoulder", "right_shoulder")),
        *(("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow")),
        *(("left_elbow", "left_wrist"), ("right_elbow", "right_wrist")),
        *(("left_eye", "right_eye"), ("nose", "left_eye"), ("nose", "right_eye")),
        *(("left_eye", "left_ear"), ("right_eye", "right_ear")),
        *(("left_ear", "left_shoulder"), ("right_ear", "right_shoulder")),
    ],
)
"""COCO's 17 joints and 19 limbs, for its test sets, whose files do not say."""

MPII = KeypointSpec.from_names(
    [
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "upper_neck", "head_top"),
        *("right_wrist", "right_elbow", "right_shoulder"),
        *("left_shoulder", "left_elbow", "left_wrist"),
    ],
    skeleton=[
        *(("right_ankle", "right_knee"), ("right_knee", "right_hip"), ("right_hip", "pelvis")),
        *(("left_ankle", "left_knee"), ("left_knee", "left_hip"), ("left_hip", "pelvis")),
        *(("pelvis", "thorax"), ("thorax", "upper_neck"), ("upper_neck", "head_top")),
        *(("right_wrist", "right_elbow"), ("right_elbow", "right_shoulder")),
        *(("left_wrist", "left_elbow"), ("left_elbow", "left_shoulder")),
        *(("right_shoulder", "thorax"), ("left_shoulder", "thorax")),
    ],
)
"""MPII's 16 joints. COCO has no sigmas for them: OKS on MPII is this project's own figure."""

AIC = KeypointSpec.from_names(
    [
        *("right_shoulder", "right_elbow", "right_wrist"),
        *("left_shoulder", "left_elbow", "left_wrist"),
        *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("head_top", "neck"),
    ],
    skeleton=[
        *(("right_wrist", "right_elbow"), ("right_elbow", "right_shoulder")),
        *(("left_wrist", "left_elbow"), ("left_elbow", "left_shoulder")),
        *(("right_ankle", "right_knee"), ("right_knee", "right_hip")),
        *(("left_ankle", "left_knee"), ("left_knee", "left_hip")),
        *(("right_hip", "left_hip"), ("right_shoulder", "right_hip")),
        *(("left_shoulder", "left_hip"), ("head_top", "neck")),
        *(("right_shoulder", "neck"), ("left_shoulder", "neck")),
    ],
)
"""AI Challenger's 14 joints."""

JOINT_SETS = {"coco": COCO, "mpii": MPII, "aic": AIC}
"""By name. A set is told by its joints' names, in whatever order a file has them."""


def matching(names: Sequence[str]) -> KeypointSpec | None:
    """Return the set whose joints these names are, however spelled and in whatever order.

    The joints are in the order of `names` and spelled as the set has them; None: there is none.
    """
    for spec in JOINT_SETS.values():
        same = same_joints(names, spec.names)
        if len(same) == len(names) == spec.num_joints:
            return _in_order(spec, [place for _, place in same])
    return None


def _in_order(spec: KeypointSpec, order: Sequence[int]) -> KeypointSpec:
    place = {joint: k for k, joint in enumerate(order)}
    if list(order) == sorted(order):
        return spec
    return replace(
        spec,
        names=tuple(spec.names[joint] for joint in order),
        oks_sigmas=tuple(spec.oks_sigmas[joint] for joint in order),
        flip_pairs=tuple((place[a], place[b]) for a, b in spec.flip_pairs),
        skeleton=tuple((place[a], place[b]) for a, b in spec.skeleton),
        upper_body=tuple(sorted(place[joint] for joint in spec.upper_body)),
        assumed_sigmas=tuple(sorted(place[joint] for joint in spec.assumed_sigmas)),
    )
