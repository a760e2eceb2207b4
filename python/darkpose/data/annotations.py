# SPDX-License-Identifier: Apache-2.0
"""Read people with keypoints from a COCO-style JSON file, with any number of joints.

Everything wrong with such a file is found here, before training starts, and named by annotation id:
a data loader that fails in its third hour, or silently learns from shifted joints, costs far more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose.data import joint_sets, wholebody
from darkpose.data.annotation_file import (
    called,
    checked,
    collector_paused,
    keypoint_categories,
    read_json,
)
from darkpose.data.labels import AREA_PER_BOX, labeled
from darkpose.data.spec import KeypointSpec, read_spec_yaml
from darkpose.data.tally import Tally
from darkpose.geometry import Box, Crop
from darkpose.values import number, printable, shown

__all__ = ["AREA_PER_BOX", "Annotations", "KeypointSpec", "PersonRecord", "load_annotations"]

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
    file: object = "the annotations"
    """What messages call the file."""

    def __len__(self) -> int:
        return len(self.records)


@collector_paused()
def load_annotations(
    json_path: str | Path,
    image_root: str | Path,
    *,
    spec: KeypointSpec | str | Path | None = None,
    min_joints: int = 1,
    category: str | int | None = None,
    content: Mapping[str, Any] | None = None,
) -> Annotations:
    """Read the people of a COCO-style keypoint file, without opening any image.

    Crowds, people with fewer than `min_joints` labeled joints, and annotations of other categories
    are skipped. An `area` that is missing or not positive is estimated by `AREA_PER_BOX`. What is
    left out or assumed is counted and logged.

    Args:
        json_path: file with `images`, `annotations` and `categories`.
        image_root: folder that each image's `file_name` is relative to.
        spec: what the joints are. None: read from the file's category; a joint set's name, or the
            path of a YAML file that completes it (see `darkpose.data.spec`); a `KeypointSpec`:
            used as it is.
        min_joints: at least 1, as a person without labels teaches and measures nothing.
        category: name or id of the category to take. None: all with keypoints, which must be the
            same ones; their people are then of one category, the first.
        content: of the file, if it has been read already.

    Raises:
        FileNotFoundError: there is no such file; the message says who publishes it.
        ValueError: the file is not complete JSON or has no keypoints; an annotation or image has no
            id; an annotation has the wrong number of joints, a box without positive size, an image
            that is not in the file, or anything but a number where one belongs. The message names
            file, annotation and value.
    """
    if min_joints < 1:
        raise ValueError(f"min_joints must be at least 1, got {min_joints}")
    content = checked(read_json(json_path) if content is None else content, json_path)
    categories = keypoint_categories(content, json_path, category)
    spec = spec_of(categories[0], json_path, spec)
    found = labeled(content, json_path, categories, spec.num_joints)
    images = ImageFiles(content["images"], json_path, Path(image_root))
    tally = Tally(json_path)
    further = wholebody.further(found.found[0]) if found.found else []
    if further and spec.num_joints != wholebody.NUM_JOINTS:
        tally.note(
            f"{', '.join(further)} are not trained: only the {spec.num_joints} keypoints are, "
            f"unless data.joints is {wholebody.NAME}"
        )
    records = []
    counts = np.count_nonzero(found.joints[..., 2], axis=1).tolist()
    for row, annotation in enumerate(found.content["annotations"]):
        if annotation["iscrowd"]:
            continue
        name = called(annotation)
        if counts[row] < min_joints:
            tally.add(f"people with less than {min_joints} labeled joint(s), left out", name)
            continue
        x, y, width, height = annotation["bbox"]
        if min(width, height) <= 0:
            got = shown(found.found[row].get("bbox"))
            raise ValueError(
                f"{json_path}: {name} must have a box of positive width and height, got {got}"
            )
        file, size = images.of(annotation["image_id"], name)
        records.append(
            PersonRecord(
                image_path=file,
                image_id=annotation["image_id"],
                annotation_id=annotation["id"],
                image_size=size,
                box=(x, y, width, height),
                area=annotation["area"],
                joints=found.joints[row],
            )
        )
    tally.say()
    if not records:
        raise ValueError(
            f"{json_path} must hold people with at least {min_joints} labeled joint(s), "
            f"got none among {len(content['annotations'])} annotations"
        )
    return Annotations(tuple(records), spec, categories[0]["id"], found.content, json_path)


def spec_of(
    category: Mapping[str, Any], json_path: object, given: KeypointSpec | str | Path | None
) -> KeypointSpec:
    """Return what the joints of a file's category are, see `load_annotations`."""
    if isinstance(given, KeypointSpec):
        return given
    like = None if given is None else joint_sets.named(given)
    if like is not None and wholebody.of_category(category, like):
        return like
    extra = None if given is None or like else read_spec_yaml(given)
    try:
        return KeypointSpec.from_category(category, extra, like=like, file=json_path)
    except ValueError as error:
        files = json_path if given is None else f"{json_path} with {given}"
        raise ValueError(f"{files}: {printable(str(error), 500)}") from error


class ImageFiles:
    """The image files of a COCO-style file.

    Args:
        images: of the file, as `checked` returns them.
        json_path: what messages call the file.
        root: folder of the images.
    """

    def __init__(self, images: Sequence[Mapping[str, Any]], json_path: object, root: Path) -> None:
        self._images = {image["id"]: image for image in images}
        self._json_path, self._root = json_path, root
        self._found: dict[Any, tuple[Path, tuple[int, int]]] = {}

    def of(self, image_id: Any, person: str) -> tuple[Path, tuple[int, int]]:
        """Return an image's path and (width, height) in pixels; `person` is who needs it.

        Raises:
            ValueError: the file does not say, or not in what can be a name and a size.
        """
        if image_id not in self._found:
            self._found[image_id] = self._read(self._images[image_id], person)
        return self._found[image_id]

    def _read(self, image: Mapping[str, Any], person: str) -> tuple[Path, tuple[int, int]]:
        name = f"{self._json_path}: image {printable(str(image['id']))}"
        for key in ("file_name", "width", "height"):
            if image.get(key) is None:
                raise ValueError(f"{name} must have {key!r}, got none; {person} is in it")
        file = image["file_name"]
        if not isinstance(file, str) or not file.strip() or "\0" in file:
            raise ValueError(f"{name} must have the name of a file as file_name, got {shown(file)}")
        width, height = (number(image[key], f"{name}: {key}") for key in ("width", "height"))
        if not (width.is_integer() and height.is_integer() and min(width, height) > 0):
            raise ValueError(
                f"{name} must have a width and height of at least 1 pixel, "
                f"got {shown(image['width'])} x {shown(image['height'])}"
            )
        return self._root / file, (int(width), int(height))
