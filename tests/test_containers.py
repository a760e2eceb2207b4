# SPDX-License-Identifier: Apache-2.0
"""Whether an image file is all there, whatever stands behind its end and wherever it was cut."""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from darkpose.data.containers import is_cut_short, stored_size
from darkpose.data.images import MAX_PIXELS, decode_bytes, decode_image, opencv_size

PIXELS = cv2.GaussianBlur(
    np.random.default_rng(0).integers(0, 255, (97, 131, 3), np.uint8), (5, 5), 0
)


def jpeg(*options: int, pixels: np.ndarray = PIXELS) -> bytes:
    return cv2.imencode(".jpg", pixels, list(options))[1].tobytes()


def with_thumbnail() -> bytes:
    """A JPEG whose application segment holds another one, as cameras write it."""
    whole, small = jpeg(), jpeg(pixels=PIXELS[:16, :16])
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(small)) + small + whole[2:]


FILES = {
    "baseline": jpeg(),
    "progressive": jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "thumbnail": with_thumbnail(),
    "png": cv2.imencode(".png", PIXELS)[1].tobytes(),
}
BOX = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
BEHIND = {
    "zeros": bytes(1000),
    "text": b"taken on a sunny day\n" * 50,
    "archive": b"PK\x03\x04" + zlib.compress(PIXELS.tobytes()) + b"PK\x05\x06" + bytes(18),
    "film": BOX + b"\x00\x00\x10\x00mdat" + PIXELS.tobytes()[:4096],
    "another": jpeg(pixels=PIXELS[::-1]),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("behind", BEHIND)
def test_what_stands_behind_the_end_does_not_matter(name: str, behind: str) -> None:
    data = FILES[name]
    assert not is_cut_short(data)
    whole, more = decode_bytes(data, name), decode_bytes(data + BEHIND[behind], name)
    np.testing.assert_array_equal(whole.pixels, more.pixels)


def cuts(data: bytes) -> Iterator[int]:
    """Yield where a file is cut: anywhere behind its first bytes, which tell its format."""
    yield from np.unique(np.linspace(16, len(data) - 1, 200).astype(int)).tolist()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_anywhere_is_named(name: str) -> None:
    data = FILES[name]
    missed = [cut for cut in cuts(data) if not is_cut_short(data[:cut])]
    assert missed == []
    with pytest.raises(ValueError, match="must be complete, got a file cut short at"):
        decode_bytes(data[: len(data) // 2], name)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("behind", ["zeros", "text", "another"])
def test_a_cut_file_is_named_whatever_stands_behind_it(name: str, behind: str) -> None:
    data = FILES[name]
    # A header may go on in that of another image; and the end's own checksum is not needed.
    first, last = (
        max(0, data.rfind(b"\xff\xda") + 16),
        (data.rfind(b"IEND") if name == "png" else len(data)),
    )
    missed = [
        cut
        for cut in cuts(data)
        if first < cut < last and not is_cut_short(data[:cut] + BEHIND[behind])
    ]
    assert missed == []


def test_a_jpeg_without_data_in_its_scan_is_cut_short() -> None:
    data = FILES["baseline"]
    scan = data.rindex(b"\xff\xda")
    header = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    assert is_cut_short(data[:scan] + b"\xff\xd9") and is_cut_short(data[:header] + b"\xff\xd9")


def test_a_telephones_format_is_called_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "a.heic"
    file.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64))
    with pytest.raises(ValueError, match="a.heic must be in a format OpenCV reads, got HEIC"):
        decode_image(file)


def test_more_pixels_than_are_read_are_one_sentence() -> None:
    assert MAX_PIXELS == 2**29 == opencv_size("512MB") == opencv_size("524288kb")
    header = struct.pack(">II5B", 2**15, 2**14 + 1, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(value)) + kind + value + struct.pack(">I", zlib.crc32(kind + value))
        for kind, value in chunks
    )
    with pytest.raises(
        ValueError, match="huge must have at most 536870912 pixels, .* 32768 x 16385"
    ):
        decode_bytes(data, "huge")


@pytest.mark.parametrize("suffix", ".jpg .png .webp .bmp .gif .tif .jp2 .ppm .avif".split())
def test_a_header_says_the_size(suffix: str) -> None:
    if not cv2.haveImageWriter(f"a{suffix}"):
        pytest.skip(f"this OpenCV writes no {suffix}")
    found, data = cv2.imencode(suffix, PIXELS)
    assert found and stored_size(data.tobytes()) == (131, 97)
    if suffix == ".webp":
        lossless = cv2.imencode(suffix, PIXELS, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
        assert lossless[12:16] == b"VP8L" and stored_size(lossless) == (131, 97)


def test_a_header_of_the_other_byte_order_says_the_size() -> None:
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1) + value
        for tag, kind, value in ((256, 3, b"\x00\x83\x00\x00"), (257, 4, b"\x00\x00\x00\x61"))
    )
    data = b"MM\x00*" + struct.pack(">IH", 8, 2) + entries
    assert stored_size(data) == (131, 97)
    assert [stored_size(data[:size]) for size in range(len(data))] == [None] * len(data)
    assert stored_size(b"P6\n# 5 5\n131 97\n255\n") == (131, 97)


def test_a_file_larger_than_opencv_decodes_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    with open(file, "wb") as sparse:
        sparse.truncate(2**40)
    with pytest.raises(ValueError, match=r"a.jpg must have fewer than 2147483648 bytes, got 1\d+$"):
        decode_image(file)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(ValueError, match=r"a.png must be a file, got a folder, a device or a pipe"):
        decode_image(path)
