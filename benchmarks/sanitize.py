# SPDX-License-Identifier: Apache-2.0
"""Launches every CUDA kernel on awkward maps, for compute-sanitizer to watch.

    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool memcheck --kernel-name kns=_ZN4dark \
        python benchmarks/sanitize.py [--emulated LIBRARY]

Without torch's caching of memory each tensor has bounds of its own. Small, since a sanitizer slows
kernels by orders of magnitude; whether the values are right is for the tests. The filter leaves
torch's kernels alone: `_ZN4dark` is how our namespace begins a kernel's mangled name. With the
emulated kernels' library a single shape of each type is gone through on the CPU.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import gpu_crops  # noqa: E402  from the folder this file is in
from darkpose_ext import opencv_taps  # noqa: E402

# A pixel, a row, a column, maps of whole packs and not, a warp's and a block's, more than one
# tile of encode and of modulate.
SHAPES = ((1, 1), (1, 700), (700, 1), (5, 7), (24, 16), (64, 48), (150, 160))
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PERSONS, SIGMA = 2, 2.0
JOINTS = 3

Size = tuple[int, int, int]
"""Joints, height, width."""


def layouts(maps: Tensor) -> Iterator[Tensor]:
    """Yield the same maps as they may lie in memory: at once, per pixel, off the packs' grid."""
    yield maps
    yield maps.movedim(-3, -1).contiguous().movedim(-1, -3)
    storage = maps.new_empty(maps.numel() + 1)
    yield storage[1:].view(maps.shape).copy_(maps)


def launch_all(ops: Any, device: str, size: Size, dtype: torch.dtype) -> None:
    """Launch every kernel on maps of this size, laid out in each way."""
    joints, height, width = size
    maps = torch.rand(PERSONS, joints, height, width, device=device).to(dtype)
    maps[..., height // 2, width // 2] = 2
    corner = torch.tensor((width, height), device=device)
    places = (torch.rand(PERSONS, joints, 2, device=device) * corner).to(dtype)
    weights = torch.ones(PERSONS, joints, device=device).to(dtype)
    weights[0, 0] = 0
    transform = torch.eye(2, 3, device=device).repeat(PERSONS, 1, 1).to(dtype)
    for heatmaps in layouts(maps):
        for count in (1, 11, 63):
            ops.modulate(heatmaps, opencv_taps(count))
        for method in ("argmax", "standard", "second_max", "dark"):
            ops.decode(heatmaps, [], method=method)
        for shift, flipped in ((0, heatmaps), (1, heatmaps), (0, maps)):
            ops.decode(heatmaps, opencv_taps(11), flipped, transform, flip_shift=shift)
        ops.decode(heatmaps, opencv_taps(63))
        ops.decode(heatmaps, opencv_taps(11), transform=transform, border="fit")
        for radius in (0, 2, 9):
            ops.decode_peaks(heatmaps, opencv_taps(11), 5, radius=radius)
        ops.decode_peaks(heatmaps, opencv_taps(11), 5, heatmaps, radius=1, border="fit")
        ops.heatmap_mse(heatmaps, places, weights, SIGMA)
        ops.heatmap_mse_backward(weights, heatmaps, places, weights, SIGMA, transform)
    ops.encode(places, weights, height, width, SIGMA, transform, dtype=dtype)


def launch_long_rows(ops: Any, device: str, dtype: torch.dtype) -> None:
    """133 joints in channels-last rows that a block reads in parts."""
    maps = torch.rand(1, 4, 48, 133, device=device).to(dtype).movedim(-1, -3)
    joints, weights = maps.new_ones(1, 133, 2), maps.new_ones(1, 133)
    ops.decode(maps, opencv_taps(11), maps, flip_shift=1)
    ops.heatmap_mse(maps, joints, weights, SIGMA)
    ops.heatmap_mse_backward(weights, maps, joints, weights, SIGMA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--emulated", type=Path, help="the library of the emulated kernels")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.emulated:
        torch.ops.load_library(options.emulated)
    ops = torch.ops.dark_emulated if options.emulated else torch.ops.dark
    device = "cpu" if options.emulated else "cuda"
    # Channels-last rows that are whole packs of every type are those of 16 joints.
    sizes = [(JOINTS, *shape) for shape in SHAPES] + [(16, 24, 16)]
    if options.emulated:
        sizes = [(JOINTS, 24, 16)]
    for _, cut, _ in gpu_crops.with_twins(ops.crop, device):
        cut()
    print("launched every kernel on crops", flush=True)
    for dtype in DTYPES:
        launch_long_rows(ops, device, dtype)
        for size in sizes:
            launch_all(ops, device, size, dtype)
            # Each when it is done, so that a time limit shows how far this came.
            print(f"launched every kernel on {size}, {dtype}", flush=True)
    if device == "cuda":  # so many maps that a warp takes each, and several rounds of loads
        ops.decode(torch.rand(1 << 14, 1, 24, 25, device=device), opencv_taps(11))
        torch.cuda.synchronize()
    print("launched everything")


if __name__ == "__main__":
    main()
