# SPDX-License-Identifier: Apache-2.0
"""Which images a distributed run is of, where they are not rows of a table already.

Files and folders of this machine are planned as they are for one process; what is in an object
store is listed there.
"""

import logging
from collections.abc import Iterable, Sequence
from os.path import abspath
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.predict.boxes import BoxTable
from darkpose.predict.pixels import Orientation
from darkpose.predict.sources import IMAGE_SUFFIXES, plan
from darkpose.predict.stored import files, inside, is_uri

_logger = logging.getLogger(__name__)


class Listed(NamedTuple):
    """An image, and whom to look at in it."""

    key: str
    place: str
    boxes: Any  # [N, 4]; None: the whole image
    scores: Any  # [N], or None


def list_images(
    images: Sequence[str],
    boxes: BoxTable | NDArray[np.float64] | None,
    orientation: Orientation | None,
) -> tuple[list[Listed], Orientation]:
    """Return images with boxes, and how to turn them.

    Args:
        images: as `darkpose.predict.sources.plan` takes them; or URIs of images or folders, of one
            folder if `boxes` names files, which are relative to it.
        boxes: a table, of whose images alone people are wanted; [N, 4], the same in each image;
            None: each whole image is one person.
        orientation: None: as the boxes count pixels.

    Raises:
        FileNotFoundError: an image or folder is not there.
        ValueError: there are no images, or videos among them; names of files are ambiguous.
    """
    if not any(map(is_uri, images)):
        work = plan(images, boxes, orientation)
        if videos := [source.name for source in work.sources if source.is_video]:
            raise ValueError(f"engine ray takes images alone, got the video {videos[0]}")
        for note in work.notes:
            _logger.info("%s", note)
        return [
            Listed(str(each.image_id), abspath(each.path), *(each.boxes or (None, None)))
            for each in work.sources
        ], work.orientation
    if not isinstance(boxes, BoxTable):
        return [Listed(*each, boxes, None) for each in _files(images)], orientation or "exif"
    if len(images) > 1:
        raise ValueError(
            f"images must be the one folder that the boxes' files are in, got {', '.join(images)}"
        )
    if framed := [each.name for each in boxes.images if each.frame is not None]:
        raise ValueError(f"engine ray takes images alone, got boxes in a frame of {framed[0]}")
    return [
        Listed(str(each.image_id), inside(images[0], each.name), each.boxes, each.scores)
        for each in boxes.images
    ], orientation or ("stored" if boxes.stored else "exif")


def _files(places: Sequence[str]) -> list[tuple[str, str]]:
    """Return key and place of every image: its name in the folder, if there is but one."""
    found: list[tuple[str, str]] = []
    for place in places:
        place = place if is_uri(place) else abspath(place)
        names = files(place, _is_image)
        each = [place] if names is None else [inside(place, name) for name in names]
        alone = len(places) == 1 and names is not None
        found += zip(names if alone and names else each, each, strict=True)
    if not found:
        raise ValueError(f"{places[0]} must hold images, got none")
    return list(dict.fromkeys(found))


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def as_table(images: Iterable[Listed]) -> Any:
    """Return pyarrow's table of images, sorted by key, as `darkpose.predict.rows` reads it."""
    import pyarrow as pa

    numbers = pa.list_(pa.float64())
    columns = {"path": pa.string(), "boxes": pa.list_(numbers), "box_scores": numbers}
    rows = [
        {
            "key": each.key,
            "path": each.place,
            "boxes": None if each.boxes is None else np.asarray(each.boxes).tolist(),
            "box_scores": None if each.scores is None else np.asarray(each.scores).tolist(),
        }
        for each in sorted(images, key=lambda each: each.key)
    ]
    return pa.Table.from_pylist(rows, pa.schema([("key", pa.string()), *columns.items()]))
