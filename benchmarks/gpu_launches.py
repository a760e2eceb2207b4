# SPDX-License-Identifier: Apache-2.0
"""Launches each kernel once at the size of the goals, for a profiler to look at.

    ncu --profile-from-start off --kernel-name-base demangled --kernel-name regex:dark:: \\
        --clock-control none python benchmarks/gpu_launches.py [--rehearse]

The launch that is looked at is the second: memory is there by then.
"""

import sys
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import gpu_crops, harness, script  # noqa: E402  from the folder this file is in
from benchmarks.cases import Case, calls, inference  # noqa: E402
from benchmarks.goals import FULL_GPU  # noqa: E402

OPS = ("decode", "flip_decode", "decode_peaks", "modulate", "encode", "heatmap_mse")
# The layouts whose kernels differ; encode has one, and modulate reads any layout with the same.
LAYOUTS = {"contiguous": OPS, "channels_last": ("decode", "flip_decode", "heatmap_mse")}


def look_at(name: str, call: harness.Call, device: str) -> None:
    """Launch twice, the second time with the profiler on."""
    call()
    print(f"---- {name}", flush=True)
    if device == "cpu":
        call()
        return
    torch.cuda.synchronize()
    torch.cuda.profiler.start()
    call()
    torch.cuda.synchronize()
    torch.cuda.profiler.stop()


def main() -> None:
    """Launch."""
    options = script.arguments(__doc__, devices=("cuda",)).parse_args()
    device = script.start("gpu_launches", options)
    people = script.REHEARSED if options.rehearse else FULL_GPU
    for layout, ops in LAYOUTS.items():
        for dtype in ("float32", "bfloat16"):
            for op in ops:
                case = Case(op, people, dtype=dtype, layout=layout, device=device)
                with inference(op):
                    look_at(f"{op} {case}", calls(case, ["this"])["this"], device)
    frames = 1 if options.rehearse else gpu_crops.FRAMES
    crops = gpu_crops.made(people // 2, frames, device)
    for cut in gpu_crops.CASES:
        look_at(cut.name, cut.call(torch.ops.dark.crop, crops), device)


if __name__ == "__main__":
    main()
