# SPDX-License-Identifier: Apache-2.0
"""A run in pieces that can be done again: what there is to do, and what is done.

A shard is a range of rows of a table, and its results are one file, whose name says which shard it
is: whoever does a shard again, after a worker or the whole run was killed, replaces that file by
the same.

Ray Data's own checkpoints (of 2.60) do not promise that: of a block whose writer is killed when it
is done, and then the driver while Ray writes it again, the next run deletes the results and takes
it for done.
"""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import compress
from typing import Any, NamedTuple

from darkpose.predict.rows import Row
from darkpose.predict.stored import Folder

MANIFEST = "_manifest.json"
INDEX = "_images.index"
"""The table made of a list of images; by its suffix it is none of the results."""
MAGIC = b"PAR1"
TRAILER = 4 + len(MAGIC)
"""Bytes that end a Parquet file: the length of its footer, and the magic bytes."""


class Shard(NamedTuple):
    """Rows of a table."""

    number: int
    table: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Of the file with its results."""
        return f"part-{self.number:06}.parquet"


def cut(rows: Mapping[str, int], shard_size: int) -> list[Shard]:
    """Return the shards of tables with so many rows.

    >>> [(shard.start, shard.stop, shard.name) for shard in cut({"a.parquet": 5}, 3)]
    [(0, 3, 'part-000000.parquet'), (3, 5, 'part-000001.parquet')]
    """
    ranges = [
        (table, start, min(start + shard_size, count))
        for table, count in rows.items()
        for start in range(0, count, shard_size)
    ]
    return [Shard(number, *each) for number, each in enumerate(ranges)]


def begin(folder: Folder, run: Mapping[str, Any]) -> None:
    """Write down what the run is, or find that it is the one that was begun here.

    Args:
        run: by name what must stay the same, of values as JSON has them.

    Raises:
        ValueError: the folder holds another run, or other files.
    """
    there = folder.sizes()
    if MANIFEST not in there:
        if others := sorted(name for name in there if name[0] not in "._"):
            raise ValueError(
                "out must be a new folder, or one that the same command began, "
                f"got {folder.name} with {others[0]}"
            )
        folder.write(MANIFEST, f"{json.dumps(run, indent=1)}\n".encode())
        return
    try:
        found = dict(json.loads(folder.read(MANIFEST)))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{folder.name}/{MANIFEST} must be as it was written: name another out"
        ) from error
    for name, value in run.items():
        if found.get(name) != value:
            old, new = (json.dumps(each)[:100] for each in (found.get(name), value))
            raise ValueError(
                f"{folder.name} was begun with another {name}, {old} and not {new}: "
                "keep to the same, or name another out"
            )


def keep_index(folder: Folder, rows: Iterable[Row], shard_size: int) -> None:
    """Write the table of a list of images such that shards can be read one by one."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    numbers, text = pa.list_(pa.float64()), pa.string()
    kinds = {
        "key": text,
        "path": text,
        "boxes": pa.list_(numbers),
        "box_scores": numbers,
        "image_size": pa.list_(pa.int64()),
        "annotated": pa.bool_(),
    }
    file = BytesIO()
    write_table(pa.Table.from_pylist(list(rows), pa.schema(kinds)), file, shard_size)
    folder.write(INDEX, file.getvalue())


def missing(folder: Folder, shards: Iterable[Shard]) -> list[Shard]:
    """Return the shards without results, or with some that are cut short.

    Results are renamed into place when they are complete, and yet a machine without power, a full
    disk or a copy of the folder may leave less than that.
    """
    there = folder.sizes()

    def lacks(shard: Shard) -> bool:
        return not _is_whole(folder, shard.name, there.get(shard.name, 0))

    shards = list(shards)
    with ThreadPoolExecutor() as readers:  # where an object store has them, each read takes a while
        return list(compress(shards, readers.map(lacks, shards)))


def _is_whole(folder: Folder, name: str, size: int) -> bool:
    """Return whether a Parquet file of so many bytes holds all that its own footer lists.

    The footer is the last that is written: in front of it the magic bytes and the columns, behind
    it its length in four bytes and the magic bytes again.
    """
    from pyarrow import ArrowException, BufferReader
    from pyarrow.parquet import read_metadata

    length = int.from_bytes(folder.end(name, TRAILER)[:4], "little") + TRAILER if size else 0
    if not TRAILER < length < size:
        return False
    try:
        found = read_metadata(BufferReader(folder.end(name, length)))
    except (ArrowException, OSError):
        return False
    groups = map(found.row_group, range(found.num_row_groups))
    columns = [group.column(i) for group in groups for i in range(found.num_columns)]
    return len(MAGIC) + sum(each.total_compressed_size for each in columns) + length <= size
