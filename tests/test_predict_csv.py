# SPDX-License-Identifier: Apache-2.0
"""CSV gives back what was written, whatever names and numbers are."""

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpose.predict.boxes import read_boxes
from darkpose.predict.table import csv_text
from predicting import rgb_photo, rows_of, run, save, untrained

NAMES = [
    "a\rb",
    " a",
    "a ",
    "\ta",
    "a\nb",
    "a\r\nb",
    'a"b',
    "a,b",
    "=1+1",
    "-1",
    "@a",
    "'a",
    "007",
    "1e3",
]


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        min_size=1,
    )
)
def test_text_is_read_again_as_it_was(names: list[str]) -> None:
    text = csv_text([*([name, 1.5, None] for name in names)])
    for options in ({}, {"skipinitialspace": True}):
        rows = list(csv.reader(io.StringIO(text, newline=""), **options))
        assert rows == [[name, "1.5", ""] for name in names]


def test_usual_names_have_no_quotes() -> None:
    assert (
        csv_text([["file", "x"], ["day 1/a.jpg", np.float32(0.1)]]) == "file,x\nday 1/a.jpg,0.1\n"
    )


@pytest.mark.parametrize("name", NAMES)
def test_boxes_of_a_file_of_any_name_are_found_again(name: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(csv_text([["file", *"xywh"], [name, 1, 2.5, 3, 4]]), newline="")
    (found,) = read_boxes(path).images
    assert found.name == name and found.boxes.tolist() == [[1, 2.5, 3, 4]]
    header = "file, x, y, w, h\na.jpg, 1, 2.5, 3, 4\n"  # as people write it
    path.write_text(header)
    assert read_boxes(path).images[0].boxes.tolist() == [[1, 2.5, 3, 4]]


def test_what_is_written_can_be_read_again_whatever_images_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(untrained(), Path("n.ckpt"))
    Path("images").mkdir()

    data = cv2.imencode(".png", rgb_photo())[1].tobytes()
    names = sorted(f"{name}.png" for name in NAMES)
    for name in names:
        Path("images", name).write_bytes(data)
    Path("images/bad\r.png").write_bytes(b"none")
    run(Path("n.ckpt"), ["images"], "10.1,20,30,40.7", Path("out.csv"), flip_test=False)
    assert sorted(row["file"] for row in rows_of(Path("out.csv"))) == names
    assert [row["file"] for row in rows_of(Path("out.failures.csv"))] == ["bad\r.png"]
    said = run(Path("n.ckpt"), ["images"], "out.csv", Path("again.csv"), flip_test=False)
    assert f"people: {len(names)}," in said
    again = rows_of(Path("again.csv"))
    assert [row["file"] for row in again] == [row["file"] for row in rows_of(Path("out.csv"))]
    assert all([row[side] for side in "xywh"] == ["10.1", "20.0", "30.0", "40.7"] for row in again)
