# SPDX-License-Identifier: Apache-2.0
"""Parquet tables of images in, of people out: the rows of a distributed run."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, groupby
from os.path import dirname
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.data.spec import KeypointSpec
from darkpose.predict.outputs import with_pose
from darkpose.predict.pixels import Orientation
from darkpose.predict.predictor import Outcome, Request
from darkpose.predict.stored import StoredImage, inside, located, shown

ROWS_AT_ONCE = 64
"""Rows in memory; whole images may be in them."""

_READ_BYTES = 1 << 22
_SIDES = ("x", "y", "w", "h")
_LISTS = "lists of "

Row = dict[str, Any]


class Layout(NamedTuple):
    """Which columns of a table say what; None: there is no such column."""

    path: str | None
    """`path`, `uri` or `file`: where the image is; relative to the table's own folder."""
    data: str | None
    """`image` or `bytes`: the image file's content; or a struct with `bytes`, as Hugging Face's
    data sets have it."""
    key: str | None
    """`key`: what results call the image; else its path."""
    boxes: str | None
    """`boxes`: a list of [x, y, w, h] for each image. Null: the whole image."""
    sides: tuple[str, ...]
    """`x`, `y`, `w`, `h` instead of `boxes`: one row for each person. Rows of one image that follow
    one another are looked at together."""
    scores: str | None
    """`box_scores`, a list for each image; or `box_score` or `score` of each person's row."""

    @classmethod
    def of(cls, schema: Any, table: str) -> "Layout":
        """Return the layout of a table with pyarrow's schema.

        Raises:
            ValueError: it does not say where images are, or has boxes in no known form.
        """

        def first(*names: str) -> str | None:
            return next((name for name in names if name in schema.names), None)

        path, data, boxes = first("path", "uri", "file"), first("image", "bytes"), first("boxes")
        if path is None and data is None:
            raise ValueError(
                f"{table} must have a column path, uri or image, got {', '.join(schema.names)}"
            )
        sides = () if boxes else tuple(side for side in _SIDES if side in schema.names)
        if sides and sides != _SIDES:
            raise ValueError(f"{table} must have all of x, y, w, h, got {', '.join(sides)}")
        scores = first("box_scores") if boxes else first("box_score", "score") if sides else None
        depths = {boxes: 2, scores: 1} if boxes else dict.fromkeys((*sides, scores), 0)
        for name, depth in depths.items():
            if name is not None and not _has_numbers(schema.field(name).type, depth):
                raise ValueError(
                    f"{table} must have {_LISTS * depth}numbers in its column {name}, "
                    f"got {schema.field(name).type}"
                )
        return cls(path, data, first("key"), boxes, sides, scores)

    @property
    def columns(self) -> list[str]:
        """All that are read."""
        return [
            *filter(None, (self.path, self.data, self.key, self.boxes, self.scores)),
            *self.sides,
        ]


def _has_numbers(kind: Any, depth: int) -> bool:
    from pyarrow import types

    for _ in range(depth):
        if not any(
            is_list(kind)
            for is_list in (types.is_list, types.is_large_list, types.is_fixed_size_list)
        ):
            return False
        kind = kind.value_type
    return bool(types.is_floating(kind) or types.is_integer(kind))


# ---- in ------------------------------------------------------------------------------------------


@contextmanager
def opened(table: str) -> Iterator[Any]:
    """Open a Parquet file anywhere, and read it piece by piece.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no Parquet.
    """
    from pyarrow.parquet import ParquetFile

    system, path = located(table)
    with system.open_input_file(path) as file:
        try:
            parquet = ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False)
        except ValueError as error:
            raise ValueError(f"{table} must be a Parquet file, got: {error}") from error
        yield parquet


def requests(
    table: str, start: int, stop: int, orientation: Orientation, min_box_score: float = 0.0
) -> Iterator[Request]:
    """Yield the images of a range of rows, each a `StoredImage`, reading rows as needed.

    Args:
        table: place of the Parquet file.
        orientation: of images.
        min_box_score: least score of a box; others are left out.
    """
    head, mark, options = table.partition("?")
    folder = f"{dirname(head)}{mark}{options}"
    with opened(table) as file:
        layout = Layout.of(file.schema_arrow, table)
        named = (
            (*_named(row, number, layout, table), row)
            for number, row in _rows(file, start, stop, layout.columns)
        )
        if layout.sides:
            groups = ([*group] for _, group in groupby(named, lambda each: each[:2]))
        else:
            groups = ([each] for each in named)
        for group in groups:
            key, path, row = group[0]
            boxes, scores = _boxes([each[2] for each in group], layout, min_box_score)
            place = inside(folder, path) if path else ""
            image = StoredImage(place, orientation, _data(row, layout), shown(place) or key)
            yield Request(key, image, boxes, scores)


