# SPDX-License-Identifier: Apache-2.0
"""What a user would run instead, where that needs a package or a compiler."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Call
from darkpose_ext import gaussian_taps

NEEDS = {"NumPy loop": "cv2", "kornia soft-argmax": "kornia"}  # and every peer called OpenCV ...


def absent(name: str) -> str:
    """Return the package a peer lacks here, or nothing."""
    package = "cv2" if name.startswith("OpenCV") else NEEDS.get(name, "")
    return package if package and find_spec(package) is None else ""


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
