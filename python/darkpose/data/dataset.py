# SPDX-License-Identifier: Apache-2.0
"""Annotated people as samples for a network: a uint8 crop, joints, and two affine maps.

Target heatmaps are not made here: the ops compute them on the device, from `joints` and
`to_heatmap`. Joints stay in the image's own pixels whatever happens to the crop, since every change
of it, the mirror included, is one affine map. Labels are therefore never moved, and a decoded
heatmap goes back to the image by `to_image` alone.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from darkpose.data.annotations import DETECTED, Annotations, PersonRecord
from darkpose.data.augment import Augmentation, augment, draw_light, sample_rng
from darkpose.data.grouping import Indices, image_numbers
from darkpose.data.images import DecodedImage, largest_reduction
from darkpose.data.orientation import Pixels, decode_file
from darkpose.data.tally import Once, Tally
from darkpose.data.uncut import UncutPerson
from darkpose.geometry import (
    Box,
    Convention,
    Crop,
    Enlarging,
    Matrix,
    box_to_crop,
    clip_box,
    compose,
    fix_aspect,
    heatmap_to_image,
    input_to_image,
    invert,
    mirror,
)

OnBadImage = Literal["raise", "skip"]
_BLACK = DecodedImage(np.zeros((1, 1, 3), np.uint8), (1, 1))  # in place of a bad one
_logger = logging.getLogger(__name__)


class Sample(TypedDict):
    """One person for a network; the default collate function stacks these to batches."""

    image: Tensor
    """uint8 [H, W, 3]: the crop at input size, RGB."""
    joints: Tensor
    """float32 [K, 2]: (x, y) in image pixels; a mirrored crop has the mirrored person's order."""
    weights: Tensor
    """float32 [K]: 1 labeled, 0 not."""
    to_heatmap: Tensor
    """float32 [2, 3]: image to heatmap pixels."""
    to_image: Tensor
    """float32 [2, 3]: heatmap to image pixels, of the unmirrored image."""
    index: int
    """Position of the person in `KeypointDataset.records`."""
    image_read: bool
    """False: the image is bad and was skipped, the crop is black, nothing can be seen in it."""


