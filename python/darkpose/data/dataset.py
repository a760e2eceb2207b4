# SPDX-License-Identifier: Apache-2.0
"""Annotated people as samples for a network: a uint8 crop, joints, and two affine maps.

Target heatmaps are not made here: the ops compute them on the device, from `joints` and
`to_heatmap`. Joints stay in the image's own pixels whatever happens to the crop, since every change
of it, the mirror included, is one affine map. Labels are therefore never moved, and a decoded
heatmap goes back to the image by `to_image` alone.
"""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypedDict, get_args

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from darkpose.data.annotations import Annotations, PersonRecord
from darkpose.data.augment import Augmentation, augment, jitter_light, sample_rng
from darkpose.data.images import Image, crop_image, read_image
from darkpose.geometry import (
    Box,
    Convention,
    Crop,
    Matrix,
    box_to_crop,
    clip_box,
    compose,
    image_to_heatmap,
    image_to_input,
    invert,
    mirror,
)

OnBadImage = Literal["raise", "skip"]
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


class KeypointDataset(Dataset[Sample]):
    """Annotated people, cropped for a network.

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
        clip_boxes: clean boxes as the convention's training code does (`clip_box`). People of
            whom nothing is left are dropped from `records`, with a warning.
        on_bad_image: "raise", or "skip": a person whose image cannot be read becomes a black crop
            with all weights 0, and a logged warning.
        cache_images: decode every image once, now, and keep it in memory; forked workers share it.

    Raises:
        ValueError: an image is missing, cut short or of another size than annotated; the message
            names the file and the annotation id.
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
    ) -> None:
        if on_bad_image not in get_args(OnBadImage):
            choices = ", ".join(get_args(OnBadImage))
            raise ValueError(f"on_bad_image must be one of {choices}, got {on_bad_image}")
        width, height = input_size
        self.input_size = (width, height)
        self.heatmap_size = heatmap_size or (width // 4, height // 4)
        self.convention = Convention(convention)
        self.augmentation = augmentation
        self.seed = seed
        self.spec = annotations.spec
        self.category_id = annotations.category_id
        self.records: list[PersonRecord] = []
        self.crops: list[Crop] = []
        """The crop of each of `records`, before augmentation."""
        for record in annotations.records:
            box: Box | None = record.box
            if clip_boxes:
                box = clip_box(record.box, record.image_size, self.convention)
            if box is None:
                _logger.warning(
                    "annotation %d is dropped: its box %s lies outside its image %s",
                    record.annotation_id,
                    record.box,
                    record.image_path,
                )
                continue
            self.records.append(record)
            self.crops.append(box_to_crop(box, self.input_size, self.convention, padding))
        self._epoch = 0
        self._skip_bad = on_bad_image == "skip"
        self._warned: set[Path] = set()
        self._cache: dict[Path, Image | None] = {}
        for record in self.records if cache_images else []:
            if record.image_path not in self._cache:
                self._cache[record.image_path] = self._read(record)

    def __len__(self) -> int:
        return len(self.records)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of items asked for by index alone.

        Persistent workers hold copies that this does not reach: with workers, use `SeededSampler`.
        """
        self._epoch = epoch

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        epoch, index = key if isinstance(key, tuple) else (self._epoch, key)
        if not 0 <= index < len(self):
            raise IndexError(f"index must be from 0 to {len(self) - 1}, got {index}")
        record, crop, mirrored = self.records[index], self.crops[index], False
        rng = sample_rng(self.seed, epoch, index)
        if self.augmentation:
            crop, mirrored = augment(record, crop, self.spec, self.augmentation, rng)
        to_input, to_heatmap = self.matrices(crop, record.image_size[0] if mirrored else None)

        image = self._cache[record.image_path] if self._cache else self._read(record)
        joints = record.joints[list(self.spec.flip_index)] if mirrored else record.joints
        weights = joints[:, 2] > 0
        if image is None:
            pixels = np.zeros((self.input_size[1], self.input_size[0], 3), np.uint8)
            weights = np.zeros_like(weights)
        else:
            pixels = crop_image(image, to_input, self.input_size)
            if self.augmentation:
                pixels = jitter_light(pixels, self.augmentation, rng)
        return {
            "image": torch.from_numpy(pixels),
            "joints": torch.from_numpy(joints[:, :2].astype(np.float32)),
            "weights": torch.from_numpy(weights.astype(np.float32)),
            "to_heatmap": torch.from_numpy(to_heatmap.astype(np.float32)),
            "to_image": torch.from_numpy(invert(to_heatmap).astype(np.float32)),
            "index": index,
        }

    def matrices(self, crop: Crop, mirrored_width: int | None = None) -> tuple[Matrix, Matrix]:
        """Return the maps [2, 3] from image to input and to heatmap pixels.

        `mirrored_width` is the image's width if the crop is to be mirrored, else None. The maps
        then mirror the image first, so that they still begin at the unmirrored image's pixels.
        """
        if mirrored_width is not None:
            crop = crop.mirrored(mirrored_width)
        to_input = image_to_input(crop, self.input_size, self.convention)
        to_heatmap = image_to_heatmap(crop, self.input_size, self.heatmap_size, self.convention)
        if mirrored_width is None:
            return to_input, to_heatmap
        flip = mirror(mirrored_width)
        return compose(to_input, flip), compose(to_heatmap, flip)

    def _read(self, record: PersonRecord) -> Image | None:
        """Return the person's image, or None where it is bad and to be skipped."""
        try:
            image = read_image(record.image_path)
            size = (image.shape[1], image.shape[0])
            if size != record.image_size:
                raise ValueError(
                    f"image {record.image_path} must be of the annotated size {record.image_size}, "
                    f"got {size}"
                )
        except ValueError as error:
            message = f"annotation {record.annotation_id}: {error}"
            if not self._skip_bad:
                raise ValueError(message) from error
            if record.image_path not in self._warned:
                self._warned.add(record.image_path)
                _logger.warning("%s; its people carry no weight", message)
            return None
        return image


