# SPDX-License-Identifier: Apache-2.0
"""Crops are those of transformers' image processors, for ViTPose and for Sapiens2."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs darkpose[huggingface]")

from benchmarks import crops  # noqa: E402
from darkpose.codec import HeatmapCodec  # noqa: E402
from darkpose.data.images import Image, read_image  # noqa: E402
from darkpose.geometry import Convention, enlarges  # noqa: E402

GRAY_LEVEL = 1.0
SMALL = (192, 256)  # ViTPose's input; Sapiens2's is cut by the same code at any size


def skip_without(name: str) -> None:
    if name == "Sapiens2" and find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed, which Sapiens2's image processor needs")


@pytest.fixture(params=["ViTPose", "Sapiens2"])
def name(request: pytest.FixtureRequest) -> Any:
    skip_without(request.param)
    return request.param


def check(
    name: str,
    image: Image,
    box: tuple[float, ...],
    input_size: tuple[int, int] | None = SMALL,
) -> None:
    found = crops.crops(name, image, box, input_size)
    assert (found.outside == 0).mean() > 0.01 and found.ours.any()
    assert found.difference(0, 0) <= GRAY_LEVEL
    seam = 1 + crops.FLOAT if name == "ViTPose" else 0  # pixels wide
    assert found.difference(seam, np.inf) <= GRAY_LEVEL


@pytest.mark.parametrize("box", crops.BOXES)
def test_noise_is_cut_within_a_gray_level(name: str, box: tuple[float, ...]) -> None:
    check(name, crops.noise(640, 427), box)


@pytest.mark.parametrize("box", crops.BOXES[1::3])
def test_a_photo_is_cut_within_a_gray_level(name: str, box: tuple[float, ...], data: Path) -> None:
    check(name, read_image(data / crops.PHOTO), box, None)


def test_a_box_deep_inside_a_large_image_is_cut_within_a_gray_level(name: str) -> None:
    check(name, crops.noise(2200, 1700), (800.0, 500.0, 700.0, 640.0))
    check(name, crops.noise(2200, 1700), (1111.1, 777.7, 33.3, 66.6))


def test_the_boxes_are_enlarged_and_shrunk() -> None:
    codec = HeatmapCodec(SMALL, convention=Convention.udp)
    kinds = [enlarges(codec.image_to_input(codec.crop(box))) for box in crops.BOXES]
    assert sum(kinds) >= 3 and sum(not kind for kind in kinds) >= 3


def test_vitposes_crop_has_a_seam_round_the_image() -> None:
    """Black where ours, as OpenCV's, falls to black."""
    found = crops.crops("ViTPose", np.full((427, 640, 3), 255, np.uint8), crops.BOXES[3])
    seam = (found.outside > crops.FLOAT) & (found.outside < 1)
    assert not found.theirs[seam].any() and found.ours[seam].max() > 100


def test_sapiens2s_enlarged_crop_overshoots() -> None:
    skip_without("Sapiens2")
    for box, beyond in ((crops.BOXES[0], True), (crops.BOXES[2], False)):
        values = crops.crops("Sapiens2", crops.noise(640, 427), box, SMALL).theirs
        assert (values.min() < -40) == (values.max() > 295) == beyond
