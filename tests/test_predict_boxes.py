# SPDX-License-Identifier: Apache-2.0
"""Boxes in every form, and which images they are of: what is wrong is said before anything runs."""

import csv
import doctest
from pathlib import Path
from typing import Any

import pytest

from darkpose.predict import boxes as reading
from darkpose.predict.boxes import parse_boxes, read_boxes
from darkpose.predict.sources import plan
from predicting import PERSON, annotation, write_json

IMAGES = [{"id": 7, "file_name": "b/seven.jpg"}, {"id": 3, "file_name": "a/three.jpg"}]
BIKE = {"id": 2, "name": "bike"}


# ---- on the command line -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("1,2,3,4", [[1, 2, 3, 4]]),
        (" 1, 2, 3 ,4 ", [[1, 2, 3, 4]]),
        ("1,2,3,4;5,6,7,8", [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("1,2,3,4 -5.5,.6,7e1,0", [[1, 2, 3, 4], [-5.5, 0.6, 70, 0]]),
    ],
)
def test_boxes_are_read_off_the_command_line(text: str, boxes: list[list[float]]) -> None:
    found = parse_boxes(text)
    assert found is not None and found.tolist() == boxes


@pytest.mark.parametrize("text", ["boxes.json", "1,2,3,4.csv", "", "a,b,c,d", "2024,boxes"])
def test_other_texts_are_names_of_files(text: str) -> None:
    assert parse_boxes(text) is None


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,4,5", "1,2,-3,4", "1", "1,2,3,1e999"])
def test_impossible_boxes_on_the_command_line_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a box of the command line must have x, y, width, height"):
        parse_boxes(text)


def test_the_examples_in_docstrings_hold() -> None:
    result = doctest.testmod(reading)
    assert result.attempted > 0 and result.failed == 0


# ---- files ---------------------------------------------------------------------------------------


def test_annotations_give_people_and_count_stored_pixels(tmp_path: Path) -> None:
    """Crowds, other categories and images without people are left out; unlabeled people are not."""
    people = [
        annotation(1, 7, [1, 2, 3, 4]),
        annotation(2, 3, [5, 6, 7, 8], keypoints=[0, 0, 0]),
        annotation(3, 7, [9, 9, 9, 9]),
        annotation(4, 7, [0, 0, 99, 99], iscrowd=1),
        {**annotation(5, 3, [0, 0, 1, 1]), "category_id": 2},
    ]
    content = {"images": IMAGES, "annotations": people, "categories": [BIKE, PERSON]}
    found = read_boxes(write_json(tmp_path / "people.json", content))
    assert found.stored and found.category_id == 1
    assert [(each.name, each.image_id) for each in found.images] == [
        ("b/seven.jpg", 7),
        ("a/three.jpg", 3),
    ]
    assert found.images[0].boxes.tolist() == [[1, 2, 3, 4], [9, 9, 9, 9]]
    assert found.images[1].boxes.tolist() == [[5, 6, 7, 8]]
    bikes = read_boxes(tmp_path / "people.json", category=2)
    assert [each.boxes.tolist() for each in bikes.images] == [[[0, 0, 1, 1]]]
    assert bikes.category_id == 2


def test_detections_name_images_by_a_file_or_by_themselves(tmp_path: Path) -> None:
    people = [
        {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9},
        {"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.9},
        {"image_id": 3, "category_id": 1, "bbox": [5, 6, 7, 8], "score": 0.2},
        {"image_id": 7, "category_id": 1, "bbox": [9, 9, 9, 9]},
    ]
    path = write_json(tmp_path / "boxes.json", people)
    names = write_json(tmp_path / "names.json", {"images": IMAGES, "categories": [PERSON, BIKE]})
    found = read_boxes(path, image_names=names, min_score=0.5)
    assert found.stored
    seven, three = found.images
    assert seven.name == "b/seven.jpg" and seven.scores.tolist() == [0.9, 1]
    assert three.name == "a/three.jpg" and three.boxes.shape == (0, 4)

    named = [{**each, "image_id": f"{each['image_id']}.jpg"} for each in people[:1] + people[2:]]
    found = read_boxes(write_json(path, named))
    assert not found.stored and [each.name for each in found.images] == ["7.jpg", "3.jpg"]
    assert found.images[1].image_id == "3.jpg" and found.images[1].scores.tolist() == [0.2]
    assert read_boxes(write_json(path, [])).images == ()


def test_csv_gives_boxes_by_file_and_frame(tmp_path: Path) -> None:
    """As spreadsheets write it, with a byte order mark."""
    path = tmp_path / "boxes.csv"
    rows = [
        ("score", "file", "x", "y", "w", "h", "frame", "note"),
        (0.5, "a,b.jpg", 1, 2, 3, 4, "", "x"),
        ("", "clip.mp4", 5, 6, 7, 8, 12, ""),
        (0.1, "a,b.jpg", 9, 9, 9, 9, "", ""),
    ]
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)
    photo, clip = read_boxes(path).images
    assert (photo.name, photo.frame, photo.scores.tolist()) == ("a,b.jpg", None, [0.5, 0.1])
    assert (clip.name, clip.frame, clip.boxes.tolist()) == ("clip.mp4", 12, [[5, 6, 7, 8]])
    assert clip.scores.tolist() == [1]


FOUND = {"image_id": "a", "bbox": [1, 2, 3, 4]}


