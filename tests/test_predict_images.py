# SPDX-License-Identifier: Apache-2.0
"""Any image, one or many: the same keypoints in every form, bad ones named, memory bounded."""

import itertools
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from darkpose.predict import people
from darkpose.predict.pixels import as_decoded
from darkpose.predict.predictor import Predictor, Request
from predicting import BATCH, BOXES, CLOSE, SIZE, close, rgb_photo, share_within, untrained

ONE_LEVEL = 1  # grey level, by which the same crop out of a shifted image differs


# ---- images --------------------------------------------------------------------------------------


def test_the_same_picture_in_any_form_has_the_same_keypoints(
    predictor: Predictor, tmp_path: Path
) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow comes with matplotlib")
    grey = rgb_photo()[..., 0]
    color = np.repeat(grey[..., None], 3, axis=2)
    alpha = rgb_photo(seed=1)[..., :1]
    deep = grey.astype(np.uint16) << 8 | alpha[..., 0]
    forms: dict[str, Any] = {
        "grey": grey,
        "one channel": grey[..., None],
        "rgba": np.concatenate([color, alpha], axis=2),
        "16 bits": deep,
        "16 bits, rgb": np.repeat(deep[..., None], 3, axis=2),
        "16 bits, big-endian": deep.astype(">u2"),
        "mirrored twice": color[:, ::-1].copy()[:, ::-1],
        "tensor": torch.from_numpy(color),
        "tensor, grey": torch.from_numpy(grey),
        "tensor, rgba": torch.from_numpy(np.concatenate([color, alpha], axis=2)),
        "tensor, planes": torch.from_numpy(color).permute(2, 0, 1).contiguous().permute(1, 2, 0),
        "tensor, 16 bits": torch.from_numpy(deep),
        "pillow": image.fromarray(color),
        "pillow, grey": image.fromarray(grey),
        "pillow, palette": image.fromarray(grey).convert("P"),
        "pillow, 16 bits": image.fromarray(deep),
    }
    for name in ("grey", "rgba", "16 bits", "16 bits, rgb"):
        for suffix in (".png", ".tiff"):
            path = tmp_path / f"{name}{suffix}"
            cv2.imwrite(str(path), forms[name])
            forms[path.name] = path
    expected = predictor(color, BOXES)
    assert np.isfinite(expected.keypoints).all()
    for name, form in forms.items():
        found = predictor(form, BOXES)
        np.testing.assert_array_equal(found.keypoints, expected.keypoints, err_msg=name)


