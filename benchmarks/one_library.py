# SPDX-License-Identifier: Apache-2.0
"""Runs every op of one library on all that kernels treat differently, and times the ops.

    python benchmarks/one_library.py build/instruction_sets/g++-x86-64-v3/_C.so [FOLDER OF DATA]

To standard output go pickles: an op, a case and its result, again and again; None; and, once
standard input is closed, the times. A process has room for one library of the ops, which is why
`instruction_sets.py` starts this script, and why nothing of darkpose_ext is imported here.
"""

import pickle
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from benchmarks import harness  # noqa: E402  from the folder this file is in
from samples import DTYPES, LAYOUTS, MADE, made_maps  # noqa: E402

# A pixel, a row, a column; fewer pixels than a vector has lanes, as many; rows narrower than a
# vector, as wide, wider; the usual map.
SHAPES = ((1, 1), (1, 700), (70, 1), (3, 5), (4, 4), (5, 7), (16, 15), (15, 16), (17, 33), (64, 48))
PEOPLE, JOINTS, SIGMA = 2, 2 * len(MADE), 2.0  # joints: more than are decoded together
TAPS = (3, 7, 11, 17, 63)


def taps(count: int) -> list[float]:
    """Return Gaussian taps."""
    x = torch.arange(count, dtype=torch.float64) - count // 2
    g = (-0.5 * (x / (0.15 * count + 0.35)) ** 2).exp()
    return (g / g.sum()).tolist()


def difficult_maps(height: int, width: int, special: bool) -> Tensor:
    """Return [PEOPLE, JOINTS, H, W] of all kinds; `special`: with NaN and infinity, too."""
    kinds = [made_maps(kind, 2 * PEOPLE, height, width) for kind in MADE]
    maps = torch.stack(kinds).view(JOINTS, PEOPLE, height, width).transpose(0, 1).contiguous()
    maps[:, 0] *= 1e-6  # subnormal in float16
    maps[:, 1] *= torch.tensor((1e-38, 3e37))[:, None, None]  # the same in float32; overflows
    maps[:, 2] = torch.tensor((0.0, 0.25))[:, None, None]
    for value in (torch.nan, torch.inf, -torch.inf) if special else ():
        somewhere = torch.rand(PEOPLE, JOINTS, 1, 1) > 0.6
        maps[somewhere & (torch.rand(maps.shape) > 0.98)] = value
    return maps


def each_input(data: str) -> Iterator[tuple[str, Tensor]]:
    """Yield made and predicted maps, and what they are."""
    for height, width in SHAPES:
        for special in ("", " special"):
            made = difficult_maps(height, width, bool(special))
            for dtype in DTYPES:
                for layout, lay_out in LAYOUTS.items():
                    yield f"{height}x{width} {dtype} {layout}{special}", lay_out(made.to(dtype))
    for file in sorted(Path(data, "heatmaps").glob("*.npz")) if data else ():
        with np.load(file) as content:
            maps = torch.from_numpy(content["heatmaps"])
        for dtype in DTYPES:
            yield f"{file.stem} {dtype}", maps.to(dtype)


def results(data: str) -> Iterator[tuple[str, str, Tensor]]:
    """Yield an op, what it was run on and what it returned (of real maps a part), case by case."""
    ops = torch.ops.dark
    for name, maps in each_input(data):
        people, joints, height, width = maps.shape
        transform = torch.eye(2, 3) + 0.1 * torch.randn(people, 2, 3)
        kernels = [("dark", taps(count)) for count in TAPS]
        kernels += [(method, []) for method in ("argmax", "standard", "second_max", "dark")]
        flips: list[tuple[Any, ...]] = [(None, None, {})]
        for shift in (0, 1, 3, width):
            options = {"flip_index": [k ^ 1 for k in range(joints)], "flip_shift": shift}
            flips.append((maps.flip(0), transform if shift == 3 else None, options))
        for method, kernel in kernels:
            for flipped, matrix, options in flips:
                decoded = ops.decode(maps, kernel, flipped, matrix, method=method, **options)
                case = f"{name} {method} {len(kernel)} taps {options}"
                yield "decode", case, torch.cat((decoded[0].flatten(), decoded[1].flatten()))
        for count in (1, *TAPS):
            for rescale in ("minmax", "max", "none") if count == 11 else ("minmax",):
                modulated = ops.modulate(maps[:18], taps(count), rescale=rescale)
                yield "modulate", f"{name} {count} taps {rescale}", modulated
        points = torch.rand(people, joints, 2) * torch.tensor((width + 8, height + 8)) - 4
        weights = torch.rand(people, joints).mul(4).round().to(maps.dtype)
        for matrix, rounding in ((None, "none"), (transform, "round")):
            options = {"rounding": rounding, "truncate": rounding == "round"}
            target = (points.to(maps.dtype), weights)
            size = (height, width, SIGMA, matrix)
            encoded, _ = ops.encode(*target, *size, dtype=maps.dtype, **options)
            yield "encode", f"{name} {rounding}", encoded[:18]
            arguments = (maps, *target, SIGMA, matrix)
            yield "heatmap_mse", f"{name} {rounding}", ops.heatmap_mse(*arguments, **options)
            gradient = ops.heatmap_mse_backward(weights, *arguments, **options)
            yield "its gradient", f"{name} {rounding}", gradient[:18]


def times() -> dict[str, float]:
    """Return the median microseconds of each op at the usual size, on one thread."""
    ops, size = torch.ops.dark, (64, 48, SIGMA)
    points, weights = torch.rand(32, 17, 2) * 48, torch.ones(32, 17)
    maps = ops.encode(points, weights, *size)[0] + 0.05 * torch.randn(32, 17, 64, 48)
    calls: dict[str, harness.Call] = {
        "decode": lambda: ops.decode(maps, taps(11)),
        "modulate": lambda: ops.modulate(maps, taps(11)),
        "encode": lambda: ops.encode(points, weights, *size),
        "heatmap_mse": lambda: ops.heatmap_mse(maps, points, weights, SIGMA),
        "its gradient": lambda: ops.heatmap_mse_backward(weights, maps, points, weights, SIGMA),
    }
    return {op: statistics.median(us) for op, us in harness.take_turns(calls, 1.0).items()}


def main() -> None:
    """Run, wait, time."""
    path, data = sys.argv[1], "".join(sys.argv[2:])
    torch.ops.load_library(path)
    torch.manual_seed(0)
    harness.prepare()
    with torch.inference_mode():
        for op, case, result in results(data):
            numbers = result if result.dtype == torch.float64 else result.float()
            pickle.dump((op, case, numbers.numpy()), sys.stdout.buffer)
        pickle.dump(None, sys.stdout.buffer)
        sys.stdout.flush()
        sys.stdin.read()
        pickle.dump(times(), sys.stdout.buffer)


if __name__ == "__main__":
    main()