def _rows(file: Any, start: int, stop: int, columns: list[str]) -> Iterator[tuple[int, Row]]:
    """Yield rows and their numbers, without reading groups of rows that are not needed."""
    counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    ends = list(accumulate(counts))
    groups = [i for i, end in enumerate(ends) if end > start and end - counts[i] < stop]
    number = ends[groups[0]] - counts[groups[0]] if groups else 0
    for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=columns):
        low, high = max(start - number, 0), min(stop - number, len(batch))
        if low < high:
            yield from enumerate(batch.slice(low, high - low).to_pylist(), number + low)
        number += len(batch)


def _named(row: Row, number: int, layout: Layout, table: str) -> tuple[str, str]:
    """Return the key and the path of an image, which may be ""."""
    path = (row[layout.path] if layout.path else None) or ""
    key = row[layout.key] if layout.key else path
    return (f"{table}#{number}" if key in (None, "") else str(key)), path


def _data(row: Row, layout: Layout) -> bytes | None:
    data = row[layout.data] if layout.data else None
    return data["bytes"] if isinstance(data, dict) else data


def _boxes(
    rows: Sequence[Row], layout: Layout, least: float
) -> tuple[Any, NDArray[np.float64] | None]:
    """Return the boxes of an image and their scores, which whoever predicts checks."""
    scores: Any = None
    if layout.sides:
        boxes: Any = [[row[side] for side in layout.sides] for row in rows]
        scores = [row[layout.scores] for row in rows] if layout.scores else None
    else:
        boxes = rows[0][layout.boxes] if layout.boxes else None
        scores = rows[0][layout.scores] if layout.scores else None
    if boxes is None or scores is None:
        return boxes, None
    values = np.array(scores, np.float64)
    low = values < least
    if len(values) != len(boxes) or not low.any():
        return boxes, values
    return [box for box, out in zip(boxes, low, strict=True) if not out], values[~low]


# ---- out -----------------------------------------------------------------------------------------


def result_schema(spec: KeypointSpec) -> Any:
    """Return pyarrow's schema of results.

    One row for each person: `key` and `path` of the image, `box` (x, y, w, h), `box_score`, `score`
    of the person, `keypoints` [K][3]: x and y in image pixels and the joint's score. An image that
    cannot be read, and one without people, has one row with nulls; `error` says what is wrong with
    an image, or with a box. Names and skeleton of the joints are in the schema's metadata.
    """
    import pyarrow as pa

    numbers = pa.list_(pa.float32())
    columns = {
        "key": pa.string(),
        "path": pa.string(),
        "box": numbers,
        "box_score": pa.float32(),
        "score": pa.float32(),
        "keypoints": pa.list_(numbers),
        "error": pa.string(),
    }
    described = {"names": spec.names, "skeleton": spec.skeleton}
    return pa.schema(list(columns.items()), {"darkpose": json.dumps(described)})


def result_rows(outcome: Outcome) -> Iterator[Row]:
    """Yield the rows of an image of `requests`."""
    request, poses = outcome.request, outcome.poses
    image = {"key": request.key, "path": shown(request.image.place) or None}
    if poses is None or not len(poses):
        yield {**image, "error": outcome.error}
        return
    scores = np.ones(len(poses)) if request.box_scores is None else request.box_scores
    posed = with_pose(poses)
    for i, box in enumerate(poses.boxes.tolist()):
        person = {**image, "box": box, "box_score": float(np.asarray(scores)[i])}
        if posed[i]:
            keypoints = poses.keypoints[i].tolist()
            yield {**person, "score": float(poses.scores[i]), "keypoints": keypoints}
        else:
            yield {**person, "error": f"a box of {box[2]:g} x {box[3]:g} pixels has no pose"}


def parquet(rows: Iterable[Row], schema: Any) -> bytes:
    """Return a Parquet file with these rows."""
    from pyarrow import Table
    from pyarrow.parquet import write_table

    file = io.BytesIO()
    write_table(Table.from_pylist(list(rows), schema), file)
    return file.getvalue()
