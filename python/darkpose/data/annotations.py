# SPDX-License-Identifier: Apache-2.0
"""Read people with keypoints from a COCO-style JSON file, with any number of joints.

Everything wrong with such a file is found here, before training starts, and named by annotation id:
a data loader that fails in its third hour, or silently learns from shifted joints, costs far more.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose.data.published import missing
from darkpose.data.spec import KeypointSpec, read_spec_yaml
from darkpose.geometry import Box, Crop

__all__ = ["AREA_PER_BOX", "Annotations", "KeypointSpec", "PersonRecord", "load_annotations"]

AREA_PER_BOX = 0.53
"""The area of a person without a segmentation, as a share of the box: the customary estimate."""

DETECTED = -1
"""The `annotation_id` of people that a detector found and nobody annotated."""


@dataclass(frozen=True, eq=False)
class PersonRecord:
    """One annotated or detected person."""

    image_path: Path
    image_id: int
    annotation_id: int
    """`DETECTED` where there is none."""
    image_size: tuple[int, int] | None
    """(width, height) in pixels, as the annotation file gives it; None where it does not."""
    box: Box
    """(x, y, width, height) in image pixels, as annotated: not clipped, not padded."""
    area: float
    """Of the person's segmentation, in square image pixels: what OKS divides by."""
    joints: NDArray[np.float64]
    """[K, 3]: x, y in image pixels, and v: 0 not labeled, 1 labeled but occluded, 2 visible."""
    crop: Crop | None = None
    """Already padded, where the data set itself gives it; it is then used in place of the box."""
    score: float = 1.0
    """Of a detected box."""
    head_size: float | None = None
    """In image pixels, the unit of PCKh: 0.6 times the diagonal of MPII's head box."""

    @property
    def name(self) -> str:
        """What messages call the person."""
        if self.annotation_id == DETECTED:
            return f"a person detected in image {self.image_id}"
        return f"annotation {self.annotation_id}"


@dataclass(frozen=True, eq=False)
class Annotations:
    """The people of a file, in the file's order, and what their joints are."""

    records: tuple[PersonRecord, ...]
    spec: KeypointSpec
    category_id: int
    content: Mapping[str, Any] | None = None
    """Of the COCO-style file with these people, which AP is measured by; None: there is none, or it
    has no annotations."""

    def __len__(self) -> int:
        return len(self.records)


def load_annotations(
    json_path: str | Path,
    image_root: str | Path,
    *,
    spec: KeypointSpec | str | Path | None = None,
    min_joints: int = 1,
    content: Mapping[str, Any] | None = None,
) -> Annotations:
    """Read the people of a COCO-style keypoint file, without opening any image.

    Crowds, people with fewer than `min_joints` labeled joints, and annotations of categories
    without keypoints are skipped. A missing `area` is estimated by `AREA_PER_BOX`.

    Args:
        json_path: file with `images`, `annotations` and `categories`.
        image_root: folder that each image's `file_name` is relative to.
        spec: what the joints are. None: read from the file's category; a path: a YAML file that
            completes it (see `darkpose.data.spec`); a `KeypointSpec`: used as it is.
        min_joints: at least 1, as a person without labels teaches and measures nothing.
        content: of the file, if `read_annotation_file` has read it already.

    Raises:
        FileNotFoundError: there is no such file; the message says who publishes it.
        ValueError: the file is not complete JSON or has no keypoints; an annotation or image has no
            id; an annotation has the wrong number of joints, a box without positive size, or an
            image that is not in the file.
    """
    if min_joints < 1:
        raise ValueError(f"min_joints must be at least 1, got {min_joints}")
    if content is None:
        content = read_annotation_file(json_path)
    category = keypoint_category(content, json_path)
    if not isinstance(spec, KeypointSpec):
        spec = KeypointSpec.from_category(category, None if spec is None else read_spec_yaml(spec))
    images = {image["id"]: image for image in content["images"]}
    records = []
    for annotation in content["annotations"]:
        if annotation.get("iscrowd", 0) or annotation.get("category_id") != category["id"]:
            continue
        joints = _joints(annotation, spec.num_joints)
        if joints is None or np.count_nonzero(joints[:, 2]) < min_joints:
            continue
        image = images.get(annotation.get("image_id"))
        if image is None:
            raise ValueError(
                f"annotation {annotation.get('id')} must name an image of {json_path}, "
                f"got image_id {annotation.get('image_id')!r}"
            )
        records.append(_record(annotation, image, joints, Path(image_root)))
    if not records:
        raise ValueError(
            f"{json_path} must hold people with at least {min_joints} labeled joint(s), "
            f"got none among {len(content['annotations'])} annotations"
        )
    return Annotations(tuple(records), spec, category["id"], content)


