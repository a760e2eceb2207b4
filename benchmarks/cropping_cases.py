# SPDX-License-Identifier: Apache-2.0
"""Crops that are timed: people of one image, as they lie in it and as it lies in memory."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import crops
from darkpose.geometry import Matrix, box_to_crop, compose, image_to_input, invert, mirror

IMAGES = ((640, 480), (1920, 1080))  # width, height

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """Crops of people of one image."""

    people: int = 32
    image: tuple[int, int] = IMAGES[0]  # width, height
    kind: str = "upright"  # a key of KINDS
    dtype: str = "uint8"  # or "float32", normalized
    size: tuple[int, int] = (192, 256)  # width, height of a crop

    def __str__(self) -> str:
        parts = [f"{self.people} of {self.image[0]}x{self.image[1]}"]
        parts += [self.kind] * (self.kind != "upright")
        parts += [self.dtype] * (self.dtype != "uint8")
        parts += [f"to {self.size[0]}x{self.size[1]}"] * (self.size != Case.size)
        return ", ".join(parts)


@dataclass(frozen=True)
class Given:
    """What all ways of a case are given."""

    pixels: Pixels  # [H, W, C], maybe a view
    boxes: NDArray[np.float64]  # [N, 4] x, y, width, height
    to_image: NDArray[np.float64]  # [N, 2, 3] from crop to image pixels
    interpolation: str = "bilinear"

    @property
    def to_input(self) -> list[Matrix]:
        """The maps [2, 3] from image to crop pixels."""
        return [invert(each) for each in self.to_image]


# ---- how people lie in images, and images in memory ----------------------------------------------


def boxes(case: Case, height: tuple[float, float]) -> NDArray[np.float64]:
    """Return boxes [N, 4] inside the image, their heights between these shares of it."""
    random = np.random.default_rng(0)
    high = random.uniform(*height, case.people) * case.image[1]
    size = np.stack([high * random.uniform(0.3, 0.75, case.people), high], 1)
    return np.concatenate([random.uniform(0, 1, size.shape) * (case.image - size), size], 1)


def maps(case: Case, of: NDArray[np.float64], turned: float = 0.0) -> NDArray[np.float64]:
    """Return maps [N, 2, 3] from crop to image pixels, turned by up to so many degrees."""
    degrees = np.random.default_rng(1).uniform(-turned, turned, len(of))
    found = []
    for box, angle in zip(of, degrees, strict=True):
        crop = replace(box_to_crop(box, case.size, "udp"), rotation=float(angle))
        found.append(invert(image_to_input(crop, case.size, "udp")))
    return np.stack(found)


def upright(case: Case, height: tuple[float, float] = (0.25, 0.95), turned: float = 0.0) -> Given:
    """Return people of these shares of the image's height."""
    found = boxes(case, height)
    return Given(crops.noise(*case.image), found, maps(case, found, turned))


def enlarged(case: Case, times: float) -> Given:
    """Return people whose crops are so many times larger than in the image."""
    share = case.size[1] / 1.25 / times / case.image[1]
    return upright(case, (share, share))


def moved(case: Case, share: float) -> Given:
    """Return people who are to the left by this share of the image's width."""
    given = upright(case)
    given.to_image[:, 0, 2] -= share * case.image[0]
    return given


def mirrored(case: Case) -> Given:
    """Return people of the mirrored image."""
    given = upright(case)
    flip = mirror(case.image[0])
    return replace(given, to_image=np.stack([compose(flip, each) for each in given.to_image]))


def stored(case: Case, as_: Callable[[Pixels], Pixels]) -> Given:
    """Return people of an image that lies in memory in another way."""
    given = upright(case)
    return replace(given, pixels=as_(given.pixels))


def planar(pixels: Pixels) -> Pixels:
    """Return the same image, each channel by itself in memory."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0)


def view(pixels: Pixels) -> Pixels:
    """Return the same image as part of a larger one."""
    return np.pad(pixels, ((8, 8), (24, 40), (0, 0)))[8:-8, 24:-40]


KINDS: dict[str, Callable[[Case], Given]] = {
    "upright": upright,
    "turned": lambda case: upright(case, turned=45.0),
    "turned by up to 180 degrees": lambda case: upright(case, turned=180.0),
    "mirrored": mirrored,
    "enlarged 4 times": lambda case: enlarged(case, 4.0),
    "reduced 4 times": lambda case: enlarged(case, 0.25),
    "reduced 16 times": lambda case: enlarged(case, 1 / 16),
    "half outside": lambda case: moved(case, 0.5),
    "outside": lambda case: moved(case, 2.0),
    "gray": lambda case: stored(case, lambda pixels: pixels[..., :1].copy()),
    "four channels": lambda case: stored(case, rgba),
    "planar": lambda case: stored(case, planar),
    "a view": lambda case: stored(case, view),
    "bicubic": lambda case: replace(enlarged(case, 2.0), interpolation="bicubic"),
}


def rgba(pixels: Pixels) -> Pixels:
    """Return an image [H, W, 4] of one of 3 channels."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA), np.uint8)


@cache
def given(case: Case) -> Given:
    """Return what the ways of a case are given, of any type."""
    return KINDS[case.kind](case)
