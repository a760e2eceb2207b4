# SPDX-License-Identifier: Apache-2.0
"""`darkpose predict`: complete files or none, one bad image or clip spoils no other."""

import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from darkpose.data.annotations import load_annotations
from darkpose.data.joint_sets import COCO
from darkpose.evaluate.metrics.coco import evaluate_oks
from darkpose.predict.predictor import Predictor, Request
from darkpose.predict.progress import pace
from predicting import BOXES, INLINE, clip, close, points, rgb_photo, rows_of, run, save, untrained

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


# ---- what is written -----------------------------------------------------------------------------


def test_results_of_annotated_people_are_complete_and_can_be_measured(
    data: Path, tmp_path: Path
) -> None:
    """Each person who is annotated but crowds, labeled or not, with the image's own id."""
    root = data / "coco_mini"
    task = untrained(input_size=(64, 96), convention="udp")
    people = root / "annotations/person_keypoints_train2017.json"
    images = root / "images/train2017"
    run(save(task, tmp_path / "udp.ckpt"), [str(images)], str(people), Path("coco.json"))
    found = json.loads(Path("coco.json").read_text())
    content = json.loads(people.read_text())
    asked = [each for each in content["annotations"] if not each["iscrowd"]]
    assert len(found) == len(asked) and all(len(each["keypoints"]) == 51 for each in found)
    assert {each["image_id"] for each in found} == {each["image_id"] for each in asked}
    predictor = Predictor(task, device="cpu", orientation="stored")
    records = load_annotations(people, images).records
    for record in records[::10]:
        request = Request(0, record.image_path, [record.box], annotated=True)
        ((_, poses, _),) = predictor.stream([request])
        assert poses is not None
        expected = poses.keypoints[0]
        same_image = [
            np.reshape(each["keypoints"], (-1, 3))
            for each in found
            if each["image_id"] == record.image_id
        ]
        assert any(close(each[:, :2], expected[:, :2]) for each in same_image)
    figures = evaluate_oks(people, found, COCO.oks_sigmas)
    assert 0 <= figures["AP"] < 0.2  # an untrained network; the point is that it can be measured


def test_the_csv_can_be_read_again_as_boxes(checkpoint: Path, photos: Path) -> None:
    run(checkpoint, [str(photos)], INLINE, Path("first.csv"))
    run(checkpoint, [str(photos)], "first.csv", Path("again.csv"))
    first, again = rows_of(Path("first.csv")), rows_of(Path("again.csv"))
    assert len(first) == len(again) == 6
    for a, b in zip(first, again, strict=True):
        assert close(points(b), points(a))
        assert float(b["score"]) == pytest.approx(float(a["score"]) ** 2, rel=1e-3)


def test_boxes_without_size_are_left_out_and_counted(
    checkpoint: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = run(checkpoint, [str(photos / "a.jpg")], f"5,5,0,9;{INLINE}", Path("out.csv"))
    assert "people: 3, images: 1," in said and "boxes without a pose, left out: 1" in caplog.text
    assert [row["person"] for row in rows_of(Path("out.csv"))] == ["1", "2", "3"]


# ---- pictures and video --------------------------------------------------------------------------


def test_a_picture_without_a_joint_says_why(
    checkpoint: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = [str(photos / "a.jpg")]
    run(checkpoint, one, INLINE, Path("table.csv"), draw=Path("bare.png"), threshold=1e9)
    assert "none is drawn: --threshold 0 draws all" in caplog.text
    np.testing.assert_array_equal(cv2.imread("bare.png"), cv2.imread(one[0]))
    caplog.clear()
    run(checkpoint, one, INLINE, Path("drawn.png"), threshold=0)
    run(checkpoint, one, INLINE, Path("table.csv"), threshold=1e9)
    assert "none is drawn" not in caplog.text
    assert not Path("predictions.json").exists()


def test_pictures_are_drawn_as_they_are_seen(checkpoint: Path) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="Pillow comes with matplotlib")
    exif = pillow.Exif()
    exif[0x0112] = 6  # a quarter turn
    pillow.fromarray(rgb_photo()).save("turned.jpg", exif=exif)
    run(checkpoint, ["turned.jpg"], None, Path("drawn.png"))
    assert cv2.imread("drawn.png").shape == (320, 240, 3)


def test_a_picture_too_large_for_its_format_costs_no_result(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Path("in").mkdir()
    cv2.imwrite("in/wide.png", np.zeros((4, 17_000), np.uint8))
    cv2.imwrite("in/good.webp", rgb_photo())
    Path("in/wide.png").rename("in/wide.webp")  # OpenCV reads by content
    with pytest.raises(OSError, match=r"could not be written: 1, the first: .*wide\.webp"):
        run(checkpoint, ["in"], None, Path("out.csv"), draw=Path("drawn"))
    assert len(rows_of(Path("out.csv"))) == 2
    assert [path.name for path in Path("drawn").iterdir()] == ["good.webp"]
    assert "wide.webp cannot hold 17000 x 4 pixels" in caplog.text


def test_frames_are_predicted_as_pictures_of_them_are(checkpoint: Path) -> None:
    source, video = clip(Path("in.avi")), cv2.VideoCapture("in.avi")
    Path("boxes.csv").write_text(
        "file,frame,x,y,w,h\nin.avi,1,40,30,100,150\nin.avi,3,150,20,80,200\n"
    )
    said = run(checkpoint, [str(source)], "boxes.csv", Path("out.csv"))
    assert "people: 2, images: 5," in said
    predictor = Predictor.from_checkpoint(checkpoint, device="cpu")
    first, second = rows_of(Path("out.csv"))
    assert (first["frame"], second["frame"], first["file"]) == ("1", "3", "in.avi")
    for number in range(4):
        frame = video.read()[1][..., ::-1]
        for row, box in ((first, BOXES[:1]), (second, BOXES[1:2])):
            if row["frame"] == str(number):
                expected = predictor(frame, box).keypoints[0, :, :2]
                assert close(points(row), expected)


def test_frames_become_pictures_in_a_folder_and_ids_in_json(checkpoint: Path) -> None:
    clip(Path("in.avi"), 2)
    run(checkpoint, ["in.avi"], INLINE, Path("out.json"), draw=Path("drawn"))
    results = json.loads(Path("out.json").read_text())
    assert [each["image_id"] for each in results[::3]] == ["in.avi#0", "in.avi#1"]
    files = sorted(path.name for path in Path("drawn/in.avi").iterdir())
    assert files == ["000000.jpg", "000001.jpg"]
    with pytest.raises(ValueError, match="from one image, got 0 image.* and 1 video"):
        run(checkpoint, ["in.avi"], INLINE, Path("out.png"))


def test_a_folder_may_have_a_dot_in_its_name(checkpoint: Path, photos: Path) -> None:
    Path("of.2024").mkdir()
    run(checkpoint, [str(photos / "a.jpg")], INLINE, Path("of.2024"))
    assert [path.name for path in Path("of.2024").iterdir()] == ["a.jpg"]


def test_progress_shows_images_per_second_and_time_left() -> None:
    shown = io.StringIO()
    with pace(40, Console(file=shown, force_terminal=True, width=100)) as progress:
        for _ in range(20):
            progress.advance()
    assert "20/40" in shown.getvalue() and "images/s" in shown.getvalue()
    assert re.search(r"\d:\d\d:\d\d", shown.getvalue())
    assert progress.rate == pytest.approx(20 / progress.seconds, rel=0.5)
