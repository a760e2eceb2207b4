# SPDX-License-Identifier: Apache-2.0
"""What becomes of predictions: a file for programs, pictures or a video for people.

Each output is a context that gives a function to call with every image's people, in order, and that
puts a complete file into its place at the end, or after an error none.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from darkpose.data.drawing import draw_skeleton
from darkpose.data.spec import KeypointSpec
from darkpose.files import replacing
from darkpose.predict.pixels import Orientation, as_decoded, as_rgb
from darkpose.predict.predictor import Poses
from darkpose.predict.sources import Shot
from darkpose.predict.table import Entry, columns, rows_of, schema, with_pose

Write = Callable[[Shot, Poses], None]
Output = AbstractContextManager[Write]

TABLE_SUFFIXES = (".json", ".csv", ".parquet")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
VIDEO_CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}

ROWS_AT_ONCE = 20_000
"""People of a Parquet file that are held in memory."""

_NOWHERE = -1e4  # as in COCO results of evaluation: JSON has no NaN


def is_folder(path: Path) -> bool:
    """Whether a path names a folder for pictures: one that is there, or a name without a suffix."""
    return path.is_dir() or not path.suffix


class NotDrawnError(ValueError):
    """One picture cannot be written, which spoils no other."""


# ---- tables --------------------------------------------------------------------------------------


def open_table(path: Path, spec: KeypointSpec, category_id: int = 1) -> Output:
    """Return a context that writes people to a file: COCO results, or the table of
    `darkpose.predict.table` as CSV or Parquet, by its suffix.

    People without a pose (`with_pose`) are left out.

    Raises:
        ImportError: Parquet is asked for and pyarrow not installed.
        ValueError: the suffix is another.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _json(path, category_id)
    if suffix == ".csv":
        return _csv(path, spec)
    if suffix == ".parquet":
        return _parquet(path, spec)
    raise ValueError(f"a table must be one of {', '.join(TABLE_SUFFIXES)}, got {path}")


@contextmanager
def _json(path: Path, category_id: int) -> Iterator[Write]:
    with replacing(path) as file:
        separator = b"[\n"

        def write(shot: Shot, poses: Poses) -> None:
            nonlocal separator
            for person in np.flatnonzero(with_pose(poses)):
                rows = poses.keypoints[person].astype(np.float64)
                rows[~np.isfinite(rows).all(1)] = (_NOWHERE, _NOWHERE, 0)
                result = {
                    "image_id": shot.request.key,
                    "category_id": category_id,
                    "keypoints": rows.ravel().tolist(),
                    "score": float(poses.scores[person]),
                }
                file.write(separator + json.dumps(result, allow_nan=False).encode())
                separator = b",\n"

        yield write
        file.write(b"\n]\n" if separator == b",\n" else b"[]\n")


@contextmanager
def _csv(path: Path, spec: KeypointSpec) -> Iterator[Write]:
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        names = [name for name in columns((), spec) if name != "error"]
        writer.writerow(names)

        def write(shot: Shot, poses: Poses) -> None:
            table = columns([Entry(shot.name, shot.frame, poses)], spec)
            writer.writerows(zip(*(table[name] for name in names), strict=True))

        try:
            yield write
        finally:
            text.detach()


@contextmanager
def _parquet(path: Path, spec: KeypointSpec) -> Iterator[Write]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"{path.name} needs pyarrow: pip install 'darkpose[parquet]'") from error
    held: list[Entry] = []
    count = 0
    with (
        replacing(path) as file,
        pyarrow.parquet.ParquetWriter(file, schema(spec)) as writer,
    ):

        def flush() -> None:
            nonlocal count
            if count:
                writer.write_table(rows_of(held, spec))
            held.clear()
            count = 0

        def write(shot: Shot, poses: Poses) -> None:
            nonlocal count
            held.append(Entry(shot.name, shot.frame, poses))
            count += len(poses)
            if count >= ROWS_AT_ONCE:
                flush()

        yield write
        flush()


