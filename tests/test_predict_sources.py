# SPDX-License-Identifier: Apache-2.0
"""Which images `darkpose predict` reads, and whose boxes are in them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darkpose.predict.boxes import BoxTable, read_boxes
from darkpose.predict.sources import plan
from predicting import PERSON, annotation, write_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with empty files of the names and of one more."""
    for name in ("a/three.jpg", "b/seven.jpg", "b/other.PNG"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "images/notes.txt").touch()
    (tmp_path / "images/.hidden.jpg").touch()
    return tmp_path / "images"


def table(*names: str, **options: Any) -> BoxTable:
    """Return a table with a box in each image, whose id is its position."""
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    boxes = [annotation(i, i, [i, 0, 9, 9]) for i in range(len(names))]
    content = {"images": images, "annotations": boxes, "categories": [PERSON]}
    return read_boxes(write_json(options["path"] / "table.json", content))


def names(images: Any, *rest: Any) -> list[str]:
    return [source.name for source in plan(images, *rest).sources]


def test_folders_files_and_patterns_are_images_once_each_by_name(folder: Path) -> None:
    everything = ["a/three.jpg", "b/other.PNG", "b/seven.jpg"]
    assert names([folder]) == everything
    assert names([f"{folder}/**/*.jpg"]) == ["a/three.jpg", "b/seven.jpg"]
    assert names([f"{folder}/b/*.jpg", folder / "b"]) == ["seven.jpg", "other.PNG"]
    assert names([folder / "notes.txt"]) == ["notes.txt"]  # named by itself, whatever it is
    assert names([folder / "a", folder / "b", folder]) == ["a/three.jpg", *everything[1:]]
    assert plan([folder]).orientation == "exif" and plan([folder]).total == 3
    assert plan([folder], None, None, [folder / "b"]).total == 1


def test_images_that_are_not_there_are_named(folder: Path) -> None:
    (folder / "none").mkdir()
    with pytest.raises(ValueError, match=r"none must hold images or videos, such as .jpg"):
        plan([folder / "none"])
    with pytest.raises(FileNotFoundError, match="there is no .*gone.jpg"):
        plan([folder / "gone.jpg"])
    with pytest.raises(FileNotFoundError, match=r"nothing matches .*\*.bmp"):
        plan([f"{folder}/*.bmp"])
    with pytest.raises(ValueError, match="needs images, folders or videos, got none"):
        plan([])
    with pytest.raises(ValueError, match="must hold images or videos"):
        plan([folder], None, None, [folder])  # which is written to


def test_boxes_of_a_table_go_to_the_files_of_its_names(folder: Path, tmp_path: Path) -> None:
    boxes = table("b/seven.jpg", "gone.jpg", "a/three.jpg", path=tmp_path)
    whole = plan([folder], boxes)
    assert [(each.name, each.image_id) for each in whole.sources] == [
        ("b/seven.jpg", 0),
        ("gone.jpg", 1),  # found missing when it is read, which spoils no other
        ("a/three.jpg", 2),
    ]
    assert whole.sources[2].boxes is not None
    assert whole.sources[2].boxes.boxes.tolist() == [[2, 0, 9, 9]]
    assert whole.orientation == "stored" and plan([folder], boxes, "exif").orientation == "exif"

    some = plan([folder / "b/seven.jpg", folder / "b/other.PNG"], boxes)
    assert [each.name for each in some.sources] == ["b/seven.jpg"]
    assert some.notes == (
        "images without boxes, not looked at: 1",
        "images with boxes that are not among those given, left out: 2",
    )


def test_tables_of_other_images_are_refused(folder: Path, tmp_path: Path) -> None:
    other = table("x.jpg", "y.jpg", path=tmp_path)
    with pytest.raises(ValueError, match="got none of its 2 images: not .*x.jpg"):
        plan([folder], other)
    with pytest.raises(ValueError, match="got none of three.jpg and so on: they are of x.jpg"):
        plan([folder / "a/three.jpg"], other)
    (folder / "a/seven.jpg").touch()
    with pytest.raises(ValueError, match="seven.jpg must be one of the images, got .* and .*"):
        plan([f"{folder}/*/seven.jpg"], table("seven.jpg", path=tmp_path))
    rows = write_json(tmp_path / "frames.csv", "file,x,y,w,h,frame\na/three.jpg,1,2,3,4,0\n")
    with pytest.raises(ValueError, match="boxes with a frame must be of a video, got a/three.jpg"):
        plan([folder], read_boxes(rows))


def test_boxes_of_the_command_line_are_in_every_image(folder: Path) -> None:
    same = np.array([[1.0, 2, 3, 4]])
    for source in plan([folder], same).sources:
        assert source.boxes is not None and source.boxes.boxes.tolist() == same.tolist()
