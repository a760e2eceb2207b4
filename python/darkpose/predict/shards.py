# SPDX-License-Identifier: Apache-2.0
"""A run in pieces that can be done again: what there is to do, and what is done.

All work is rows of Parquet tables, given or made from a list of images. A shard is a range of rows,
and its results are one file, whose name says which shard it is: whoever does a shard again, after a
worker or the whole run was killed, replaces that file by the same. Nothing here needs Ray.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from multiprocessing.pool import ThreadPool
from os.path import abspath
from typing import Any, NamedTuple

from darkpose.predict.rows import Layout, opened
from darkpose.predict.stored import Folder, file_size, files, inside, is_uri

MANIFEST = "_manifest.json"
INDEX = "_images.index"
"""The table made of a list of images; by its suffix it is none of the results."""

_OTHER_IMAGES = "{} was begun with other images or boxes: keep to the same, or name another out"
_THREADS = 16  # that wait for an object store


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


# ---- what there is to do -------------------------------------------------------------------------


def find_tables(places: Sequence[str]) -> list[str]:
    """Return the Parquet files among places, or in folders of them; none if there are none.

    Raises:
        FileNotFoundError: one is not there.
        ValueError: only some of the places are tables.
    """
    found = {place: _tables_in(place) for place in places}
    if any(found.values()) and (others := [place for place, its in found.items() if not its]):
        raise ValueError(f"images must all be Parquet tables, or none, got {others[0]} among them")
    return list(dict.fromkeys(table for its in found.values() for table in its))


def _tables_in(place: str) -> list[str]:
    place, named = place if is_uri(place) else abspath(place), _is_table(place)
    try:
        names = files(place, _is_table, below=named)
    except FileNotFoundError:
        if named:
            raise
        return []  # maybe a pattern
    if names is None:
        return [place] if named else []
    return [inside(place, name) for name in names]


def _is_table(name: str) -> bool:
    return name.partition("?")[0].rstrip("/").lower().endswith((".parquet", ".pq"))


def measure(tables: Sequence[str]) -> dict[str, list[int]]:
    """Return how many rows and bytes each table has.

    Raises:
        FileNotFoundError: one is not there.
        ValueError: one is no Parquet file, or lacks the columns of `Layout`.
    """

    def measured(table: str) -> list[int]:
        with opened(table) as file:
            Layout.of(file.schema_arrow, table)
            return [file.metadata.num_rows, file_size(table)]

    with ThreadPool(_THREADS) as pool:
        return dict(zip(tables, pool.map(measured, tables), strict=True))


def keep_table(folder: Folder, table: Any, shard_size: int) -> str:
    """Write a table of images such that shards can be read one by one; return its place.

    Raises:
        ValueError: a run was begun here with another one.
    """
    from pyarrow.parquet import read_table, write_table

    if INDEX not in folder.sizes():
        file = BytesIO()
        write_table(table, file, row_group_size=shard_size)
        folder.write(INDEX, file.getvalue())
    elif not read_table(BytesIO(folder.read(INDEX))).equals(table):
        raise ValueError(_OTHER_IMAGES.format(folder.name))
    return inside(folder.place, INDEX)


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


# ---- what is done --------------------------------------------------------------------------------


def begin(folder: Folder, run: Mapping[str, Any]) -> None:
    """Write down what the run is, or find that it is the one that was begun here.

    Args:
        run: by name what must stay the same, of values as JSON has them; the first that differs is
            named.

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
        found = json.loads(folder.read(MANIFEST))
        changed = [name for name in run if found[name] != run[name]]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{folder.name}/{MANIFEST} must be as it was written: name another out"
        ) from error
    if changed and changed[0] == "images":
        raise ValueError(_OTHER_IMAGES.format(folder.name))
    if changed:
        name = changed[0]
        old, new = (json.dumps(values[name])[:100] for values in (found, run))
        raise ValueError(
            f"{folder.name} was begun with {name} {old}, not {new}: "
            f"keep to the same {name}, or name another out"
        )


def missing(folder: Folder, shards: Iterable[Shard]) -> list[Shard]:
    """Return the shards without results; of a machine without power, an empty file may be left."""
    there = folder.sizes()
    return [shard for shard in shards if not there.get(shard.name)]