# ---- pictures ------------------------------------------------------------------------------------


def drawn(
    image: NDArray[np.uint8],  # [H, W, 3] RGB
    poses: Poses,
    spec: KeypointSpec,
    threshold: float,
) -> NDArray[np.uint8]:
    """Return the image with everybody's skeleton; joints of a score below `threshold` are left
    out."""
    for person in poses.keypoints:
        shown = np.isfinite(person).all(1) & (person[:, 2] >= threshold)
        image = draw_skeleton(image, person[:, :2].astype(np.float64), spec, shown)
    return image


@contextmanager
def open_pictures(
    folder: Path, spec: KeypointSpec, orientation: Orientation, threshold: float
) -> Iterator[Write]:
    """Write each image with skeletons into a folder, under its own name; a video's frames under
    their numbers in a folder of its name."""

    def write(shot: Shot, poses: Poses) -> None:
        name = picture_name(shot.name, shot.frame)
        _write_picture(folder / name, shot, poses, spec, orientation, threshold)

    yield write


@contextmanager
def open_picture(
    path: Path, spec: KeypointSpec, orientation: Orientation, threshold: float
) -> Iterator[Write]:
    """Write one image with skeletons to that file."""

    def write(shot: Shot, poses: Poses) -> None:
        _write_picture(path, shot, poses, spec, orientation, threshold)

    yield write


def picture_name(name: str, frame: int | None) -> str:
    """Return where in a folder an image is written, never outside of it.

    >>> picture_name("day1/a.tif", None), picture_name("clip.mp4", 7)
    ('day1/a.tif.jpg', 'clip.mp4/000007.jpg')
    >>> picture_name("../../b.png", None)
    'b.png'
    """
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    inside = "/".join(parts)
    if frame is not None:
        return f"{inside}/{frame:06}.jpg"
    return inside if PurePosixPath(inside).suffix.lower() in PICTURE_SUFFIXES else f"{inside}.jpg"


def _write_picture(
    path: Path,
    shot: Shot,
    poses: Poses,
    spec: KeypointSpec,
    orientation: Orientation,
    threshold: float,
) -> None:
    try:
        image = as_rgb(as_decoded(shot.request.image, orientation))
    except ValueError as error:  # it has changed since
        raise NotDrawnError(str(error)) from error
    bgr = cv2.cvtColor(drawn(image, poses, spec, threshold), cv2.COLOR_RGB2BGR)
    try:
        written, data = cv2.imencode(path.suffix, bgr)
    except cv2.error:
        written = False
    if not written:  # JPEG and WebP have a largest size
        raise NotDrawnError(f"{path} cannot hold {bgr.shape[1]} x {bgr.shape[0]} pixels")
    try:
        with replacing(path) as file:
            file.write(data.tobytes())
    except OSError as error:  # such as a name too long
        raise NotDrawnError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def open_video(path: Path, spec: KeypointSpec, threshold: float, rate: float) -> Iterator[Write]:
    """Write frames with skeletons as a video, without sound.

    Args:
        path: of a suffix of `VIDEO_CODECS`.
        rate: frames per second.

    Raises:
        ValueError: OpenCV cannot encode such a video.
    """
    codec = VIDEO_CODECS[path.suffix.lower()]
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # OpenCV goes by the suffix
    writer: cv2.VideoWriter | None = None

    def write(shot: Shot, poses: Poses) -> None:
        nonlocal writer
        image = drawn(shot.request.image, poses, spec, threshold)
        if writer is None:
            code, size = cv2.VideoWriter.fourcc(*codec), (image.shape[1], image.shape[0])
            writer = cv2.VideoWriter(str(beside), code, rate, size)
            if not writer.isOpened():
                raise ValueError(f"{path} cannot be written: this OpenCV does not encode {codec}")
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    try:
        yield write
        if writer is not None:
            writer.release()
            beside.replace(path)
    finally:
        if writer is not None:
            writer.release()
        beside.unlink(missing_ok=True)
