# SPDX-License-Identifier: Apache-2.0
"""People's boxes, in every form in which people have them, as one table by image.

Boxes are [N, 4] x, y, width, height in image pixels. What is wrong with a file is found before
anything is predicted, and named by its line, position or id.
"""

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.data.annotation_file import read_annotation_file, read_json

CSV_COLUMNS = ("file", "x", "y", "w", "h")
"""What a CSV file of boxes must have; `score` and `frame`, the number of a video's frame from 0,
may be there too."""

_ID = (int, float, str)  # of an image
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_BOX = re.compile(rf"{_NUMBER}(?:\s*,\s*{_NUMBER})*")


class ImageBoxes(NamedTuple):
    """The boxes in one image, or in one frame of a video."""

    name: str
    """Of the image's file, as the boxes' file has it."""
    frame: int | None
    """Of a video, from 0; None: an image, or every frame."""
    image_id: int | str
    """What results call the image."""
    boxes: NDArray[np.float64]  # [N, 4]
    scores: NDArray[np.float64]  # [N]


@dataclass(frozen=True)
class BoxTable:
    """The boxes of a file, images in the order in which they first come."""

    images: tuple[ImageBoxes, ...]
    stored: bool
    """Whether boxes count the stored pixels, not turned as EXIF says, as COCO's do."""
    category_id: int = 1
    """Of the people, as results name it."""


class _Box(NamedTuple):
    name: str
    frame: int | None
    image_id: Any
    box: Any  # x, y, width, height
    score: Any
    what: str  # it is called in messages


def parse_boxes(text: str) -> NDArray[np.float64] | None:
    """Return the boxes [N, 4] of `x,y,w,h`, several separated by `;` or spaces; None if the text is
    no list of numbers, but maybe the name of a file.

    Raises:
        ValueError: a box has not four numbers, or a negative size.

    >>> parse_boxes("10,20,30,40; 1.5,0,7,8")
    array([[10. , 20. , 30. , 40. ],
           [ 1.5,  0. ,  7. ,  8. ]])
    """
    spaced = re.sub(r"\s*,\s*", ",", text.strip())
    parts = [part for part in re.split(r"[;\s]+", spaced) if part]
    if not parts or not all(_BOX.fullmatch(part) for part in parts):
        return None
    boxes = [part.split(",") for part in parts]
    return np.array([_numbers(box, 4, "a box of the command line") for box in boxes])


def read_boxes(
    path: str | Path,
    *,
    image_names: str | Path | None = None,
    category: int | None = None,
    min_score: float | None = None,
) -> BoxTable:
    """Read boxes from a file.

    Args:
        path: CSV with a header that has `CSV_COLUMNS`; or JSON: COCO-style annotations with
            `images`, of which crowds are left out, or a list of detections in COCO's results format
            with `image_id`, `bbox` and perhaps `score` and `category_id`.
        image_names: JSON with `images` that says which file each `image_id` of detections is. Not
            needed where `image_id` is the name of a file.
        category: whom to take, where there are categories. None: the one with keypoints, or the one
            named `person`, or the only one.
        min_score: of a box; others are left out. None: all are taken.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not what it should be; a box is not four finite numbers, or has a negative
            size; it is not clear which category to take.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return BoxTable(_by_image(_csv_boxes(path), min_score), stored=False)
    if path.suffix.lower() != ".json":
        raise ValueError(f"boxes must be x,y,w,h or a .json or .csv file, got {path}")
    images: Any = {}
    if _is_list(path):
        people = [(f"{path}: the detection at position {i}", one) for i, one in _numbered(path)]
        if image_names is not None:
            images = read_json(image_names)
            if not isinstance(images, dict) or not isinstance(images.get("images"), list):
                raise ValueError(
                    f"{image_names} must be COCO-style JSON with a list 'images', got none"
                )
    else:
        images, image_names = read_annotation_file(path), path
        people = [
            (f"{path}: annotation {one['id']}", one)
            for one in images["annotations"]
            if not one.get("iscrowd", 0)
        ]
    entries = [one for _, one in people]
    chosen = _category(path, images.get("categories", []), entries, category)
    names = None if image_names is None else _names(image_names, images["images"])
    boxes = _json_boxes(people, names, chosen)
    return BoxTable(_by_image(boxes, min_score), names is not None, chosen)


def _is_list(path: Path) -> bool:
    """Whether a JSON file holds a list, by its start: annotations take seconds to read."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1024).lstrip().startswith(b"[")


# ---- each kind of file ---------------------------------------------------------------------------


def _csv_boxes(path: Path) -> Iterable[_Box]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        try:
            columns = reader.fieldnames or ()
            for name in CSV_COLUMNS:
                if columns.count(name) != 1:
                    raise ValueError(
                        f"{path} must have a first line with {', '.join(CSV_COLUMNS)}, "
                        f"got {'two' if name in columns else 'no'} {name}"
                    )
            for row in reader:
                yield _csv_box(row, f"{path}: the box of line {reader.line_num}")
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} must be CSV in UTF-8, got an error: {error}") from error