def read_annotation_file(json_path: str | Path, *, annotated: bool = True) -> dict[str, Any]:
    """Read a COCO-style file and check that its three lists are there and their entries have ids.

    With `annotated=False` there may be no annotations, as in the image information of a test set.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not complete JSON, or a list or an id is missing.
    """
    content: dict[str, Any] = read_json(json_path)
    for key in ("images", "annotations", "categories"):
        if key == "annotations" and not annotated and key not in content:
            continue
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"{json_path} must be COCO-style JSON with a list {key!r}, got none")
        for position, entry in enumerate(content[key]):
            if not isinstance(entry, dict) or "id" not in entry:
                raise ValueError(
                    f"{json_path} must give an 'id' to each of its {key}, "
                    f"got none for the one at position {position}"
                )
    return content


def read_json(path: str | Path, data_format: str = "coco") -> Any:
    """Read a data set's JSON file.

    Raises:
        FileNotFoundError: there is none; the message says who publishes a file of that name.
        ValueError: it is not complete JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(missing(path, data_format=data_format)) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be complete JSON, got an error at {error}") from error


def keypoint_category(content: Mapping[str, Any], json_path: str | Path) -> Mapping[str, Any]:
    """Return the one category with keypoints, be they named there or only in its annotations."""
    used = {
        annotation.get("category_id")
        for annotation in content.get("annotations", [])
        if annotation.get("keypoints")
    }
    found: list[Mapping[str, Any]] = [
        category
        for category in content["categories"]
        if category.get("keypoints") or category.get("id") in used
    ]
    if len(found) != 1:
        raise ValueError(
            f"{json_path} must have exactly one category with keypoints, got {len(found)} "
            f"among {[category.get('name') for category in content['categories']]}"
        )
    return found[0]


def _joints(annotation: Mapping[str, Any], num_joints: int) -> NDArray[np.float64] | None:
    flat = annotation.get("keypoints")
    if not flat:
        return None
    name = f"annotation {annotation.get('id')}"
    if len(flat) != 3 * num_joints:
        raise ValueError(
            f"{name} must have {num_joints} joints, {3 * num_joints} numbers, got {len(flat)}"
        )
    joints = np.asarray(flat, dtype=np.float64).reshape(num_joints, 3)
    if not np.isfinite(joints).all():
        raise ValueError(f"{name} must have finite joints, got NaN or infinity")
    if not np.isin(joints[:, 2], (0, 1, 2)).all():
        raise ValueError(f"{name} must have visibilities 0, 1 or 2, got {joints[:, 2].tolist()}")
    return joints


def _record(
    annotation: Mapping[str, Any],
    image: Mapping[str, Any],
    joints: NDArray[np.float64],
    image_root: Path,
) -> PersonRecord:
    name = f"annotation {annotation.get('id')}"
    box = finite_numbers(annotation.get("bbox"), 4)
    if box is None or min(box[2:]) <= 0:
        raise ValueError(
            f"{name} must have a box of positive width and height, got {annotation.get('bbox')}"
        )
    path, size = image_file(image, image_root, name)
    x, y, width, height = box.tolist()
    return PersonRecord(
        image_path=path,
        image_id=image["id"],
        annotation_id=annotation["id"],
        image_size=size,
        box=(x, y, width, height),
        area=float(annotation.get("area") or AREA_PER_BOX * width * height),
        joints=joints,
    )


def finite_numbers(value: Any, *shape: int) -> NDArray[np.float64] | None:
    """Return what JSON gave as an array of that shape; None if it is not, or not all finite."""
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if numbers.shape == shape and np.isfinite(numbers).all() else None


def image_file(
    image: Mapping[str, Any], image_root: Path, person: str
) -> tuple[Path, tuple[int, int]]:
    """Return the path of a file's image and its (width, height); `person` is who needs it."""
    for key in ("file_name", "width", "height"):
        if key not in image:
            raise ValueError(f"image {image['id']} of {person} must have {key!r}, got none")
    return image_root / image["file_name"], (int(image["width"]), int(image["height"]))
