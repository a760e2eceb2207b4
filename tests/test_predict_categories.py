# SPDX-License-Identifier: Apache-2.0
"""Whose boxes of a file are taken, and what their results say: categories, and darkpose's own."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from darkpose.data.detections import load_detections
from darkpose.data.joint_sets import COCO
from darkpose.predict.boxes import read_boxes
from predicting import BOXES, INLINE, annotation, clip, rgb_photo, run, save, untrained, write_json

IMAGES = [{"id": 5, "file_name": "a.png", "width": 320, "height": 240}]
DOG, CAT = ({"id": i, "name": name, "keypoints": ["nose"]} for i, name in ((3, "dog"), (8, "cat")))
CAR = {"id": 9, "name": "car"}
FISH = {"id": 4, "name": "fish", "keypoints": ["fin", "tail"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    cv2.imwrite("images/a.png", rgb_photo()[..., ::-1])


def boxes_of(*categories: Any, ids: Any = None) -> Path:
    """Write a box for each id of a category, of which the first side is the id."""
    ids = [each["id"] for each in categories] if ids is None else ids
    boxes = [
        {**annotation(i + 1, 5, [float(each or 0), 2, 30, 40]), "category_id": each}
        for i, each in enumerate(ids)
    ]
    content = {"images": IMAGES, "annotations": boxes, "categories": list(categories)}
    return write_json(Path("boxes.json"), content)


def taken(path: Path, category: Any = None) -> list[int]:
    found = read_boxes(path, category=category)
    taken = [int(x) for image in found.images for x in image.boxes[:, 0]]
    said = [image.categories.tolist() for image in found.images if image.categories is not None]
    assert sum(said, []) == taken  # everybody's own
    return taken


@pytest.mark.parametrize(
    ("categories", "wanted", "expected"),
    [
        ((DOG, CAT, CAR), None, [3, 8]),
        ((DOG, CAT, CAR), "cat", [8]),
        ((DOG, CAT, CAR), 9, [9]),
        ((DOG, CAT, CAR), "9", [9]),
        ((DOG, CAT, CAR), "all", [3, 8, 9]),
        ((FISH, DOG), "fish", [4]),
        ((FISH, DOG), "all", [4, 3]),
        ((CAR, {"id": 1, "name": "person"}), None, [1]),
        ((CAR,), None, [9]),
    ],
)
def test_a_category_is_a_name_an_id_or_all(categories: Any, wanted: Any, expected: Any) -> None:
    assert taken(boxes_of(*categories), wanted) == expected


def test_of_categories_with_other_joints_the_one_with_boxes_is_taken() -> None:
    assert taken(boxes_of(FISH, DOG, CAT, ids=[8, 3, 8])) == [8, 3, 8]
    with pytest.raises(ValueError, match=r"categories \['dog', 'fish'\]: choose one with category"):
        read_boxes(boxes_of(FISH, DOG))
    with pytest.raises(ValueError, match=r"categories \['dog', 'cat'\], got category bird"):
        read_boxes(boxes_of(DOG, CAT), category="bird")
    assert taken(boxes_of(DOG, ids=["3", 3.0])) == [3, 3]
    boxes_of(DOG, ids=[None])
    assert read_boxes("boxes.json").images[0].categories == np.array([3])


@pytest.mark.parametrize("content", ["[]", "file,x,y,w,h\n", "nobody"])
def test_a_file_without_a_box_is_said_to_have_none(
    content: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(untrained(), Path("n.ckpt"))
    path = Path("none.csv" if content[0] == "f" else "none.json")
    path.write_text(content) if content != "nobody" else boxes_of(DOG, ids=[]).rename(path)
    assert "people: 0, images: 0," in run(Path("n.ckpt"), ["images"], str(path))
    assert [line for line in caplog.messages if "box" in line] == [
        f"{path} has no box of the people to take"
    ]
    caplog.clear()
    read_boxes(boxes_of(DOG), min_score=2)
    assert caplog.messages == [
        "boxes.json has no box of the people to take with a score of at least 2"
    ]


def test_results_name_each_ones_own_category() -> None:
    save(untrained(), Path("n.ckpt"))
    run(Path("n.ckpt"), ["images"], str(boxes_of(DOG, CAT, CAR)), category="all")
    found = json.loads(Path("predictions.json").read_text())
    assert [each["category_id"] for each in found] == [3, 8, 9]
    run(Path("n.ckpt"), ["images"], "boxes.json", category="cat")
    assert [each["category_id"] for each in json.loads(Path("predictions.json").read_text())] == [8]


# ---- darkpose's own results ----------------------------------------------------------------------


def test_predictions_serve_as_boxes_of_images_and_of_frames() -> None:
    save(untrained(), Path("n.ckpt"))
    clip(Path("images/clip.avi"), 2)
    run(Path("n.ckpt"), ["images"], INLINE, Path("first.json"))
    run(Path("n.ckpt"), ["images"], "first.json", Path("again.json"))
    first, again = (json.loads(Path(f"{name}.json").read_text()) for name in ("first", "again"))
    assert [each["image_id"] for each in first[::3]] == ["a.png", "clip.avi#0", "clip.avi#1"]
    assert [each.get("frame") for each in first[::3]] == [None, 0, 1]
    assert [each["box"] for each in first] == 3 * BOXES.tolist()
    for each in (*first, *again):
        del each["score"]  # the box's times the joints'
    assert again == first


def test_predictions_with_ids_of_images_serve_as_boxes_with_their_names() -> None:
    save(untrained(), Path("n.ckpt"))
    file = str(boxes_of(DOG))
    run(Path("n.ckpt"), ["images"], file, Path("first.json"))
    with pytest.raises(ValueError, match="give image_names"):
        run(Path("n.ckpt"), ["images"], "first.json")
    run(Path("n.ckpt"), ["images"], "first.json", image_names=file)
    (first,), (again,) = (
        json.loads(Path(name).read_text()) for name in ("first.json", "predictions.json")
    )
    assert first["image_id"] == 5 and again["keypoints"] == first["keypoints"]
    (record,) = load_detections("first.json", file, "images").records
    assert [*record.box] == first["box"] and record.score == first["score"]
    write_json(Path("text.json"), [{**first, "image_id": "5", "category_id": "3"}])
    assert read_boxes("text.json", image_names=file).images[0].image_id == 5


def test_pycocotools_takes_the_same_areas_as_without_the_boxes() -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="measures AP")
    save(untrained(), Path("n.ckpt"))
    run(Path("n.ckpt"), ["images"], str(boxes_of(DOG)))
    results = json.loads(Path("predictions.json").read_text())
    plain = [{k: v for k, v in each.items() if k not in ("box", "frame")} for each in results]
    areas = []
    for each in (results, plain):
        with contextlib.redirect_stdout(io.StringIO()):
            areas.append(coco.COCO("boxes.json").loadRes(each).anns[1]["area"])
    joints = np.reshape(results[0]["keypoints"], (-1, 3))
    assert areas[0] == areas[1] == pytest.approx(np.prod(np.ptp(joints[:, :2], axis=0)))
    assert len(joints) == COCO.num_joints


@pytest.mark.parametrize("box", [{}, {"bbox": None}])
def test_predictions_of_before_get_a_sentence(box: dict[str, Any]) -> None:
    person = {"image_id": "a.png", "category_id": 1, "keypoints": 51 * [1], "score": 1, **box}
    path = write_json(Path("before.json"), [person])
    sentence = "must have 'bbox', got none: results of keypoints serve as boxes if each has a 'box'"
    with pytest.raises(ValueError, match=sentence):
        read_boxes(path)
    with pytest.raises(ValueError, match=sentence):
        load_detections(path, boxes_of(DOG), "images")
