# SPDX-License-Identifier: Apache-2.0
"""Turned photos: the width and height that come with people say which pixels they count."""

import io
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from darkpose.data.annotations import Annotations, PersonRecord
from darkpose.data.dataset import KeypointDataset
from darkpose.data.images import decode_bytes
from darkpose.data.orientation import Pixels, decode, exif_orientation
from darkpose.data.tally import Once
from photos import INPUT_SIZE, JOINTS, SPEC, note_decodings, photo

SIZE = (320, 240)  # as the file is stored
BOX = (20.0, 30.0, 100.0, 150.0)
FORMATS = ("jpeg", "png", "webp")

pillow = pytest.importorskip("PIL.Image", reason="writes the EXIF tag")


def tagged(tag: int, size: tuple[int, int] = SIZE, kind: str = "jpeg") -> bytes:
    """Return an image file of that stored (width, height) and EXIF orientation."""
    exif, file = pillow.Exif(), io.BytesIO()
    exif[0x0112] = tag
    pillow.fromarray(photo(size)).save(file, kind, exif=exif)
    return file.getvalue()


def stored(data: bytes) -> NDArray[Any]:
    return decode_bytes(data, "").pixels


def turned(data: bytes) -> NDArray[Any]:
    return decode_bytes(data, "", turned=True).pixels


def dataset(
    path: Path, size: tuple[int, int] | None, box: Any = BOX, **options: Any
) -> KeypointDataset:
    record = PersonRecord(path, 1, 7, size, box, 9e3, JOINTS)
    return KeypointDataset(Annotations((record,), SPEC, 1), INPUT_SIZE, **options)


# ---- the tag -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("tag", range(1, 9))
def test_the_tag_is_that_of_pillow_wherever_opencv_turns(kind: str, tag: int) -> None:
    data = tagged(tag, kind=kind)
    assert exif_orientation(data) == tag
    assert np.array_equal(stored(data), turned(data)) == (tag == 1)


def test_files_without_a_tag_or_cut_anywhere_are_not_turned() -> None:
    for kind in FORMATS:
        data = tagged(6, kind=kind)
        start = data.find(b"MM\0*")
        for end in (*range(0, 40), *range(start, start + 24)):
            assert exif_orientation(data[:end]) in (1, 6)
        assert exif_orientation(data[:start]) == 1
    for kind in (".jpg", ".png", ".webp", ".bmp", ".tif"):
        assert exif_orientation(cv2.imencode(kind, photo(SIZE))[1].tobytes()) == 1
    little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0"
    wrong = little.replace(b"\x08\0\0\0\x01", b"\xff\xff\xff\xff\x01")
    for exif, tag in ((little, 8), (wrong, 1), (little[:8], 1)):
        segment = b"\xff\xff\xe1" + (len(exif) + 8).to_bytes(2, "big") + b"Exif\0\0" + exif
        assert exif_orientation(b"\xff\xd8" + segment + b"\xff\xda") == tag


# ---- which pixels --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("tag", [5, 6, 7, 8])
@pytest.mark.parametrize("default", ["exif", "stored"])
def test_the_size_says_whether_the_image_is_turned(kind: str, tag: int, default: Any) -> None:
    data = tagged(tag, kind=kind)
    for size, expected in ((SIZE, stored(data)), (SIZE[::-1], turned(data))):
        found = decode(data, "a", Pixels(default, size))
        assert found.size == size and not found.note
        np.testing.assert_array_equal(found.pixels, expected)
        asked = decode(data, "a", Pixels(default, size, sure=True))
        np.testing.assert_array_equal(
            asked.pixels, turned(data) if default == "exif" else stored(data)
        )