class SeededSampler(Sampler[tuple[int, int]]):
    """Yield (epoch, index) pairs, in an order that (seed, epoch) alone decides.

    The epoch travels with the index, so that it reaches workers that outlive an epoch.
    Call `set_epoch` before each epoch, as Lightning does.

    Args:
        size: of the data set.
        seed: of the order.
        shuffle: False keeps the data set's order.
        rank, world_size: this process takes every `world_size`-th sample from the `rank`-th.
        even: give every rank the same number of samples, repeating the first ones, without which
            distributed training would wait for ever; False: each sample exactly once.
    """

    def __init__(
        self,
        size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        even: bool = True,
    ) -> None:
        if size < 1 or not 0 <= rank < world_size:
            raise ValueError(
                "a sampler needs a positive size and a rank below world_size, "
                f"got size {size}, rank {rank}, world_size {world_size}"
            )
        self.size, self.seed, self.shuffle = size, seed, shuffle
        self.rank, self.world_size, self.even = rank, world_size, even
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the next iteration yields."""
        self._epoch = epoch

    def __len__(self) -> int:
        total = self._padded_size()
        return (total - self.rank + self.world_size - 1) // self.world_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.arange(self.size)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self._epoch)).permutation(self.size)
        order = np.resize(order, self._padded_size())  # repeats from the start
        for index in order[self.rank :: self.world_size]:
            yield self._epoch, int(index)

    def _padded_size(self) -> int:
        return math.ceil(self.size / self.world_size) * self.world_size if self.even else self.size


def worker_init(_worker: int) -> None:
    """Keep OpenCV to one thread in a data loader's worker; nothing here needs a seed.

    Pass as `worker_init_fn`: as many OpenCV threads as cores in each worker slow one another down.
    """
    cv2.setNumThreads(0)
