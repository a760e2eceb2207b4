# SPDX-License-Identifier: Apache-2.0
"""What becomes of predictions: a file for programs, pictures or a video for people.

An output is a context, opened with a path and what all outputs of a run are told. It gives a
function to call with every image's people, in order, and puts a complete file into its place at the
end, or after an error none. `KINDS` at the end of this file has all of them.
"""

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from darkpose.data.detections import OWN_BOX
from darkpose.data.drawing import draw_skeleton
from darkpose.data.spec import KeypointSpec
from darkpose.files import is_special, replacing, unfinished
from darkpose.predict.pixels import as_decoded, as_rgb
from darkpose.predict.predictor import Poses
from darkpose.predict.sources import Shot
from darkpose.predict.table import Entry, columns, csv_text, rounded, rows_of, schema, with_pose
from darkpose.predict.videos import frame_count

Write = Callable[[Shot, Poses], None]

ROWS_AT_ONCE = 20_000
"""People of a Parquet file that are held in memory."""

PICTURES = (".jpg", ".jpeg", ".png", ".webp")

_VIDEO_CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
_NOWHERE = -1e4  # as in COCO results of evaluation: JSON has no NaN
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What all outputs of a run are told."""

    spec: KeypointSpec
    category_id: int = 1
    """Of people whose boxes say none."""
    threshold: float = 0.2
    """Joints of a lower score are not drawn."""
    rate: float = 25.0
    """Frames per second of a video."""


class NotDrawnError(ValueError):
    """One picture cannot be written, which spoils no other."""


# ---- tables --------------------------------------------------------------------------------------


@contextmanager
def coco_results(path: Path, setting: Setting) -> Iterator[Write]:
    """Write `image_id`, `category_id`, `keypoints` and `score` of each person with a pose; and the
    box, and a video's frame, so that the file can be read again as boxes; and `ambiguity`, K."""
    with replacing(path) as file:
        separator = b"[\n"

        def write(shot: Shot, poses: Poses) -> None:
            nonlocal separator
            for person in np.flatnonzero(with_pose(poses)):
                rows = poses.keypoints[person].astype(np.float64)
                rows[~np.isfinite(rows).all(1)] = (_NOWHERE, _NOWHERE, 0)
                own, box = shot.categories, poses.boxes[person]
                result = {
                    "image_id": shot.request.key,
                    "category_id": setting.category_id if own is None else int(own[person]),
                    "keypoints": rows.ravel().tolist(),
                    "score": float(poses.scores[person]),
                    "ambiguity": rounded(poses.ambiguity[person]),
                    OWN_BOX: [float(str(side)) for side in box],  # 0.1, not 0.10000000149
                }
                if shot.frame is not None:
                    result["frame"] = shot.frame
                file.write(separator + json.dumps(result, allow_nan=False).encode())
                separator = b",\n"

        yield write
        file.write(b"\n]\n" if separator == b",\n" else b"[]\n")


@contextmanager
def csv_table(path: Path, setting: Setting) -> Iterator[Write]:
    """Write the columns of `darkpose.predict.table`."""
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        names = [name for name in columns((), setting.spec) if name != "error"]
        text.write(csv_text([names]))

        def write(shot: Shot, poses: Poses) -> None:
            table = columns([Entry(shot.name, shot.frame, poses)], setting.spec)
            text.write(csv_text(zip(*(table[name] for name in names), strict=True)))

        try:
            yield write
        finally:
            text.detach()