@pytest.mark.parametrize(
    ("tag", "size", "known", "said"),
    [
        (3, SIZE, SIZE, "a width and height that fit both ways"),  # upside down
        (2, SIZE, SIZE, "a width and height that fit both ways"),
        (6, (240, 240), (240, 240), "a width and height that fit both ways"),
        (6, SIZE, None, "and no width and height, which do not tell"),
        (1, SIZE, None, ""),
        (6, SIZE, SIZE, ""),
    ],
)
def test_where_the_size_cannot_tell_the_default_holds_and_is_said(
    tag: int, size: tuple[int, int], known: Any, said: str
) -> None:
    data = tagged(tag, size)
    for default, expected in (("stored", stored(data)), ("exif", turned(data))):
        found = decode(data, "a.jpg", Pixels(default, known))  # type: ignore[arg-type]
        if known != SIZE or tag < 5:
            np.testing.assert_array_equal(found.pixels, expected)
        assert bool(found.note) == bool(said) and said in found.note
        read = "turned" if default == "exif" else "as it is stored"
        assert not said or (f"it is read {read}" in found.note and "a.jpg" in found.note)
        assert not decode(data, "a", Pixels(default, known, sure=True)).note  # type: ignore[arg-type]


@pytest.mark.parametrize(("tag", "known"), [(6, (321, 240)), (1, SIZE[::-1]), (3, SIZE[::-1])])
def test_a_size_that_fits_neither_way_is_refused(tag: int, known: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="image a must be of the annotated size .* EXIF") as error:
        decode(tagged(tag), "a", Pixels("stored", known))
    assert f"got (320, 240) with an EXIF orientation of {tag}" in str(error.value)


# ---- training and evaluation ---------------------------------------------------------------------


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("tag", [5, 6, 7, 8])
def test_people_annotated_in_a_turned_photo_are_cut_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: int, scaled: bool
) -> None:
    """To the last bit as out of the same pixels stored upright; decoded once, whole."""
    path, upright = tmp_path / "turned.jpg", tmp_path / "upright.png"
    path.write_bytes(tagged(tag))
    cv2.imwrite(str(upright), turned(path.read_bytes())[..., ::-1])
    decoded = note_decodings(monkeypatch)
    whole = (0.0, 0.0, 240.0, 320.0)  # which crops reduce
    for box in (BOX, whole):
        found = dataset(path, SIZE[::-1], box, scaled_decoding=scaled)[0]
        expected = dataset(upright, SIZE[::-1], box)[0]
        assert (found["image"] == expected["image"]).all() and found["image"].any()
        assert (found["to_image"] == expected["to_image"]).all()
    assert [name for name, *_ in decoded] == ["turned.jpg", "upright.png"] * 2


def test_people_annotated_in_the_stored_photo_are_cut_out_of_that_reduced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plain = tmp_path / "turned.jpg", tmp_path / "plain.jpg"
    path.write_bytes(tagged(6))
    plain.write_bytes(tagged(1))
    decoded = note_decodings(monkeypatch)
    crops = [
        dataset(each, SIZE, (0, 0, *SIZE), scaled_decoding=True)[0]["image"]
        for each in (path, plain)
    ]
    assert (crops[0] == crops[1]).all()
    assert [reduction for _, reduction, _ in decoded] == [4, 4]


def test_what_is_uncertain_is_said_once_for_all_images_and_processes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [tmp_path / f"{i}.jpg" for i in range(2)]
    for path in paths:
        path.write_bytes(tagged(3))
    records = tuple(PersonRecord(path, 1, 7, SIZE, BOX, 9e3, JOINTS) for path in paths)
    people = KeypointDataset(Annotations(records, SPEC, 1), INPUT_SIZE)
    with caplog.at_level(logging.WARNING):
        assert all(sample["image_read"] for sample in (people[0], people[1]))
    (line,) = caplog.messages
    assert "0.jpg has an EXIF orientation of 3" in line and "it is read as it is stored" in line
    once = Once()
    child = os.fork()
    if not child:
        once.say("a note")
        os._exit(0)
    os.waitpid(child, 0)
    caplog.clear()
    once.say("another note")
    assert not caplog.messages
    pickle.loads(pickle.dumps(once)).say("a note of a process that is not forked")
    assert len(caplog.messages) == 1


def test_a_photo_of_another_size_is_bad_and_may_be_skipped(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(tagged(6))
    with pytest.raises(ValueError, match="annotation 7: image .*turned.jpg must be .* as EXIF"):
        dataset(path, (100, 100))[0]
    assert not dataset(path, (100, 100), on_bad_image="skip")[0]["image_read"]
