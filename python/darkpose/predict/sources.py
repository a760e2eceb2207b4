# SPDX-License-Identifier: Apache-2.0
"""Which images and frames there are to look at, and whose boxes are in them.

A plan is made of names alone, before anything is opened: what is missing, ambiguous or contradicts
itself is said at once, and whoever runs the plan (this process, or many) has it in one piece.
"""

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os.path import abspath, commonpath
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.data.orientation import Orientation, Pixels
from darkpose.files import is_special
from darkpose.predict.boxes import BoxTable, ImageBoxes
from darkpose.predict.predictor import Request
from darkpose.predict.videos import (
    VIDEO_SUFFIXES,
    ReadFrames,
    by_opencv,
    frame_count,
    frame_rate,
    frames_of,
    is_video,
)
from darkpose.values import printable

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .tif .tiff .jp2 .avif .gif .ppm .pgm .pnm".split()
)
"""Of files in a folder that are taken for images. A file named by itself may have any."""

ShotFailure = Callable[[str, str], None]
"""Called with the name of a video that cannot be read, and why."""

_NOBODY = np.empty((0, 4)), np.empty(0)


class Boxes(NamedTuple):
    """Of one image or frame."""

    boxes: NDArray[np.float64]  # [N, 4]
    scores: NDArray[np.float64] | None  # [N]
    annotated: bool = False
    """Whether they are those of an annotation file."""
    categories: NDArray[np.int64] | None = None  # [N]
    """Of the people; None: the plan's."""


class Source(NamedTuple):
    """An image, or a video."""

    path: Path
    name: str
    """Relative to the folder that all have in common: what results call the file."""
    image_id: int | str
    boxes: Boxes | None
    """Of the image, or of each frame. None: the whole image, or whom a detector finds."""
    frames: Mapping[int, Boxes] | None = None
    """Boxes by frame, where frames have their own."""
    size: tuple[int, int] | None = None
    """(width, height) of the image, as the boxes' file has it; None: it does not say."""

    @property
    def is_video(self) -> bool:
        """Whether this is a video, by its suffix, or else by what is in it; no device or pipe is,
        for which OpenCV would wait for ever."""
        suffix = self.path.suffix.lower()
        if suffix in IMAGE_SUFFIXES or is_special(self.path):
            return False
        return suffix in VIDEO_SUFFIXES or is_video(self.path)


class Shot(NamedTuple):
    """An image, or a frame of a video, to predict."""

    name: str
    frame: int | None
    request: Request
    """Its key is the image's id, `name#frame` for frames; its image the file, or RGB pixels."""
    categories: NDArray[np.int64] | None = None  # [N]
    """Of the boxes; None: the plan's."""


@dataclass(frozen=True)
class Plan:
    """All there is to predict."""

    sources: tuple[Source, ...]
    orientation: Orientation
    """How to read image files, so that the boxes fit, where their sizes do not tell."""
    category_id: int = 1
    """Of results."""
    notes: tuple[str, ...] = ()
    """Sentences about what is left out."""
    sure: bool = False
    """Whether the orientation holds whatever the sizes say."""

    def pixels(self, source: Source) -> Pixels:
        """Return which pixels of a source's file its boxes count."""
        return Pixels(self.orientation, source.size, self.sure or source.boxes is None)

    @property
    def total(self) -> int | None:
        """How many images and frames there are, as far as videos tell; None if one does not."""
        counts = [frame_count(each.path) if each.is_video else 1 for each in self.sources]
        return None if any(count < 1 for count in counts) else sum(counts)

    @property
    def rate(self) -> float:
        """Frames per second of the first video, 25 if there is none or it does not say."""
        videos = [each.path for each in self.sources if each.is_video]
        return frame_rate(videos[0]) if videos else 25.0

    def shots(self, failed: ShotFailure, read: ReadFrames = by_opencv) -> Iterator[Shot]:
        """Yield each image and frame in order. Videos are decoded on the way, by `read`."""
        for source in self.sources:
            if source.is_video:
                boxed = max(source.frames or {}, default=-1)
                told = partial(failed, source.name)
                for number, frame in frames_of(source.path, boxed, told, read):
                    yield _shot(source, number, f"{source.name}#{number}", frame)
            else:
                yield _shot(source, None, source.image_id, source.path, self.pixels(source))


def _shot(
    source: Source, frame: int | None, key: int | str, image: Any, pixels: Pixels | None = None
) -> Shot:
    boxes = source.boxes
    if source.frames is not None and frame is not None:
        boxes = source.frames.get(frame, boxes)
    if boxes is None:
        return Shot(source.name, frame, Request(key, image, pixels=pixels))
    request = Request(key, image, boxes.boxes, boxes.scores, boxes.annotated, pixels)
    return Shot(source.name, frame, request, boxes.categories)


