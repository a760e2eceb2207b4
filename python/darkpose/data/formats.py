# SPDX-License-Identifier: Apache-2.0
"""The forms in which people are annotated: one table, read by the options, the checks and the help.

A format is what reads its files into `Annotations`, and which figures are customary for it. Adding
one is a function and a line of `FORMATS`.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from darkpose.data.aic import load_aic
from darkpose.data.annotations import Annotations, PersonRecord, load_annotations
from darkpose.data.detections import load_detections
from darkpose.data.mpii import load_mpii
from darkpose.data.oddities import say_oddities
from darkpose.data.published import missing
from darkpose.files import expanded
from darkpose.values import printable

_logger = logging.getLogger(__name__)


Category = str | int | None
"""Name or id of the category of a COCO-style file to take; None: all with keypoints."""


@dataclass(frozen=True)
class Format:
    """One form of annotation files."""

    load: Callable[[Path, Path, Path | None, Category], Annotations]
    """From the file, the folder of its images, what completes it, if anything does (a COCO-style
    file's `data.joints`, MPII's `data.val_mat`), and the category to take."""
    scores_ap: bool = True
    """Whether its people are evaluated by AP; MPII's are by PCKh alone."""


def _coco(file: Path, images: Path, joints: Path | None, category: Category) -> Annotations:
    return load_annotations(file, images, spec=joints, category=category)


def _mpii(file: Path, images: Path, mat: Path | None, _category: Category) -> Annotations:
    return load_mpii(file, images, mat)


def _aic(file: Path, images: Path, _more: Path | None, _category: Category) -> Annotations:
    return load_aic(file, images)


FORMATS: dict[str, Format] = {
    "coco": Format(_coco),
    "mpii": Format(_mpii, scores_ap=False),
    "aic": Format(_aic),
}
"""By the name that `data.data_format` and `data.extra` give."""

if TYPE_CHECKING:
    DataFormat = str
else:
    DataFormat = Literal[tuple(FORMATS)]


def check_format(name: str, option: str) -> None:
    """Raise ValueError, with the formats there are, if an option names another."""
    if name not in FORMATS:
        raise ValueError(f"{option} must be one of {', '.join(FORMATS)}, got {name}")


def load_people(
    file: Path,
    images: Path,
    data_format: DataFormat = "coco",
    *,
    more: Path | None = None,
    detections: tuple[Path, float] | None = None,
    category: Category = None,
    skip_missing: bool = False,
) -> Annotations:
    """Read one data set's people and see that their images are there; none is opened.

    What looks like a mistake in it is logged, see `darkpose.data.oddities`.

    Args:
        file: of annotations; with `detections`, a test set's image information will do.
        images: folder of its images.
        data_format: of `file`, see `FORMATS`.
        more: what completes it, see `Format.load`.
        detections: people in place of the annotated ones, as a file in COCO's results format and
            the least score of a box. COCO-style files only.
        category: of a COCO-style file, see `load_annotations`.
        skip_missing: count images that are not there, in a warning, in place of refusing them.

    Raises:
        FileNotFoundError: a file, the folder or an image in it is missing; says who publishes it.
        ValueError: anything else is wrong with a file.
    """
    file, images = expanded(file), expanded(images)
    more = None if more is None else expanded(more)
    if detections is None:
        people = FORMATS[data_format].load(file, images, more, category)
        say_oddities(people.records, file)
    else:
        people = load_detections(
            expanded(detections[0]),
            file,
            images,
            spec=more,
            threshold=detections[1],
            category=category,
        )
    if not images.is_dir():
        raise FileNotFoundError(missing(images, images_of=file, data_format=data_format))
    if absent := _absent(people.records):
        count = len({record.image_path for record in people.records})
        first, others = printable(os.path.relpath(absent[0], images)), len(absent) - 1
        which = f"{first} and {others} more of {count} images are"
        if not others:
            which = f"{first}, 1 of {count} images, is"
        sentence = f"{file}: {which} not in {images}"
        if not skip_missing:
            raise FileNotFoundError(sentence)
        _logger.warning("%s; their people carry no weight", sentence)
    return people


def _absent(records: Sequence[PersonRecord]) -> list[Path]:
    """Return which images are not there, by one listing of each folder: asking for each file takes
    minutes on a network's disk."""
    folders: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(record.image_path for record in records):
        folders.setdefault(path.parent, []).append(path)
    absent = []
    for folder, paths in folders.items():
        try:
            names = set(os.listdir(folder))
        except OSError:
            names = set()
        # A disk may not tell capitals from small letters: what is not listed is asked for.
        absent += [path for path in paths if path.name not in names and not _exists(path)]
    return absent


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file can have
        return False


def truth(people: Annotations) -> Mapping[str, Any]:
    """Return annotated people as the content of a COCO-style file, which AP is measured by.

    It has only those people: where the file itself is COCO-style, its own content knows crowds and
    images without people too, `Annotations.content`.
    """
    annotations = [
        {
            "id": position,
            "image_id": record.image_id,
            "category_id": people.category_id,
            "keypoints": record.joints.ravel().tolist(),
            "bbox": list(record.box),
            "area": record.area,
        }
        for position, record in enumerate(people.records)
    ]
    return {
        "images": [{"id": i} for i in sorted({record.image_id for record in people.records})],
        "annotations": annotations,
        "categories": [{"id": people.category_id, "keypoints": list(people.spec.names)}],
    }
