# SPDX-License-Identifier: Apache-2.0
"""An annotation file may name images anywhere: they are read, and drawn inside the folder named."""

from pathlib import Path

import cv2
import pytest

from darkpose.show.look import LookOptions, look
from predicting import annotation, rgb_photo, run, save, untrained, write_json


@pytest.mark.parametrize("absolute", [False, True])
def test_drawings_stay_in_their_folder(tmp_path: Path, absolute: bool) -> None:
    checkpoint = save(untrained(), tmp_path / "one.ckpt")
    images = tmp_path / "a" / "b" / "images"
    images.mkdir(parents=True)
    outside = tmp_path / "a" / "outside.png"
    cv2.imwrite(str(outside), rgb_photo())
    before = outside.read_bytes()
    content = {
        "images": [{"id": 7, "file_name": str(outside) if absolute else "../../outside.png"}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [annotation(1, 7, [40, 30, 100, 150])],
    }
    boxes = str(write_json(tmp_path / "boxes.json", content))
    drawn, seen = tmp_path / "x" / "y" / "drawn", tmp_path / "x" / "z" / "seen"
    run(checkpoint, [str(images)], out=f"{drawn}/", boxes=boxes)
    look(LookOptions(checkpoint, [str(images)], boxes=boxes, what=("skeletons",), out=seen))
    assert outside.read_bytes() == before
    pictures = set(tmp_path.rglob("*.png")) - {outside}
    assert len(pictures) == 2
    assert {path for path in pictures if drawn in path.parents or seen in path.parents} == pictures


def test_what_is_named_is_read_as_an_image_alone(tmp_path: Path) -> None:
    """What else lies there is not said, not even in the refusal."""
    checkpoint = save(untrained(), tmp_path / "one.ckpt")
    (tmp_path / "images").mkdir()
    (tmp_path / "password").write_text("hunter2 and more of it")
    content = {
        "images": [{"id": 7, "file_name": "../password"}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [annotation(1, 7, [40, 30, 100, 150])],
    }
    boxes = str(write_json(tmp_path / "boxes.json", content))
    with pytest.raises(ValueError, match="password") as error:
        run(checkpoint, [str(tmp_path / "images")], out=tmp_path / "found.csv", boxes=boxes)
    assert "hunter2" not in str(error.value)