def plan(
    images: Sequence[str | Path],
    boxes: BoxTable | NDArray[np.float64] | None = None,
    orientation: Orientation | None = None,
    leave_out: Sequence[Path] = (),
) -> Plan:
    """Return what to predict.

    Args:
        images: files, folders (with all folders in them), patterns such as `day1/*.jpg`, videos.
        boxes: a table, of which images without boxes are not looked at; an array [N, 4]: the same
            boxes in every image; None: no boxes are known.
        orientation: of image files; None: as each one's size in the table says, and where it does
            not, as boxes of such a file usually count pixels.
        leave_out: folders that are written to: what lies there is not taken for a folder's images.

    Raises:
        FileNotFoundError: a file or folder is not there, or a pattern matches nothing.
        ValueError: a folder has neither images nor videos; no image has boxes, as names differ; one
            name of the table fits several files.
    """
    if not images:
        raise ValueError("predict needs images, folders or videos, got none")
    if not isinstance(boxes, BoxTable):
        same = None if boxes is None else Boxes(boxes, None)
        found, others = _expand(images, leave_out)
        named = zip(found, _names(found, images), strict=True)
        sources = tuple(Source(path, name, name, same) for path, name in named)
        return Plan(sources, orientation or "exif", notes=others, sure=orientation is not None)
    read = orientation or boxes.orientation
    if len(images) == 1 and Path(images[0]).is_dir():
        paths = {each.name: Path(images[0]) / each.name for each in boxes.images}
        if paths and not any(path.is_file() for path in paths.values()):
            raise ValueError(
                f"{images[0]} must be the folder that the boxes' file names are relative to, "
                f"got none of its {len(paths)} images: not {next(iter(paths.values()))}"
            )
        ignored = 0
    else:
        files, _ = _expand(images, leave_out)
        paths = _match(boxes.images, files)
        if boxes.images and not paths:
            raise ValueError(
                f"the boxes must be of these images, got none of {files[0].name} and so on: "
                f"they are of {boxes.images[0].name}"
            )
        ignored = len(files) - len({*paths.values()})
    notes: list[str] = []
    if ignored:
        notes.append(f"images without boxes, not looked at: {ignored}")
    if absent := len({each.name for each in boxes.images}.difference(paths)):
        notes.append(f"images with boxes that are not among those given, left out: {absent}")
    people = _with_boxes(boxes, paths)
    return Plan(people, read, boxes.category_id, tuple(notes), orientation is not None)


# ---- files ---------------------------------------------------------------------------------------


def _expand(
    images: Sequence[str | Path], leave_out: Sequence[Path]
) -> tuple[list[Path], tuple[str, ...]]:
    """Return the files that are named, each once, those of a folder by name; and a note on what
    folders hold beside images and videos."""
    suffixes, written = IMAGE_SUFFIXES | VIDEO_SUFFIXES, {path.resolve() for path in leave_out}
    found: dict[str, Path] = {}
    others: list[Path] = []
    for name in map(str, images):
        path = Path(name)
        if path.is_dir():
            files = [each for each in sorted(path.rglob("*")) if not each.name.startswith(".")]
            files = [each for each in files if each.is_file()]
            files = [each for each in files if not written & {*each.resolve().parents}]
            others += [each for each in files if each.suffix.lower() not in suffixes]
            files = [each for each in files if each.suffix.lower() in suffixes]
            if not files:
                raise ValueError(
                    f"{name} must hold images or videos, such as .jpg, .png or .mp4, got none"
                )
        elif path.exists():
            files = [path]
        elif glob.has_magic(name):
            files = [Path(each) for each in sorted(glob.glob(name, recursive=True))]
            files = [each for each in files if each.is_file()]
            if not files:
                raise FileNotFoundError(
                    f"images must be there, but nothing matches {printable(abspath(name))}"
                )
        else:
            raise FileNotFoundError(
                f"images must be a file, folder or pattern, there is no {printable(abspath(name))}"
            )
        for each in files:
            found.setdefault(abspath(each), each)
    notes: tuple[str, ...] = ()
    if others:
        first = printable(str(others[0]))
        notes = (
            f"files that are no images or videos, not looked at: {len(others)}, such as {first}",
        )
    return list(found.values()), notes


def _names(files: Sequence[Path], images: Sequence[str | Path]) -> list[str]:
    """Return names relative to the one folder given, or to the innermost one of all files."""
    if len(images) == 1 and Path(images[0]).is_dir():
        root = Path(abspath(images[0]))
    else:
        root = Path(commonpath([abspath(path.parent) for path in files]))
    return [Path(abspath(path)).relative_to(root).as_posix() for path in files]


def _match(images: Sequence[ImageBoxes], files: Sequence[Path]) -> dict[str, Path]:
    """Return the file of each name in a table that has one; a name may leave out folders."""
    by_name: dict[str, list[Path]] = {}
    for path in files:
        by_name.setdefault(path.name, []).append(path)
    matched: dict[str, Path] = {}
    for name in dict.fromkeys(each.name for each in images):
        parts = PurePath(name).parts
        fitting = [
            path
            for path in by_name.get(PurePath(name).name, ())
            if Path(abspath(path)).parts[-len(parts) :] == parts
        ]
        if len(fitting) > 1:
            raise ValueError(
                f"the boxes' image {name} must be one of the images, "
                f"got {fitting[0]} and {fitting[1]}"
            )
        if fitting:
            matched[name] = fitting[0]
    return matched


def _with_boxes(table: BoxTable, paths: Mapping[str, Path]) -> tuple[Source, ...]:
    found: dict[tuple[str, int | str], Source] = {}
    for each in table.images:
        if each.name not in paths:
            continue
        own = Boxes(each.boxes, each.scores, table.annotated, each.categories)
        nobody = Boxes(*_NOBODY)
        blank = Source(paths[each.name], each.name, each.image_id, nobody, size=each.size)
        source = found.get((each.name, each.image_id), blank)
        if each.frame is None:
            source = source._replace(boxes=own)
        elif not source.is_video:
            raise ValueError(f"boxes with a frame must be of a video, got {each.name}")
        else:
            source = source._replace(frames={**(source.frames or {}), each.frame: own})
        found[each.name, each.image_id] = source
    return tuple(found.values())
