# SPDX-License-Identifier: Apache-2.0
"""JPEGs decoded at a fraction of their size: nothing is displaced, and all checks hold."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from darkpose.data.annotations import Annotations
from darkpose.data.augment import Augmentation
from darkpose.data.dataset import KeypointDataset
from darkpose.data.images import (
    DecodedImage,
    crop_image,
    decode_image,
    largest_reduction,
    read_image,
)
from darkpose.geometry import Matrix, apply, invert
from photos import INPUT_SIZE, Decodings, Pixels, annotations, encoded, note_decodings, photo

DISPLACEMENT = 0.05  # crop pixels that a scaled crop may be moved by
AVERAGED = 1.0  # gray levels, in the mean, from a crop of the image averaged over blocks


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Decodings:
    return note_decodings(monkeypatch)


# ---- where things are ----------------------------------------------------------------------------


def blob(size: tuple[int, int], center: tuple[float, float], sigma: float) -> Pixels:
    x, y = np.arange(size[0]), np.arange(size[1])[:, None]
    gray = 255 * np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * sigma**2))
    return np.repeat(gray.round().astype(np.uint8)[..., None], 3, axis=-1)


def centroid(crop: Pixels) -> NDArray[np.float64]:
    gray = crop.astype(np.float64).sum(-1)
    y, x = np.mgrid[: gray.shape[0], : gray.shape[1]]
    return np.array([(gray * x).sum(), (gray * y).sum()]) / gray.sum()


def halves_forgotten(image: DecodedImage, to_input: Matrix) -> Pixels:
    """The crop by the wrong map between the grids, x / reduction."""
    naive = to_input @ np.diag([image.reduction, image.reduction, 1.0])
    return DecodedImage(image.pixels, image.size).crop(invert(naive), INPUT_SIZE)


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("odd", [(0, 0), (1, 3), (7, 5)])
def test_a_scaled_crop_shows_everything_where_the_whole_one_does(
    tmp_path: Path, reduction: int, odd: tuple[int, int]
) -> None:
    """A blob's centroid is where the map puts it; with the wrong map it is not."""
    width, height = 90 * reduction + odd[0], 120 * reduction + odd[1]
    center, sigma = (0.51 * width, 0.47 * height), 6.0 * reduction
    path = tmp_path / "blob.jpg"
    cv2.imwrite(str(path), blob((width, height), center, sigma), [cv2.IMWRITE_JPEG_QUALITY, 98])
    image = decode_image(path, reduction)
    assert image.reduction == reduction and image.size == (width, height)
    assert image.pixels.shape == (-(-height // reduction), -(-width // reduction), 3)
    factor = 0.97 / reduction
    to_input = np.array([[factor, 0.0, 2.3], [0.0, factor, 3.6]])
    assert largest_reduction(to_input) == reduction
    expected = apply(to_input, center)
    found = centroid(image.crop(invert(to_input), INPUT_SIZE))
    np.testing.assert_allclose(found, expected, atol=DISPLACEMENT)
    wrong = centroid(halves_forgotten(image, to_input))
    assert (np.abs(wrong - expected) > 3 * DISPLACEMENT).all()


def shift(one: Pixels, other: Pixels) -> NDArray[np.float64]:
    """By how much the second crop is moved, by phase correlation."""
    gray = [crop.astype(np.float32).mean(-1) for crop in (one, other)]
    window = cv2.createHanningWindow(INPUT_SIZE, cv2.CV_32F)
    return np.array(cv2.phaseCorrelate(gray[0], gray[1], window)[0])


def averaged(image: Pixels, reduction: int) -> DecodedImage:
    """What a reduced image is to show: the mean of each block of pixels."""
    height, width = image.shape[:2]
    more = (-height % reduction, -width % reduction)
    whole = np.pad(image, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge")
    shape = (len(whole) // reduction, reduction, -1, reduction, 3)
    means = whole.reshape(shape).mean((1, 3)).round().astype(np.uint8)
    return DecodedImage(means, (width, height), reduction)


def test_scaled_crops_of_photos_are_not_moved_and_only_less_aliased(coco: Annotations) -> None:
    """They are crops of the averaged image, which every reduced pixel stands for."""
    people = KeypointDataset(coco, INPUT_SIZE)
    shifts, wrong = [], []
    for record, crop in zip(people.records, people.crops, strict=True):
        to_input, _ = people.matrices(crop)
        if (reduction := largest_reduction(to_input)) == 1 or len(shifts) == 20:
            continue
        image, reduced = read_image(record.image_path), decode_image(record.image_path, reduction)
        whole = crop_image(image, to_input, INPUT_SIZE)
        scaled = reduced.crop(invert(to_input), INPUT_SIZE)
        means = averaged(image, reduction).crop(invert(to_input), INPUT_SIZE)
        assert np.abs(means.astype(int) - scaled).mean() < AVERAGED
        shifts.append(shift(whole, scaled))
        wrong.append(shift(whole, halves_forgotten(reduced, to_input)))
    assert len(shifts) == 20
    assert (np.abs(np.median(shifts, axis=0)) < DISPLACEMENT).all()
    assert (np.abs(np.median(wrong, axis=0)) > 2 * DISPLACEMENT).all()


@given(st.floats(0.01, 3), st.floats(0.5, 2), st.floats(-180, 180), st.booleans())
def test_the_largest_reduction_is_the_last_that_enlarges_nothing(
    factor: float, anisotropy: float, degrees: float, mirrored: bool
) -> None:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = np.diag([factor * anisotropy * (-1) ** mirrored, factor]) @ turn
    reduction = largest_reduction(np.column_stack([linear, [5.0, -7.0]]))
    largest = factor * max(anisotropy, 1.0)
    assert reduction in (1, 2, 4, 8)
    assert reduction == 1 or reduction * largest <= 1 + 1e-9
    assert reduction == 8 or 2 * reduction * largest > 1 - 1e-9


# ---- what does not change ------------------------------------------------------------------------


def with_exif_orientation(jpeg: bytes) -> bytes:
    """Put in front of a JPEG's segments that it is to be turned by a quarter."""
    entry = b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"  # orientation, one short: 6
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def with_thumbnail(jpeg: bytes) -> bytes:
    small = encoded(photo((16, 12)))
    return jpeg[:2] + b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small + jpeg[2:]


@pytest.mark.parametrize(
    "change",
    [with_exif_orientation, with_thumbnail, lambda jpeg: jpeg[:2] + b"\xff\xff" + jpeg[2:]],
)
@pytest.mark.parametrize("progressive", [0, 1])
def test_a_reduced_image_has_the_stored_size(
    tmp_path: Path, change: Callable[[bytes], bytes], progressive: int
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(change(encoded(photo((321, 239)), cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)))
    image = decode_image(path, 2)
    assert (image.size, image.reduction, image.pixels.shape) == ((321, 239), 2, (120, 161, 3))
    assert read_image(path).shape == (239, 321, 3)


def test_other_formats_are_decoded_whole(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), photo((321, 239)))
    image = decode_image(path, 2)
    assert (image.size, image.reduction, image.pixels.shape) == ((321, 239), 1, (239, 321, 3))


def test_an_unknown_reduction_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reduction must be 1, 2, 4 or 8, got 3"):
        decode_image(tmp_path / "photo.jpg", 3)


@pytest.mark.parametrize("wrong", [(319, 240), (320, 239)])
def test_a_reduced_image_must_have_its_annotated_size_to_the_pixel(
    tmp_path: Path, decoded: Decodings, wrong: tuple[int, int]
) -> None:
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), photo(wrong))
    dataset = KeypointDataset(annotations(path), INPUT_SIZE, scaled_decoding=True)
    with pytest.raises(ValueError, match=r"annotation 10: .* annotated size \(320, 240\)"):
        dataset[0]
    assert [reduction for _, reduction, _ in decoded] == [4]


@pytest.mark.parametrize("kept", [0.3, 0.67, 0.99])
def test_a_reduced_image_must_be_complete(tmp_path: Path, kept: float) -> None:
    path, content = tmp_path / "photo.jpg", encoded(photo((320, 240)))
    path.write_bytes(content[: int(kept * len(content))])
    dataset = KeypointDataset(annotations(path), INPUT_SIZE, scaled_decoding=True)
    with pytest.raises(ValueError, match="annotation 10: image .* cut short"):
        dataset[0]


def test_nobody_is_enlarged_from_a_reduced_image(coco: Annotations, decoded: Decodings) -> None:
    """In evaluation all people of an image share one decoding, at the size the smallest needs."""
    people = KeypointDataset(coco, INPUT_SIZE, scaled_decoding=True)
    order = np.argsort(people.images, kind="stable")
    for i in order:
        before = len(decoded)
        people[int(i)]
        reduction = decoded[-1][1]
        assert reduction <= largest_reduction(people.matrices(people.crops[i])[0])
        assert len(decoded) == before + (people.images[i] == i)
    assert {reduction for _, reduction, _ in decoded} >= {1, 2}


def test_an_augmented_sample_is_the_same_in_any_order(two_photos: list[Path]) -> None:
    """Its reduction goes by its own crop and its image's people, not by what is held."""
    people = annotations(*two_photos, *two_photos)
    settings = Augmentation(scale=0.9, half_body_probability=0)
    options = {"augmentation": settings, "scaled_decoding": True}
    one, other = (KeypointDataset(people, INPUT_SIZE, **options) for _ in range(2))  # type: ignore[arg-type]
    keys = [(epoch, i) for epoch in range(5) for i in range(4)]
    first = {key: one[key] for key in keys}
    for key in reversed(keys):
        assert torch.equal(first[key]["image"], other[key]["image"])


def test_scaled_decoding_and_images_in_memory_exclude_each_other(two_photos: list[Path]) -> None:
    with pytest.raises(ValueError, match="cache_images keeps whole images"):
        KeypointDataset(
            annotations(*two_photos), INPUT_SIZE, cache_images=True, scaled_decoding=True
        )