@contextmanager
def parquet_table(path: Path, setting: Setting) -> Iterator[Write]:
    """Write the columns of `darkpose.predict.table`, `ROWS_AT_ONCE` at once."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"{path.name} needs pyarrow: pip install 'darkpose[parquet]'") from error
    held: list[Entry] = []
    columns_of = schema(setting.spec)
    with replacing(path) as file, pyarrow.parquet.ParquetWriter(file, columns_of) as writer:

        def flush(rows: int) -> None:
            if sum(len(entry.poses or ()) for entry in held) >= rows:
                writer.write_table(rows_of(held, setting.spec))
                held.clear()

        def write(shot: Shot, poses: Poses) -> None:
            held.append(Entry(shot.name, shot.frame, poses))
            flush(ROWS_AT_ONCE)

        yield write
        flush(1)


# ---- pictures ------------------------------------------------------------------------------------


@contextmanager
def pictures(folder: Path, setting: Setting) -> Iterator[Write]:
    """Write each image with skeletons under its own name; a video's frames under their numbers in a
    folder of its name."""

    def write(shot: Shot, poses: Poses) -> None:
        _write_picture(folder / picture_name(shot.name, shot.frame), shot, poses, setting)

    yield write


@contextmanager
def picture(path: Path, setting: Setting) -> Iterator[Write]:
    """Write one image with skeletons."""

    def write(shot: Shot, poses: Poses) -> None:
        _write_picture(path, shot, poses, setting)

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
    return inside if PurePosixPath(inside).suffix.lower() in PICTURES else f"{inside}.jpg"


def _write_picture(path: Path, shot: Shot, poses: Poses, setting: Setting) -> None:
    try:
        image = as_rgb(as_decoded(shot.request.image, shot.request.pixels or "exif"))
    except ValueError as error:  # it has changed since
        raise NotDrawnError(str(error)) from error
    bgr = _drawn(image, poses, setting)
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


def _drawn(
    image: NDArray[np.uint8],  # [H, W, 3] RGB
    poses: Poses,
    setting: Setting,
) -> NDArray[np.uint8]:  # [H, W, 3] BGR
    for person, doubtful in zip(poses.keypoints, poses.doubtful, strict=True):
        shown = np.isfinite(person).all(1) & (person[:, 2] >= setting.threshold)
        image = draw_skeleton(image, person[:, :2], setting.spec, shown, doubtful)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)


@contextmanager
def video(path: Path, setting: Setting) -> Iterator[Write]:
    """Write frames with skeletons as a video, without sound.

    Raises:
        ValueError: OpenCV cannot encode such a video.
    """
    _logger.info("%s will have no sound", path)
    codec = _VIDEO_CODECS[path.suffix.lower()]
    path.parent.mkdir(parents=True, exist_ok=True)
    writer: cv2.VideoWriter | None = None
    frames = 0
    with unfinished(path, path.suffix) as beside:  # OpenCV goes by the suffix

        def write(shot: Shot, poses: Poses) -> None:
            nonlocal writer, frames
            if writer is None:
                code = cv2.VideoWriter.fourcc(*codec)
                width, height = (side + side % 2 for side in poses.image_size)  # codecs: even ones
                writer = cv2.VideoWriter(str(beside), code, setting.rate, (width, height))
                if not writer.isOpened():
                    raise ValueError(f"{path} cannot be written: this OpenCV has no {codec}")
            frame = _drawn(shot.request.image, poses, setting)
            odd = [side % 2 for side in frame.shape[:2]]
            writer.write(cv2.copyMakeBorder(frame, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE))
            frames += 1

        try:
            yield write
        finally:
            if writer is not None:
                writer.release()
        if writer is not None:
            written = frame_count(beside)
            if written < frames - 1:  # OpenCV says nothing of a full disk; a count may be rounded
                raise OSError(
                    f"{path} could not be written: {max(0, written)} of {frames} frames, "
                    "maybe there is no space left on the device"
                )
            beside.replace(path)


# ---- all of them ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A kind of output."""

    open: Callable[[Path, Setting], AbstractContextManager[Write]]
    what: str
    """Of help and docs."""
    drawn_from: str = ""
    """"images", or one "image" or "video" alone; "": nothing is drawn."""


KINDS = {
    ".json": Kind(coco_results, "COCO's results format"),
    ".csv": Kind(csv_table, "a row for each person"),
    ".parquet": Kind(parquet_table, "a row for each person"),
    "": Kind(pictures, "a folder of pictures with skeletons", "images"),
    **dict.fromkeys(PICTURES, Kind(picture, "one picture with skeletons", "image")),
    **dict.fromkeys(_VIDEO_CODECS, Kind(video, "a video with skeletons, without sound", "video")),
}
"""Every kind of output by suffix; "" is a folder."""


def kind_of(path: Path) -> Kind:
    """Return the kind of an output: a folder is one that is there, or a name without a suffix.

    Raises:
        ValueError: there is none with such a suffix.
    """
    suffix, folder = path.suffix.lower(), path.is_dir()
    if is_special(path):  # such as /dev/null
        suffix = suffix or ".json"
    if suffix not in KINDS and not folder:
        names = ", ".join(filter(None, KINDS))
        raise ValueError(f"outputs must be a folder or a file of {names}, got {path}")
    if folder and KINDS.get(suffix, KINDS[""]).drawn_from != "images":
        raise ValueError(f"{path} must be a file to write, got a folder of that name")
    return KINDS["" if folder else suffix]


def described(*, drawn: bool) -> str:
    """Return the kinds in words, of those that are drawn or of the others.

    >>> described(drawn=False)
    ".json (COCO's results format), .csv, .parquet (a row for each person)"
    """
    suffixes: dict[str, list[str]] = {}
    for suffix, kind in KINDS.items():
        if bool(kind.drawn_from) == drawn:
            suffixes.setdefault(kind.what, []).append(suffix)
    return ", ".join(
        f"{', '.join(its)} ({what})" if all(its) else what for what, its in suffixes.items()
    )
