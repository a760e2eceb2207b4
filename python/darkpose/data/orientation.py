# SPDX-License-Identifier: Apache-2.0
"""Which pixels of an image file people are annotated in: as it is stored, or as EXIF turns it.

A camera held upright stores a lying image and a tag that says so. Most tools show it turned, and
boxes and joints count the pixels that are shown; COCO was annotated without turning. Nothing in the
numbers tells which, but the width and height that come with them do, unless they are the same both
ways.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from darkpose.data.containers import (
    JPEG_SCAN,
    JPEG_START,
    PNG_START,
    chunks,
    jpeg_segments,
    jpeg_size,
)
from darkpose.data.images import DecodedImage, DecodeJpeg, decode_bytes, file_bytes
from darkpose.values import printable

Orientation = Literal["exif", "stored"]
"""Of files: turned as EXIF says, as people see them, or as their pixels are stored, as COCO and
most other data sets were annotated."""

_TAG, _SIDES_CHANGE = 0x0112, 5  # of the orientation; from this value on it swaps width and height
_WEBP, _JPEG_EXIF, _EXIF = b"WEBPVP8X", 0xE1, b"Exif\0\0"


class Pixels(NamedTuple):
    """How boxes and joints in an image file count its pixels."""

    orientation: Orientation
    """Holds where `size` cannot tell."""
    size: tuple[int, int] | None = None
    """(width, height) that came with them; None: unknown."""
    sure: bool = False
    """Whether `orientation` holds whatever the size says, as it was asked for."""


def decode_file(path: str | Path, pixels: Pixels, reduction: int = 1) -> DecodedImage:
    """Decode an image file, see `decode`."""
    return decode(file_bytes(path), path, pixels, reduction)


def decode(
    data: bytes,
    name: object,
    pixels: Pixels,
    reduction: int = 1,
    jpeg: DecodeJpeg | None = None,
) -> DecodedImage:
    """Decode what an image file holds, turned such that boxes fit; where that is not certain, the
    image's `note` says so.

    Args:
        data: of the file.
        name: what messages call it.
        pixels: what boxes count.
        reduction: as of `decode_image`; an image that is turned is decoded whole.
        jpeg: as of `decode_bytes`.

    Raises:
        ValueError: the file is cut short or not an image, or neither the stored image nor the
            turned one is of the size that is known.
    """
    tag, size = exif_orientation(data), pixels.size
    turned, note = pixels.orientation == "exif", ""
    if tag > 1 and not pixels.sure:
        if size is None or tag < _SIDES_CHANGE or size[0] == size[1]:
            why = "no width and height" if size is None else "a width and height that fit both ways"
            read = "turned" if turned else "as it is stored"
            note = (
                f"image {printable(str(name))} has an EXIF orientation of {tag} and {why}, "
                f"which do not tell whether its people are annotated turned: it is read {read}"
            )
        else:
            turned = jpeg_size(data) == size[::-1]
    if jpeg and tag == 1 and data.startswith(JPEG_START):
        turned = False  # there is nothing to turn
    image = decode_bytes(data, name, 1 if turned else reduction, turned=turned, jpeg=jpeg)
    if size is not None and image.size != size:
        other = image.size == size[::-1]
        if other and tag >= _SIDES_CHANGE and not pixels.sure:  # no JPEG: known only now
            image = decode_bytes(data, name, turned=True)
        if image.size != size and not (other and pixels.sure):
            raise ValueError(
                f"image {printable(str(name))} must be of the annotated size {size}, stored or "
                f"turned as EXIF says, got {image.size} with an EXIF orientation of {tag}"
            )
    return replace(image, note=note) if note else image


# ---- the tag -------------------------------------------------------------------------------------


def exif_orientation(data: bytes) -> int:
    """Return the EXIF orientation of an image file, 1 to 8; 1, not turned, where it has none.

    Of JPEG, PNG and WebP: OpenCV turns no others, or always.
    """
    exif = _exif(data).removeprefix(_EXIF)
    order: Literal["big", "little"] = "big" if exif.startswith(b"MM") else "little"

    def number(at: int, size: int = 2) -> int:
        return int.from_bytes(exif[at : at + size], order)

    first = number(4, 4) + 2
    for entry in range(first, min(first + 12 * number(first - 2), len(exif)), 12):
        if number(entry) == _TAG:
            value = number(entry + 8)
            return value if 1 <= value <= 8 else 1
    return 1


def _exif(data: bytes) -> bytes:
    """Return a file's EXIF data, empty if there are none."""
    if data.startswith(JPEG_START):
        for marker, at, end in jpeg_segments(data):
            if marker == JPEG_SCAN:
                break
            if marker == _JPEG_EXIF and data.startswith(_EXIF, at):
                return data[at:end]
    elif (png := data.startswith(PNG_START)) or data[8:16] == _WEBP:
        for kind, at, end in chunks(data):
            if kind == (b"eXIf" if png else b"EXIF"):
                return data[at:end]
    return b""
