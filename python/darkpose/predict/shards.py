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
from io import BytesIO
from typing import Any, NamedTuple

from darkpose.predict.rows import Row
from darkpose.predict.stored import Folder

MANIFEST = "_manifest.json"
INDEX = "_images.index"
"""The table made of a list of images; by its suffix it is none of the results."""


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
    """Return the shards without results; of a machine without power, an empty file may be left."""
    there = folder.sizes()
    return [shard for shard in shards if not there.get(shard.name)]
