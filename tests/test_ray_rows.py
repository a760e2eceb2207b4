# SPDX-License-Identifier: Apache-2.0
"""Tables and places that a run on many machines reads: Parquet, object stores, images."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from darkpose.data.orientation import Orientation, Pixels
from darkpose.predict import shards, stored
from darkpose.predict.boxes import BoxTable, ImageBoxes
from darkpose.predict.pixels import as_decoded, as_rgb
from darkpose.predict.rows import find_tables, list_images, requests
from darkpose.predict.shards import MANIFEST, begin, keep_index
from darkpose.predict.stored import Folder, StoredImage, UnreachableError, files, inside, located
from predicting import BOXES, RUN, rgb_photo, write_parquet

pa = pytest.importorskip("pyarrow", reason="distributed runs read and write Parquet")
pq = pytest.importorskip("pyarrow.parquet", reason="distributed runs read and write Parquet")
fs = pytest.importorskip("pyarrow.fs", reason="distributed runs read and write anywhere")


BUCKET = "s3://people/day1?region=eu-west-1"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is called `s3://people`."""
    root = tmp_path / "people"
    root.mkdir()

    def file_system(uri: str) -> tuple[Any, str]:
        assert uri in ("s3://people/?region=eu-west-1", "file:///"), uri
        if uri == "file:///":
            return fs.LocalFileSystem(), "/"
        return fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "people"

    monkeypatch.setattr(stored, "_file_system", file_system)
    return root


# ---- tables --------------------------------------------------------------------------------------


def test_rows_of_people_that_follow_one_another_are_one_image(tmp_path: Path) -> None:
    columns = {
        "file": ["a.jpg", "a.jpg", "b.jpg", "a.jpg"],
        **{side: [1.0, 2, 3, 4] for side in "xywh"},
        "score": [0.9, 0.4, 0.8, 0.7],
    }
    table = write_parquet(tmp_path / "boxes.parquet", columns)
    a, b, again = requests(table, 0, 4, "exif")
    assert [a.key, b.key, again.key] == ["a.jpg", "b.jpg", "a.jpg"]
    assert a.image == tmp_path / "a.jpg"
    assert (a.boxes, again.boxes) == ([[1.0] * 4, [2.0] * 4], [[4.0] * 4])
    np.testing.assert_array_equal(a.box_scores, [0.9, 0.4])
    a, b, again = requests(table, 0, 4, "exif", min_box_score=0.5)
    assert (a.boxes, len(b.boxes), len(again.boxes)) == ([[1.0] * 4], 1, 1)
    (part,) = requests(table, 1, 2, "exif")
    assert (part.key, part.boxes) == ("a.jpg", [[2.0] * 4])


@pytest.mark.parametrize(
    ("boxes", "scores"),
    [([[1, 2, 3, 4]], "x"), ([[1, 2, 3, 4]], [0.5, 0.1]), ([[1, 2, 3, 4]], 0.5), (7, [0.5])],
)
def test_values_that_are_no_boxes_are_left_to_whoever_predicts(
    boxes: Any, scores: Any, tmp_path: Path
) -> None:
    columns = {"path": ["a.jpg"], "boxes": [boxes], "box_scores": [scores]}
    (found,) = requests(
        write_parquet(tmp_path / "a.parquet", columns), 0, 1, "exif", min_box_score=0.2
    )
    assert (found.boxes, found.box_scores) == (boxes, scores)


def test_a_table_may_have_images_in_it(tmp_path: Path) -> None:
    data = cv2.imencode(".png", rgb_photo()[..., ::-1])[1].tobytes()
    plain = write_parquet(tmp_path / "a.parquet", {"image": [data], "boxes": [BOXES.tolist()]})
    struct = write_parquet(
        tmp_path / "b.parquet", {"image": [{"bytes": data, "path": "x.png"}], "key": [7]}
    )
    (found,), (other,) = requests(plain, 0, 1, "exif"), requests(struct, 0, 1, "exif")
    np.testing.assert_array_equal(np.asarray(found.image), rgb_photo())
    np.testing.assert_array_equal(np.asarray(other.image), rgb_photo())
    assert (found.key, other.key) == (f"{plain}#0", "7")
    np.testing.assert_array_equal(found.boxes, BOXES)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": ["a"]}, "must have a column path, uri or image, got name"),
        ({"path": ["a"], "x": [1], "w": [1]}, "must have all of x, y, w, h, got x, w"),
    ],
)
def test_a_table_without_what_is_needed_is_refused_in_a_sentence(
    columns: dict[str, Any], message: str, tmp_path: Path
) -> None:
    table = write_parquet(tmp_path / "a.parquet", columns)
    with pytest.raises(ValueError, match=f"^{table} {message}$"):
        find_tables([table])


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"what")
    with pytest.raises(ValueError, match="must be a Parquet file, got"):
        find_tables([str(tmp_path / "a.parquet")])


