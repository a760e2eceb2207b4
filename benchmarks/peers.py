# SPDX-License-Identifier: Apache-2.0
"""What a user would run instead, where that needs a package or a compiler."""

import os
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Call
from darkpose_ext import gaussian_taps

SAPIENS = "Sapiens2's processor"
NEEDS = {
    "NumPy loop": ("cv2",),
    "kornia soft-argmax": ("kornia",),
    SAPIENS: ("transformers", "transformers.models.sapiens2", "torchvision"),
}  # and every peer called OpenCV ...


def absent(name: str) -> str:
    """Return the package a peer lacks here, or nothing."""
    packages = ("cv2",) if name.startswith("OpenCV") else NEEDS.get(name, ())
    return next((package for package in packages if find_spec(package) is None), "")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled for the one shape it will be called with."""
    torch._dynamo.reset()
    return torch.compile(function, dynamic=False)


def soft_argmax(maps: Tensor) -> Call:
    """Return kornia's expectation of the position."""
    from kornia.geometry.subpix import spatial_soft_argmax2d

    return lambda: spatial_soft_argmax2d(maps, normalized_coordinates=False)


def numpy_decode(maps: Tensor, size: int) -> Call:
    """Return the released decoding with a Gaussian of `size` taps."""
    from benchmarks import released

    if maps.is_cuda:  # as the released evaluation does: every map goes to main memory
        return lambda: released.decode(maps.float().cpu().numpy(), size)
    array = maps.float().contiguous().numpy()
    return lambda: released.decode(array, size)


def numpy_evaluate(
    maps: Tensor, flipped: Tensor, pairs: list[tuple[int, int]], size: int, transform: Tensor
) -> Call:
    """Return the released decoding with flip test and recovery."""
    from benchmarks import released

    return lambda: released.evaluate(maps, flipped, pairs, size, transform)


def numpy_encode(joints: Tensor, height: int, width: int, sigma: float) -> Call:
    """Return the released rendering of unbiased targets."""
    from benchmarks import released

    array = joints.cpu().numpy()
    return lambda: released.encode(array, height, width, sigma)


def opencv(maps: Tensor, sigma: float, function: str, rescale: bool = False) -> Call:
    """Return `sepFilter2D` or `GaussianBlur` over each map, its range restored if asked."""
    import cv2

    taps = np.array(gaussian_taps(sigma), np.float32)
    size = (len(taps), len(taps))
    arrays = list(maps.float().cpu().contiguous().flatten(0, 1).numpy())
    results = [np.empty_like(array) for array in arrays]  # handed in: OpenCV allocates nothing

    def run() -> list[np.ndarray]:
        for array, result in zip(arrays, results, strict=True):
            if function == "sepFilter2D":
                cv2.sepFilter2D(array, -1, taps, taps, result, borderType=cv2.BORDER_CONSTANT)
            else:
                cv2.GaussianBlur(array, size, sigma, result, borderType=cv2.BORDER_CONSTANT)
            if rescale:
                cv2.normalize(result, result, 0, float(array.max()), cv2.NORM_MINMAX)
        return results

    return run


def sapiens(maps: Tensor, taps: int) -> Call:
    """Return Hugging Face's decoding of Sapiens2's maps, which blurs the whole of them."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    define_torchvision_ops()
    from transformers.models.sapiens2.image_processing_sapiens2 import Sapiens2ImageProcessor

    processor, outputs = Sapiens2ImageProcessor(), SimpleNamespace(heatmaps=maps)
    boxes = [[[0.0, 0.0, 300.0, 400.0]] * len(maps)]
    return lambda: processor.post_process_pose_estimation(outputs, boxes, kernel_size=taps)


@lru_cache
def define_torchvision_ops() -> torch.library.Library | None:
    """Declare the ops that torchvision expects of its library, which a torch without CUDA lacks.

    Its import fails without them, though nothing here calls them. They last as long as the result.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        pass
    else:
        return None
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    library = torch.library.Library("torchvision", "FRAGMENT")
    for op in ("nms", "qnms"):
        library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