def coco(images: Any = IMAGES, **wrong: Any) -> dict[str, Any]:
    """Return COCO-style annotations of one person, number 6, of whom something is wrong."""
    person = {**annotation(6, 7, [1, 2, 3, 4]), **wrong}
    return {"images": images, "categories": [], "annotations": [person]}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("b.csv", "file,x,y,w\n", "must have a first line with file, x, y, w, h, got no h"),
        ("b.csv", "file,x,y,w,h\na,1,2,3,4\na,1,2,nan,4\n", "the box of line 3 must have x, y"),
        ("b.csv", "file,x,y,w,h\na,1,2,-3,4\n", "line 2 must have x, y, width, height"),
        ("b.csv", "file,x,y,w,h\na,1,2,3\n", "line 2 must have x, y, width, height"),
        ("b.csv", "file,x,y,w,h,score\na,1,2,3,4,high\n", "line 2 must have a score"),
        ("b.csv", "file,x,y,w,h,frame\na,1,2,3,4,-1\n", "line 2 must have a frame from 0 on"),
        ("b.csv", f"file,x,y,w,h,frame\na,1,2,3,4,{5000 * '9'}\n", "a frame from 0 on"),
        ("b.csv", "", "must have a first line"),
        ("b.csv", "file,x,y,w,h,x\na,1,2,3,4,9\n", "first line with .*, got two x"),
        ("b.csv", "x,y,w,h,file\n1,2,3,4\n", "line 2 must have a file, got none"),
        ("b.csv", "file,x,y,w,h\n,1,2,3,4\n", "line 2 must have a file, got none"),
        ("b.csv", f"file,x,y,w,h\n{200_000 * 'a'},1,2,3,4\n", "b.csv must be CSV in UTF-8"),
        ("b.json", "[{", "must be complete JSON"),
        ("b.json", "3", "must be COCO-style JSON"),
        ("b.json", [{"bbox": [1, 2, 3, 4]}], "position 0 must have 'image_id' and 'bbox'"),
        ("b.json", [{**FOUND, "image_id": 5}], "in image 5: give image_names"),
        ("b.json", [{**FOUND, "bbox": [10**400, 2, 3, 4]}], "position 0 must have x, y"),
        ("b.json", [{**FOUND, "bbox": "1234"}], "position 0 must have x, y"),
        ("b.json", [{**FOUND, "bbox": [1, 2, 3, None]}], "position 0 must have x, y"),
        ("b.json", [{**FOUND, "score": "x"}], "must have a score"),
        ("b.json", [{**FOUND, "category_id": "person"}], "with a number for an id, got 'person'"),
        ("b.json", [{**FOUND, "category_id": [1]}], r"with a number for an id, got \[1\]"),
        (
            "b.json",
            [{**FOUND, "category_id": i} for i in (4, 5)],
            r"boxes of the categories \[4, 5\]: choose one with category",
        ),
        ("b.json", {"images": []}, "a list 'annotations', got none"),
        ("b.json", coco(image_id=8), "6 must be in an image that is listed, got image_id 8"),
        ("b.json", coco(image_id=[7]), r"6 must be in an image that is listed, got image_id \[7\]"),
        (
            "b.json",
            coco([{"id": [7], "file_name": "a"}]),
            "id of the one at position 0 of images must be a number or text",
        ),
        (
            "b.json",
            coco([*IMAGES, {"id": 7, "file_name": "a"}]),
            "id of its own, got two different ones of id 7",
        ),
        (
            "b.json",
            coco(bbox=[1, 2, -3, 4]),
            "annotation 6 must have x, y, width, height: finite numbers, sizes not negative",
        ),
        ("b.txt", "1 2 3 4", "boxes must be x,y,w,h or a .json or .csv file"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(
    tmp_path: Path, name: str, content: Any, sentence: str
) -> None:
    path = write_json(tmp_path / name, content)
    with pytest.raises(ValueError, match=sentence) as refusal:
        read_boxes(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"images": 3}, "names.json must be COCO-style JSON with a list 'images'"),
        ({"images": IMAGES, "categories": 3}, "must be a list of objects, got 3"),
        ({"images": IMAGES, "categories": [3]}, r"must be a list of objects, got \[3\]"),
    ],
)
def test_image_names_of_another_shape_are_refused(
    tmp_path: Path, content: Any, sentence: str
) -> None:
    boxes = write_json(tmp_path / "boxes.json", [{**FOUND, "image_id": 7}])
    with pytest.raises(ValueError, match=sentence):
        read_boxes(boxes, image_names=write_json(tmp_path / "names.json", content))


def test_a_table_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_bytes(b"file,x,y,w,h\n\xe9.jpg,1,2,3,4\n")
    with pytest.raises(ValueError, match="boxes.csv must be CSV in UTF-8"):
        read_boxes(path)


def test_a_category_that_no_box_has_is_refused(tmp_path: Path) -> None:
    path = write_json(tmp_path / "boxes.json", [{**FOUND, "category_id": 1}])
    with pytest.raises(ValueError, match=r"boxes of the categories \[1\], got category 7"):
        read_boxes(path, category=7)


def test_an_image_that_is_listed_twice_has_results_of_both_ids(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": "a.jpg"} for i in (7, 8)]
    people = [annotation(i, i, [i, 2, 3, 4]) for i in (7, 8)]
    content = {"images": images, "annotations": people, "categories": [PERSON]}
    boxes = read_boxes(write_json(tmp_path / "people.json", content))
    (tmp_path / "a.jpg").touch()
    found = [
        (each.image_id, each.boxes.boxes.tolist())
        for each in plan([tmp_path], boxes).sources
        if each.boxes is not None
    ]
    assert found == [(7, [[7, 2, 3, 4]]), (8, [[8, 2, 3, 4]])]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for suffix in (".csv", ".json"):
        with pytest.raises(FileNotFoundError, match=f"gone{suffix}"):
            read_boxes(tmp_path / f"gone{suffix}")
