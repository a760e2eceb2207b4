# SPDX-License-Identifier: Apache-2.0
"""The one table of people, a row for each: what CSV and Parquet files hold, on one machine or many.

Its columns are `file`, what results call the image; `frame`, null unless the file is a video;
`person`, the position of the box in the image; `x`, `y`, `w`, `h`, the box; `score`; and for each
joint `<name>_x`, `<name>_y` in image pixels and `<name>_score`; behind all of these
`<name>_ambiguity` of each, see `Poses.ambiguity`. It can be read again as boxes.
Parquet has `error` too: null for people, else what is wrong with an image or a box.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.data.spec import KeypointSpec
from darkpose.predict.predictor import Poses

Column = list[Any] | NDArray[np.float32]


class Entry(NamedTuple):
    """An image or frame, and what came of it."""

    file: str
    frame: int | None
    poses: Poses | None
    error: str | None = None


def schema(spec: KeypointSpec) -> Any:
    """Return pyarrow's schema of the table; its metadata has names and skeleton of the joints."""
    import pyarrow as pa

    types = {"file": pa.string(), "frame": pa.int32(), "person": pa.int32(), "error": pa.string()}
    described = {"names": spec.names, "skeleton": spec.skeleton}
    return pa.schema(
        [(name, types.get(name, pa.float32())) for name in columns((), spec)],
        {"darkpose": json.dumps(described)},
    )


def rows_of(entries: Sequence[Entry], spec: KeypointSpec, *, everything: bool = False) -> Any:
    """Return the rows of images as a `pyarrow.Table`; `everything` as in `columns`."""
    import pyarrow as pa

    table = columns(entries, spec, everything=everything)
    posed = np.array([error is None for error in table["error"]], bool)
    posed &= np.array([person is not None for person in table["person"]], bool)
    return pa.table(
        {
            name: pa.array(values, mask=np.isnan(values) & ~posed)
            if isinstance(values, np.ndarray)
            else values
            for name, values in table.items()
        },
        schema(spec),
    )


def columns(
    entries: Sequence[Entry], spec: KeypointSpec, *, everything: bool = False
) -> dict[str, Column]:
    """Return the rows of images as columns, with None or NaN for what there is not.

    Args:
        entries: in the order of the rows.
        spec: the joints.
        everything: a row also for each box without a pose, whose `error` says so, and for each
            image without people; else these are left out.
    """
    files: list[Any] = []
    frames: list[Any] = []
    persons: list[Any] = []
    errors: list[Any] = []
    numbers = [np.empty((0, 5 + 4 * spec.num_joints), np.float32)]
    for entry in entries:
        if entry.poses is None or not len(entry.poses):
            people: list[int | None] = [None] if everything else []
            wrong = [entry.error] * len(people)
            its = np.full((len(people), numbers[0].shape[1]), np.nan, np.float32)
        else:
            posed = with_pose(entry.poses)
            keep = everything | posed
            people = np.flatnonzero(keep).tolist()
            wrong = [
                None if found else f"a box of {box[2]:g} x {box[3]:g} pixels has no pose"
                for found, box in zip(posed[keep], entry.poses.boxes[keep], strict=True)
            ]
            scores = np.where(posed, entry.poses.scores, np.nan)[:, None]
            joints = entry.poses.keypoints.reshape(len(posed), -1)
            parts = entry.poses.boxes, scores, joints, entry.poses.ambiguity
            its = np.concatenate(parts, 1)[keep]
        files += [as_text(entry.file)] * len(people)
        frames += [entry.frame] * len(people)
        persons += people
        errors += wrong
        numbers.append(its.astype(np.float32))
    joint_names = (f"{name}_{what}" for name in spec.names for what in ("x", "y", "score"))
    names = (*"xywh", "score", *joint_names, *(f"{name}_ambiguity" for name in spec.names))
    return {
        "file": files,
        "frame": frames,
        "person": persons,
        **dict(zip(names, np.concatenate(numbers).T, strict=True)),
        "error": errors,
    }


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as lines of CSV that are read again as they are: also names with blanks at their
    ends and carriage returns, which Python's writer leaves without quotes."""
    text = io.StringIO(newline="")
    usual = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for row in map(tuple, rows):
        odd = any(isinstance(each, str) and (each != each.strip() or "\r" in each) for each in row)
        (quoted if odd else usual).writerow(row)
    return text.getvalue()


def as_text(name: str) -> str:
    """Return a name as UTF-8 has it: a file's may hold bytes that are no text."""
    return name.encode("utf-8", "backslashreplace").decode()


def rounded(values: NDArray[np.float32]) -> list[float | None]:
    """Return numbers [K] for JSON, to four digits; None for NaN, which it has not."""
    return [None if np.isnan(value) else round(value, 4) for value in values.tolist()]


def with_pose(poses: Poses) -> NDArray[np.bool_]:
    """Return [N]: whether there is a pose. There is none of a box without size, nor if a network
    says NaN of every joint."""
    known: NDArray[np.bool_] = np.any(np.isfinite(poses.keypoints), axis=(1, 2))
    return known
