# SPDX-License-Identifier: Apache-2.0
"""Videos by their frames, and what is wrong with them."""

import logging
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from darkpose.data.images import Image
from darkpose.values import printable

VIDEO_SUFFIXES = frozenset(
    ".mp4 .mov .avi .mkv .webm .m4v .m2v .mpg .mpeg .wmv .ts .mts .m2ts .3gp .flv .vob .asf".split()
)
"""Of files that are taken for videos. One named by itself is tried too, unless it has an image's
suffix or content."""

_COUNTED = (".mp4", ".mov")
"""Whose count of frames is not an estimate: fewer of them are a fault."""

ReadFrames = Callable[[Path], Iterator[Any]]
"""Yields the frames [H, W, 3] of a video, RGB: arrays, or tensors on any device."""

_logger = logging.getLogger(__name__)


@cache
def is_video(path: Path) -> bool:
    """Return whether a file is no image that OpenCV knows, and a video."""
    name = str(path)
    if not path.is_file() or cv2.haveImageReader(name):
        return False
    return bool(cv2.VideoCapture(name).isOpened())


def frame_count(path: Path) -> int:
    """Return how many frames a video's header says it has: an estimate, mostly."""
    return int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT))


def frame_rate(path: Path) -> float:
    """Return a video's frames per second; 25 if it does not say."""
    rate = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)
    return float(rate) if 0 < rate < 1000 else 25.0


def by_opencv(path: Path) -> Iterator[Image]:
    """Yield the frames [H, W, 3] of a video, RGB, as far as OpenCV reads it."""
    video = cv2.VideoCapture(str(path))
    try:
        while True:
            there, frame = video.read()
            if not there:
                break
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
    finally:
        video.release()


def frames_of(
    path: Path,
    boxed: int,
    failed: Callable[[str], None],
    read: ReadFrames = by_opencv,
) -> Iterator[tuple[int, Any]]:
    """Yield the number of each frame, from 0, and its pixels [H, W, 3] in RGB.

    Args:
        path: of the video.
        boxed: the last frame that there are boxes for, -1 if there are none.
        failed: called at the end with what is wrong with the video, if anything is.
        read: yields the frames, as `by_opencv`.
    """
    announced, number = frame_count(path), 0
    for frame in read(path):
        yield number, frame
        number += 1
    name = printable(str(path))
    if number == 0:
        failed(f"video {name} must be in a format that OpenCV reads")
    elif number < announced and path.suffix.lower() in _COUNTED:
        failed(f"video {name} must be complete, got {number} of {announced} frames")
    elif boxed >= number:
        failed(
            f"video {name} must have every frame with boxes, got boxes in frame {boxed} and "
            f"{number} frames, the first of which is 0"
        )
    elif number < announced:
        _logger.info("video %s has %d frames, its header estimates %d", name, number, announced)
