# SPDX-License-Identifier: Apache-2.0
"""Prediction on a Ray cluster: whoever is killed, every image once, as predicted on one machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest

from darkpose.data.joint_sets import COCO
from darkpose.data.orientation import Pixels
from darkpose.predict import distributed, shards
from darkpose.predict.distributed import predict_ray
from darkpose.predict.options import PredictOptions
from darkpose.predict.rows import requests
from darkpose.predict.shards import INDEX
from predicting import BOXES, CLOSE, MOST, rgb_photo, run, save, share_within, untrained
from ray_workers import CLUSTER, GPU, MARKER, QUIET, DeadlyWorker, DyingWorker

pq = pytest.importorskip("pyarrow.parquet", reason="results are Parquet")

IMAGES, BAD = 11, "05.jpg"
SHARD_SIZE, BATCH = 2, 3
PROGRAM = Path(__file__).with_name("ray_workers.py")
SHARDS = -(-IMAGES // SHARD_SIZE)
PATIENCE = 240  # seconds, for processes that import torch on a busy machine


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, one of them none, with zero to three boxes each, as a Parquet table; and as CSV."""
    import pyarrow as pa

    folder = tmp_path_factory.mktemp("images")
    names = [f"{i:02}.jpg" for i in range(IMAGES)]
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), rgb_photo(seed=i)[..., ::-1])
    (folder / BAD).write_bytes(b"no image")
    boxes = [BOXES[: i % 4].tolist() for i in range(IMAGES)]
    scores = [[0.5 + i / 100] * (i % 4) for i in range(IMAGES)]
    columns = {"path": names, "boxes": boxes, "box_scores": scores}
    pq.write_table(pa.table(columns), folder / "people.parquet", row_group_size=4)
    lines = [
        ",".join(map(str, (name, *box, score)))
        for name, its, given in zip(names, boxes, scores, strict=True)
        for box, score in zip(its, given, strict=True)
    ]
    (folder / "people.csv").write_text("\n".join(["file,x,y,w,h,score", *lines]))
    return folder / "people.parquet"


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster with room for two workers, which believes that it has two GPUs."""
    ray = pytest.importorskip("ray", reason="these tests run a Ray cluster")

    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(prefix="r", dir="/tmp") as short:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        ray.init(**CLUSTER, _temp_dir=short)  # sockets have short paths
        yield
        ray.shutdown()


def predict(checkpoint: Path, images: Path | str, out: Path, **options: Any) -> None:
    options = {"shard_size": SHARD_SIZE, "batch_size": BATCH, **options}
    predict_ray(PredictOptions(checkpoint, [str(images)], out=out, **options))


def check(out: Path, checkpoint: Path, table: Path) -> None:
    """Check that results are complete, and those of one process."""
    found = pq.read_table(out)
    count = {f"{i:02}.jpg": max(1, i % 4) for i in range(IMAGES)} | {BAD: 1}
    assert found["file"].to_pylist() == [name for name, n in count.items() for _ in range(n)]
    rows = found.to_pylist()
    assert [row["file"] for row in rows if row["error"] is not None] == [BAD]
    assert not [path for path in out.iterdir() if path.name.startswith(".part")]

    local = out.with_name("local.parquet")
    boxes = str(table.with_suffix(".csv"))
    run(checkpoint, [str(table.parent)], boxes, local, batch_size=BATCH, device="cpu")
    expected = pq.read_table(local)
    assert found.schema.equals(expected.schema, check_metadata=True)
    people = found.filter([person is not None for person in found["person"].to_pylist()])
    for name in ("file", "frame", "person", *"xywh"):
        assert people[name] == expected[name]
    points, same = (
        np.array([[its[f"{name}_{axis}"] for axis in "xy"] for name in COCO.names])
        for its in (people, expected)
    )
    assert share_within(points.swapaxes(1, 2), same.swapaxes(1, 2), CLOSE) >= MOST
    np.testing.assert_allclose(people["score"], expected["score"], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_worker_that_is_killed_loses_no_image_and_doubles_none(
    checkpoint: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(distributed, "ShardWorker", DyingWorker)
    predict(checkpoint, table, out)
    assert {path.name for path in out.glob(f"{GPU}*")} == {f"{GPU}0", f"{GPU}1"}
    killed = int((out / MARKER).read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(killed, 0)
    check(out, checkpoint, table)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_run_that_is_killed_goes_on_where_it_was(
    checkpoint: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as temporary:
        command = [sys.executable, PROGRAM, temporary, checkpoint, table, out]
        with subprocess.Popen(list(map(str, command))) as driver:
            try:
                began = time.monotonic()
                while driver.poll() is None and not list(out.glob("*.parquet")):
                    assert time.monotonic() - began < PATIENCE
                    time.sleep(0.1)
            finally:
                driver.kill()
    assert driver.returncode == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert 0 < len(done) < SHARDS
    predict(checkpoint, table, out, device="cpu")
    assert all(path.stat().st_mtime_ns == then for path, then in done.items())
    check(out, checkpoint, table)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_an_image_that_kills_every_worker_is_given_up_and_the_others_are_not(
    checkpoint: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "ShardWorker", DeadlyWorker)
    monkeypatch.setattr(distributed, "TRIES", 2)
    out = tmp_path / "out"
    with pytest.raises(OSError, match="lacks 1 of 6 shards: .* same command does what is missing"):
        predict(checkpoint, table, out, workers=1, device="cpu")
    assert len(list(out.glob(f"{MARKER}-*"))) == 2
    assert len(list(out.glob("*.parquet"))) == SHARDS - 1


# ---- without a cluster ---------------------------------------------------------------------------


@pytest.fixture
def no_cluster(table: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect what a cluster would have been asked to do."""
    pytest.importorskip("ray.data", reason="its absence is another test's")
    asked: list[Any] = []

    def noted(todo: Any, folder: Any, *_: Any) -> None:
        asked.append(todo)
        for shard in todo:
            folder.write(shard.name, table.read_bytes())

    monkeypatch.setattr(distributed, "_run", noted)
    return asked


