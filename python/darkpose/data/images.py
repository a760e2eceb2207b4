# SPDX-License-Identifier: Apache-2.0
"""Read an image whole or not at all, and cut people out of it.

Decoding costs most of what a person costs, so `decode_image` returns what any number of people can
be cut out of. It can also decode a JPEG at a fraction of its size, onto a coarser grid: the image
says which, and its crops are still asked for by maps that begin at the stored image's pixels.
"""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import darkpose_ext
from darkpose import affine
from darkpose.data.containers import JPEG_START, format_name, is_cut_short, stored_size
from darkpose.geometry import Enlarging, Matrix, invert
from darkpose_ext.numpy import crop as crop_arrays

Image = NDArray[np.uint8]  # [H, W, 3], RGB
Matrices = NDArray[np.float64]  # [N, 2, 3]
DecodeJpeg = Callable[[bytes], Tensor | None]
"""Of a JPEG's bytes the pixels [H, W, 3], RGB; None: another must decode this one."""
Levels = TypeVar("Levels", Tensor, Image)


def opencv_size(text: str) -> int:
    """Return the number that OpenCV reads in a variable of the environment.

    >>> opencv_size("536870912"), opencv_size("512MB")
    (536870912, 536870912)
    """
    digits = text.rstrip("KMBkmb")
    return int(digits) * {"": 1, "KB": 2**10, "MB": 2**20}[text[len(digits) :].upper()]


_REDUCED_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_AS_RGB = getattr(cv2, "IMREAD_COLOR_RGB", 0)  # in place of IMREAD_COLOR; OpenCV before 4.11: none

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

    pixels: Any
    """uint8 [H, W, 3], RGB: an array, or a tensor where somebody has decoded it on a device."""
    size: tuple[int, int]
    """(width, height) of the stored image."""
    reduction: int = 1
    """Stored pixels to a side of one in memory: 1, 2, 4 or 8."""
    note: str = ""
    """A sentence, where it is uncertain whether the image is turned as its annotations are."""

    def crop(
        self, to_image: Matrix, input_size: tuple[int, int], enlarging: Enlarging = "bilinear"
    ) -> Image:
        """Return the network's input, RGB [H, W, 3], as `crop_people`; `to_image` [2, 3] leads from
        its pixels to those of the stored image."""
        to_pixels, index = self.to_pixels(to_image[None]), np.zeros(1, np.int64)
        found: Image = crop_people([self.pixels], index, to_pixels, input_size, enlarging)[0]
        return found

    def to_pixels(self, to_image: Matrices) -> Matrices:  # [N, 2, 3]
        """Return maps to the stored image's pixels as ones to those in memory.

        A reduced pixel covers `reduction` x `reduction` stored ones, and centers lie at integers:
        it is x -> (x + 1/2) / reduction - 1/2. Without the halves, crops would be off by up to half
        a reduced pixel.
        """
        if self.reduction == 1:
            return to_image
        moved = np.array([0, 0, (1 - self.reduction) / 2])
        return (to_image + moved) / self.reduction


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
    return decode_image(path).pixels


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
    data: bytes,
    name: object,
    reduction: int = 1,
    *,
    turned: bool = False,
    jpeg: DecodeJpeg | None = None,
) -> DecodedImage:
    """Decode what an image file holds, as `decode_image`; `name` is what messages call it, and
    `jpeg` decodes JPEGs that are neither turned nor reduced in place of OpenCV, if it can."""
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
    is_jpeg = data.startswith(JPEG_START)
    if jpeg and is_jpeg and size and reduction == 1 and not turned:
        pixels = jpeg(data)
        if pixels is not None:
            return DecodedImage(pixels, size)
    reducible = reduction > 1 and is_jpeg
    # Annotated pixels are those of the stored image: COCO was labeled without turning any.
    flags = 0 if turned else cv2.IMREAD_IGNORE_ORIENTATION
    flags |= _REDUCED_FLAGS[reduction if reducible and size else 1]
    flags = flags & ~cv2.IMREAD_COLOR | _AS_RGB if _AS_RGB else flags
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise ValueError(f"image {name} must be readable by OpenCV, got: {error.err}") from error
    if image is None:
        got = format_name(data) or f"{len(data)} other bytes"
        raise ValueError(f"image {name} must be in a format OpenCV reads, got {got}")
    rgb = np.asarray(image if _AS_RGB else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, image), np.uint8)
    if reducible and size:
        return DecodedImage(rgb, size, reduction)
    return DecodedImage(rgb, (rgb.shape[1], rgb.shape[0]))


# ---- pixels --------------------------------------------------------------------------------------


def crop_image(
    image: Image,
    to_input: Matrix,
    input_size: tuple[int, int],
    enlarging: Enlarging = "bilinear",
) -> Image:
    """Cut the network's input out of an image [H, W, C] of 1, 3 or 4 channels, as `crop_people`.

    Args:
        image: uint8, RGB or any other channels.
        to_input: [2, 3] from image pixels to input pixels, see `darkpose.geometry.image_to_input`.
        input_size: (width, height) of the result.
        enlarging: see `crop_people`.
    """
    to_image = invert(to_input)[None]
    return crop_people([image], np.zeros(1, np.int64), to_image, input_size, enlarging)[0]


def crop_people(
    images: Sequence[Levels],  # of [H_i, W_i, C]
    index: NDArray[np.int64],  # [N]
    to_image: Matrices,  # [N, 2, 3]
    input_size: tuple[int, int],
    enlarging: Enlarging = "bilinear",
) -> Levels:  # [N, H, W, C]
    """Cut people out of images, black outside, by `darkpose_ext.crop`: there is no other crop.

    Args:
        images: uint8; tensors, which are cut where they are, or arrays, by one thread: others work
            beside it.
        index: which image each person is in.
        to_image: from pixels of the network's input to those of the image.
        input_size: (width, height) of the network's input.
        enlarging: "bicubic" interpolates so, with a = -0.75, where the map shrinks no direction:
            Sapiens2's crops, cut off at 0 and 255. Everything else is bilinear.
    """
    bicubic = affine.enlarges(to_image) if enlarging == "bicubic" else np.zeros(len(index), bool)

    def cut(rows: Any, how: str) -> Any:
        given: list[Any] = [index[rows], to_image[rows]]
        crop: Any = crop_arrays
        if isinstance(images[0], Tensor):
            crop, device = darkpose_ext.crop, images[0].device
            given = [torch.from_numpy(each).to(device) for each in given]
        return crop(images, *given, input_size[1], input_size[0], interpolation=how)

    if bicubic.all():
        return cut(slice(None), "bicubic")
    crops = cut(slice(None), "bilinear")
    if bicubic.any():
        crops[np.flatnonzero(bicubic)] = cut(bicubic, "bicubic")
    return crops
