# SPDX-License-Identifier: Apache-2.0
"""People's boxes, in every form in which people have them, as one table by image.

Boxes are [N, 4] x, y, width, height in image pixels. What is wrong with a file is found before
anything is predicted, and named by its line, position or id.
"""

import csv
import logging
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.data.orientation import Orientation
from darkpose.predict.coco_boxes import FoundBox, json_boxes
from darkpose.values import number, shown

CSV_COLUMNS = ("file", "x", "y", "w", "h")
"""What a CSV file of boxes must have; `score` and `frame`, the number of a video's frame from 0,
may be there too."""

_logger = logging.getLogger(__name__)
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
    categories: NDArray[np.int64] | None = None  # [N]
    """Of the people, as results name them; None: the table's."""
    size: tuple[int, int] | None = None
    """(width, height) of the image, where the file says it."""


@dataclass(frozen=True)
class BoxTable:
    """The boxes of a file, images in the order in which they first come."""

    images: tuple[ImageBoxes, ...]
    stored: bool
    """Whether boxes count the stored pixels, not turned as EXIF says, as COCO's do, of images whose
    size does not tell."""
    category_id: int = 1
    """Of the people, where they have none of their own."""
    annotated: bool = False
    """Whether these are annotated people, whose boxes are clipped as in training and evaluation."""

    @property
    def orientation(self) -> Orientation:
        """How to read images whose size does not tell."""
        return "stored" if self.stored else "exif"


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
    return np.array([_checked(box, 4, "a box of the command line") for box in boxes])


def read_boxes(
    path: str | Path,
    *,
    image_names: str | Path | None = None,
    category: int | str | None = None,
    min_score: float | None = None,
) -> BoxTable:
    """Read boxes from a file.

    Args:
        path: CSV with a header that has `CSV_COLUMNS`; or JSON: COCO-style annotations with
            `images`, of which crowds are left out; or a list of detections in COCO's results format
            with `image_id`, `bbox` and perhaps `score` and `category_id`; or what `darkpose
            predict` wrote, with `data.detections.OWN_BOX` in place of `bbox`.
        image_names: JSON with `images` that says which file each `image_id` of detections is. Not
            needed where `image_id` is the name of a file.
        category: whom to take, where there are categories: a name, an id, or `coco_boxes.ALL`.
            None: those with keypoints, if they have the same, or the one named `person`, or the
            only one.
        min_score: of a box; others are left out. None: all are taken.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not what it should be; a box is not four finite numbers, or has a negative
            size; it is not clear which category to take.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        table = BoxTable(_by_image(_csv_boxes(path), min_score), stored=False)
    elif path.suffix.lower() == ".json":
        found = json_boxes(path, image_names, category)
        images = _by_image(found.boxes, min_score)
        table = BoxTable(images, found.listed, found.category_id, found.annotated)
    else:
        raise ValueError(f"boxes must be x,y,w,h or a .json or .csv file, got {path}")
    if not any(len(each.boxes) for each in table.images):
        least = "" if min_score is None else f" with a score of at least {min_score:g}"
        _logger.warning("%s has no box of the people to take%s", path, least)
    return table


# ---- CSV -----------------------------------------------------------------------------------------


def _csv_boxes(path: Path) -> Iterable[FoundBox]:
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


def _csv_box(row: Mapping[str, Any], what: str) -> FoundBox:
    name, frame = row["file"], row.get("frame") or None
    if not name:
        raise ValueError(f"{what} must have a file, got none")
    if frame is not None and not (frame.isdecimal() and len(frame) < 10):
        raise ValueError(f"{what} must have a frame from 0 on, got {frame[:40]!r}")
    at = None if frame is None else int(frame)
    box = [row[column] for column in CSV_COLUMNS[1:]]
    return FoundBox(name, at, name, box, row.get("score") or 1.0, what)


# ---- checking and grouping -----------------------------------------------------------------------


def _by_image(boxes: Iterable[FoundBox], min_score: float | None) -> tuple[ImageBoxes, ...]:
    # By id too: a file may list an image twice, and its results are of both.
    groups: dict[tuple[str, int | None, int | str, tuple[int, int] | None], list[list[float]]] = {}
    with_categories = False
    for each in boxes:
        row = [*_checked(each.box, 4, each.what), *_checked([each.score], 1, each.what)]
        rows = groups.setdefault((each.name, each.frame, each.image_id, each.size), [])
        if min_score is None or row[4] >= min_score:
            with_categories |= each.category is not None
            rows.append([*row, each.category or 0])
    images = []
    for (name, frame, image_id, size), rows in groups.items():
        values = np.array(rows, np.float64).reshape(-1, 6)
        categories = values[:, 5].astype(np.int64) if with_categories else None
        its = name, frame, image_id, values[:, :4], values[:, 4], categories, size
        images.append(ImageBoxes(*its))
    return tuple(images)


def _checked(values: Any, count: int, what: str) -> list[float]:
    """Return a box, or a score, as finite numbers."""
    try:
        found = [number(value, what) for value in values] if isinstance(values, list) else []
    except ValueError:
        found = []
    if len(found) != count or not all(map(math.isfinite, found)) or min(found[2:], default=0) < 0:
        expected = "x, y, width, height" if count == 4 else "a score"
        raise ValueError(
            f"{what} must have {expected}: finite numbers, sizes not negative, got {shown(values)}"
        )
    return found
