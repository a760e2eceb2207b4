# SPDX-License-Identifier: Apache-2.0
"""JPEGs and frames of videos decoded on the GPU that the network runs on, by other libraries.

Untried: no GPU has run this. Nor are the pixels those of OpenCV, which training reads: decoders
round in other ways, by some gray levels.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

DecodeOn = Literal["cpu", "device"]
"""Where files are decoded: by OpenCV, or where the network runs."""


def decoder_of(decode_on: DecodeOn, device: torch.device) -> "GpuDecoder | None":
    """Return what decodes in place of OpenCV, if anything; errors as of `GpuDecoder`."""
    if decode_on not in get_args(DecodeOn):
        names = ", ".join(get_args(DecodeOn))
        raise ValueError(f"decode_on must be one of {names}, got {decode_on}")
    return GpuDecoder(device) if decode_on == "device" else None


class GpuDecoder:
    """Decodes onto one GPU: JPEGs by nvJPEG, which torchvision calls, and frames by NVDEC, which
    torchcodec calls.

    Raises:
        ImportError: one of them is not installed.
        ValueError: the device is no GPU of NVIDIA's.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise ValueError(f"decode_on device needs a device of cuda, got {device}")
        try:
            from torchcodec.decoders import VideoDecoder
            from torchvision.io import ImageReadMode, decode_jpeg
        except (ImportError, OSError, RuntimeError) as error:
            raise ImportError(
                "decode_on device needs torchvision and torchcodec, built for this torch and CUDA: "
                f"pip install torchvision torchcodec; got: {error}"
            ) from error
        self.device, self._video = device, VideoDecoder
        self._jpeg, self._rgb = decode_jpeg, ImageReadMode.RGB

    def jpeg(self, data: bytes) -> Tensor | None:
        """Return a JPEG's pixels [H, W, 3], as it is stored; None where nvJPEG cannot."""
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        try:
            planes: Tensor = self._jpeg(encoded, mode=self._rgb, device=self.device)
        except RuntimeError:
            return None
        return planes.permute(1, 2, 0)

    def frames(self, path: Path) -> Iterator[Tensor]:
        """Yield a video's frames [H, W, 3], RGB, as far as it can be read."""
        try:
            yield from self._video(str(path), dimension_order="NHWC", device=str(self.device))
        except RuntimeError:
            return
