# SPDX-License-Identifier: Apache-2.0
"""What an image file says of itself before it is decoded: its size, and whether it is all there.

OpenCV decodes what there is of a file that was cut short and returns gray for the rest. Whether it
was cut is in the order of its markers or chunks, read from the start: the end that closes the
picture counts, and behind it may be anything, such as the film of a motion photo.
"""

import re
import struct
from collections.abc import Iterator

import numpy as np

JPEG_START = b"\xff\xd8"
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the others are tables
JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
# A scan's data escapes every 0xff by a zero, and has restart markers in it.
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
# Scans, tables, numbers of lines, restart intervals, application segments, comments.
_BETWEEN_SCANS = {0xDA, 0xC4, 0xCC, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE}
PNG_START = b"\x89PNG\r\n\x1a\n"
_TIFF_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_PNM_SIZE = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_JP2_SIZE = re.compile(rb"ihdr(.{8})", re.DOTALL)
_HEIF_SIZE = re.compile(rb"ispe.{4}(.{8})", re.DOTALL)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_cut_short(data: bytes) -> bool:
    """Return whether a JPEG or PNG ends before its picture does; False for other formats."""
    if data.startswith(JPEG_START):
        return not _jpeg_closes(data)
    if data.startswith(PNG_START):
        return not _png_closes(data)
    return False


def _jpeg_closes(data: bytes) -> bool:
    """Return whether a scan with data in it is followed by the end of the image."""
    first = 2
    for marker, _, end in jpeg_segments(data):
        if marker == JPEG_SCAN:
            break
        first = end
    first = data.find(b"\xff\xda", first)
    if first < 0:
        return False
    body = first + 2 + int.from_bytes(data[first + 2 : first + 4], "big")
    # Nothing behind the end and no other image: most files are told without looking at each marker.
    if data.endswith(b"\xff\xd9") and not _has_start(data, first):
        return len(data) > body + 2
    at, scanned = first, False
    while (found := _MARKER.search(data, at)) is not None:
        at, marker = found.start(), data[found.start() + 1]
        if marker == _JPEG_END:
            return scanned
        if marker not in _BETWEEN_SCANS:  # of another image, or of no image: not closed
            return False
        after = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == JPEG_SCAN:
            following = _MARKER.search(data, after)
            scanned |= following is not None and following.start() > after
        at = after
    return False


def _has_start(data: bytes, first: int) -> bool:
    """Return whether an image starts behind a place. It looks at all pairs of bytes at once, those
    from even places and from odd ones, in a tenth of the time of `bytes.find`."""
    start = int.from_bytes(JPEG_START, "little")
    pairs = (np.frombuffer(data, "<u2", (len(data) - at) // 2, at) for at in (first, first + 1))
    return any(bool((each == start).any()) for each in pairs)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment of a JPEG, where its content begins and where it ends.

    Behind the marker of a scan are the pixels: what follows them is not found by a length.
    """
    at = 2  # 0xff, which may be repeated, a marker, a length that counts itself
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at + 4, end
        at = end


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk of a PNG or WebP, where its content begins and where it ends."""
    png = data.startswith(PNG_START)
    at = len(PNG_START) if png else 12
    while at + 8 <= len(data):
        first, second = data[at : at + 4], data[at + 4 : at + 8]
        kind, length = (second, first) if png else (first, second)
        end = at + 8 + int.from_bytes(length, "big" if png else "little")
        yield kind, at + 8, end
        at = end + 4 if png else end + (end - at) % 2  # a checksum; padding to even


def _png_closes(data: bytes) -> bool:
    """Return whether image data is followed by the chunk that ends the image."""
    shown = False
    for kind, _, end in chunks(data):
        if kind == b"IEND":
            return shown and end + 4 <= len(data)
        shown |= kind == b"IDAT"
    return False


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) as a JPEG's frame header has it; None if this is no JPEG with one.

    A reduced image does not tell its whole size: 639 and 640 columns both become 320.
    """
    if not data.startswith(JPEG_START):
        return None
    for marker, at, _ in jpeg_segments(data):
        if marker in _JPEG_FRAMES and at + 5 <= len(data):  # precision, height, width
            height, width = (int.from_bytes(data[i : i + 2], "big") for i in (at + 1, at + 3))
            return (width, height) if height else None
    return None


def stored_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) as an image's header has them; None if it does not tell."""
    start = data[:4096]
    if data.startswith(PNG_START) and len(data) >= 24:
        return struct.unpack(">II", data[16:24])
    if data.startswith(b"BM") and len(data) >= 26:
        width, height = struct.unpack("<ii", data[18:26])
        return abs(width), abs(height)
    if data.startswith((b"GIF87a", b"GIF89a")) and len(data) >= 10:
        return struct.unpack("<HH", data[6:10])
    if data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp_size(data)
    if data[:4] in _TIFF_ORDERS:
        return _tiff_size(data)
    if found := _PNM_SIZE.match(start):
        return int(found[1]), int(found[2])
    if found := _JP2_SIZE.search(start) if b"jP  " in data[:8] else None:
        height, width = struct.unpack(">II", found[1])
        return width, height
    if data[4:8] == b"ftyp" and (sizes := _HEIF_SIZE.findall(start)):  # of the image and its parts
        width, height = max(struct.unpack(">II", each) for each in sizes)
        return width, height
    return jpeg_size(data)


def _webp_size(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
        return width + 1, height + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """Return what the first directory says: entries of a tag, a type, a count and a value."""
    order = _TIFF_ORDERS[data[:4]]
    if len(data) < 10 or (at := int(struct.unpack(order + "I", data[4:8])[0])) + 2 > len(data):
        return None
    end = at + 2 + 12 * int(struct.unpack(order + "H", data[at : at + 2])[0])
    entries = data[at + 2 : min(end, len(data))]
    found: dict[int, int] = {}
    for tag, kind, _, value in struct.iter_unpack(
        order + "HHI4s", entries[: len(entries) // 12 * 12]
    ):
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            found[tag] = int(struct.unpack(order + ("HH" if kind == 3 else "I"), value)[0])
    return (found[_TIFF_WIDTH], found[_TIFF_HEIGHT]) if len(found) == 2 else None


def format_name(data: bytes) -> str | None:
    """Return what a file is that OpenCV does not read, if it is HEIC, as telephones write it."""
    brands = [data[8:12], *(data[i : i + 4] for i in range(16, 32, 4))]
    if data[4:8] == b"ftyp" and any(brand in _HEIF_BRANDS for brand in brands):
        return "HEIC"
    return None