class KeypointDataset(Dataset[Sample]):
    """People, cropped for a network: each at the data set's own crop if it has one, else the box.

    Items are asked for by index, or by (epoch, index) as `SeededSampler` gives them; with
    augmentation, a sample is a function of (seed, epoch, index) alone.

    Args:
        annotations: see `load_annotations`.
        input_size: (width, height) of the network's input.
        heatmap_size: (width, height) of its heatmaps; default: a quarter of the input.
        convention: how image, input and heatmap correspond, see `darkpose.geometry`.
        padding: see `box_to_crop`.
        augmentation: None leaves the crops as they are, for evaluation.
        seed: of the augmentation.
        clip_boxes: clean annotated boxes as the convention's training code does (`clip_box`), where
            the image size is known. People of whom nothing is left are dropped from `records`, with
            a warning. Detected boxes and a data set's own crops stay as they are.
        on_bad_image: "raise", or "skip": a person whose image cannot be read becomes a black crop
            with all weights 0, and a logged warning.
        cache_images: decode every image once, now, and keep it in memory, at three bytes a pixel;
            forked workers share it. Otherwise only the last one is kept, for people who are asked
            for one after another.
        scaled_decoding: decode JPEGs at a half, a quarter or an eighth of their size where none of
            the image's people is enlarged from that, as they are annotated or as they are
            augmented. Crops differ a little then: they have less aliasing.
        enlarging: how crops are interpolated that are enlarged, see `crop_image`.

    Raises:
        ValueError: an image is missing, cut short or of another size than annotated, the message
            names the file and the annotation id; options that are unknown or do not go together.
    """

    def __init__(
        self,
        annotations: Annotations,
        input_size: tuple[int, int],
        *,
        heatmap_size: tuple[int, int] | None = None,
        convention: Convention | str = Convention.darkpose,
        padding: float = 1.25,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        clip_boxes: bool = True,
        on_bad_image: OnBadImage = "raise",
        cache_images: bool = False,
        scaled_decoding: bool = False,
        enlarging: Enlarging = "bilinear",
    ) -> None:
        if on_bad_image not in get_args(OnBadImage):
            choices = ", ".join(get_args(OnBadImage))
            raise ValueError(f"on_bad_image must be one of {choices}, got {on_bad_image}")
        if cache_images and scaled_decoding:
            raise ValueError("cache_images keeps whole images: it excludes scaled_decoding")
        width, height = input_size
        self.input_size = (width, height)
        self.heatmap_size = heatmap_size or (width // 4, height // 4)
        self.convention = Convention(convention)
        self.enlarging: Enlarging = enlarging
        self.augmentation = augmentation
        self.seed = seed
        self.spec = annotations.spec
        self.category_id = annotations.category_id
        self.records: list[PersonRecord] = []
        self.crops: list[Crop] = []
        """The crop of each of `records`, before augmentation."""
        tally = Tally(annotations.file)
        for record in annotations.records:
            crop = self._crop(record, padding, clip_boxes)
            if crop is None:
                where = f"{record.name}, {record.box} in {record.image_path}"
                tally.add("people whose boxes lie outside of their images, dropped", where)
                continue
            self.records.append(record)
            self.crops.append(crop)
        tally.say()
        if annotations.records and not self.records:
            raise ValueError(
                f"{annotations.file} must hold people whose boxes lie in their images, "
                f"got none of {len(annotations)}"
            )
        self._epoch = 0
        self._skip_bad = on_bad_image == "skip"
        self._bad = Once()
        self._uncertain = Once()
        self._cache: dict[Path, DecodedImage | None] = {}
        for record in self.records if cache_images else []:
            if record.image_path not in self._cache:
                self._cache[record.image_path] = self._read(record)
        self._last: tuple[object, DecodedImage | None] | None = None  # by file, size, reduction
        self._reductions: dict[Path, int] = {}  # of images that can be reduced for all their people
        for record, crop in zip(self.records, self.crops, strict=True) if scaled_decoding else []:
            path, own = record.image_path, largest_reduction(self.matrices(crop)[0])
            self._reductions[path] = min(own, self._reductions.get(path, own))

    def _crop(self, record: PersonRecord, padding: float, clip: bool) -> Crop | None:
        """Return the person's crop, or None where clipping leaves nothing of the box."""
        if record.crop is not None:
            aspect = self.input_size[0] / self.input_size[1]
            return replace(record.crop, size=fix_aspect(*record.crop.size, aspect))
        box: Box | None = record.box
        if clip and record.image_size is not None and record.annotation_id != DETECTED:
            box = clip_box(record.box, record.image_size, self.convention)
        return None if box is None else box_to_crop(box, self.input_size, self.convention, padding)

    def __len__(self) -> int:
        return len(self.records)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of items asked for by index alone.

        Persistent workers hold copies that this does not reach: with workers, use `SeededSampler`.
        """
        self._epoch = epoch

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        sample = self.uncut(key)
        sample["image"] = torch.from_numpy(sample["image"].crop())
        return sample  # type: ignore[return-value]

    def uncut(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """Return a `Sample` whose image is an `UncutPerson`, not yet cut out."""
        epoch, index = key if isinstance(key, tuple) else (self._epoch, key)
        if not 0 <= index < len(self):
            raise IndexError(f"index must be from 0 to {len(self) - 1}, got {index}")
        record, crop, mirrored, light = self.records[index], self.crops[index], False, None
        if self.augmentation:
            rng = sample_rng(self.seed, epoch, index)
            crop, mirrored = augment(record, crop, self.spec, self.augmentation, rng)
        image = self._image(record, crop)
        width = image.size[0] if mirrored and image is not None else None
        from_input, from_heatmap = self.to_image(crop, width)

        joints = record.joints if width is None else record.joints[list(self.spec.flip_index)]
        weights = joints[:, 2] > 0
        if image is None:
            weights = np.zeros_like(weights)
        elif self.augmentation:
            light = draw_light(self.augmentation, rng)
        seen = _BLACK if image is None else image
        return {
            "image": UncutPerson(seen, from_input, light, self.input_size, self.enlarging),
            "joints": torch.from_numpy(joints[:, :2].astype(np.float32)),
            "weights": torch.from_numpy(weights.astype(np.float32)),
            "to_heatmap": torch.from_numpy(invert(from_heatmap).astype(np.float32)),
            "to_image": torch.from_numpy(from_heatmap.astype(np.float32)),
            "index": index,
            "image_read": image is not None,
        }

    def to_image(self, crop: Crop, mirrored_width: int | None = None) -> tuple[Matrix, Matrix]:
        """Return the maps [2, 3] from input and from heatmap pixels to the image's.

        `mirrored_width` is the image's width if the crop is to be mirrored, else None. The maps
        then mirror the image last, so that they still lead to the unmirrored image's pixels.
        """
        if mirrored_width is not None:
            crop, flip = crop.mirrored(mirrored_width), mirror(mirrored_width)
        of_input = input_to_image(crop, self.input_size, self.convention)
        of_heatmap = heatmap_to_image(crop, self.input_size, self.heatmap_size, self.convention)
        if mirrored_width is None:
            return of_input, of_heatmap
        return compose(flip, of_input), compose(flip, of_heatmap)

    def matrices(self, crop: Crop, mirrored_width: int | None = None) -> tuple[Matrix, Matrix]:
        """Return the inverses of `to_image`: from the image to input and to heatmap pixels."""
        of_input, of_heatmap = self.to_image(crop, mirrored_width)
        return invert(of_input), invert(of_heatmap)

    @property
    def images(self) -> Indices:
        """For each of `records` the position of the first one in the same image."""
        return image_numbers(record.image_path for record in self.records)

    def _image(self, record: PersonRecord, crop: Crop) -> DecodedImage | None:
        """Return the image to cut `crop` out of: of memory, or read for this person."""
        if self._cache:
            return self._cache[record.image_path]
        # Of the sample alone, not of who was there before: it is the same in any order.
        reduction = self._reductions.get(record.image_path, 1)
        if reduction > 1 and self.augmentation:
            reduction = min(reduction, largest_reduction(self.matrices(crop)[0]))
        key = (record.image_path, record.image_size, reduction)
        if self._last is None or self._last[0] != key:
            self._last = None  # so that two images are never held
            self._last = (key, self._read(record, reduction))
        return self._last[1]

    def _read(self, record: PersonRecord, reduction: int = 1) -> DecodedImage | None:
        """Return the person's image, or None where it is bad and to be skipped."""
        try:
            image = decode_file(record.image_path, Pixels("stored", record.image_size), reduction)
        except ValueError as error:
            message = f"{record.name}: {error}"
            if not self._skip_bad:
                raise ValueError(message) from error
            self._bad.say(f"{message}; its people carry no weight")
            return None
        self._uncertain.say(image.note)
        return image
