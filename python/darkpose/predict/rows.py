# SPDX-License-Identifier: Apache-2.0
"""What a distributed run looks at: rows of Parquet tables, given or made of a list of images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, compress, groupby
from multiprocessing.pool import ThreadPool
from os.path import abspath, dirname
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.data.orientation import Orientation, Pixels
from darkpose.predict.boxes import BoxTable
from darkpose.predict.predictor import Request
from darkpose.predict.sources import IMAGE_SUFFIXES, Boxes, plan
from darkpose.predict.stored import StoredImage, files, inside, is_uri, located, shown

ROWS_AT_ONCE = 64
"""Rows in memory; whole images may be in them."""

_SIDES = ("x", "y", "w", "h")
_THREADS = 16  # that wait for an object store

Row = dict[str, Any]


class Layout(NamedTuple):
    """Which columns of a table say what; None: there is no such column.

    An image is a file, in the column `path`, `uri` or `file`, relative to the table's own folder;
    or its content, `image` or `bytes`, or a struct with `bytes`, as Hugging Face's data sets have
    it. Results call it by its `key`, else by its path. `boxes` is a list of [x, y, w, h] for each
    image, null for the whole image, and `box_scores` one of numbers; or `x`, `y`, `w`, `h` and
    `box_score` or `score` make a row for each person, and rows of one image that follow one another
    are looked at together. `image_size`, [width, height] of the image, says whether boxes count the
    turned pixels of a photo; `annotated`, whether boxes are those of an annotation file, which are
    clipped; null is unknown, and false.
    """

    path: str | None
    data: str | None
    key: str | None
    boxes: tuple[str, ...]
    scores: str | None
    size: str | None = None
    annotated: str | None = None

    @property
    def columns(self) -> list[str]:
        """Return the names of those there are."""
        named = self.path, self.data, self.key, self.scores, self.size, self.annotated
        return [*filter(None, named), *self.boxes]

    @classmethod
    def of(cls, columns: Sequence[str], table: str) -> "Layout":
        """Return the layout of a table with these columns.

        Raises:
            ValueError: they do not say where images are, or only in part where people are.
        """

        def first(*names: str) -> str | None:
            return next((name for name in names if name in columns), None)

        path, data = first("path", "uri", "file"), first("image", "bytes")
        if path is None and data is None:
            raise ValueError(
                f"{table} must have a column path, uri or image, got {', '.join(columns)}"
            )
        more = first("image_size"), first("annotated")
        if "boxes" in columns:
            return cls(path, data, first("key"), ("boxes",), first("box_scores"), *more)
        sides = tuple(filter(first, _SIDES))
        if sides not in ((), _SIDES):
            raise ValueError(f"{table} must have all of x, y, w, h, got {', '.join(sides)}")
        score = first("box_score", "score") if sides else None
        return cls(path, data, first("key"), sides, score, *more)

    def requests(
        self, rows: Iterator[tuple[int, Row]], table: str, pixels: Pixels, least: float
    ) -> Iterator[Request]:
        """Yield the images of numbered rows, without boxes of a lower score than `least`; `pixels`
        are what boxes count where a row has no size."""
        head, mark, options = table.partition("?")
        folder = f"{dirname(head)}{mark}{options}"

        def image_of(numbered: tuple[int, Row]) -> tuple[str, str]:
            number, row = numbered
            path = (row[self.path] if self.path else None) or ""
            key = row[self.key] if self.key else path
            return f"{table}#{number}" if key in (None, "") else str(key), path

        together = image_of if self.boxes == _SIDES else lambda numbered: numbered[0]
        for _, group in groupby(rows, together):
            people = list(group)
            (key, path), first = image_of(people[0]), people[0][1]
            place = inside(folder, path) if path else ""
            data = first[self.data] if self.data else None
            data = data["bytes"] if isinstance(data, dict) else data
            boxes, scores = self._boxes([row for _, row in people], least)
            size = first[self.size] if self.size else None
            its = pixels._replace(
                size=None if size is None else (int(size[0]), int(size[1])),
                sure=pixels.sure or boxes is None,
            )
            image: Any = Path(place)
            if data is not None or is_uri(place):
                image = StoredImage(place, its, data, shown(place) or key)
            annotated = bool(self.annotated and first[self.annotated])
            yield Request(key, image, boxes, scores, annotated, its)

    def _boxes(self, rows: Sequence[Row], least: float) -> tuple[Any, Any]:
        """Return the boxes of an image and their scores, which whoever predicts checks."""
        boxes: Any = None
        scores: Any = None
        if self.boxes == _SIDES:
            boxes = [[row[side] for side in _SIDES] for row in rows]
            scores = [row[self.scores] for row in rows] if self.scores else None
        elif self.boxes:
            boxes, scores = rows[0]["boxes"], rows[0][self.scores] if self.scores else None
        if boxes is None or scores is None:
            return boxes, None
        try:
            keep = ~(np.asarray(scores, np.float64) < least)
            chosen = list(compress(boxes, keep)), list(compress(scores, keep))
        except (TypeError, ValueError):
            return boxes, scores
        return chosen if len(keep) == len(boxes) else (boxes, scores)


def requests(
    table: str,
    start: int,
    stop: int,
    orientation: Orientation,
    min_box_score: float = 0.0,
    *,
    sure: bool = False,
) -> Iterator[Request]:
    """Yield the images of a range of rows, which are read as needed; `sure` as of `Pixels`."""
    with opened(table) as (file, _):
        layout = Layout.of(file.schema_arrow.names, table)
        rows = _rows(file, start, stop, layout.columns)
        yield from layout.requests(rows, table, Pixels(orientation, sure=sure), min_box_score)


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


@contextmanager
def opened(table: str) -> Iterator[tuple[Any, int]]:
    """Open a Parquet file anywhere, to be read piece by piece; say how many bytes it has.

    Raises:
        ValueError: it is no Parquet.
    """
    from pyarrow.parquet import ParquetFile

    system, path = located(table)
    with system.open_input_file(path) as file:
        try:
            parquet = ParquetFile(file, buffer_size=1 << 22, pre_buffer=False)
        except ValueError as error:
            raise ValueError(f"{table} must be a Parquet file, got: {error}") from error
        yield parquet, file.size()


def find_tables(places: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return rows and bytes of the Parquet files among places, or in folders of them.

    Raises:
        FileNotFoundError: one is not there.
        ValueError: only some of the places are tables; one is no Parquet, or has no `Layout`.
    """

    def measured(table: str) -> tuple[int, int]:
        with opened(table) as (file, size):
            Layout.of(file.schema_arrow.names, table)
            return file.metadata.num_rows, size

    found = {place: _tables_in(place) for place in places}
    if any(found.values()) and (others := [place for place, its in found.items() if not its]):
        raise ValueError(f"images must all be Parquet tables, or none, got {others[0]} among them")
    tables = list(dict.fromkeys(table for its in found.values() for table in its))
    with ThreadPool(_THREADS) as pool:
        return dict(zip(tables, pool.map(measured, tables), strict=True))


