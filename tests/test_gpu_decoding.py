# SPDX-License-Identifier: Apache-2.0
"""What decodes in place of OpenCV is asked for what it can do, and checked as OpenCV's images are.

On a GPU, where the libraries for it are installed, also what it gives.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from darkpose.data.orientation import Pixels
from darkpose.predict.gpu_decoding import GpuDecoder
from darkpose.predict.pixels import as_decoded, as_rgb
from darkpose.predict.predictor import Predictor
from darkpose.predict.videos import by_opencv, frames_of
from photos import encoded, photo
from predicting import BOXES, clip
from test_scaled_decoding import with_exif_orientation

LEVELS = 3.0  # gray levels in the mean, by which decoders of JPEGs may differ


def opencv_planes(data: bytes) -> Tensor:
    """Decode as another library would, not turned: planes [3, H, W], seen as [H, W, 3]."""
    image = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    )
    assert image is not None
    return torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy()).permute(1, 2, 0)


def test_another_decoder_is_given_the_jpegs_that_need_not_be_turned(
    tmp_path: Path, predictor: Predictor
) -> None:
    asked: list[bytes] = []

    def noted(data: bytes) -> Tensor | None:
        asked.append(data)
        return opencv_planes(data)

    plain, turned = tmp_path / "plain.jpg", tmp_path / "turned.jpg"
    plain.write_bytes(encoded(photo((320, 240))))
    turned.write_bytes(with_exif_orientation(plain.read_bytes()))
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), photo((320, 240)))
    for path, orientation, count in (
        (plain, "exif", 1),
        (plain, "stored", 1),
        (turned, "stored", 1),
        (turned, "exif", 0),
        (other, "exif", 0),
    ):
        asked.clear()
        given: Any = (path, Pixels(orientation, sure=True))  # type: ignore[arg-type]
        found, expected = as_decoded(*given, jpeg=noted), as_decoded(*given)
        assert len(asked) == count and isinstance(found.pixels, Tensor) == bool(count)
        assert found.size == expected.size and np.array_equal(as_rgb(found), as_rgb(expected))
        one, other_one = (predictor(each.pixels, BOXES).keypoints for each in (found, expected))
        np.testing.assert_array_equal(one, other_one)
    unable = as_decoded(plain, "exif", jpeg=lambda data: None)
    assert np.array_equal(as_rgb(unable), as_rgb(as_decoded(plain, "exif")))
    plain.write_bytes(plain.read_bytes()[:-500])
    asked.clear()
    with pytest.raises(ValueError, match=r"plain.jpg must be complete"):
        as_decoded(plain, "exif", jpeg=noted)
    assert not asked


def test_frames_of_another_decoder_are_counted_as_opencvs(tmp_path: Path) -> None:
    video, said = clip(tmp_path / "clip.mp4", 5, "mp4v"), []

    def tensors(path: Path) -> Any:
        frames = list(by_opencv(path))[:3]
        yield from map(torch.from_numpy, frames)

    found = list(frames_of(video, -1, said.append, tensors))
    assert [number for number, _ in found] == [0, 1, 2]
    assert [sentence.partition(", ")[2] for sentence in said] == ["got 3 of 5 frames"]


def test_what_is_not_there_is_named(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="decode_on device needs a device of cuda, got cpu"):
        Predictor(predictor.model, device="cpu", decode_on="device")
    with pytest.raises(ValueError, match="decode_on must be one of cpu, device, got gpu"):
        Predictor(predictor.model, device="cpu", decode_on="gpu")  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="decodes on a GPU")
def test_a_gpu_decodes_about_the_same_pixels(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    pytest.importorskip("torchcodec")
    decoder, data = GpuDecoder(torch.device("cuda")), encoded(photo((320, 240)))
    found = decoder.jpeg(data)
    assert found is not None and found.is_cuda
    pairs = [(found, opencv_planes(data))]
    video = clip(tmp_path / "clip.mp4", 3, "mp4v")
    pairs += zip(decoder.frames(video), map(torch.from_numpy, by_opencv(video)), strict=True)
    for one, other in pairs:
        assert (one.cpu().float() - other.float()).abs().mean() < LEVELS
