# SPDX-License-Identifier: Apache-2.0
"""Read MPII as the field has it: HRNet's JSON for crops and joints, a MATLAB file for the truth.

Everything in these files counts pixels from 1, everything here from 0. The crop is the data set's
own: a center and a scale in units of 200 pixels, which the box rule of COCO has no part in.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose.data import joint_sets
from darkpose.data.annotation_file import read_json
from darkpose.data.annotations import Annotations, PersonRecord
from darkpose.data.labels import AREA_PER_BOX
from darkpose.data.published import missing
from darkpose.geometry import Crop
from darkpose.values import finite

PIXELS_PER_SCALE = 200
HEAD_SIZE_PER_DIAGONAL = 0.6
_DOWN, _PADDING = 15, 1.25  # of the crop, in HRNet's `mpii.py`: pixels per scale, and factor
_NO_CENTER = -1
_SAME_PERSON = 10.0  # pixels between a person's joints in both files, which differ by rounding


def load_mpii(
    json_path: str | Path, image_root: str | Path, mat_path: str | Path | None = None
) -> Annotations:
    """Read MPII's people, all of them and in the file's order, without opening any image.

    The JSON's `joints_vis` is 0 not only for joints that are missing: in the validation set also
    for 10,243 occluded ones that are labeled. HRNet takes it for the weight in training, and so v
    is 0 for both, else 2. PCKh counts the occluded ones. With the MATLAB file joints are those that
    it measures: positions that are not rounded, v = 0 where missing, 1 where `joints_vis` is 0,
    else 2.

    A record's `annotation_id` is its position in the file, its `image_id` counts the files' images,
    its box is what the scale says: 200 of its pixels, without padding, round the crop's center.
    Image sizes are not known.

    Args:
        json_path: HRNet's `train.json`, `valid.json` or `trainval.json`.
        image_root: folder of the images.
        mat_path: `gt_valid.mat`, which belongs to `valid.json`, for joints and head sizes.

    Raises:
        FileNotFoundError: a file is missing; the message says who publishes it.
        ImportError: there is a MATLAB file but no scipy to read it with.
        ValueError: a file is not what it should be; a person's center, scale or joints are not
            finite or the scale is not positive; the two files do not describe the same people.
    """
    entries = read_json(json_path, "mpii")
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{json_path} must be a list of people as HRNet's, got {_kind(entries)}")
    truth = None if mat_path is None else _read_truth(Path(mat_path))
    if truth is not None and len(truth.head_sizes) != len(entries):
        raise ValueError(
            f"{mat_path} must describe the {len(entries)} people of {json_path}, "
            f"got {len(truth.head_sizes)}"
        )
    images: dict[str, int] = {}
    records = []
    for row, entry in enumerate(entries):
        person = _person(entry, f"{json_path}: the person at position {row}")
        joints, head_size = person.joints, None
        if truth is not None:
            joints, head_size = truth.joints[row], float(truth.head_sizes[row])
            both = (person.joints[:, 2] > 0) & (joints[:, 2] > 0)
            apart = np.linalg.norm(person.joints[both, :2] - joints[both, :2], axis=-1)
            if len(apart) and np.median(apart) > _SAME_PERSON:
                raise ValueError(
                    f"{mat_path} must describe the people of {json_path} in their order, "
                    f"got other joints for the person at position {row}"
                )
            joints[(person.joints[:, 2] == 0) & (joints[:, 2] > 0), 2] = 1
        records.append(
            PersonRecord(
                image_path=Path(image_root) / person.image,
                image_id=images.setdefault(person.image, len(images)),
                annotation_id=row,
                image_size=None,
                box=(*(person.center - person.side / 2).tolist(), person.side, person.side),
                area=AREA_PER_BOX * person.side**2,
                joints=joints,
                crop=Crop(
                    (float(person.center[0]), float(person.center[1])),
                    (person.side * person.padding, person.side * person.padding),
                ),
                head_size=head_size,
            )
        )
    return Annotations(tuple(records), joint_sets.MPII, category_id=1, file=json_path)


@dataclass(frozen=True, eq=False)
class _Person:
    """One entry of the JSON, in pixels counted from 0."""

    image: str
    center: NDArray[np.float64]  # [2]
    side: float
    padding: float
    joints: NDArray[np.float64]  # [16, 3]


def _person(entry: Any, name: str) -> _Person:
    if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
        raise ValueError(f"{name} must name its image, got {_kind(entry)}")
    count = joint_sets.MPII.num_joints
    center = finite(entry.get("center"), f"{name}: center", 2)
    scale = float(finite(entry.get("scale"), f"{name}: scale"))
    joints = finite(entry.get("joints"), f"{name}: joints", count, 2)
    visible = finite(entry.get("joints_vis"), f"{name}: joints_vis", count)
    if scale <= 0:
        raise ValueError(f"{name} must have a positive scale, got {scale:g}")
    if not np.isin(visible, (0, 1)).all():
        raise ValueError(f"{name} must have joints_vis of 0 and 1, got {visible.tolist()}")
    padding = 1.0
    if center[0] != _NO_CENTER:
        center = center + [0, _DOWN * scale]
        padding = _PADDING
    return _Person(
        entry["image"],
        center - 1,
        PIXELS_PER_SCALE * scale,
        padding,
        np.column_stack([joints - 1, 2 * visible]),
    )


@dataclass(frozen=True, eq=False)
class _Truth:
    """What PCKh measures against, in pixels counted from 0."""

    joints: NDArray[np.float64]  # [N, 16, 3], v 0 or 2
    head_sizes: NDArray[np.float64]  # [N]


def _read_truth(path: Path) -> _Truth:
    try:
        from scipy.io import loadmat  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(f"reading {path} needs scipy: pip install 'darkpose[train]'") from None
    if not path.exists():
        raise FileNotFoundError(missing(path, data_format="mpii"))
    try:
        content = loadmat(str(path))
    except Exception as error:  # a broken file makes scipy raise anything at all
        raise ValueError(f"{path} must be a MATLAB file, got an error: {error}") from error
    count = joint_sets.MPII.num_joints
    people = content["jnt_missing"].shape[-1] if "jnt_missing" in content else 0
    shapes = {
        "jnt_missing": (count, people),
        "pos_gt_src": (count, 2, people),
        "headboxes_src": (2, 2, people),
    }
    values = {}
    for key, shape in shapes.items():
        found = content.get(key)
        if found is None or found.shape != shape or not np.isfinite(found).all():
            got = "none" if found is None else f"shape {found.shape}"
            raise ValueError(f"{path} must have finite {key} of shape {shape}, got {got}")
        values[key] = np.moveaxis(found.astype(np.float64), -1, 0)
    present = np.where(values["jnt_missing"] > 0, 0.0, 2.0)
    diagonal = values["headboxes_src"][:, 1] - values["headboxes_src"][:, 0]  # [N, 2]
    return _Truth(
        np.concatenate([values["pos_gt_src"] - 1, present[..., None]], axis=-1),
        HEAD_SIZE_PER_DIAGONAL * np.linalg.norm(diagonal, axis=-1),
    )


def _kind(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, list) else type(value).__name__
