# SPDX-License-Identifier: Apache-2.0
"""Crops that are enlarged are bicubic where the codec says so, for whoever cuts them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample

from darkpose.codec import HeatmapCodec
from darkpose.data.batches import Batches
from darkpose.data.images import crop_image
from darkpose.data.options import DataOptions
from darkpose.data.spec import KeypointSpec
from darkpose.deploy.check import people_crops
from darkpose.geometry import (
    Convention,
    Crop,
    Matrix,
    compose,
    enlarges,
    image_to_input,
    invert,
    mirror,
)
from darkpose.models.checkpoints import METADATA, check_metadata
from darkpose.models.pose import PoseModel
from darkpose.predict.predictor import Predictor
from darkpose.show.look import LookOptions, look
from photos import photo
from predicting import PERSON, annotation, run, untrained, write_json

SIZE = (96, 128)
GRAY_LEVEL = 1
BOXES = [[40.0, 30, 40, 42], [280, 60, 30, 40], [100, -15, 200, 240]]  # two enlarged, one not

Pixels = NDArray[np.uint8]


def noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sampled(image: Pixels, to_input: Matrix, how: str) -> NDArray[np.float64]:
    """Interpolated in float64, zeros outside, bicubic with a = -0.75 and cut off at 0 and 255."""
    columns, rows = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    back, last = invert(to_input), np.array(image.shape[1::-1]) - 1
    places = np.stack([columns, rows], -1) @ back[:, :2].T + back[:, 2]
    grid = torch.from_numpy(2 * places / last - 1)[None]
    values = torch.from_numpy(image).double().permute(2, 0, 1)[None]
    found = grid_sample(values, grid, how, "zeros", align_corners=True)
    return found[0].permute(1, 2, 0).clamp(0, 255).numpy()


def crops() -> dict[str, Crop]:
    return {
        "inside": Crop((60, 55), (45, 60)),
        "over the border": Crop((0, 99.3), (47.3, 63)),
        "turned": Crop((70, 40), (60, 80), 31),
        "just": Crop((60, 50), (94.9, 126.6)),
    }


@pytest.mark.parametrize("name", crops())
@pytest.mark.parametrize("mirrored", [False, True])
def test_an_enlarged_crop_is_bicubic(name: str, mirrored: bool) -> None:
    image = noise(121, 101)
    to_input = image_to_input(crops()[name], SIZE, "udp")
    to_input = compose(to_input, mirror(121)) if mirrored else to_input
    assert enlarges(to_input)
    found = crop_image(image, to_input, SIZE, "bicubic")
    assert found.dtype == np.uint8
    assert np.abs(found - sampled(image, to_input, "bicubic")).max() <= GRAY_LEVEL
    assert np.abs(found.astype(int) - crop_image(image, to_input, SIZE)).max() > 20


def test_others_are_bilinear() -> None:
    """Shrunk in one direction, which is enough; and whatever is not to be bicubic."""
    image = noise(300, 300)
    for crop in (Crop((99, 120), (95.1, 100)), Crop((150, 150), (90, 129), -20)):
        to_input = image_to_input(crop, SIZE, "udp")
        found = crop_image(image, to_input, SIZE, "bicubic")
        assert np.array_equal(found, crop_image(image, to_input, SIZE))
        assert np.abs(found - sampled(image, to_input, "bilinear")).max() <= GRAY_LEVEL
    to_input = image_to_input(crops()["inside"], SIZE, "udp")
    found = crop_image(image, to_input, SIZE)
    assert np.abs(found - sampled(image, to_input, "bilinear")).max() <= GRAY_LEVEL


def test_at_a_scale_of_one_it_counts_as_enlarged() -> None:
    """As Sapiens2's smaller factor does, which is bilinear below 1."""
    for size, expected in (((95, 127), True), ((95.001, 127), False), ((94.9, 127.1), False)):
        for rotation in (0, 90):
            assert enlarges(image_to_input(Crop((40, 50), size, rotation), SIZE, "udp")) == expected


# ---- who cuts ------------------------------------------------------------------------------------


def expected_crops(image: Pixels, how: str) -> list[Pixels]:
    codec = HeatmapCodec((64, 64), convention=Convention.udp)
    maps = [codec.image_to_input(codec.crop(box)) for box in BOXES]
    return [crop_image(image, to_input, codec.input_size, how) for to_input in maps]  # type: ignore[arg-type]


def test_data_sets_predictions_and_pictures_are_cut_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image, seen = photo((320, 240)), []
    Path("images").mkdir()
    cv2.imwrite("images/a.png", image[..., ::-1])
    joint = {"keypoints": [60, 52, 2], "area": 900, "iscrowd": 0}
    content = {
        "images": [{"id": 5, "file_name": "a.png", "width": 320, "height": 240}],
        "categories": [PERSON],
        "annotations": [annotation(i + 1, 5, box, **joint) for i, box in enumerate(BOXES)],
    }
    file = write_json(Path("people.json"), content)
    whole = Predictor.heatmaps

    def noted(self: Predictor, given: Any) -> Any:
        seen.extend(np.asarray(given.cpu()))
        return whole(self, given)

    monkeypatch.setattr(Predictor, "heatmaps", noted)
    for how in ("bicubic", "bilinear"):
        model = untrained(KeypointSpec.from_names(["nose"]), convention="udp", enlarging=how)
        model.save(f"{how}.ckpt")
        options = DataOptions(train=file, val=file, val_images=Path("images"), clip_boxes=False)
        people = Batches(model.codec, options).val_set
        sets = [np.asarray(people[i]["image"]) for i in range(len(BOXES))]
        seen.clear()
        given = {"flip_test": False, "clip_boxes": False}
        run(Path(f"{how}.ckpt"), ["images"], str(file), Path(f"{how}.csv"), **given)
        look(LookOptions(Path(f"{how}.ckpt"), ["images"], str(file), ("heatmaps",), **given))
        assert np.array_equal([*sets, *seen], 3 * expected_crops(image, how))
    pairs = zip(*(expected_crops(image, how) for how in ("bicubic", "bilinear")), strict=True)
    assert [np.array_equal(*pair) for pair in pairs] == [False, False, True]


def test_an_exported_file_is_checked_on_such_crops() -> None:
    plain, other = (
        people_crops(HeatmapCodec((256, 320), enlarging=how), 3)  # type: ignore[arg-type]
        for how in ("bilinear", "bicubic")
    )
    assert (plain[0] != other[0]).any() and torch.equal(plain[1], other[1])


# ---- as a part of a checkpoint -------------------------------------------------------------------


def test_an_earlier_checkpoint_is_bilinear(tmp_path: Path) -> None:
    model = untrained(KeypointSpec.from_names(["nose"]))
    model.save(tmp_path / "new.ckpt")
    content = torch.load(tmp_path / "new.ckpt")
    assert content[METADATA]["codec"].pop("enlarging") == "bilinear"
    torch.save(content, tmp_path / "old.ckpt")
    assert PoseModel.load(tmp_path / "old.ckpt").codec == model.codec
    check_metadata(content[METADATA], model.metadata(), resuming=True)
    other = untrained(model.spec, enlarging="bicubic")
    with pytest.raises(ValueError, match="trained with enlarging bilinear, the config.* bicubic"):
        check_metadata(content[METADATA], other.metadata())
