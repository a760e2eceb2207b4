# SPDX-License-Identifier: Apache-2.0
"""Crops that are timed: people of one image, as they lie in it and as it lies in memory.

`calls(case, names)` gives functions by name, all of the same people: `op` is `torch.ops.dark.crop`,
the others are what a user would run instead.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import crops
from benchmarks.harness import Call
from benchmarks.peers import define_torchvision_ops
from benchmarks.released import normalized
from darkpose.geometry import Matrix, box_to_crop, compose, image_to_input, invert, mirror
from darkpose.models.pose import MEAN, STD

IMAGES = ((640, 480), (1920, 1080))  # width, height
UINT8 = "uint8"  # the op's own, for goals of another type
CHECKED, OPENCV, BEFORE, KORNIA = "checked function", "cv2.warpAffine", "before", "kornia"
VITPOSE, SAPIENS2, TORCHVISION = "ViTPose's processor", "Sapiens2's processor", "roi_align"
PEERS = {
    "uint8": (CHECKED, OPENCV, BEFORE),
    "float32": (CHECKED, OPENCV, BEFORE, KORNIA, VITPOSE, SAPIENS2, TORCHVISION),
}

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


# ---- the ways ------------------------------------------------------------------------------------


def calls(case: Case, names: Iterable[str]) -> dict[str, Call]:
    """Return the functions of these names."""
    those = given(replace(case, dtype="uint8"))
    return {name: WAYS[name](case, those) for name in names}


def op(case: Case, given: Given, dtype: str = "", function: Any = None) -> Call:
    """Return the op, to the case's type or another."""
    function = function or torch.ops.dark.crop
    images = [torch.from_numpy(given.pixels)]
    index = torch.zeros(case.people, dtype=torch.int64)
    to_image = torch.from_numpy(given.to_image)
    options: dict[str, Any] = {"interpolation": given.interpolation}
    if (dtype or case.dtype) != "uint8":
        options |= {"mean": list(MEAN), "std": list(STD), "dtype": getattr(torch, case.dtype)}
    width, height = case.size
    return lambda: function(images, index, to_image, height, width, **options)


def checked(case: Case, given: Given) -> Call:
    """Return the function of the package, which checks its arguments."""
    import darkpose_ext

    return op(case, given, function=darkpose_ext.crop)


def opencv(case: Case, given: Given) -> Call:
    """Return `cv2.warpAffine` of each person, normalized as released loaders do."""
    warp = _warp(case, given, np.ascontiguousarray(given.pixels))
    if case.dtype == "uint8":
        return warp
    return lambda: torch.stack([normalized(crop) for crop in warp()])


def before(case: Case, given: Given) -> Call:
    """Return OpenCV on four channels, normalized as darkpose's networks did."""
    channels = given.pixels.shape[2]
    packed = np.ascontiguousarray(given.pixels)
    warp = _warp(case, given, rgba(packed) if channels == 3 else packed)

    def cut() -> Tensor:
        warped = warp()
        if channels == 3:
            warped = [cv2.cvtColor(each, cv2.COLOR_RGBA2RGB) for each in warped]  # type: ignore[misc]
        return torch.from_numpy(np.stack(warped))

    if case.dtype == "uint8":
        return cut
    mean, std = (255 * torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return lambda: (cut().permute(0, 3, 1, 2).float() - mean) / std


def _warp(case: Case, given: Given, pixels: Pixels) -> Callable[[], list[Pixels]]:
    flags = cv2.INTER_CUBIC if given.interpolation == "bicubic" else cv2.INTER_LINEAR
    made = [np.empty((*case.size[::-1], pixels.shape[2]), np.uint8) for _ in given.to_input]
    pairs = list(zip(given.to_input, made, strict=True))

    def warp() -> list[Pixels]:
        for to_input, crop in pairs:
            cv2.warpAffine(pixels, to_input, case.size, crop, flags=flags)
        return made

    return warp


def kornia(case: Case, given: Given) -> Call:
    """Return kornia's `warp_affine` of the image as floating point, normalized."""
    from kornia.enhance import normalize
    from kornia.geometry import warp_affine

    image, size = torch.from_numpy(given.pixels), (case.size[1], case.size[0])
    to_input = torch.from_numpy(np.stack(given.to_input)).float()
    mean, std = (torch.tensor(values) for values in (MEAN, STD))

    def run() -> Tensor:
        whole = image.permute(2, 0, 1)[None].float() / 255
        warped = warp_affine(whole.expand(case.people, -1, -1, -1), to_input, size)
        return normalize(warped, mean, std)

    return run


def transformers(name: str) -> Callable[[Case, Given], Call]:
    """Return the way of the image processor of "ViTPose" or "Sapiens2", which takes boxes."""

    def way(case: Case, given: Given) -> Call:
        processor, boxes = crops.processor(name), [given.boxes.tolist()]
        options = {"size": {"height": case.size[1], "width": case.size[0]}, "return_tensors": "pt"}
        return lambda: processor(given.pixels, boxes=boxes, **options)["pixel_values"]

    return way


def roi_align(case: Case, given: Given) -> Call:
    """Return torchvision's op on the image as floating point: boxes without rotation alone."""
    image, step = torch.from_numpy(given.pixels), given.to_image[:, [0, 1], [0, 1]]
    corner = given.to_image[:, :, 2] + 0.5 - step / 2
    ends = corner + step * case.size
    rois = torch.from_numpy(np.concatenate([np.zeros((case.people, 1)), corner, ends], 1)).float()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    def run() -> Tensor:
        whole = image.permute(2, 0, 1)[None].float() / 255
        width, height = case.size
        cut = torch.ops.torchvision.roi_align(whole, rois, 1.0, height, width, 1, True)
        return (cut - mean) / std

    return run


WAYS: dict[str, Callable[[Case, Given], Call]] = {
    "op": op,
    UINT8: lambda case, given: op(case, given, "uint8"),
    CHECKED: checked,
    OPENCV: opencv,
    BEFORE: before,
    KORNIA: kornia,
    VITPOSE: transformers("ViTPose"),
    SAPIENS2: transformers("Sapiens2"),
    TORCHVISION: roi_align,
}


@cache
def lacks(name: str) -> str:
    """Return why a way cannot be timed here, or nothing."""
    if name == KORNIA and find_spec("kornia") is None:
        return "no kornia"
    if name == TORCHVISION:
        if find_spec("torchvision") is None:
            return "no torchvision"
        define_torchvision_ops()
        if not hasattr(torch.ops.torchvision, "roi_align"):
            return "torchvision's ops do not load beside this torch"
    if name in (VITPOSE, SAPIENS2):
        try:
            crops.processor(name.partition("'")[0])
        except ImportError as error:
            return str(error)
    return ""
