# SPDX-License-Identifier: Apache-2.0
"""People before they are cut out of their images: where the data are read, or where a network runs.

A batch of people who are cut on the network's device is one of whole images, each of which is there
once for all of its people. The crops have the same bits wherever they are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from darkpose.data.images import DecodedImage, Image, Matrices, crop_people
from darkpose.geometry import Enlarging, Matrix

CropOn = Literal["worker", "device"]
"""Who cuts people out: the processes that read images, or the network's device."""


@dataclass(frozen=True, eq=False)
class UncutPerson:
    """One person, and how to be cut out."""

    image: DecodedImage
    to_image: Matrix
    """[2, 3], from pixels of the network's input to those of the stored image."""
    light: NDArray[np.uint8] | None
    """[256]: what gray levels become (`darkpose.data.augment.draw_light`); None: they stay."""
    input_size: tuple[int, int]
    enlarging: Enlarging

    def crop(self) -> Image:
        """Return the network's input, RGB [H, W, 3]."""
        pixels = self.image.crop(self.to_image, self.input_size, self.enlarging)
        return pixels if self.light is None else np.asarray(cv2.LUT(pixels, self.light), np.uint8)


@dataclass(frozen=True, eq=False)
class Uncut:
    """A batch's people in whole images. `to` a device moves these there and gives the crops, so
    that whatever moves a batch has it cut where it goes."""

    images: Sequence[Tensor]
    """uint8 [H_i, W_i, 3], RGB."""
    index: NDArray[np.int64]
    """[N]: the image that each person is in."""
    to_pixels: Matrices
    """[N, 2, 3], from pixels of the network's input to those of the images here."""
    light: Tensor | None
    """uint8 [N, 256], see `UncutPerson`."""
    input_size: tuple[int, int]
    enlarging: Enlarging

    def __len__(self) -> int:
        return len(self.index)

    def pin_memory(self) -> "Uncut":
        """Return the same in memory that a GPU reads while others work, for data loaders."""
        return replace(self, images=[image.pin_memory() for image in self.images])

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Tensor:
        """Return the crops there, uint8 [N, H, W, 3]."""
        images = [image.to(device, non_blocking=non_blocking) for image in self.images]
        crops = crop_people(images, self.index, self.to_pixels, self.input_size, self.enlarging)
        if self.light is None:
            return crops
        levels = crops.flatten(1).long()
        return self.light.to(device).gather(1, levels).view_as(crops)


class UncutPeople(Dataset[Any]):
    """The samples of a `KeypointDataset`, each with an `UncutPerson` for an image."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        return self.dataset.uncut(key)  # type: ignore[no-any-return]


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a batch of `UncutPeople`, whose image is one `Uncut`."""
    people: list[UncutPerson] = [sample["image"] for sample in samples]
    images = list({id(person.image): person.image for person in people}.values())
    place = {id(image): i for i, image in enumerate(images)}
    light = None
    if any(person.light is not None for person in people):
        same = np.arange(256, dtype=np.uint8)
        light = torch.from_numpy(np.stack([same if p.light is None else p.light for p in people]))
    uncut = Uncut(
        [torch.from_numpy(image.pixels) for image in images],
        np.array([place[id(person.image)] for person in people]),
        np.concatenate([person.image.to_pixels(person.to_image[None]) for person in people]),
        light,
        people[0].input_size,
        people[0].enlarging,
    )
    others = [{name: sample[name] for name in sample if name != "image"} for sample in samples]
    return {"image": uncut, **default_collate(others)}
