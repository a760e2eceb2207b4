# SPDX-License-Identifier: Apache-2.0
"""What looks wrong in annotation files is said with its number and first example, and only then;
images that are not there are found before anything is trained."""

import json
import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import PersonRecord, load_annotations
from darkpose.data.batches import Batches
from darkpose.data.formats import load_people
from darkpose.data.oddities import say_oddities
from darkpose.data.options import DataOptions
from darkpose.geometry import Box
from test_annotations import PETS


def person(number: int, box: Box, joint: tuple[float, float] | None = None) -> PersonRecord:
    """Return someone in an image of 160 x 120, the joint in the middle of the box if not given."""
    x, y, width, height = box
    joints = np.array([[*(joint or (x + width / 2, y + height / 2)), 2.0]])
    return PersonRecord(Path("a.png"), 1, number, (160, 120), box, width * height, joints)


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ([person(1, (40, 40, 20, 20)), person(2, (100, 20, 160, 120))], ""),
        (
            [person(1, (40, 40, 120, 110)), person(2, (50, 30, 150, 100))],
            "boxes beyond their images, as if x1, y1, x2, y2 and not x, y, width, height: 2, "
            "the first: annotation 1",
        ),
        # Larger than the image: no corner of it.
        ([person(1, (40, 40, 200, 150)), person(2, (50, 30, 300, 200))], ""),
        (
            [person(i, (0.2, 0.2, 0.5, 0.5)) for i in (1, 2)],
            "boxes smaller than 2 pixels, all there are, as if they were shares of the image and "
            "not pixels: 2, the first: annotation 1",
        ),
        (
            [person(1, (40, 40, 20, 20)), person(2, (40, 40, 20, 20), (90, 50))],
            "people with most of their labeled joints outside of their box: 1, "
            "the first: annotation 2",
        ),
    ],
)
def test_what_looks_wrong_is_said_once(
    people: list[PersonRecord], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    say_oddities(people, "a.json")
    assert caplog.messages == ([f"a.json: {said}"] if said else [])


def test_real_files_look_right(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = data / "coco_mini"
    load_people(root / "annotations/person_keypoints_val2017.json", root / "images/val2017")
    assert not [line for line in caplog.messages if "as if" in line]
    assert sum("outside of their box" in line for line in caplog.messages) <= 1


# ---- images that are not there -------------------------------------------------------------------


def annotated(folder: Path, names: list[str], **changes: object) -> Path:
    """Write a file with one person in each of some images."""
    (first,) = PETS["annotations"]
    content = {
        **PETS,
        "images": [{**PETS["images"][0], "id": i, "file_name": n} for i, n in enumerate(names)],
        "annotations": [
            {**first, "id": i + 1, "image_id": i, **changes} for i in range(len(names))
        ],
    }
    path = folder / "pets.json"
    path.write_text(json.dumps(content))
    return path


def test_images_that_are_not_there_are_counted_first(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 60, 3), np.uint8))
    file = annotated(tmp_path, ["a.png", "gone.png", "b/gone too.png"])
    sentence = f"{file}: gone.png and 1 more of 3 images are not in {tmp_path}"
    with pytest.raises(FileNotFoundError) as refused:
        load_people(file, tmp_path)
    assert str(refused.value) == sentence
    assert len(load_people(file, tmp_path, skip_missing=True)) == 3
    assert f"{sentence}; their people carry no weight" in caplog.text
    with pytest.raises(FileNotFoundError, match="1 more of 3 images"):
        Batches(HeatmapCodec((64, 64)), DataOptions(file, tmp_path))
    skipping = DataOptions(file, tmp_path, on_bad_image="skip")
    batches = Batches(HeatmapCodec((64, 64)), skipping)
    assert [batches.val_set[i]["image_read"] for i in range(3)] == [True, False, False]


def test_each_folder_is_listed_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"{folder}/{i}.png" for folder in "ab" for i in range(20)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed: list[object] = []
    list_folder = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [listed.append(path), list_folder(path)][1])
    monkeypatch.setattr(Path, "exists", lambda path: pytest.fail(f"{path} was asked for"))
    load_people(annotated(tmp_path, names), tmp_path)
    assert listed == [tmp_path / "a", tmp_path / "b"]


def test_another_format_is_named(tmp_path: Path) -> None:
    file = tmp_path / "train.json"
    for entry, name in (('"joints_vis": []', "mpii"), ('"keypoint_annotations": {}', "aic")):
        file.write_text(f"[{{{entry}}}]")
        with pytest.raises(ValueError, match=f"looks like a file for data_format {name}$"):
            load_annotations(file, tmp_path)


def test_nobody_inside_of_an_image_is_one_sentence(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cv2.imwrite(str(tmp_path / "pet.png"), np.zeros((40, 60, 3), np.uint8))
    file = annotated(tmp_path, ["pet.png"], bbox=[100, 2, 30, 20])
    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match="none of 1"):
        _ = Batches(HeatmapCodec((64, 64)), DataOptions(file, tmp_path)).val_set
    assert "outside of their images, dropped: 1, the first: annotation 1, " in caplog.text
