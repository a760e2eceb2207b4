# SPDX-License-Identifier: Apache-2.0
"""Launches every CUDA kernel on awkward maps, for compute-sanitizer to watch.

    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool memcheck python benchmarks/sanitize.py

Without torch's caching of memory each tensor has bounds of its own. Small, since a sanitizer slows
kernels by orders of magnitude; whether the values are right is for the tests.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from darkpose_ext import opencv_taps  # noqa: E402  from the folder this file is in

# A pixel, a row, a column, less than a block, more than one tile of encode and of modulate.
SHAPES = ((1, 1), (1, 700), (700, 1), (5, 7), (64, 48), (150, 130))
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PERSONS, JOINTS, SIGMA = 2, 3, 2.0


def launch_all(height: int, width: int, dtype: torch.dtype) -> None:
    ops = torch.ops.dark
    maps = torch.rand(PERSONS, JOINTS, height, width, device="cuda").to(dtype)
    maps[..., height // 2, width // 2] = 2
    size = torch.tensor((width, height), device="cuda")
    joints = (torch.rand(PERSONS, JOINTS, 2, device="cuda") * size).to(dtype)
    weights = torch.ones(PERSONS, JOINTS, device="cuda").to(dtype)
    weights[0, 0] = 0
    transform = torch.eye(2, 3, device="cuda").repeat(PERSONS, 1, 1).to(dtype)
    for heatmaps in (maps, maps.to(memory_format=torch.channels_last)):
        for count in (1, 11, 63):
            ops.decode(heatmaps, opencv_taps(count), maps, transform, flip_shift=1)
            ops.modulate(heatmaps, opencv_taps(count))
        for method in ("argmax", "standard", "second_max", "dark"):
            ops.decode(heatmaps, [], method=method)
        ops.heatmap_mse(heatmaps, joints, weights, SIGMA)
        ops.heatmap_mse_backward(weights, heatmaps, joints, weights, SIGMA, transform)
    ops.encode(joints, weights, height, width, SIGMA, transform, dtype=dtype)


def main() -> None:
    torch.manual_seed(0)
    for dtype in DTYPES:
        for height, width in SHAPES:
            launch_all(height, width, dtype)
    torch.cuda.synchronize()
    print(f"launched every kernel on {len(SHAPES)} shapes of {len(DTYPES)} types")


if __name__ == "__main__":
    main()