def _tables_in(place: str) -> list[str]:
    try:
        found = files(place, _is_table, below=_is_table(place))
    except FileNotFoundError:
        if _is_table(place):
            raise
        return []  # maybe a pattern
    return [table for name, table in found.items() if _is_table(name)]


def _is_table(name: str) -> bool:
    return shown(name).rstrip("/").lower().endswith((".parquet", ".pq"))


def list_images(
    images: Sequence[str],
    boxes: BoxTable | NDArray[np.float64] | None,
    orientation: Orientation | None,
) -> tuple[list[Row], Orientation]:
    """Return rows with a `Layout`, one for each image, and how to turn images.

    Files and folders of this machine are planned as for one process. What is in an object store is
    listed there; a table of boxes then names files in the one folder that is given.

    Raises:
        FileNotFoundError: an image or folder is not there.
        ValueError: there are no images, or videos among them; names of files are ambiguous.
    """
    if not any(map(is_uri, images)):
        work = plan(images, boxes, orientation)
        if videos := [source.name for source in work.sources if source.is_video]:
            raise ValueError(f"engine ray takes images alone, got the video {videos[0]}")
        return [
            _row(each.name, abspath(each.path), each.boxes, each.size) for each in work.sources
        ], work.orientation
    if not isinstance(boxes, BoxTable):
        found: dict[str, str] = {}
        for place in images:
            its = files(place, lambda name: PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES)
            found |= its if len(images) == 1 else {shown(each): each for each in its.values()}
        if not found:
            raise ValueError(f"{images[0]} must hold images, got none")
        same = None if boxes is None else Boxes(boxes, None)
        return [_row(*each, same) for each in found.items()], orientation or "exif"
    if len(images) > 1:
        raise ValueError(
            f"images must be the one folder that the boxes' files are in, got {', '.join(images)}"
        )
    if framed := [each.name for each in boxes.images if each.frame is not None]:
        raise ValueError(f"engine ray takes images alone, got boxes in a frame of {framed[0]}")
    return [
        _row(
            each.name,
            inside(images[0], each.name),
            Boxes(each.boxes, each.scores, boxes.annotated),
            each.size,
        )
        for each in boxes.images
    ], orientation or boxes.orientation


def _row(key: str, path: str, boxes: Boxes | None, size: tuple[int, int] | None = None) -> Row:
    scores = None if boxes is None else boxes.scores
    return {
        "key": key,
        "path": path,
        "boxes": None if boxes is None else boxes.boxes.tolist(),
        "box_scores": None if scores is None else scores.tolist(),
        "image_size": None if size is None else list(size),
        "annotated": boxes is not None and boxes.annotated,
    }
