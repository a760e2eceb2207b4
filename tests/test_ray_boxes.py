# SPDX-License-Identifier: Apache-2.0
"""What boxes are, on many machines: annotated or not, and in which pixels of a photo."""

from pathlib import Path

import numpy as np
import pytest

from darkpose.data.orientation import Orientation, Pixels
from darkpose.geometry import clip_box
from darkpose.predict import shards
from darkpose.predict.boxes import BoxTable, ImageBoxes
from darkpose.predict.predictor import Predictor
from darkpose.predict.rows import list_images, requests
from darkpose.predict.shards import keep_index
from darkpose.predict.stored import Folder, inside
from predicting import BOXES, SIZE, rgb_photo, untrained, write_parquet

pytest.importorskip("pyarrow.parquet", reason="distributed runs read and write Parquet")


@pytest.mark.parametrize("given", [None, "exif"])
def test_a_list_of_images_keeps_what_their_boxes_are(
    tmp_path: Path, given: Orientation | None
) -> None:
    """Annotated ones are clipped on each machine, and each photo is turned as its size says."""
    pillow = pytest.importorskip("PIL.Image", reason="writes the EXIF tag")
    exif = pillow.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    pillow.fromarray(rgb_photo()).save(tmp_path / "images/a.jpg", exif=exif)
    model, (width, height) = untrained(convention="hrnet"), SIZE
    for size in ((width, height), (height, width)):
        boxed = ImageBoxes("a.jpg", None, 7, BOXES, np.ones(len(BOXES)), size=size)
        table = BoxTable((boxed,), stored=True, annotated=True)
        rows, orientation = list_images([str(tmp_path / "images")], table, given)
        folder = Folder(str(tmp_path / f"out{size[0]}"))
        keep_index(folder, rows, 10)
        index = inside(folder.place, shards.INDEX)
        (request,) = requests(index, 0, 1, orientation, sure=given is not None)
        assert request.annotated and request.pixels == Pixels(orientation, size, given is not None)
        ((_, poses, _),) = Predictor(model, device="cpu").stream([request])
        assert poses is not None
        turned = given == "exif" or size == (height, width)
        assert poses.image_size == ((height, width) if turned else (width, height))
        expected = [clip_box(box, poses.image_size, "hrnet") for box in BOXES]
        assert poses.boxes.tolist() == [list(box) for box in expected if box is not None]


def test_a_table_may_say_that_boxes_are_annotated_and_of_what_size(tmp_path: Path) -> None:
    columns = {
        "image": [None, b"content"],
        "path": ["a.jpg", None],
        "boxes": [BOXES.tolist(), None],
        "image_size": [[320, 240], None],
        "annotated": [True, None],
    }
    table = write_parquet(tmp_path / "a.parquet", columns)
    boxed, whole = requests(table, 0, 2, "exif")
    assert boxed.annotated and boxed.pixels == Pixels("exif", (320, 240))
    assert not whole.annotated and whole.image.pixels == Pixels("exif", sure=True)