def test_tables_are_told_from_images_and_not_mixed_with_them(tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "set" / "b.parquet", {"path": ["a.jpg"]})
    nested = write_parquet(
        tmp_path / "spark.parquet" / "day=1" / "part-0.parquet", {"path": ["a.jpg"]}
    )
    (tmp_path / "spark.parquet" / "_temporary").mkdir()
    (tmp_path / "spark.parquet" / "_temporary" / "x.parquet").touch()
    images = tmp_path / "images"
    images.mkdir()
    found = find_tables([str(tmp_path / "set"), str(tmp_path / "spark.parquet")])
    assert found == {each: (1, Path(each).stat().st_size) for each in (table, nested)}
    assert find_tables([str(images), "*.jpg"]) == {}
    with pytest.raises(ValueError, match="must all be Parquet tables, or none, got .*images"):
        find_tables([table, str(images)])
    with pytest.raises(FileNotFoundError, match="no .*none.parquet"):
        find_tables([str(tmp_path / "none.parquet")])


# ---- places --------------------------------------------------------------------------------------


def test_an_object_store_is_listed_read_and_written(bucket: Path) -> None:
    image = cv2.imencode(".png", rgb_photo()[..., ::-1])[1].tobytes()
    for name in ("day1/b #1.png", "day1/sub/a.png", "day1/.hidden.png", "day1/note.txt"):
        (bucket / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket / name).write_bytes(image)
    place = "s3://people/day1/b #1.png?region=eu-west-1"
    found = files(BUCKET, lambda name: name.endswith(".png"))
    assert found == {"b #1.png": place, "sub/a.png": inside(BUCKET, "sub/a.png")}
    assert files(place, str.isspace) == {"s3://people/day1/b #1.png": place}
    folder = Folder(inside(BUCKET, "out"))
    for _ in range(2):
        begin(folder, RUN)
    assert json.loads((bucket / "day1/out" / MANIFEST).read_text()) == RUN
    rows, _ = list_images([place], None, None)
    keep_index(folder, rows, 10)
    (request,) = requests(inside(folder.place, shards.INDEX), 0, 1, "exif")
    assert request.image.place == place
    np.testing.assert_array_equal(np.asarray(request.image), rgb_photo())
    assert request.key == "s3://people/day1/b #1.png"  # the region is nobody's business


@pytest.mark.parametrize("given", [None, "array", "table"])
def test_the_images_of_an_object_store_are_all_or_those_with_boxes(
    given: str | None, bucket: Path
) -> None:
    for name in ("a.jpg", "sub/b.JPG", "clip.mp4"):
        (bucket / "day1" / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket / "day1" / name).touch()
    scores = np.ones(len(BOXES))
    boxed = ImageBoxes("sub/b.JPG", None, 7, BOXES, scores, size=(320, 240))
    table = BoxTable((boxed,), stored=True, annotated=True)
    boxes = {None: None, "array": BOXES, "table": table}[given]
    found, orientation = list_images([BUCKET], boxes, None)
    assert orientation == ("stored" if given == "table" else "exif")
    names = ["sub/b.JPG"] if given == "table" else ["a.jpg", "sub/b.JPG"]
    assert found == [
        {
            "key": name,
            "path": inside(BUCKET, name),
            "boxes": given and BOXES.tolist(),
            "box_scores": scores.tolist() if given == "table" else None,
            "image_size": [320, 240] if given == "table" else None,
            "annotated": given == "table",
        }
        for name in names
    ]
    place = inside(BUCKET, "a.jpg")
    found, _ = list_images([place, BUCKET], None, None)
    assert [row["key"] for row in found] == [
        f"s3://people/day1/{x}" for x in ("a.jpg", *names[-1:])
    ]


