# SPDX-License-Identifier: Apache-2.0
"""Read an image whole or not at all, and cut people out of it.

Decoding costs most of what a person costs, so `decode_image` returns what any number of people can
be cut out of. It can also decode a JPEG at a fraction of its size, onto a coarser grid: the image
says which, and its crops are still asked for by maps that begin at the stored image's pixels.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from darkpose.data.containers import JPEG_START, format_name, is_cut_short, stored_size
from darkpose.geometry import Enlarging, Matrix, compose, enlarges

Image = NDArray[np.uint8]  # [H, W, 3], RGB


def opencv_size(text: str) -> int:
    """Return the number that OpenCV reads in a variable of the environment.

    >>> opencv_size("536870912"), opencv_size("512MB")
    (536870912, 536870912)
    """
    digits = text.rstrip("KMBkmb")
    return int(digits) * {"": 1, "KB": 2**10, "MB": 2**20}[text[len(digits) :].upper()]


# Annotated pixels are those of the stored image: COCO was labeled without turning it as EXIF says.
_READ_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_REDUCED_FLAGS = {
    1: _READ_FLAGS,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
}

if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(0)  # what it cannot read is said here, with the file's name

MAX_PIXELS = opencv_size(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])
"""Of an image; OpenCV refuses larger ones before it decodes them. The environment may say another
number before this package is imported."""

_MAX_BYTES = 2**31
"""Of an image file: what OpenCV decodes is counted in 31 bits."""


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An image in memory, maybe on a coarser grid than the stored one's."""

    rgba: NDArray[np.uint8]
    """[H, W, 4]; nothing reads A. OpenCV 5 warps four channels in less time than three, to the same
    values (`benchmarks/loading.py`)."""
    size: tuple[int, int]
    """(width, height) of the stored image."""
    reduction: int = 1
    """Stored pixels to a side of one in memory: 1, 2, 4 or 8."""
    note: str = ""
    """A sentence, where it is uncertain whether the image is turned as its annotations are."""

    def crop(
        self, to_input: Matrix, input_size: tuple[int, int], enlarging: Enlarging = "bilinear"
    ) -> Image:
        """Warp to the network's input, RGB [H, W, 3], as `crop_image`; `to_input` [2, 3] begins at
        pixels of the stored image."""
        if self.reduction > 1:
            to_input = compose(to_input, reduced_to_stored(self.reduction))
        return _as_rgb(crop_image(self.rgba, to_input, input_size, enlarging))


def reduced_to_stored(reduction: int) -> Matrix:
    """Return the map [2, 3] from a reduced image's pixels to those of the stored one.

    A reduced pixel covers `reduction` x `reduction` stored ones, and centers lie at integers: it is
    x -> reduction (x + 1/2) - 1/2. Without the halves, crops would be off by up to half a reduced
    pixel.
    """
    offset = (reduction - 1) / 2
    return np.array([[reduction, 0.0, offset], [0.0, reduction, offset]])


def largest_reduction(to_input: Matrix) -> int:
    """Return by how much an image may be reduced before this map [2, 3] would enlarge it."""
    scale = float(np.linalg.norm(to_input[:, :2], 2))  # in the direction that shrinks least
    return max(
        reduction for reduction in _REDUCED_FLAGS if reduction == 1 or reduction * scale <= 1
    )


# ---- reading -------------------------------------------------------------------------------------


def read_image(path: str | Path) -> Image:
    """Read an image file as RGB uint8 [H, W, 3], ignoring EXIF orientation.

    Raises:
        ValueError: the file is missing, cut short, or not an image.
    """
    return _as_rgb(decode_image(path).rgba)


def decode_image(path: str | Path, reduction: int = 1, *, turned: bool = False) -> DecodedImage:
    """Read an image file for cutting people out of it.

    Args:
        path: of the file.
        reduction: 1, or 2, 4 or 8 for decoding a JPEG at a fraction of its size. Formats that must
            be decoded whole anyway are not reduced.
        turned: turn the pixels as the file's EXIF tag says, which needs a reduction of 1. Otherwise
            they stay as they are stored, which is what annotations count.

    Raises:
        ValueError: the file is missing, cut short, or not an image; an unknown reduction.
    """
    if reduction not in _REDUCED_FLAGS:
        raise ValueError(f"reduction must be 1, 2, 4 or 8, got {reduction}")
    return decode_bytes(file_bytes(path), path, reduction, turned=turned)


def file_bytes(path: str | Path) -> bytes:
    """Return what an image file holds, or raise ValueError if it cannot be read."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, for ever
            raise ValueError(f"image {path} must be a file, got a folder, a device or a pipe")
        if found.st_size >= _MAX_BYTES:
            raise ValueError(
                f"image {path} must have fewer than {_MAX_BYTES} bytes, got {found.st_size}"
            )
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"image {path} must be a readable file, got: {error.strerror}") from error


def decode_bytes(
    data: bytes, name: object, reduction: int = 1, *, turned: bool = False
) -> DecodedImage:
    """Decode what an image file holds, as `decode_image`; `name` is what messages call it."""
    if turned and reduction > 1:
        raise ValueError(f"a turned image must have a reduction of 1, got {reduction}")
    if is_cut_short(data):
        raise ValueError(
            f"image {name} must be complete, got a file cut short at {len(data)} bytes"
        )
    size = stored_size(data)
    if size and size[0] * size[1] > MAX_PIXELS:
        raise ValueError(
            f"image {name} must have at most {MAX_PIXELS} pixels, its header says "
            f"{size[0]} x {size[1]}"
        )
    reducible = reduction > 1 and data.startswith(JPEG_START)
    flags = cv2.IMREAD_COLOR if turned else _REDUCED_FLAGS[reduction if reducible and size else 1]
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise ValueError(f"image {name} must be readable by OpenCV, got: {error.err}") from error
    if image is None:
        got = format_name(data) or f"{len(data)} other bytes"
        raise ValueError(f"image {name} must be in a format OpenCV reads, got {got}")
    rgba = cv2.cvtColor(image, cv2.COLOR_BGR2RGBA).astype(np.uint8, copy=False)
    if reducible and size:
        return DecodedImage(rgba, size, reduction)
    return DecodedImage(rgba, (image.shape[1], image.shape[0]))


# ---- pixels --------------------------------------------------------------------------------------


def crop_image(
    image: Image,
    to_input: Matrix,
    input_size: tuple[int, int],
    enlarging: Enlarging = "bilinear",
) -> Image:
    """Warp an image [H, W, 3] to the network's input (width, height), black outside.

    Args:
        image: RGB or any other channels.
        to_input: [2, 3] from image pixels to input pixels, see `darkpose.geometry.image_to_input`.
        input_size: (width, height) of the result.
        enlarging: "bicubic" interpolates so, with a = -0.75, where the map shrinks no direction:
            Sapiens2's crops, cut off at 0 and 255. Everything else is bilinear.
    """
    bicubic = enlarging == "bicubic" and enlarges(to_input)
    flags = cv2.INTER_CUBIC if bicubic else cv2.INTER_LINEAR
    warped = cv2.warpAffine(image, to_input, tuple(input_size), flags=flags)
    return warped.astype(np.uint8, copy=False)


def _as_rgb(rgba: NDArray[np.uint8]) -> Image:
    return cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB).astype(np.uint8, copy=False)
