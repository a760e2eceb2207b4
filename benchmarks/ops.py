# SPDX-License-Identifier: Apache-2.0
"""Times each op against a torch function that moves the same memory, and against its own twin.

    python benchmarks/ops.py [--device cpu|cuda] [--dtype float32] [--json FILE]

Batches of 1, 32 and 512 persons with 17 joints and maps of 64 x 48; on the CPU with one thread and
with two. A figure is the median over repetitions, with the quartiles beside it in the JSON; a batch
that fits a cache is found there. `of memory` is the time over that of amax for an op that reads its
maps once, of full for one that writes them, of a copy for one that does both.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from darkpose_ext import gaussian_taps, reference  # noqa: E402  from the folder this file is in

JOINTS, HEIGHT, WIDTH, SIGMA = 17, 64, 48, 2.0
BATCHES = (1, 32, 512)
SECONDS = 0.25  # to measure one function for
REPETITIONS = (5, 200)

Call = Callable[[], object]


@dataclass
class Row:
    op: str
    batch: int
    threads: int
    microseconds: float
    quartiles: tuple[float, float]
    gigabytes_per_second: float
    of_memory: float  # time over that of the torch function moving the same memory
    of_twin: float


def measure(call: Call, device: str) -> list[float]:
    """Return the microseconds of repeated calls, in groups of calls where one is short."""
    call()
    call()
    once = _elapsed(call, 1, device)
    group = max(1, round(1000 / max(once, 1.0)))
    count = round(SECONDS * 1e6 / (group * max(once, 1.0)))
    lowest, highest = REPETITIONS
    return [_elapsed(call, group, device) for _ in range(min(max(count, lowest), highest))]


def _elapsed(call: Call, group: int, device: str) -> float:
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        for _ in range(group):
            call()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) * 1000 / group
    started = time.perf_counter()
    for _ in range(group):
        call()
    return (time.perf_counter() - started) * 1e6 / group


@dataclass
class Case:
    call: Call
    twin: Call
    memory: Call  # the torch function that moves as much
    moved: int  # bytes


def cases(batch: int, device: str, dtype: torch.dtype) -> dict[str, Case]:
    """Return what is to be measured of each op."""
    joints = torch.rand(batch, JOINTS, 2, device=device) * torch.tensor((WIDTH, HEIGHT)).to(device)
    weights = torch.ones(batch, JOINTS, device=device)
    maps, _ = reference.encode(joints, weights, HEIGHT, WIDTH, SIGMA)
    maps = (maps + 0.05 * torch.rand_like(maps)).to(dtype)
    grad = torch.ones(batch, JOINTS, device=device)
    taps = gaussian_taps(SIGMA)
    modulated = maps.to(reference.arithmetic_dtype(dtype))
    ops = torch.ops.dark
    target = (joints, weights, SIGMA)
    shape = {"height": HEIGHT, "width": WIDTH, "sigma": SIGMA, "dtype": dtype}
    return {
        "encode": Case(
            lambda: ops.encode(joints, weights, **shape),
            lambda: reference.encode(joints, weights, **shape),
            lambda: torch.full(maps.shape, 1.0, dtype=dtype, device=device),
            maps.nbytes,
        ),
        "modulate": Case(
            lambda: ops.modulate(maps, taps),
            lambda: reference.modulate(maps, taps),
            lambda: torch.empty_like(modulated).copy_(maps),
            maps.nbytes + modulated.nbytes,
        ),
        "decode": Case(
            lambda: ops.decode(maps, taps),
            lambda: reference.decode(maps, taps),
            lambda: maps.amax((-2, -1)),
            maps.nbytes,
        ),
        "heatmap_mse": Case(
            lambda: ops.heatmap_mse(maps, *target),
            lambda: reference.heatmap_mse(maps, *target),
            lambda: maps.amax((-2, -1)),
            maps.nbytes,
        ),
        "heatmap_mse_backward": Case(
            lambda: ops.heatmap_mse_backward(grad, maps, *target),
            lambda: reference.heatmap_mse_backward(grad, maps, *target),
            lambda: maps.clone(),
            2 * maps.nbytes,
        ),
    }


@torch.inference_mode()
def run(device: str, dtype: torch.dtype, threads: int) -> list[Row]:
    torch.set_num_threads(threads)
    rows = []
    for batch in BATCHES:
        for op, case in cases(batch, device, dtype).items():
            own = measure(case.call, device)
            median = statistics.median(own)
            low, _, high = statistics.quantiles(own, n=4)
            of_memory = median / statistics.median(measure(case.memory, device))
            of_twin = median / statistics.median(measure(case.twin, device))
            speed = case.moved / median / 1000
            row = Row(op, batch, threads, median, (low, high), speed, of_memory, of_twin)
            print(
                f"{op:21}{batch:5}{threads:8}{median:11.1f} us{speed:9.1f} GB/s"
                f"{of_memory:9.2f}{of_twin:9.3f}",
                flush=True,
            )
            rows.append(row)
    return rows


def machine(device: str) -> dict[str, object]:
    """Return what a figure means nothing without."""
    command = ["git", "rev-parse", "HEAD"]
    git = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    commit = git.stdout.strip() if git.returncode == 0 else "none"
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "commit": commit,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    found = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=found)
    parser.add_argument("--dtype", default="float32", help="of the heatmaps")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()

    about = machine(options.device)
    print(*(f"{key} {value}" for key, value in about.items()), sep=" | ")
    print(f"{'op':21}{'batch':>5}{'threads':>8}{'median':>14}{'':14}{'of memory':>9}{'of twin':>9}")
    rows = []
    for threads in (1, 2) if options.device == "cpu" else (1,):
        rows += run(options.device, getattr(torch, options.dtype), threads)
    if options.json:
        figures = [asdict(row) for row in rows]
        about["dtype"] = options.dtype
        options.json.write_text(json.dumps({"machine": about, "rows": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