@pytest.mark.parametrize(
    ("images", "frame", "message"),
    [
        ([BUCKET, BUCKET], None, "must be the one folder that the boxes' files are in"),
        ([BUCKET], 3, "takes images alone, got boxes in a frame of clip.mp4"),
        ([BUCKET], None, "must hold images, got none"),
    ],
)
def test_images_of_an_object_store_that_are_not_clear_are_refused(
    images: list[str], frame: int | None, message: str, bucket: Path
) -> None:
    (bucket / "day1").mkdir()
    table = BoxTable((ImageBoxes("clip.mp4", frame, 7, BOXES, np.ones(len(BOXES))),), stored=False)
    with pytest.raises(ValueError, match=message):
        list_images(images, None if "none" in message else table, None)


def test_paths_in_a_table_of_an_object_store_are_relative_to_it(bucket: Path) -> None:
    write_parquet(bucket / "day1" / "t.parquet", {"uri": ["a.jpg", "/b.jpg", "gs://c/d.jpg"]})
    (table,) = find_tables([BUCKET])
    a, b, d = (request.image for request in requests(table, 0, 3, "exif"))
    assert (a.place, b) == ("s3://people/day1/a.jpg?region=eu-west-1", Path("/b.jpg"))
    assert d.place == "gs://c/d.jpg"


def test_an_unknown_uri_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="must be a path or a URI pyarrow knows, got: .*carrier"):
        located("carrier-pigeon://loft/a.jpg")


def test_a_store_that_does_not_answer_makes_no_image_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        def open_input_stream(self, _: str) -> None:
            raise error

    monkeypatch.setattr(stored, "located", lambda place: (Absent(), place))
    image = StoredImage("s3://people/a.jpg?x", Pixels("exif"), None, "s3://people/a.jpg")
    error: OSError = OSError("no route to host")
    with pytest.raises(UnreachableError, match="image s3://people/a.jpg cannot be fetched: no rou"):
        np.asarray(image)
    error = FileNotFoundError("not there")
    with pytest.raises(ValueError, match="image s3://people/a.jpg must be a readable file"):
        np.asarray(image)


# ---- images --------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", ["exif", "stored"])
@pytest.mark.parametrize("kind", ["rgb.jpg", "grey.png", "deep.png", "rgba.png", "turned.jpg"])
def test_pixels_are_those_that_the_predictor_reads_from_a_file(
    kind: str, orientation: Orientation, tmp_path: Path
) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="writes the EXIF tag")
    image, path = rgb_photo(), tmp_path / kind
    made: dict[str, Any] = {
        "grey.png": image[..., 0],
        "deep.png": image.astype(np.uint16) * 255,
        "rgba.png": np.dstack([image, image[..., :1]]),
    }
    if kind.endswith("jpg"):
        exif = pillow.Exif()
        exif[0x0112] = 6 if kind == "turned.jpg" else 1
        pillow.fromarray(image).save(path, exif=exif)
    else:
        cv2.imwrite(str(path), made[kind])
    expected = as_rgb(as_decoded(path, orientation))
    for data in (None, path.read_bytes()):
        found = StoredImage(path.as_uri(), Pixels(orientation), data, kind)
        np.testing.assert_array_equal(np.asarray(found), expected)
        np.testing.assert_array_equal(as_rgb(as_decoded(found, orientation)), expected)


@pytest.mark.parametrize("content", [b"", b"text", "cut"])
def test_a_bad_image_is_called_bad_as_the_predictor_does(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    if content == "cut":
        whole = cv2.imencode(".jpg", rgb_photo())[1].tobytes()
        content = whole[: len(whole) // 2]
    path.write_bytes(content)
    with pytest.raises(ValueError) as expected:
        as_decoded(path, "exif")
    with pytest.raises(ValueError) as found:
        np.asarray(StoredImage("", Pixels("exif"), content, str(path)))
    assert str(found.value) == str(expected.value)
