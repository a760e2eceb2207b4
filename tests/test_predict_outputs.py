# SPDX-License-Identifier: Apache-2.0
"""Every kind of output holds what was predicted, whole; and the table of people."""

import doctest
import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from darkpose.data.drawing import draw_skeleton
from darkpose.data.joint_sets import COCO
from darkpose.predict import outputs
from darkpose.predict.outputs import KINDS, Setting
from darkpose.predict.predictor import Poses, Predictor, Request
from darkpose.predict.sources import Shot
from darkpose.predict.table import Entry, columns, rows_of, schema
from predicting import BOXES, INLINE, SIZE, clip, run
from predicting import rows_of as csv_rows

GUIDE = Path(__file__).parents[1] / "docs/predict.md"
LOSSY = 12.0  # grey levels, on average: JPEG and videos keep half the pixels of colors
TABLES = [suffix for suffix, kind in KINDS.items() if not kind.drawn_from]
WHOLE = [suffix for suffix, kind in KINDS.items() if kind.drawn_from in ("", "video")]

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


def parquet() -> Any:
    return pytest.importorskip("pyarrow.parquet", reason="an extra of its own")


# ---- every kind ----------------------------------------------------------------------------------


@dataclass
class Case:
    """What was predicted, and where it was written."""

    out: Path
    names: Sequence[str]
    images: Sequence[NDArray[np.uint8]]  # BGR
    poses: Sequence[Poses]

    @property
    def people(self) -> list[tuple[str, NDArray[np.float32], float]]:
        """Name of the image, keypoints [K, 3] and score of each person."""
        return [
            (name, *person)
            for name, poses in zip(self.names, self.poses, strict=True)
            for person in zip(poses.keypoints, poses.scores, poses.ambiguity, strict=True)
        ]


def check_json(case: Case) -> None:
    results = json.loads(case.out.read_text())
    for result, (name, keypoints, score, ambiguity) in zip(results, case.people, strict=True):
        assert result["image_id"] == name and result["category_id"] == 1
        assert result["keypoints"] == keypoints.ravel().tolist() and result["score"] == score
        np.testing.assert_allclose(result["ambiguity"], ambiguity, atol=5e-5)


def check_csv(case: Case) -> None:
    check_rows(csv_rows(case.out), case)


def check_parquet(case: Case) -> None:
    table = parquet().read_table(case.out)
    check_rows(table.to_pylist(), case)
    assert table.schema.equals(schema(COCO), check_metadata=True)


def check_rows(rows: Sequence[dict[str, Any]], case: Case) -> None:
    for i, (row, (name, keypoints, score, ambiguity)) in enumerate(
        zip(rows, case.people, strict=True)
    ):
        assert row["file"] == name and row["frame"] in ("", None) and int(row["person"]) == i % 3
        assert [float(row[side]) for side in "xywh"] == BOXES[i % 3].tolist()
        found = [[row[f"{name}_{what}"] for what in ("x", "y", "score")] for name in COCO.names]
        np.testing.assert_array_equal(np.array(found, np.float32), keypoints)
        found = [row[f"{name}_ambiguity"] for name in COCO.names]
        np.testing.assert_array_equal(np.array(found, np.float32), ambiguity)
        assert np.float32(row["score"]) == score


def check_folder(case: Case) -> None:
    files = sorted(path for path in case.out.rglob("*") if path.is_file())
    assert [path.relative_to(case.out).as_posix() for path in files] == case.names
    for path, image, poses in zip(files, case.images, case.poses, strict=True):
        check_drawn(cv2.imread(str(path)), image, poses, LOSSY)


def check_picture(case: Case) -> None:
    tolerance = 0 if case.out.suffix == ".png" else LOSSY
    check_drawn(cv2.imread(str(case.out)), case.images[0], case.poses[0], tolerance)


def check_video(case: Case) -> None:
    video = cv2.VideoCapture(str(case.out))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    for image, poses in zip(case.images, case.poses, strict=True):
        check_drawn(video.read()[1], image, poses, LOSSY)
    assert not video.read()[0]


