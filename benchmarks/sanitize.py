# SPDX-License-Identifier: Apache-2.0
"""Launches every CUDA kernel on awkward maps, for compute-sanitizer to watch.

    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool memcheck python benchmarks/sanitize.py

Without torch's caching of memory each tensor has bounds of its own. Small, since a sanitizer slows
kernels by orders of magnitude; whether the values are right is for the tests.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from darkpose_ext import opencv_taps  # noqa: E402  from the folder this file is in

# A pixel, a row, a column, maps of whole vectors and not, a warp's and a block's, more than one
# tile of encode and of modulate.
SHAPES = ((1, 1), (1, 700), (700, 1), (5, 7), (24, 16), (64, 48), (150, 160))
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PERSONS, SIGMA = 2, 2.0
JOINTS = 3


def layouts(maps: Tensor) -> Iterator[Tensor]:
    """Yield the same maps as they may lie in memory: at once, per pixel, off the vectors' grid."""
    yield maps
    yield maps.movedim(-3, -1).contiguous().movedim(-1, -3)
    storage = maps.new_empty(maps.numel() + 1)
    yield storage[1:].view(maps.shape).copy_(maps)


def launch_all(joints: int, height: int, width: int, dtype: torch.dtype) -> None:
    ops = torch.ops.dark
    maps = torch.rand(PERSONS, joints, height, width, device="cuda").to(dtype)
    maps[..., height // 2, width // 2] = 2
    size = torch.tensor((width, height), device="cuda")
    places = (torch.rand(PERSONS, joints, 2, device="cuda") * size).to(dtype)
    weights = torch.ones(PERSONS, joints, device="cuda").to(dtype)
    weights[0, 0] = 0
    transform = torch.eye(2, 3, device="cuda").repeat(PERSONS, 1, 1).to(dtype)
    for heatmaps in layouts(maps):
        for count in (1, 11, 63):
            ops.modulate(heatmaps, opencv_taps(count))
        for method in ("argmax", "standard", "second_max", "dark"):
            ops.decode(heatmaps, [], method=method)
        for shift, flipped in ((0, heatmaps), (1, heatmaps), (0, maps)):
            ops.decode(heatmaps, opencv_taps(11), flipped, transform, flip_shift=shift)
        ops.decode(heatmaps, opencv_taps(63))
        ops.heatmap_mse(heatmaps, places, weights, SIGMA)
        ops.heatmap_mse_backward(weights, heatmaps, places, weights, SIGMA, transform)
    ops.encode(places, weights, height, width, SIGMA, transform, dtype=dtype)


def launch_long_rows(dtype: torch.dtype) -> None:
    """133 joints in channels-last rows that a block reads in parts."""
    maps = torch.rand(1, 4, 48, 133, device="cuda").to(dtype).movedim(-1, -3)
    joints, weights = maps.new_ones(1, 133, 2), maps.new_ones(1, 133)
    torch.ops.dark.decode(maps, opencv_taps(11), maps, flip_shift=1)
    torch.ops.dark.heatmap_mse(maps, joints, weights, SIGMA)
    torch.ops.dark.heatmap_mse_backward(weights, maps, joints, weights, SIGMA)


def main() -> None:
    torch.manual_seed(0)
    for dtype in DTYPES:
        launch_long_rows(dtype)
        for height, width in SHAPES:
            launch_all(JOINTS, height, width, dtype)
        launch_all(16, 24, 16, dtype)  # channels-last rows that are whole vectors of every type
    # So many maps that a warp takes each, and several rounds of loads.
    torch.ops.dark.decode(torch.rand(1 << 14, 1, 24, 25, device="cuda"), opencv_taps(11))
    torch.cuda.synchronize()
    print(f"launched every kernel on {len(SHAPES)} shapes of {len(DTYPES)} types")


if __name__ == "__main__":
    main()