def test_red_is_red(predictor: Predictor, tmp_path: Path) -> None:
    """Files, which OpenCV reads as BGR, and arrays give the same, which swapped channels do not."""
    image = rgb_photo()
    path = tmp_path / "color.png"
    cv2.imwrite(str(path), image[..., ::-1])
    expected = predictor(image, BOXES).keypoints
    np.testing.assert_array_equal(predictor(str(path), BOXES).keypoints, expected)
    assert (predictor(image[..., ::-1], BOXES).keypoints != expected).any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_as_people_see_them_unless_told_otherwise(
    predictor: Predictor, tmp_path: Path, orientation: int
) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="Pillow comes with matplotlib")
    ops = pytest.importorskip("PIL.ImageOps", reason="Pillow comes with matplotlib")
    image, path = pillow.fromarray(rgb_photo()), tmp_path / "turned.jpg"
    exif = pillow.Exif()
    exif[0x0112] = orientation  # the tag of the orientation
    image.save(path, exif=exif, quality=95)
    stored = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    tagged = pillow.fromarray(stored)
    tagged.getexif()[0x0112] = orientation
    seen = np.asarray(ops.exif_transpose(tagged))
    assert seen.shape[:2] == ((240, 320) if orientation < 5 else (320, 240))
    found = predictor(path)
    assert found.image_size == (seen.shape[1], seen.shape[0])
    assert found.boxes.tolist() == [[0, 0, *found.image_size]]
    np.testing.assert_array_equal(found.keypoints, predictor(seen).keypoints)
    as_stored = Predictor(predictor.model, device="cpu", orientation="stored")
    np.testing.assert_array_equal(as_stored(path).keypoints, predictor(stored).keypoints)
    assert as_stored(path).image_size == (stored.shape[1], stored.shape[0])


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((9, 9, 3)), "an image must have uint8 values, or uint16 ones, got float64"),
        (np.zeros((9, 9), np.int32), "got int32"),
        (torch.zeros(9, 9), "got float32"),
        (torch.zeros(3, 9, 9, dtype=torch.uint8), r"with 1, 3 or 4 channels, got \[3, 9, 9\]"),
        (np.zeros((3, 9, 9), np.uint8), r"with 1, 3 or 4 channels, got \[3, 9, 9\]"),
        (np.zeros((0, 9, 3), np.uint8), r"got \[0, 9, 3\]"),
        (np.zeros(9, np.uint8), r"got \[9\]"),
        ("nothing.jpg", "nothing.jpg must be a readable file, got: No such file"),
        (Path(__file__), "must be in a format OpenCV reads"),
        (Path(__file__).parent, "must be a file, got a folder, a device or a pipe"),
        (None, "got object"),
    ],
)
def test_what_is_no_image_is_refused_with_one_sentence(
    predictor: Predictor, image: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as refusal:
        predictor(image)
    assert "\n" not in str(refusal.value)


def test_an_image_of_more_pixels_than_opencv_decodes_is_refused(
    predictor: Predictor, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.png"
    cv2.imwrite(str(path), np.zeros((8, 8), np.uint8))
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 200_000, 200_000)  # of the header, and then its checksum
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    for orientation in ("exif", "stored"):
        with pytest.raises(
            ValueError, match="bomb.png must have at most 536870912 pixels, .* 200000 x"
        ):
            Predictor(predictor.model, device="cpu", orientation=orientation)(path)


def test_a_corrupt_file_among_good_ones_spoils_no_other(
    predictor: Predictor, two_photos: list[Path], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(two_photos[0].read_bytes()[:-500])
    empty = tmp_path / "empty.png"
    empty.touch()
    paths = [two_photos[0], cut, two_photos[1], empty, tmp_path / "gone.jpg", two_photos[0]]
    outcomes = list(predictor.stream(Request(str(path), path, BOXES) for path in paths))
    assert [outcome.request.key for outcome in outcomes] == list(map(str, paths))
    errors = [outcome.error for outcome in outcomes]
    assert [error is None for error in errors] == [True, False, True, False, False, True]
    assert "cut short" in (errors[1] or "") and "cut.jpg" in (errors[1] or "")
    for outcome in outcomes:
        assert (outcome.poses is None) == (outcome.error is not None)
        if outcome.poses is not None:
            expected = predictor(outcome.request.image, BOXES).keypoints[..., :2]
            assert close(outcome.poses.keypoints[..., :2], expected)


# ---- memory --------------------------------------------------------------------------------------


def constant_heatmaps(crops: torch.Tensor) -> tuple[torch.Tensor, None]:
    """Stand in for a network that takes no time."""
    return torch.zeros(len(crops), 17, 16, 16), None


def test_ten_thousand_boxes_of_one_image_are_cut_batch_by_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor = Predictor(untrained(), device="cpu", batch_size=BATCH)
    monkeypatch.setattr(predictor, "heatmaps", constant_heatmaps)
    boxes = np.tile(BOXES[:1], (10_000, 1)) + np.arange(10_000)[:, None] % 50
    all_crops = 10_000 * 64 * 64 * 3
    tracemalloc.start()
    found = predictor(rgb_photo(), boxes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 10_000 and np.isfinite(found.keypoints).all()
    assert peak < all_crops / 4  # most of it matrices and keypoints


def test_an_image_goes_to_the_device_once_and_has_the_same_pixels_there(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes, moved = np.tile(BOXES, (5, 1)), []
    expected = predictor(rgb_photo(), boxes).keypoints

    def noted(pixels: np.ndarray, device: torch.device) -> torch.Tensor:
        moved.append(device)
        return torch.from_numpy(pixels)

    monkeypatch.setattr(people, "on_device", noted)
    np.testing.assert_array_equal(predictor(rgb_photo(), boxes).keypoints, expected)
    assert moved == [predictor.device] and len(boxes) > BATCH


def test_images_are_taken_as_needed_from_a_source_without_end(predictor: Predictor) -> None:
    taken = 0

    def endless() -> Iterator[Request]:
        nonlocal taken
        while True:
            taken += 1
            boxes = BOXES[:1] if taken % 3 == 0 else BOXES[:0]
            yield Request(taken, rgb_photo((64, 48)), boxes)

    stream = predictor.stream(endless(), threads=2)
    for expected in range(1, 100):
        assert next(stream).request.key == expected
        assert taken - expected <= 2 * BATCH + 2 * 2 + 1
    stream.close()  # type: ignore[attr-defined]


def test_no_thread_outlives_a_stream_that_is_left(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, before = rgb_photo(), set(threading.enumerate())

    def endless() -> Iterator[Request]:
        yield from (Request(number, image, BOXES) for number in itertools.count())

    def broken() -> Iterator[Request]:
        yield from itertools.islice(endless(), 20)
        raise OSError("the disk is gone")

    found = predictor.stream(endless(), threads=2)
    next(found)
    assert set(threading.enumerate()) > before
    found.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) == before
    with pytest.raises(OSError, match="the disk is gone"):
        list(predictor.stream(broken(), threads=2))
    assert set(threading.enumerate()) == before

    def interrupted(crops: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(predictor, "heatmaps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(predictor.stream(endless(), threads=2))
    assert set(threading.enumerate()) == before


def test_images_without_people_do_not_pile_up_behind_a_batch(predictor: Predictor) -> None:
    taken = 0

    def mostly_empty() -> Iterator[Request]:
        nonlocal taken
        for taken in range(10 * BATCH):
            yield Request(taken, rgb_photo((64, 48)), BOXES[:1] if taken == 0 else BOXES[:0])

    first = next(predictor.stream(mostly_empty(), threads=0))
    assert first.request.key == 0 and first.poses is not None and len(first.poses) == 1
    assert taken <= 2 * BATCH


def test_an_image_20_000_pixels_wide_is_cut_as_its_part_is(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = rgb_photo()
    wide = np.zeros((SIZE[1], 20_000, 3), np.uint8)
    wide[:, 19_000 : 19_000 + SIZE[0]] = part
    assert np.isfinite(predictor(wide).keypoints).all()
    seen = []

    def noted(crops: torch.Tensor) -> tuple[torch.Tensor, None]:
        seen.append(crops.numpy().astype(int))
        return constant_heatmaps(crops)

    monkeypatch.setattr(predictor, "heatmaps", noted)
    inner = BOXES[:2]
    far = predictor(wide, inner + [19_000, 0, 0, 0]).keypoints[..., :2] - [19_000, 0]
    near = predictor(part, inner).keypoints[..., :2]
    assert np.abs(seen[0] - seen[1]).max() <= ONE_LEVEL
    assert share_within(far, near, CLOSE) == 1


def test_an_image_40_000_pixels_wide_is_cut_everywhere() -> None:
    wide = np.tile((np.arange(40_000) // 1000 * 6).astype(np.uint8), (64, 1))
    image = as_decoded(wide, "exif")
    for x in (0, 20_500, 39_500):
        found = image.crop(np.array([[1.0, 0, x], [0, 1, 0]]), (64, 64))
        assert np.array_equal(found, np.repeat(wide[:, x : x + 64, None], 3, axis=2))
    whole = image.crop(np.array([[1e3, 0, 0], [0, 1e3, 0]]), (40, 1))
    assert np.array_equal(whole[0, :, 0], 6 * np.arange(40))
