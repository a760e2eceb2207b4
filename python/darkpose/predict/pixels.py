# SPDX-License-Identifier: Apache-2.0
"""Pictures as people have them, made what the network's crops are cut out of.

Training reads one kind of file: 8-bit color, as annotated. Here anything may come: grey, with
transparency, 16 bits a channel, turned by its EXIF tag.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from darkpose.data.images import DecodedImage, DecodeJpeg, Image, file_bytes
from darkpose.data.orientation import Orientation, Pixels, decode

_AS_THEY_ARE = ("L", "RGB", "RGBA", "I", "F")  # Pillow cuts I and F off at 255 on conversion


def as_decoded(
    image: Any,
    pixels: Pixels | Orientation,
    before: Callable[[bytes], None] | None = None,
    jpeg: DecodeJpeg | None = None,
) -> DecodedImage:
    """Return any image as what crops are cut out of.

    Args:
        image: the path of a file, or what `decoded` returns the image of, such as `StoredImage`; or
            pixels [H, W], [H, W, 1], [H, W, 3] in RGB or [H, W, 4] in RGBA, uint8 or uint16, a
            uint8 tensor of them on any device, where it stays, or a Pillow image; all of these are
            taken as they are: nothing is turned. Of 16 bits the upper 8 are used, as OpenCV reads
            files; A is ignored.
        pixels: which ones of a file are counted; an orientation alone holds whatever its size.
        before: called with what a file holds, before it is decoded.
        jpeg: decodes JPEG files in place of OpenCV, see `darkpose.data.images.decode_bytes`.

    Raises:
        TypeError: the pixels are neither uint8 nor uint16.
        ValueError: the file is missing, cut short, not an image, or of another size than `pixels`
            says; the array has another shape.
    """
    pixels = Pixels(pixels, sure=True) if isinstance(pixels, str) else pixels
    if isinstance(image, str | Path):
        data = file_bytes(image)
        if before is not None:
            before(data)
        return decode(data, image, pixels, jpeg=jpeg)
    if hasattr(image, "decoded"):
        return image.decoded()  # type: ignore[no-any-return]
    if hasattr(image, "convert") and hasattr(image, "getbands"):  # Pillow's palettes, CMYK, ...
        known = image.mode in _AS_THEY_ARE or image.mode.startswith("I;16")
        image = image if known else image.convert("RGB")
    stays = isinstance(image, Tensor) and image.dtype == torch.uint8
    values: Any = image if stays else np.asarray(image)
    if not stays and (values.dtype.kind != "u" or values.dtype.itemsize > 2):
        raise TypeError(
            f"an image must have uint8 values, or uint16 ones, got {values.dtype}: "
            "scale it to 0 to 255 and convert it to uint8"
        )
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise ValueError(
            "an image must be [H, W], or [H, W, C] with 1, 3 or 4 channels, "
            f"got {list(np.shape(image))}"
        )
    if values.dtype.itemsize == 2:
        values = (values >> 8).astype(np.uint8)
    if values.shape[2] == 1 and stays:
        values = values.expand(-1, -1, 3)
    elif values.shape[2] == 1:
        values = np.asarray(cv2.cvtColor(np.ascontiguousarray(values), cv2.COLOR_GRAY2RGB))
    return DecodedImage(values[..., :3], (values.shape[1], values.shape[0]))


def as_rgb(image: DecodedImage) -> Image:
    """Return a copy of the pixels [H, W, 3] for showing them to a person or a detector."""
    pixels = image.pixels
    return np.array(pixels.cpu().numpy() if isinstance(pixels, Tensor) else pixels)
