# SPDX-License-Identifier: Apache-2.0
"""People's boxes in JSON: COCO-style annotations, detections, and what darkpose has predicted."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from darkpose.data.annotation_file import known_id, read_annotation_file, read_json
from darkpose.data.detections import OWN_BOX, box_of
from darkpose.values import flag, number, printable, shown

ALL = "all"
"""The category of boxes that are taken whatever they are of."""

_ID = (int, float, str)  # of an image


class FoundBox(NamedTuple):
    """A box as a file has it, its numbers not yet checked."""

    name: str
    """Of the image's file."""
    frame: int | None
    image_id: Any
    box: Any
    """x, y, width, height in image pixels."""
    score: Any
    what: str
    """It is called in messages."""
    category: int | None = None
    size: tuple[int, int] | None = None
    """(width, height) of the image; None: unknown."""


class JsonBoxes(NamedTuple):
    """The boxes of a JSON file."""

    boxes: Iterable[FoundBox]
    listed: bool
    """Whether images are known by a list of them, with their ids."""
    category_id: int
    """Of the people, the first one if there are several."""
    annotated: bool
    """Whether they are annotations."""


class _File(NamedTuple):
    name: str
    size: tuple[int, int] | None


def json_boxes(path: Path, image_names: str | Path | None, category: int | str | None) -> JsonBoxes:
    """Read boxes from a JSON file; arguments and errors as of `boxes.read_boxes`."""
    images: Any = {}
    annotated = not _is_list(path)
    if annotated:
        images, image_names = read_annotation_file(path), path
        people = [
            (f"{path}: annotation {printable(str(one['id']))}", one)
            for one in images["annotations"]
        ]
        people = [(what, one) for what, one in people if not flag(one.get("iscrowd"), what)]
    else:
        people = list(_detections(path))
        if image_names is not None:
            images = read_json(image_names)
            if not isinstance(images, dict) or not isinstance(images.get("images"), list):
                raise ValueError(
                    f"{image_names} must be COCO-style JSON with a list 'images', got none"
                )
    said = [one.get("category_id") for _, one in people]
    ids = [None if each is None else _category_id(each, path) for each in said]
    used = sorted({each for each in ids if each is not None})
    chosen = _categories(path, images.get("categories", []), used, category)
    files = None if image_names is None else _files(image_names, images["images"])
    own = [chosen[0] if each is None else each for each in ids]
    kept = ((*one, its) for one, its in zip(people, own, strict=True) if its in chosen)
    found = (_found(what, one, its, files) for what, one, its in kept)
    return JsonBoxes(found, files is not None, chosen[0], annotated)


def _is_list(path: Path) -> bool:
    """Whether a JSON file holds a list, by its start: annotations take seconds to read."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1024).lstrip().startswith(b"[")


def _detections(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the detections of a file, and what messages call them."""
    for position, each in enumerate(read_json(path)):
        what = f"{path}: the detection at position {position}"
        if not isinstance(each, dict) or each.get("image_id") is None:
            raise ValueError(f"{what} must have 'image_id' and 'bbox'")
        box_of(each, what)
        yield what, each


def _found(
    what: str, person: Mapping[str, Any], category: int, files: Mapping[Any, _File] | None
) -> FoundBox:
    image, frame, size = person.get("image_id"), None, None
    if files is not None:
        known = known_id(image, files)
        if known is None:
            raise ValueError(
                f"{what} must be in an image that is listed, got image_id {shown(image)}"
            )
        image, (name, size) = known, files[known]
    elif isinstance(image, str):
        name = image
        if OWN_BOX in person and person.get("frame") is not None:
            frame = int(number(person["frame"], f"{what}: frame"))
            name = image = image.removesuffix(f"#{frame}")
    else:
        raise ValueError(
            f"{what} is in image {shown(image)}: give image_names, the JSON file that says "
            "which file that is"
        )
    score = 1.0 if person.get("score") is None else person["score"]
    return FoundBox(name, frame, image, box_of(person, what), score, what, category, size)


def _files(path: str | Path, images: Iterable[Any]) -> dict[Any, _File]:
    """Return the file of each image id."""
    files: dict[Any, _File] = {}
    for position, image in enumerate(images):
        if (
            not isinstance(image, dict)
            or not isinstance(image.get("id"), _ID)
            or not isinstance(image.get("file_name"), str)
        ):
            raise ValueError(f"{path}: the image at position {position} must have id and file_name")
        sides = [
            number(image.get(side), f"{path}: the {side} of image {shown(image['id'])}")
            for side in ("width", "height")
        ]
        known = all(side > 0 and side.is_integer() for side in sides)
        file = _File(image["file_name"], (int(sides[0]), int(sides[1])) if known else None)
        if files.setdefault(image["id"], file) != file:
            raise ValueError(f"{path} must give each image an id of its own, got two {image['id']}")
    return files


# ---- categories ----------------------------------------------------------------------------------


def _category_id(value: Any, path: Path) -> int:
    try:
        found = number(value, "")
    except ValueError:
        found = math.nan
    if not found.is_integer():
        raise ValueError(f"{path} must have categories with a number for an id, got {shown(value)}")
    return int(found)


def _categories(
    path: Path, categories: Any, used: Sequence[int], wanted: int | str | None
) -> Sequence[int]:
    """Return the ids of the categories to take, of those that are listed or that boxes are of."""
    if not isinstance(categories, list) or not all(isinstance(each, dict) for each in categories):
        raise ValueError(
            f"the categories for {path} must be a list of objects, got {shown(categories)}"
        )
    listed = {_category_id(each.get("id"), path): each for each in categories}
    names = {each: listed.get(each, {}).get("name", each) for each in (*listed, *used)}
    if wanted is None:
        chosen = _usual(listed, used)
        got = f": choose one with category, or {ALL}"
    else:
        chosen = [each for each in names if str(wanted) in (str(each), str(names[each]))]
        chosen = [*names] if wanted == ALL else chosen
        got = f", got category {printable(str(wanted))}"
    if not chosen and used:
        raise ValueError(
            f"{path} has boxes of the categories {shown([names[each] for each in used])}{got}"
        )
    return chosen or [wanted if isinstance(wanted, int) else 1]


def _usual(listed: Mapping[int, Mapping[str, Any]], used: Sequence[int]) -> Sequence[int]:
    """Return the categories that are taken where none is asked for; none where that is unclear."""
    posed = {each: str(its["keypoints"]) for each, its in listed.items() if its.get("keypoints")}
    if len({*posed.values()}) > 1:
        posed = {each: its for each, its in posed.items() if each in used}
    if len({*posed.values()}) == 1:
        return [*posed]
    persons = [each for each, its in listed.items() if its.get("name") == "person"]
    return next((found for found in (persons, used) if len(found) == 1), [])
