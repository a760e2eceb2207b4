# SPDX-License-Identifier: Apache-2.0
"""What is annotated of people, by the joints of a checkpoint."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.data.annotation_file import read_json
from darkpose.data.annotations import load_annotations
from darkpose.data.sides import listed, same_joints
from darkpose.data.spec import KeypointSpec

_logger = logging.getLogger(__name__)


class Truth(NamedTuple):
    """What is annotated of a person."""

    joints: NDArray[np.float64]  # [K, 3] x, y, v
    area: float  # square pixels
    names: tuple[str, ...]

    def of(self, spec: KeypointSpec) -> NDArray[np.float64] | None:
        """Return the joints [K, 3] of a keypoint set, matched by name; None if none is labeled."""
        joints = np.zeros((spec.num_joints, 3))
        for k, own in same_joints(spec.names, self.names):
            joints[k] = self.joints[own]
        return joints if joints[:, 2].any() else None


def read_truths(
    path: Path, specs: Sequence[KeypointSpec]
) -> Mapping[tuple[int | str, tuple[float, ...]], Truth]:
    """Return by image id and box what a COCO-style file says of the checkpoints' joints.

    Files with boxes alone say nothing; of joints that cannot be drawn is said why.
    """
    content = read_json(path) if path.suffix.lower() == ".json" else None
    if not isinstance(content, dict):
        return {}
    people = content.get("annotations")
    entries = people if isinstance(people, list) else []
    if not any(isinstance(entry, dict) and entry.get("keypoints") for entry in entries):
        return {}
    try:
        own = _joints(content, specs[0])
        if not any(same_joints(own.names, spec.names) for spec in specs):
            raise ValueError(
                f"{path} must have joints of the checkpoint, {listed(specs[0].names)}, "
                f"got {listed(own.names)}"
            )
        found = load_annotations(path, path.parent, content=content, spec=own)
    except ValueError as error:
        _logger.warning("annotated joints are not drawn: %s", error)
        return {}
    return {
        (one.image_id, one.box): Truth(one.joints, one.area, own.names) for one in found.records
    }


def _joints(content: Mapping[str, Any], spec: KeypointSpec) -> KeypointSpec:
    """Return the joints that a COCO-style file names; the checkpoint's if it names none."""
    for category in content.get("categories") or ():
        if isinstance(category, dict) and category.get("keypoints"):
            return KeypointSpec.from_names(category["keypoints"], flip_pairs=[], oks_sigmas=1.0)
    return spec