def _csv_box(row: Mapping[str, Any], what: str) -> _Box:
    name, frame = row["file"], row.get("frame") or None
    if not name:
        raise ValueError(f"{what} must have a file, got none")
    if frame is not None and not (frame.isdecimal() and len(frame) < 10):
        raise ValueError(f"{what} must have a frame from 0 on, got {frame[:40]!r}")
    number = None if frame is None else int(frame)
    box = [row[column] for column in CSV_COLUMNS[1:]]
    return _Box(name, number, name, box, row.get("score") or 1.0, what)


def _numbered(path: Path) -> Iterable[tuple[int, Mapping[str, Any]]]:
    """Yield the detections of a file by their positions."""
    for position, each in enumerate(read_json(path)):
        if not isinstance(each, dict) or "image_id" not in each or "bbox" not in each:
            raise ValueError(
                f"{path}: the detection at position {position} must have 'image_id' and 'bbox'"
            )
        yield position, each


def _json_boxes(
    people: Iterable[tuple[str, Mapping[str, Any]]], names: Mapping[Any, str] | None, chosen: int
) -> Iterable[_Box]:
    for what, each in people:
        image = each.get("image_id")
        if names is None and not isinstance(image, str):
            raise ValueError(
                f"{what} is in image {image!r}: give image_names, the JSON file that says "
                "which file that is"
            )
        if each.get("category_id", chosen) == chosen:
            name = str(image) if names is None else _named(names, image, what)
            yield _Box(name, None, image, each.get("bbox"), each.get("score", 1.0), what)


def _names(path: str | Path, images: Iterable[Any]) -> dict[Any, str]:
    """Return the file's name of each image id."""
    names: dict[Any, str] = {}
    for position, image in enumerate(images):
        if (
            not isinstance(image, dict)
            or not isinstance(image.get("id"), _ID)
            or not isinstance(image.get("file_name"), str)
        ):
            raise ValueError(f"{path}: the image at position {position} must have id and file_name")
        if names.setdefault(image["id"], image["file_name"]) != image["file_name"]:
            raise ValueError(f"{path} must give each image an id of its own, got two {image['id']}")
    return names


def _named(names: Mapping[Any, str], image: Any, what: str) -> str:
    if not isinstance(image, _ID) or image not in names:
        raise ValueError(f"{what} must be in an image that is listed, got image_id {image!r}")
    return names[image]


def _category(
    path: Path,
    categories: Any,
    people: Iterable[Mapping[str, Any]],
    wanted: int | None,
) -> int:
    """Return the id of the category to take."""
    if not isinstance(categories, list) or not all(isinstance(each, dict) for each in categories):
        raise ValueError(f"the categories for {path} must be a list of objects, got {categories!r}")
    listed = [each.get("id") for each in categories]
    named = [*listed, *(each["category_id"] for each in people if "category_id" in each)]
    if strange := [each for each in named if not isinstance(each, int | float) or each % 1]:
        raise ValueError(f"{path} must have categories with a number for an id, got {strange[0]!r}")
    used = sorted({*named[len(listed) :]})
    if wanted is not None:
        if used and wanted not in named:
            raise ValueError(f"{path} has boxes of the categories {used}, got category {wanted}")
        return wanted
    with_keypoints = [each["id"] for each in categories if each.get("keypoints")]
    persons = [each["id"] for each in categories if each.get("name") == "person"]
    for found in (with_keypoints, persons, used):
        if len(found) == 1:
            return int(found[0])
    if used:
        raise ValueError(f"{path} has boxes of the categories {used}: choose one with category")
    return 1


# ---- checking and grouping -----------------------------------------------------------------------


def _by_image(boxes: Iterable[_Box], min_score: float | None) -> tuple[ImageBoxes, ...]:
    # By id too: a file may list an image twice, and its results are of both.
    groups: dict[tuple[str, int | None, int | str], list[list[float]]] = {}
    for each in boxes:
        row = [*_numbers(each.box, 4, each.what), *_numbers([each.score], 1, each.what)]
        rows = groups.setdefault((each.name, each.frame, each.image_id), [])
        if min_score is None or row[4] >= min_score:
            rows.append(row)
    images = []
    for (name, frame, image_id), rows in groups.items():
        values = np.array(rows, np.float64).reshape(-1, 5)
        images.append(ImageBoxes(name, frame, image_id, values[:, :4], values[:, 4]))
    return tuple(images)


def _numbers(values: Any, count: int, what: str) -> list[float]:
    """Return a box, or a score, as finite numbers."""
    try:
        numbers = [float(value) for value in values] if isinstance(values, list) else []
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if (
        len(numbers) != count
        or not all(map(math.isfinite, numbers))
        or min(numbers[2:], default=0) < 0
    ):
        expected = "x, y, width, height" if count == 4 else "a score"
        raise ValueError(
            f"{what} must have {expected}: finite numbers, sizes not negative, got {values!r}"
        )
    return numbers
