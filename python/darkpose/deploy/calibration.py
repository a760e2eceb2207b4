# SPDX-License-Identifier: Apache-2.0
"""The user's images, and the people in them, as an exported file takes them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import Annotations, PersonRecord, load_annotations
from darkpose.data.dataset import KeypointDataset
from darkpose.data.images import crop_people
from darkpose.data.orientation import Pixels, decode_file
from darkpose.data.spec import KeypointSpec
from darkpose.geometry import clip_box
from darkpose.models.pose import PoseModel
from darkpose.predict.people import maps_to_image
from darkpose.predict.sources import plan
from darkpose.values import printable

IMAGES = 100  # to calibrate with, spread over those there are
BATCH = 32  # people of an image at a time: memory is bounded


class Photo(NamedTuple):
    """An image that is not read yet, and who is in it."""

    path: Path
    pixels: Pixels
    """What boxes count."""
    boxes: NDArray[np.float64] | None = None  # [N, 4] x, y, width, height
    """None: the whole image."""
    rows: tuple[int, ...] = (-1,)
    """Positions of its people among the annotated ones; -1: of somebody who is none."""


@dataclass(frozen=True, eq=False)
class People:
    """Images with people in them."""

    photos: tuple[Photo, ...]
    codec: HeatmapCodec
    annotations: Annotations | None = None
    """Their boxes are those of the photos."""
    unreadable: dict[Path, str] = field(default_factory=dict)
    """Why images that were met could not be read; those of annotated people must be."""

    @classmethod
    def of(cls, model: PoseModel, images: Path, annotations: Path | None = None) -> "People":
        """Return the annotated people, or else one as large as the image for each image.

        Args:
            model: whose joints and convention they must have.
            images: folder of the images.
            annotations: COCO-style file.

        Raises:
            OSError: there is no such file or folder.
            ValueError: there are no images, or the annotated people have other joints.
        """
        if annotations is None:
            sources = [each for each in plan([images]).sources if not each.is_video]
            if not sources:
                raise ValueError(f"{images} must hold images to calibrate with, got videos alone")
            photos = (Photo(each.path, Pixels("exif")) for each in sources)
            return cls(tuple(photos), model.codec)
        found = load_annotations(annotations, images, spec=model.spec)
        _check_joints(found, model.spec)
        records: list[PersonRecord] = []
        rows: dict[Path, list[int]] = {}
        for record in found.records:
            box = record.box
            if record.image_size is not None:
                cleaned = clip_box(box, record.image_size, model.codec.convention)
                if cleaned is None:
                    continue
                box = cleaned
            rows.setdefault(record.image_path, []).append(len(records))
            records.append(replace(record, box=box))
        photos = (
            Photo(
                path,
                Pixels("stored", records[those[0]].image_size),
                np.array([records[i].box for i in those]),
                tuple(those),
            )
            for path, those in rows.items()
        )
        return cls(tuple(photos), model.codec, replace(found, records=tuple(records)))

    def some(self) -> "People":
        """Return those of at most `IMAGES` images."""
        return replace(self, photos=self.photos[:: -(-len(self.photos) // IMAGES)])

    def dataset(self) -> KeypointDataset:
        """Return the annotated people, in the order of `rows`."""
        assert self.annotations is not None
        codec = self.codec
        return KeypointDataset(
            self.annotations,
            codec.input_size,
            convention=codec.convention,
            padding=codec.padding,
            clip_boxes=False,
        )

    def inputs(self, names: list[str]) -> Iterator[tuple[list[int], tuple[Tensor, Tensor]]]:
        """Yield an exported file's inputs for at most `BATCH` people of an image, and their `rows`.

        Boxes without width or height are left out.

        Args:
            names: of the inputs.

        Raises:
            ValueError: no image could be read, or not that of an annotated person.
        """
        for photo in self.photos:
            try:
                image = decode_file(photo.path, photo.pixels).pixels
            except ValueError as error:
                if self.annotations is not None:
                    raise
                self.unreadable[photo.path] = str(error)
                continue
            whole = np.array([[0.0, 0.0, image.shape[1], image.shape[0]]])
            boxes = whole if photo.boxes is None else photo.boxes
            fits, to_image, of_heatmap = maps_to_image(self.codec, boxes)
            rows, boxes = np.array(photo.rows)[fits], boxes[fits]
            for begin in range(0, len(boxes), BATCH):
                part = slice(begin, begin + BATCH)
                given = image, boxes[part].astype(np.float32)
                if names[0] != "image":
                    index = np.zeros(len(boxes[part]), np.int64)
                    how = self.codec.input_size, self.codec.enlarging
                    given = crop_people([image], index, to_image[part], *how), of_heatmap[part]
                pixels, places = map(torch.from_numpy, given)
                yield rows[part].tolist(), (pixels, places)
        if len(self.unreadable) == len(self.photos):
            first = next(iter(self.unreadable.values()))
            raise ValueError(f"none of the images could be read, the first: {first}")


def _check_joints(found: Annotations, spec: KeypointSpec) -> None:
    assert found.content is not None
    categories = {each["id"]: each for each in found.content["categories"]}
    names = tuple(categories[found.category_id].get("keypoints", ()))
    if len(names) == spec.num_joints and names != spec.names:
        differing = next(k for k in range(len(names)) if names[k] != spec.names[k])
        raise ValueError(
            f"{found.file} must have the checkpoint's joints in their order, got "
            f"{printable(str(names[differing]))} for {printable(spec.names[differing])}"
        )
