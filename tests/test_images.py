# SPDX-License-Identifier: Apache-2.0
"""Images: the same pixels as ever, decoded once for their people, and held one at a time."""

import gc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from darkpose import affine
from darkpose.codec import HeatmapCodec
from darkpose.data import dataset as dataset_module
from darkpose.data import images as images_module
from darkpose.data.annotations import Annotations
from darkpose.data.augment import Augmentation, augment, sample_rng
from darkpose.data.dataset import KeypointDataset
from darkpose.data.images import (
    DecodedImage,
    crop_image,
    crop_people,
    decode_image,
    read_image,
)
from darkpose.data.orientation import Pixels, decode_file
from darkpose_ext import reference
from photos import INPUT_SIZE, SPEC, annotations, note_decodings, photo

# ---- the same pixels -----------------------------------------------------------------------------


def test_crops_are_those_of_the_rgb_image(coco: Annotations) -> None:
    """As annotated, turned and mirrored: a map to the image gives what its inverse does."""
    people = KeypointDataset(coco, INPUT_SIZE)
    for i in range(0, len(people), 9):
        record = people.records[i]
        image, decoded = read_image(record.image_path), decode_image(record.image_path)
        assert decoded.size == record.image_size == image.shape[1::-1] and decoded.reduction == 1
        turned = augment(record, people.crops[i], SPEC, Augmentation(), sample_rng(0, 0, i))[0]
        for crop, width in ((people.crops[i], None), (turned, None), (turned, image.shape[1])):
            own = decoded.crop(people.to_image(crop, width)[0], INPUT_SIZE)
            other = crop_image(image, people.matrices(crop, width)[0], INPUT_SIZE)
            assert np.abs(own.astype(int) - other).max() <= 1  # a tie of two gray levels
            assert own.shape == (128, 96, 3) and own.flags.c_contiguous


class Cutting(nn.Module):
    def forward(self, image: Tensor, index: Tensor, to_image: Tensor) -> tuple[Tensor, Tensor]:
        given = ([image], index, to_image, 128, 96)
        crop = torch.ops.dark.crop
        return crop(*given), crop(*given, interpolation="bicubic")


def test_whoever_cuts_has_the_same_pixels(tmp_path: Path) -> None:
    """Bit for bit: one by one and at once, out of arrays and tensors, each person with its own
    interpolation; by the op's twin, and by an exported program."""
    image = photo((320, 240))
    codec = HeatmapCodec(INPUT_SIZE, convention="udp", enlarging="bicubic")
    boxes = np.random.default_rng(0).uniform((-9, -9, 9, 9), (90, 90, 200, 200), (24, 4))
    to_image = np.stack([codec.input_to_image(codec.crop(box)) for box in boxes])
    index = np.zeros(24, np.int64)
    tensors = tuple(map(torch.from_numpy, (image, index, to_image)))
    people = torch.export.Dim("people")
    shapes = (None, {0: people}, {0: people})
    torch.export.save(
        torch.export.export(Cutting(), tensors, dynamic_shapes=shapes), tmp_path / "crop.pt2"
    )
    programs = torch.export.load(tmp_path / "crop.pt2").module()(*tensors)
    enlarged = affine.enlarges(to_image)
    assert 0 < enlarged.sum() < 24
    for how, rows in (("bilinear", ~enlarged), ("bicubic", enlarged)):
        expected = reference.crop([tensors[0]], *tensors[1:], 128, 96, interpolation=how)[rows]
        assert torch.equal(programs[how == "bicubic"][rows], expected)
        for given in (image, tensors[0]):
            crops = crop_people([given], index, to_image, INPUT_SIZE, "bicubic")  # type: ignore[type-var]
            assert np.array_equal(np.asarray(crops)[rows], expected)
        singly = [
            DecodedImage(image, (320, 240)).crop(one, INPUT_SIZE, "bicubic")
            for one in to_image[rows]
        ]
        assert np.array_equal(singly, expected)


def test_people_are_cut_out_of_several_images_or_none() -> None:
    images = [photo((320, 240)), photo((64, 48), 1)]
    to_image = np.stack([[[1.0, 0, x], [0, 1, 0]] for x in (5, -3, 20)])
    crops = crop_people(images, np.array([1, 0, 1]), to_image, (32, 48))
    assert np.array_equal(crops[0], images[1][:, 5:37])
    assert np.array_equal(crops[1][:, 3:], images[0][:48, :29]) and not crops[1][:, :3].any()
    for given in (images, [torch.from_numpy(image) for image in images]):
        nobody = crop_people(given, np.empty(0, np.int64), to_image[:0], (32, 48), "bicubic")  # type: ignore[type-var]
        assert nobody.shape == (0, 48, 32, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_an_image_is_read_as_opencv_decodes_it(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an OpenCV that cannot decode to RGB too."""
    path = tmp_path / f"photo{suffix}"
    cv2.imwrite(str(path), photo((65, 33)))
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path))[..., ::-1])
    monkeypatch.setattr(images_module, "_AS_RGB", 0)
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path))[..., ::-1])


# ---- holding images ------------------------------------------------------------------------------


def test_people_of_an_image_share_its_decoding_and_only_one_image_is_held(
    two_photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = note_decodings(monkeypatch)
    a, b = two_photos
    people = KeypointDataset(annotations(a, a, a, b, b, a), INPUT_SIZE)
    samples = [people[i] for i in range(6)]
    assert [name for name, _, _ in decoded] == ["a.jpg", "b.jpg", "a.jpg"]
    gc.collect()
    assert [image() is not None for _, _, image in decoded] == [False, False, True]
    assert torch.equal(samples[0]["image"], samples[5]["image"])
    assert not torch.equal(samples[0]["image"], samples[3]["image"])


def test_an_image_that_is_held_must_have_each_persons_annotated_size(
    two_photos: list[Path],
) -> None:
    right, wrong = annotations(two_photos[0], two_photos[0]).records
    people = Annotations((right, replace(wrong, image_size=(320, 241))), SPEC, category_id=1)
    dataset = KeypointDataset(people, INPUT_SIZE)
    assert dataset[0]["image_read"]
    with pytest.raises(ValueError, match=r"annotation 11: .* annotated size \(320, 241\)"):
        dataset[1]


def test_a_skipped_image_is_tried_once_for_its_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def noted(path: Path, pixels: Pixels, reduction: int) -> DecodedImage:
        tried.append(path)
        return decode_file(path, pixels, reduction)

    monkeypatch.setattr(dataset_module, "decode_file", noted)
    missing = tmp_path / "missing.jpg"
    people = KeypointDataset(annotations(missing, missing), INPUT_SIZE, on_bad_image="skip")
    assert [people[i]["image_read"] for i in range(2)] == [False, False]
    assert tried == [missing]
