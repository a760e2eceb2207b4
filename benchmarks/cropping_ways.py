# SPDX-License-Identifier: Apache-2.0
"""Ways to cut people out of an image: the op, and what a user would run instead.

`calls(case, names)` gives functions by name, all of the same people: `op` is `torch.ops.dark.crop`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

import darkpose_ext.numpy
from benchmarks import crops
from benchmarks.cropping_cases import Case, Given, Pixels, given, rgba
from benchmarks.harness import Call
from benchmarks.peers import define_torchvision_ops
from benchmarks.released import normalized
from darkpose import affine
from darkpose.models.pose import MEAN, STD

UINT8 = "uint8"  # the op's own, for goals of another type
CHECKED, BOXES, NUMPY = "checked function", "from boxes", "NumPy front"
OPENCV, BEFORE, KORNIA = "cv2.warpAffine", "before", "kornia"
VITPOSE, SAPIENS2, TORCHVISION = "ViTPose's processor", "Sapiens2's processor", "roi_align"
PEERS = {
    "uint8": (CHECKED, BOXES, NUMPY, OPENCV, BEFORE),
    "float32": (CHECKED, BOXES, NUMPY, OPENCV, BEFORE, KORNIA, VITPOSE, SAPIENS2, TORCHVISION),
}


def calls(case: Case, names: Iterable[str]) -> dict[str, Call]:
    """Return the functions of these names."""
    those = given(replace(case, dtype="uint8"))
    return {name: WAYS[name](case, those) for name in names}


def op(case: Case, given: Given, dtype: str = "", function: Any = None) -> Callable[..., Tensor]:
    """Return the op, to the case's type or another; it takes maps, and has the case's."""
    function = function or torch.ops.dark.crop
    images = [torch.from_numpy(given.pixels)]
    index = torch.zeros(case.people, dtype=torch.int64)
    to_image = torch.from_numpy(given.to_image)
    options: dict[str, Any] = {"interpolation": given.interpolation}
    if (dtype or case.dtype) != "uint8":
        options |= {"mean": list(MEAN), "std": list(STD), "dtype": getattr(torch, case.dtype)}
    width, height = case.size

    def run(maps: Tensor = to_image) -> Tensor:
        return function(images, index, maps, height, width, **options)  # type: ignore[no-any-return]

    return run


def checked(case: Case, given: Given) -> Call:
    """Return the function of the package, which checks its arguments."""
    return op(case, given, function=darkpose_ext.crop)


def from_boxes(case: Case, given: Given) -> Call:
    """Return the op with its affine maps made anew, of boxes without rotation."""
    boxes, cut = torch.from_numpy(given.boxes), op(case, given)

    def run() -> Tensor:
        centers, sizes = affine.box_centers_sizes(boxes, case.size, "udp", 1.25)
        return cut(affine.target_to_image(centers, sizes, case.size, "udp"))

    return run


def numpy(case: Case, given: Given) -> Call:
    """Return the op for NumPy arrays, with as many threads as torch has."""
    index, (width, height) = np.zeros(case.people, np.int64), case.size
    options: dict[str, Any] = {"interpolation": given.interpolation}
    if case.dtype != "uint8":
        options |= {"mean": MEAN, "std": STD, "dtype": case.dtype}

    def run() -> Tensor:
        options["threads"] = torch.get_num_threads()
        images = [given.pixels]
        found = darkpose_ext.numpy.crop(images, index, given.to_image, height, width, **options)
        return torch.from_numpy(found)

    return run


def opencv(case: Case, given: Given) -> Call:
    """Return `cv2.warpAffine` of each person, normalized as released loaders do."""
    warp = _warp(case, given)
    if case.dtype == "uint8":
        return warp
    return lambda: torch.stack([normalized(crop) for crop in warp()])


def before(case: Case, given: Given) -> Call:
    """Return OpenCV on four channels, normalized as darkpose's networks did."""
    channels = given.pixels.shape[2]
    warp = _warp(case, given, rgba if channels == 3 else np.asarray)

    def cut() -> Tensor:
        warped = warp()
        if channels == 3:
            warped = [cv2.cvtColor(each, cv2.COLOR_RGBA2RGB) for each in warped]  # type: ignore[misc]
        return torch.from_numpy(np.stack(warped))

    if case.dtype == "uint8":
        return cut
    mean, std = (255 * torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return lambda: (cut().permute(0, 3, 1, 2).float() - mean) / std


def _warp(
    case: Case, given: Given, as_: Callable[[Pixels], Pixels] = np.asarray
) -> Callable[[], list[Pixels]]:
    """Return OpenCV's crops. It cannot read planar images: their conversion is part of a call."""
    flags = cv2.INTER_CUBIC if given.interpolation == "bicubic" else cv2.INTER_LINEAR
    packed = as_(np.ascontiguousarray(given.pixels))
    made = [np.empty((*case.size[::-1], packed.shape[2]), np.uint8) for _ in given.to_input]
    pairs = list(zip(given.to_input, made, strict=True))

    def warp() -> list[Pixels]:
        pixels = as_(np.ascontiguousarray(given.pixels)) if case.kind == "planar" else packed
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
    BOXES: from_boxes,
    NUMPY: numpy,
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
