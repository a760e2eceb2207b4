# SPDX-License-Identifier: Apache-2.0
"""Runs in pieces: every row in one shard, other runs refused, no image lost and none called bad."""

import doctest
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from darkpose.predict import shards, stored
from darkpose.predict.rows import requests
from darkpose.predict.shards import MANIFEST, begin, cut, keep_index
from darkpose.predict.stored import Folder, inside
from predicting import BOXES, RUN, write_parquet

pa = pytest.importorskip("pyarrow", reason="distributed runs read and write Parquet")
pq = pytest.importorskip("pyarrow.parquet", reason="distributed runs read and write Parquet")
fs = pytest.importorskip("pyarrow.fs", reason="distributed runs read and write anywhere")


@pytest.mark.parametrize("module", [stored, shards])
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


# ---- shards --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_shards_hold_every_row_exactly_once(size: int) -> None:
    counts = {"a.parquet": 7, "empty.parquet": 0, "b.parquet": 3}
    found = cut(counts, size)
    covered = [(shard.table, row) for shard in found for row in range(shard.start, shard.stop)]
    assert covered == [(table, row) for table, count in counts.items() for row in range(count)]
    assert len({shard.name for shard in found}) == len(found)
    assert max(shard.stop - shard.start for shard in found) <= size


@pytest.mark.parametrize("group", [1, 3, 4, 10, 1000])
@pytest.mark.parametrize("size", [1, 4, 9, 200])
def test_shards_are_read_as_the_table_is_whatever_its_groups_of_rows(
    size: int, group: int, tmp_path: Path
) -> None:
    keys = [f"{i:03}" for i in range(150)]
    table = write_parquet(tmp_path / "a.parquet", {"path": keys}, group)
    read = [
        [request.key for request in requests(*shard[1:], "exif")]
        for shard in cut({table: len(keys)}, size)
    ]
    assert read == [keys[i : i + size] for i in range(0, len(keys), size)]


def test_a_list_of_images_gives_back_boxes_exactly_and_none_for_a_whole_image(
    tmp_path: Path,
) -> None:
    boxes = (BOXES + 1 / 3).tolist()
    rows = [
        {"key": "a", "path": "/a.jpg", "boxes": boxes, "box_scores": [0.1, 0.2, 0.3]},
        {"key": "b", "path": "/b.jpg", "boxes": None, "box_scores": None},
        {"key": "c", "path": "/c.jpg", "boxes": [], "box_scores": None},
    ]
    folder = Folder(str(tmp_path / "out"))
    keep_index(folder, rows, shard_size=2)
    table = inside(folder.place, shards.INDEX)
    a, b, c = requests(table, 0, 3, "stored")
    assert a.boxes == boxes
    np.testing.assert_array_equal(a.box_scores, [0.1, 0.2, 0.3])
    assert (b.boxes, b.box_scores, c.boxes) == (None, None, [])
    assert pq.ParquetFile(table).num_row_groups == 2  # one for each shard
    write_parquet(tmp_path / "out" / "part-000000.parquet", {"file": ["a"]})
    assert pq.read_table(folder.place).to_pylist() == [{"file": "a"}]  # the list is no result


# ---- what was begun ------------------------------------------------------------------------------


def test_the_same_run_goes_on_and_another_is_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "out"))
    begin(folder, RUN)
    Path(folder.place, "part-000000.parquet").write_bytes(b"results")
    begin(folder, RUN)
    with pytest.raises(ValueError, match=r'with another checkpoint, "ab" and not "cd": k') as error:
        begin(folder, {**RUN, "checkpoint": "cd", "batch_size": 1})
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="begun with another images, "):
        begin(folder, {**RUN, "images": {str(i): [5, 0] for i in range(1000)}})
    assert json.loads(folder.read(MANIFEST)) == RUN
    folder.write(MANIFEST, b'{"format": 1, "checkpoint": "ab"}')  # lists of keypoints
    with pytest.raises(ValueError, match="another format of results, null and .* name another out"):
        begin(folder, RUN)


@pytest.mark.parametrize("content", [b"", b"[1]", b'"text"', b"\xff\xfe"])
def test_a_manifest_that_is_damaged_is_refused(content: bytes, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.write(MANIFEST, content)
    with pytest.raises(ValueError, match="_manifest.json must be as it was written"):
        begin(folder, RUN)


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ValueError, match="must be a new folder.*with holiday.jpg"):
        begin(Folder(str(tmp_path)), RUN)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(ValueError, match="out must be a folder, got the file"):
        begin(Folder(str(tmp_path / "holiday.jpg")), RUN)


def results(folder: Folder, name: str) -> bytes:
    """Write results of two columns in three groups of rows, and return them."""
    columns = {"file": [f"{i}.jpg" for i in range(9)], "score": [i / 9 for i in range(9)]}
    return Path(write_parquet(Path(folder.place, name), columns, 4)).read_bytes()


def test_shards_without_a_file_or_with_an_empty_one_are_missing(tmp_path: Path) -> None:
    folder, found = Folder(str(tmp_path)), cut({"a": 5}, 1)
    assert shards.missing(folder, found) == found
    whole = results(folder, found[1].name)
    folder.write(found[2].name, b"")
    (tmp_path / f".{found[3].name}.0123").write_bytes(whole)
    assert shards.missing(folder, found) == [found[0], *found[2:]]
    folder.sweep()
    assert {path.name for path in tmp_path.iterdir()} == {found[1].name, found[2].name}


def test_a_shard_whose_results_are_cut_short_is_missing(tmp_path: Path) -> None:
    folder, (shard,) = Folder(str(tmp_path)), cut({"a": 9}, 9)
    whole = results(folder, shard.name)
    assert shards.missing(folder, [shard]) == []
    zeros = len(whole) // 2
    for damaged in (
        *(whole[:size] for size in range(len(whole))),
        whole[:zeros] + bytes(len(whole) - zeros),  # blocks that never reached the disk
        whole[:4] + whole[9:],  # a footer that lists more than there is
        whole + whole[:50],
        b"\xff" * len(whole),
        b"PAR1\xff\xff\xff\xffPAR1",
        b"results" * 100 + b"\x40\x00\x00\x00PAR1",
    ):
        folder.write(shard.name, damaged)
        assert shards.missing(folder, [shard]) == [shard], damaged
    folder.write(shard.name, whole)
    assert shards.missing(folder, [shard]) == []


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(str(tmp_path / "new" / "out"))
    folder.write("a", b"old")

    class Killed(BaseException): ...

    class Dying(fs.SubTreeFileSystem):  # type: ignore[misc, name-defined]
        def move(self, *_: str) -> None:
            raise Killed

    monkeypatch.setattr(folder, "_system", Dying("/", fs.LocalFileSystem()))
    for name in "ab":
        with pytest.raises(Killed):
            folder.write(name, b"new")
    again = Folder(folder.place)
    assert again.read("a") == b"old" and "b" not in again.sizes()
    again.write("a", b"new")
    assert again.read("a") == b"new"
