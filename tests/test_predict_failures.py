# SPDX-License-Identifier: Apache-2.0
"""`darkpose predict` where something is wrong: one sentence, the rest kept, no half a file."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from predicting import INLINE, clip, rows_of, run

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


def test_failures_are_listed_beside_the_results_and_the_rest_is_kept(
    checkpoint: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (photos / "clip.avi").write_bytes(b"no video")
    said = run(checkpoint, [str(photos)], INLINE, Path("out.json"))
    assert "people: 6, images: 2," in said
    failures = sorted(rows_of(Path("out.failures.csv")), key=lambda each: each["file"])
    assert [each["file"] for each in failures] == ["b.jpg", "clip.avi"]
    assert "cut short" in failures[0]["error"]
    assert "must be in a format that OpenCV reads" in failures[1]["error"]
    warning = caplog.records[-1]
    assert warning.levelno == logging.WARNING and "files that failed: 2," in warning.getMessage()
    assert "out.failures.csv" in warning.getMessage()

    (photos / "b.jpg").unlink()
    (photos / "clip.avi").unlink()
    run(checkpoint, [str(photos)], INLINE, Path("out.json"))
    assert not Path("out.failures.csv").exists()  # of the run before


@pytest.mark.parametrize("name", ["cut.avi", "cut.mp4"])
def test_a_video_cut_short_keeps_the_frames_it_has(
    checkpoint: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The count of frames is an estimate, but for two formats."""
    whole = clip(Path("whole.avi"), 8).read_bytes()
    Path(name).write_bytes(whole[: len(whole) // 2])
    with caplog.at_level("INFO"):
        run(checkpoint, [name], INLINE, Path("out.csv"))
    frames = len({row["frame"] for row in rows_of(Path("out.csv"))})
    assert 0 < frames < 8
    failed = f"{name} must be complete, got {frames} of 8 frames" in caplog.text
    assert failed == name.endswith(".mp4") == Path("out.failures.csv").exists()
    assert failed or f"{name} has {frames} frames, its header estimates 8" in caplog.text


def test_where_nothing_can_be_predicted_nothing_is_written(checkpoint: Path, photos: Path) -> None:
    Path("out.json").write_text("of yesterday")
    with pytest.raises(ValueError, match="none of the images could be predicted, the first: .*b.j"):
        run(checkpoint, [str(photos / "b.jpg")], INLINE, Path("out.json"))
    assert Path("out.json").read_text() == "of yesterday"
    assert len(rows_of(Path("out.failures.csv"))) == 1


def test_outputs_never_replace_what_is_read(checkpoint: Path, photos: Path) -> None:
    one = [str(photos / "a.jpg")]
    before = (photos / "a.jpg").read_bytes()
    for out in (photos / "a.jpg", photos):
        with pytest.raises(ValueError, match="would replace .*a.jpg, which is read"):
            run(checkpoint, one, INLINE, out)
    Path("boxes.csv").write_text("file,x,y,w,h\na.jpg,1,2,3,4\n")
    with pytest.raises(ValueError, match="would replace .*boxes.csv"):
        run(checkpoint, one, "boxes.csv", Path("boxes.csv"))
    assert (photos / "a.jpg").read_bytes() == before


def test_pictures_drawn_into_the_folder_are_not_read_by_the_next_run(
    checkpoint: Path, photos: Path
) -> None:
    for _ in range(2):
        said = run(checkpoint, [str(photos)], INLINE, Path("out.csv"), draw=photos / "drawn")
        assert "people: 6, images: 2," in said


@pytest.mark.parametrize(
    ("images", "options", "sentence"),
    [
        (["a.jpg"], {"out": Path("out.txt")}, r"must be a folder or a file of .json, .*out.txt"),
        (
            ["a.jpg", "day/c.jpg"],
            {"out": Path("out.png")},
            "from one image, got 2 image.* a folder",
        ),
        (["a.jpg"], {"out": Path("x.csv"), "draw": Path("./x.csv")}, "must be different files"),
        (["a.jpg"], {"out": Path("out.mp4")}, "from one video, got 1 image"),
        (["a.jpg"], {"boxes": "1,2,3,4", "detector": "a:b"}, "boxes and detector exclude"),
        (["a.jpg"], {"detector": "nothing"}, "detector must be module:function"),
        (["a.jpg"], {"detector": "json:nothing"}, "json has no nothing to call"),
        (["a.jpg"], {"decoder": "expectation"}, "must be one of argmax, standard, dark"),
        (["a.jpg"], {"network": "json:loads"}, "must have network json:loads, got small"),
        (["a.jpg"], {"engine": "ray", "draw": Path("x")}, "ray neither draws nor detects"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    checkpoint: Path, photos: Path, images: list[str], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        run(checkpoint, [str(photos / image) for image in images], **options)
    assert sorted(path.name for path in Path().iterdir()) == ["photos"]


def test_two_pictures_are_never_drawn_as_one(checkpoint: Path, photos: Path) -> None:
    Path("a.jpg").write_bytes((photos / "a.jpg").read_bytes())
    Path("boxes.csv").write_text("file,x,y,w,h\na.jpg,1,2,30,40\n../a.jpg,9,9,30,40\n")
    with pytest.raises(ValueError, match=r"a.jpg and \.\./a.jpg would both be drawn as .*/a.jpg"):
        run(checkpoint, [str(photos)], "boxes.csv", Path("drawn"))
    (photos / "a.tif").write_bytes((photos / "a.jpg").read_bytes())
    (photos / "a.tif.jpg").write_bytes((photos / "a.jpg").read_bytes())
    with pytest.raises(ValueError, match=r"a.tif and a.tif.jpg would both be drawn as"):
        run(checkpoint, [str(photos)], INLINE, Path("out.csv"), draw=Path("new"))
    assert not Path("new").exists() and not Path("out.csv").exists()
    clip(Path("clip.avi"))
    with pytest.raises(ValueError, match="would replace .*clip.avi, which is read"):
        run(checkpoint, ["clip.avi"], INLINE, Path("out.csv"), draw=Path("."))


@pytest.mark.parametrize("name", ["out.json", "out.csv", "out.parquet"])
def test_names_that_are_no_text_or_too_long_cost_no_result(
    checkpoint: Path, photos: Path, name: str
) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="an extra of its own")
    strange, bad = (os.fsdecode(text) for text in (b"\xff.jpg", b"\xfe.jpg"))
    long = 246 * "x" + ".jpg"  # no file beside it has room for a longer name
    for each in (strange, long):
        (photos / each).write_bytes((photos / "a.jpg").read_bytes())
    (photos / bad).write_bytes(b"no image")
    said = run(checkpoint, [str(photos)], INLINE, Path(name), draw=Path("drawn"))
    assert "people: 12, images: 4," in said
    assert {path.name for path in Path("drawn").rglob("*.jpg")} == {"a.jpg", "c.jpg", strange, long}
    failures = {each["file"]: each["error"] for each in rows_of(Path("out.failures.csv"))}
    assert failures.keys() == {"b.jpg", r"\udcfe.jpg"}
    if name.endswith("csv"):
        assert {row["file"] for row in rows_of(Path(name))} >= {r"\udcff.jpg", "a.jpg"}


def test_huge_scores_spoil_no_other_result(checkpoint: Path, photos: Path) -> None:
    Path("boxes.csv").write_text(
        "file,x,y,w,h,score\na.jpg,1,2,30,40,1e300\nday/c.jpg,1,2,30,40,0.5\n"
    )
    assert "people: 2," in run(checkpoint, [str(photos)], "boxes.csv", Path("out.json"))
    first, second = json.loads(Path("out.json").read_text())
    assert first["score"] > 1e38 and 0 < second["score"] < 100


def test_boxes_of_frames_that_a_video_does_not_have_are_told(checkpoint: Path) -> None:
    """As of a table that counts frames from 1."""
    clip(Path("clip.avi"), 5)
    boxes = "file,frame,x,y,w,h\n" + "".join(f"clip.avi,{i + 1},1,2,30,40\n" for i in range(5))
    Path("boxes.csv").write_text(boxes)
    assert "people: 4, images: 5," in run(checkpoint, ["clip.avi"], "boxes.csv", Path("out.csv"))
    (failure,) = rows_of(Path("out.failures.csv"))
    assert "got boxes in frame 5 and 5 frames, the first of which is 0" in failure["error"]


def test_an_empty_folder_is_one_sentence(checkpoint: Path) -> None:
    Path("empty").mkdir()
    with pytest.raises(ValueError, match=r"empty must hold images or videos, such as .*, got none"):
        run(checkpoint, ["empty"])


def test_without_pyarrow_only_parquet_is_missing(
    checkpoint: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'darkpose\[parquet\]'"):
        run(checkpoint, [str(photos)], INLINE, Path("out.parquet"))
    run(checkpoint, [str(photos)], INLINE, Path("out.csv"))
