# SPDX-License-Identifier: Apache-2.0
"""Small pictures with people in them, and a record of which are decoded."""

import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from darkpose.data import orientation
from darkpose.data.annotations import Annotations, KeypointSpec, PersonRecord
from darkpose.data.images import DecodedImage, decode_bytes

INPUT_SIZE = (96, 128)
SPEC = KeypointSpec.from_names(["nose", "left_eye", "right_eye"])
JOINTS = np.array([[150.0, 100, 2], [120, 90, 1], [0, 0, 0]])

Pixels = NDArray[np.uint8]
Decodings = list[tuple[str, int, "weakref.ref[DecodedImage]"]]


def photo(size: tuple[int, int], seed: int = 0) -> Pixels:
    """A picture of blurred noise, of that (width, height)."""
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (9, 9), 3)  # type: ignore[return-value]


def encoded(image: Pixels, *options: int) -> bytes:
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def annotations(*paths: Path) -> Annotations:
    """A person per path, as large as its image, so that crops shrink it more than twice."""
    records = tuple(
        PersonRecord(path, i, 10 + i, (320, 240), (0, 0, 320, 240), 9e3, JOINTS)
        for i, path in enumerate(paths)
    )
    return Annotations(records, SPEC, category_id=1)


def note_decodings(monkeypatch: pytest.MonkeyPatch) -> Decodings:
    """Return what data sets decode from here on: the file's name, the reduction, the image."""
    calls: Decodings = []

    def noted(data: bytes, path: Path, reduction: int = 1, **turned: bool) -> DecodedImage:
        image = decode_bytes(data, path, reduction, **turned)
        calls.append((path.name, reduction, weakref.ref(image)))
        return image

    monkeypatch.setattr(orientation, "decode_bytes", noted)
    return calls