def check_drawn(found: Any, image: NDArray[np.uint8], poses: Poses, tolerance: float) -> None:
    """Check that an image [H, W, 3] has everybody's skeleton."""
    drawn = image[..., ::-1]
    doubt = poses.ambiguity > 0.5
    assert doubt.any()
    for person, doubtful in zip(poses.keypoints, doubt, strict=True):
        every = np.ones(len(person), bool)
        drawn = draw_skeleton(drawn, person[:, :2].astype(np.float64), COCO, every, doubtful)
    expected = drawn[..., ::-1].astype(float)
    assert found.shape == image.shape and np.abs(found - expected).mean() <= tolerance
    assert np.abs(image - expected).mean() > 2 * np.abs(found - expected).mean()


ORACLES: dict[str, Callable[[Case], None]] = {
    ".json": check_json,
    ".csv": check_csv,
    ".parquet": check_parquet,
    "": check_folder,
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".webp"), check_picture),
    **dict.fromkeys((".mp4", ".mov", ".mkv", ".avi"), check_video),
}


@pytest.mark.parametrize("suffix", KINDS)
def test_an_output_holds_what_was_predicted(
    suffix: str, checkpoint: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert suffix in ORACLES, f"an output {suffix} needs a check of its own in ORACLES"
    caplog.set_level(logging.INFO)
    (photos / "b.jpg").unlink()
    kind, names = KINDS[suffix], ["a.jpg", "day/c.jpg"]
    given = photos
    if kind.drawn_from == "image":
        names, given = names[:1], photos / "a.jpg"
    if kind.drawn_from == "video":
        names, given = [f"frame {i}" for i in range(5)], clip(Path("in.avi"))
        video = cv2.VideoCapture(str(given))
        images: list[Any] = [video.read()[1] for _ in names]
    else:
        images = [cv2.imread(str(photos / name)) for name in names]
    out = Path("deep") / f"out{suffix}"
    said = run(checkpoint, [str(given)], INLINE, out, threshold=0)
    assert f"people: {3 * len(names)}, images: {len(names)}," in said
    assert "images/s" in said and str(out) in said
    assert ("will have no sound" in caplog.text) == (kind.drawn_from == "video")
    assert [path.name for path in Path("deep").iterdir()] == [out.name]
    stream = Predictor.from_checkpoint(checkpoint, device="cpu").stream(
        Request(name, image[..., ::-1], BOXES) for name, image in zip(names, images, strict=True)
    )
    poses = [outcome.poses for outcome in stream if outcome.poses is not None]
    ORACLES[suffix](Case(out, names, images, poses))


@pytest.mark.parametrize("suffix", KINDS)
def test_the_guide_says_of_an_output_what_help_says(suffix: str) -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", GUIDE.read_text(), re.MULTILINE)
    said = {name: what for names, what in rows for name in re.findall(r"`([^`]*)`", names)}
    said[""] = dict(rows)["a folder"]
    assert said[suffix].startswith(KINDS[suffix].what)


@pytest.mark.parametrize("suffix", TABLES)
def test_nobody_is_a_complete_file_too(suffix: str, checkpoint: Path, photos: Path) -> None:
    Path("none.csv").write_text("file,x,y,w,h\n")
    said = run(checkpoint, [str(photos)], "none.csv", Path(f"out{suffix}"))
    assert "people: 0, images: 0," in said
    ORACLES[suffix](Case(Path(f"out{suffix}"), [], [], []))


@pytest.mark.parametrize("suffix", WHOLE)
def test_an_interrupted_run_leaves_no_half_a_file(
    suffix: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == ".parquet":
        parquet()
    clip(Path("in.avi"))
    before = set(Path().iterdir())
    outcomes = Predictor.stream

    def interrupted(self: Predictor, *arguments: Any, **options: Any) -> Any:
        for number, outcome in enumerate(outcomes(self, *arguments, **options)):
            if number == 3:
                raise KeyboardInterrupt
            yield outcome

    monkeypatch.setattr(Predictor, "stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint, ["in.avi"], INLINE, Path(f"out{suffix}"))
    assert set(Path().iterdir()) == before


def test_the_examples_in_docstrings_hold() -> None:
    result = doctest.testmod(outputs)
    assert result.attempted > 0 and result.failed == 0


# ---- tables --------------------------------------------------------------------------------------


def test_joints_that_are_not_numbers_become_far_away_in_json() -> None:
    found = poses_of(np.random.default_rng(0).random((1, COCO.num_joints, 3)))
    found.keypoints[0, 0] = np.nan
    with KINDS[".json"].open(Path("out.json"), Setting(COCO)) as write:
        write(Shot("a", None, Request("a", None)), found)
    (person,) = json.loads(Path("out.json").read_text())
    assert person["keypoints"][:3] == [-1e4, -1e4, 0]
    np.testing.assert_array_equal(person["keypoints"][3:], found.keypoints[0, 1:].ravel())


def test_many_people_are_written_in_several_pieces(
    checkpoint: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ParquetFile = parquet().ParquetFile
    monkeypatch.setattr(outputs, "ROWS_AT_ONCE", 2)
    run(checkpoint, [str(photos)], INLINE, Path("out.parquet"))
    file = ParquetFile("out.parquet")
    assert file.num_row_groups == 2 and file.metadata.num_rows == 6


def poses_of(keypoints: NDArray[np.float64]) -> Poses:
    count = len(keypoints)
    boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
    scores = np.linspace(0.5, 1, count, dtype=np.float32)
    found = keypoints.astype(np.float32)
    return Poses(found, scores, boxes, COCO.names, COCO.skeleton, SIZE, found[..., 2])


def test_results_of_many_images_are_one_table_that_says_what_has_no_pose() -> None:
    pa = pytest.importorskip("pyarrow", reason="an extra of its own")
    keypoints = np.random.default_rng(0).random((3, COCO.num_joints, 3))
    keypoints[1] = np.nan
    keypoints[2, 0] = np.nan
    entries = [
        Entry("a.jpg", None, poses_of(keypoints)),
        Entry("clip.mp4", 7, poses_of(keypoints[:1])),
        Entry("empty.jpg", None, poses_of(keypoints[:0])),
        Entry("b.jpg", None, None, "b.jpg is no image"),
    ]
    people = rows_of(entries, COCO)
    assert people.schema.equals(schema(COCO), check_metadata=True)
    assert json.loads(people.schema.metadata[b"darkpose"])["names"] == list(COCO.names)
    assert people["file"].to_pylist() == ["a.jpg", "a.jpg", "clip.mp4"]
    assert people["person"].to_pylist() == [0, 2, 0]
    assert people["frame"].to_pylist() == [None, None, 7] and people["error"].null_count == 3
    assert people["nose_x"].null_count == 0 and np.isnan(people["nose_x"][1].as_py())
    one_by_one = pa.concat_tables(rows_of([each], COCO) for each in entries)
    np.testing.assert_equal(one_by_one.to_pydict(), people.to_pydict())

    everything = rows_of(entries, COCO, everything=True)
    assert everything.schema == people.schema
    files = ["a.jpg", "a.jpg", "a.jpg", "clip.mp4", "empty.jpg", "b.jpg"]
    assert everything["file"].to_pylist() == files
    assert everything["person"].to_pylist() == [0, 1, 2, 0, None, None]
    no_pose = "a box of 6 x 7 pixels has no pose"
    assert everything["error"].to_pylist() == [None, no_pose, None, None, None, entries[3].error]
    assert everything["x"].to_pylist() == [0, 4, 8, 0, None, None]
    for name in ("score", "nose_x", "right_ankle_score", "nose_ambiguity"):
        nulls = [value is None for value in everything[name].to_pylist()]
        assert nulls == [False, True, False, False, True, True]
    np.testing.assert_equal(everything.take([0, 2, 3]).to_pydict(), people.to_pydict())


def test_a_table_of_nobody_has_all_columns() -> None:
    names = list(columns((), COCO))
    assert names[:8] == ["file", "frame", "person", "x", "y", "w", "h", "score"]
    assert names[8:11] == ["nose_x", "nose_y", "nose_score"] and names[-1] == "error"
    assert len(names) == 9 + 4 * COCO.num_joints
    assert all(len(values) == 0 for values in columns((), COCO).values())