def test_without_ray_one_sentence_says_what_to_install(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"needs ray: pip install 'darkpose\[ray\]'"):
        predict(checkpoint, "x", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_second_run_asks_only_for_what_is_missing(
    checkpoint: Path, table: Path, tmp_path: Path, no_cluster: list[Any]
) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        predict(checkpoint, table, out)
    (out / "part-000002.parquet").unlink()
    os.truncate(out / "part-000004.parquet", 500)
    predict(checkpoint, table, out)
    assert [[shard.number for shard in todo] for todo in no_cluster] == [[*range(SHARDS)], [2, 4]]


def test_shards_that_are_missing_at_the_end_are_an_error(
    checkpoint: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray.data", reason="its absence is another test's")
    monkeypatch.setattr(distributed, "_run", lambda *_: None)
    with pytest.raises(OSError, match="lacks 6 of 6 shards: .* is it one that all machines of"):
        predict(checkpoint, table, tmp_path / "out")


@pytest.mark.usefixtures("no_cluster")
def test_another_checkpoint_or_other_options_are_refused(
    checkpoint: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(checkpoint, table, out)
    other = save(untrained(seed=1), tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="was begun with another checkpoint, .* name another out"):
        predict(other, table, out)
    changes: dict[str, Any] = {
        "decoder": "argmax",
        "flip_test": False,
        "batch_size": 16,
        "orientation": "stored",
        "clip_boxes": False,
        "min_box_score": 0.1,
        "shard_size": 3,
    }
    for name, value in changes.items():
        with pytest.raises(ValueError, match=f"was begun with another {name}, "):
            predict(checkpoint, table, out, **{name: value})
    predict(checkpoint, table, out, decoder="dark")  # it was the default


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "x.json"}, "out must be a folder for Parquet files with engine ray, got"),
        ({"out": "s3://people/a.jpg?region=x"}, "out must be a folder for Parquet files with engi"),
        ({"shard_size": 0}, "shard_size must be at least 1, got 0"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"device": "mps"}, "device must be cpu or cuda with engine ray, got mps"),
        ({"boxes": "1,2,3,4"}, "boxes of Parquet tables must be in their columns"),
        ({"images": "none.parquet"}, "images must be there, there is no .*none.parquet"),
        ({"images": "file:///none"}, "there is no /none"),
        ({"images": "clip.mp4"}, "takes images alone, got the video clip.mp4"),
        ({"decoder": "guess"}, "decoder of encoding unbiased must be one of .*, got guess"),
        ({"checkpoint": "people.parquet"}, "people.parquet is damaged"),
    ],
)
@pytest.mark.usefixtures("no_cluster")
def test_what_cannot_be_done_is_said_before_anything_is_written(
    options: dict[str, Any],
    message: str,
    checkpoint: Path,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(table.parent)
    Path("clip.mp4").touch()
    arguments = {"checkpoint": checkpoint, "images": "people.parquet", "out": "out", **options}
    with pytest.raises((ValueError, OSError), match=message):
        predict(**arguments)
    assert not Path("out").exists()


def test_boxes_of_folders_go_on_with_them_and_changes_are_refused(
    checkpoint: Path, two_photos: list[Path], tmp_path: Path, no_cluster: list[Any]
) -> None:
    boxes, out = tmp_path / "boxes.csv", tmp_path / "out"
    boxes.write_text("file,x,y,w,h,score\nb.jpg,5,6,7,8,0.1\na.jpg,1,2,3,4,0.5\n")
    options: dict[str, Any] = {"boxes": str(boxes), "min_box_score": 0.2}
    for place in (str(tmp_path), tmp_path.as_uri()):
        predict(checkpoint, place, out, **options)
    ((shard,),) = no_cluster
    assert shard.table == str(out / INDEX)
    a, b = requests(*shard[1:], "exif")
    assert [a.image, b.image] == two_photos
    assert (a.key, a.boxes, b.boxes) == ("a.jpg", [[1, 2, 3, 4]], [])
    content = boxes.read_text()
    for old, new in {"1,2": "1,7", "0.1": "0.3"}.items():
        boxes.write_text(content.replace(old, new))
        with pytest.raises(ValueError, match="begun with another list of images and boxes, "):
            predict(checkpoint, tmp_path, out, **options)


def test_boxes_of_annotations_count_stored_pixels(
    checkpoint: Path, two_photos: list[Path], tmp_path: Path, no_cluster: list[Any]
) -> None:
    content = {
        "images": [{"id": 7, "file_name": two_photos[0].name, "width": 240, "height": 320}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    }
    (tmp_path / "people.json").write_text(json.dumps(content))
    out = tmp_path / "out"
    predict(checkpoint, tmp_path, out, boxes=str(tmp_path / "people.json"))
    assert json.loads((out / shards.MANIFEST).read_text())["orientation"] == "stored"
    (request,) = requests(*no_cluster[0][0][1:], "stored")
    assert (request.key, request.image) == (two_photos[0].name, two_photos[0])
    assert request.annotated and request.pixels == Pixels("stored", (240, 320))
