# SPDX-License-Identifier: Apache-2.0
"""`darkpose predict` where something is wrong: one sentence, the rest kept, no half a file."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from darkpose.predictor import Predictor
from predicting import (
    INLINE,
    clip,
    photo_folder,
    rows_of,
    run,
    save,
    untrained,
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(untrained(), tmp_path_factory.mktemp("checkpoint") / "a.ckpt")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(two_photos: list[Path], tmp_path: Path) -> Path:
    return photo_folder(two_photos, tmp_path / "photos")


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


def test_a_video_cut_short_keeps_the_frames_it_has(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = clip(Path("whole.avi"), 8).read_bytes()
    Path("cut.avi").write_bytes(whole[: len(whole) // 2])
    run(checkpoint, ["cut.avi"], INLINE, Path("out.csv"))
    frames = {row["frame"] for row in rows_of(Path("out.csv"))}
    assert 0 < len(frames) < 8
    assert f"must be complete, got {len(frames)} of 8 frames" in caplog.text


def test_where_nothing_can_be_predicted_nothing_is_written(checkpoint: Path, photos: Path) -> None:
    Path("out.json").write_text("of yesterday")
    with pytest.raises(ValueError, match="none of the images could be predicted, the first: .*b.j"):
        run(checkpoint, [str(photos / "b.jpg")], INLINE, Path("out.json"))
    assert Path("out.json").read_text() == "of yesterday"
    assert len(rows_of(Path("out.failures.csv"))) == 1


@pytest.mark.parametrize("name", ["out.json", "out.csv", "out.parquet", "out.avi"])
def test_an_interrupted_run_leaves_no_half_a_file(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="an extra of its own")
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
        run(checkpoint, ["in.avi"], INLINE, Path(name))
    assert set(Path().iterdir()) == before


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
        (["a.jpg"], {"decoder": "expectation"}, "decoder must be one of argmax, standard, dark"),
        (["a.jpg"], {"engine": "ray", "draw": Path("x")}, "ray neither draws nor detects"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    checkpoint: Path, photos: Path, images: list[str], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        run(checkpoint, [str(photos / image) for image in images], **options)
    assert sorted(path.name for path in Path().iterdir()) == ["photos"]


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
