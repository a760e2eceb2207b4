# SPDX-License-Identifier: Apache-2.0
"""COCO-style files as they are found: their lists, ids and categories.

A hundred tools write them, and differ in what they leave out, in ids as numbers or text, in how
many categories there are. What that means is decided here alone; what annotations say of people,
in `darkpose.data.labels`.
"""

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from darkpose.data.published import missing
from darkpose.data.tally import Tally
from darkpose.values import printable, shown

Entry = Mapping[str, Any]

_OTHER_FORMATS = {"joints_vis": "mpii", "keypoint_annotations": "aic"}  # by a key of their people


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python from looking for garbage: in a file's millions of lists there is none, and it
    takes half of the time of reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@collector_paused()
def read_json(path: str | Path, data_format: str = "coco") -> Any:
    """Read a data set's JSON file.

    Raises:
        FileNotFoundError: there is none; the message says who publishes a file of that name.
        ValueError: it is not complete JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(missing(path, data_format=data_format)) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be complete JSON, got an error at {error}") from error


def read_annotation_file(path: str | Path, *, annotated: bool = True) -> dict[str, Any]:
    """Read a COCO-style file, see `checked`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not complete JSON, or as `checked`.
    """
    return checked(read_json(path), path, annotated=annotated)


def checked(content: Any, path: object, *, annotated: bool = True) -> dict[str, Any]:
    """Return the content of a COCO-style file with its three lists, whose entries all have ids.

    Entries that are there twice and equal are there once. Annotations of which two have one id are
    numbered anew, from 1.

    Args:
        content: of the file.
        path: what messages call it.
        annotated: False: it may lack annotations, as the image information of a test set does.

    Raises:
        ValueError: a list or an id is missing; two images or categories have one id.
    """
    for key in ("images", "annotations", "categories"):
        if key == "annotations" and not annotated and key not in content:
            continue
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(
                f"{path} must be COCO-style JSON with a list {key!r}, got none{_hint(content)}"
            )
        entries: dict[int | str, Entry] = {}
        twice = False
        for position, entry in enumerate(content[key]):
            if not isinstance(entry, dict) or entry.get("id") is None:
                raise ValueError(
                    f"{path} must give an 'id' to each of its {key}, "
                    f"got none for the one at position {position}"
                )
            own = entry["id"]
            if type(own) is not int:
                own = _id(own, f"{path}: the id of the one at position {position} of {key}")
            first = entries.setdefault(own, entry)
            if first is not entry:
                twice = True
                if key != "annotations" and first != entry:
                    raise ValueError(
                        f"{path} must give each of its {key} an id of its own, "
                        f"got two different ones of id {shown(own)}"
                    )
        if twice and key == "annotations":
            tally = Tally(path)
            count = len(content[key]) - len(entries)
            tally.add("annotations with the id of another, all numbered anew", own, count)
            tally.say()
            renumbered = [{**each, "id": i} for i, each in enumerate(content[key], start=1)]
            content = {**content, key: renumbered}
        elif twice:
            content = {**content, key: list(entries.values())}
    assert isinstance(content, dict)
    return content


def _hint(content: Any) -> str:
    """Return what else the file may be."""
    first = content[0] if isinstance(content, list) and content else None
    for key, data_format in _OTHER_FORMATS.items():
        if isinstance(first, dict) and key in first:
            return f": it looks like a file for data_format {data_format}"
    return ""


def _id(value: Any, name: str) -> int | str:
    """Return an id: text, or an integer, which some tools write as 1.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int | str):
        raise ValueError(f"{name} must be a number or text, got {shown(value)}")
    return value


def known_id(value: Any, known: Mapping[Any, Any]) -> Any:
    """Return which key of `known` an id names, be one a number and the other text; None if none."""
    if isinstance(value, int | str | float):
        if value in known:
            return value
        if isinstance(value, str) and len(value) < 20 and value.strip().isdecimal():
            return int(value) if int(value) in known else None
        if isinstance(value, int) and str(value) in known:
            return str(value)
    return None


# ---- categories ----------------------------------------------------------------------------------


def keypoint_categories(
    content: Entry, path: object, wanted: str | int | None = None
) -> Sequence[Entry]:
    """Return the categories with keypoints, be they named there or only in their annotations.

    Args:
        content: as `checked` returns it.
        path: what messages call the file.
        wanted: name or id of the one to take. None: all, which must have the same joints. Where
            they have not, those that have annotations, if these have.

    Raises:
        ValueError: there is none, or no such one, or they have different joints.
    """
    categories: list[Entry] = content["categories"]
    for one in categories:
        if not isinstance(one.get("keypoints") or [], list):
            raise ValueError(
                f"{path}: category {shown(one.get('name'))} must list the names of its keypoints, "
                f"got {shown(one['keypoints'])}"
            )
    known = {one["id"]: one for one in categories}
    used = {
        known_id(annotation.get("category_id"), known)
        for annotation in content.get("annotations", ())
        if annotation.get("keypoints")
    }
    if len(known) == 1 and None in used:  # annotations need not say which the only one is
        used = set(known)
    found = [one for one in categories if one.get("keypoints") or one["id"] in used]
    if wanted is not None:
        named = [one for one in found if str(wanted) in (str(one["id"]), str(one.get("name")))]
        if not named:
            raise ValueError(
                f"{path} must have a category {shown(wanted)} with keypoints, "
                f"got {_listed(found or categories)}"
            )
        found = named
    if len({_names(one) for one in found}) > 1:
        found = [one for one in found if one["id"] in used] or found
    if not found:
        raise ValueError(
            f"{path} must have at least one category with keypoints, got 0 among "
            f"{_listed(categories)}"
        )
    if len({_names(one) for one in found}) > 1:
        raise ValueError(
            f"{path} must have the same keypoints in all its categories, got different ones for "
            f"{_listed(found)}: choose one with category"
        )
    return found


def _names(category: Entry) -> tuple[str, ...]:
    return tuple(map(str, category.get("keypoints") or ()))


def _listed(categories: Iterable[Entry]) -> str:
    return shown([category.get("name") for category in categories])


def called(annotation: Entry) -> str:
    """Return what messages call an annotation."""
    return f"annotation {printable(str(annotation['id']))}"
