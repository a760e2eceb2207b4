# SPDX-License-Identifier: Apache-2.0
"""Read an image whole or not at all, and cut a person out of it."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from darkpose.geometry import Matrix

Image = NDArray[np.uint8]  # [H, W, 3], RGB

# Annotated pixels are those of the stored image: COCO was labeled without turning it as EXIF says.
_READ_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG", b"IEND"


def read_image(path: str | Path) -> Image:
    """Read an image file as RGB uint8 [H, W, 3], ignoring EXIF orientation.

    Raises:
        ValueError: the file is missing, cut short, or not an image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"image {path} must be a readable file, got: {error.strerror}") from error
    # OpenCV decodes what there is of a truncated file and returns gray for the rest.
    if _is_truncated(data):
        raise ValueError(
            f"image {path} must be complete, got a file cut short at {len(data)} bytes"
        )
    image = cv2.imdecode(np.frombuffer(data, np.uint8), _READ_FLAGS) if data else None
    if image is None:
        raise ValueError(
            f"image {path} must be in a format OpenCV reads, got {len(data)} other bytes"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _is_truncated(data: bytes) -> bool:
    if data.startswith(_JPEG_START):
        # A scan's data escapes every 0xff, so a marker in it is real. The end of an embedded
        # thumbnail comes before the last scan starts.
        return data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN)
    if data.startswith(_PNG_START):
        return _PNG_END not in data[-64:]
    return False


def crop_image(image: Image, to_input: Matrix, input_size: tuple[int, int]) -> Image:
    """Warp an image [H, W, 3] to the network's input (width, height): bilinear, black outside.

    Args:
        image: RGB or any other channels.
        to_input: [2, 3] from image pixels to input pixels, see `darkpose.geometry.image_to_input`.
        input_size: (width, height) of the result.
    """
    warped = cv2.warpAffine(image, to_input, tuple(input_size), flags=cv2.INTER_LINEAR)
    return warped.astype(np.uint8, copy=False)
