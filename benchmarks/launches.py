# SPDX-License-Identifier: Apache-2.0
"""How the CUDA ops launch for maps of several sizes, and how much of an H100 or H200 that fills.

    python benchmarks/launches.py [--dtype bfloat16] > benchmarks/results/launches.md

Blocks, threads and shared memory are those that the ops ask for, as the emulated kernels tell them
(`emulated_lines.py`); registers are ptxas's for sm_90. What follows from them is arithmetic: no GPU
has run these. Needs nvcc, g++, gcov, cmake, ninja and c++filt, and no GPU.
"""

import argparse
import itertools
import re
import sys
import tempfile
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import emulated_lines, resources  # noqa: E402  from the folder this file is in
from benchmarks.frequencies import WARP  # noqa: E402
from benchmarks.instructions_cases import calls  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402

# sm_90: of a multiprocessor, and how many an H100 or H200 has.
MULTIPROCESSORS = 132
THREADS, BLOCKS, REGISTERS, SHARED = 2048, 32, 65536, 228 << 10
OWN_SHARED = 1024  # bytes of each block's, for the system
QUARTERS = 4  # of a multiprocessor, each with its own registers
REGISTERS_AT_ONCE, SHARED_AT_ONCE = 256, 128  # a warp's registers, a block's bytes
OPS = ("decode", "flip", "peaks", "modulate", "encode", "heatmap_mse", "heatmap_mse_backward")
MANY_PIXELS = 256  # of a thread: 64 loads of 16 bytes in float32
COLUMNS = [
    *("op", "layout", "people x joints x map", "kernel", "blocks", "threads", "shared bytes"),
    *("registers", "blocks that fit", "waves", "pixels a thread"),
]
HEAD = """\
By `python benchmarks/launches.py`; no GPU has run these. Blocks, their threads and bytes of shared
memory are what the op asks for where a block can have 227 KB, registers of a thread what ptxas
gives for sm_90. Blocks that fit a multiprocessor at once follow from its 65,536 registers, 2,048
threads, 32 blocks and 228 KB of shared memory, of which each block takes one more; waves are blocks
for each place on 132 multiprocessors.
"""
NAMES = {
    "flip": "decode with flip test",
    "peaks": "decode_peaks",
    "heatmap_mse_backward": "heatmap_mse backward",
}


@dataclass(frozen=True)
class Size:
    """Maps, and the Gaussians for them."""

    persons: int
    joints: int
    height: int
    width: int
    taps: int
    sigma: float

    def __str__(self) -> str:
        return f"{self.persons} x {self.joints} x {self.height}x{self.width}, {self.taps} taps"

    @property
    def pixels(self) -> int:
        """Return the pixels of all maps."""
        return self.persons * self.joints * self.height * self.width


SIZES = (
    Size(1, 17, 64, 48, 11, 2.0),
    Size(32, 17, 64, 48, 11, 2.0),
    Size(1, 133, 96, 72, 17, 3.0),
    Size(32, 133, 96, 72, 17, 3.0),
    Size(1, 308, 256, 192, 31, 6.0),
)


@dataclass(frozen=True)
class Launch:
    """What an op asks for, and what the compiler gave each thread."""

    kernel: str
    blocks: int
    threads: int  # of a block
    shared: int  # bytes of a block
    registers: int  # of a thread

    @property
    def fitting(self) -> int:
        """Return how many blocks a multiprocessor holds at once."""
        warps = ceil(self.threads / WARP)
        of_warp = _whole(self.registers * WARP, REGISTERS_AT_ONCE)
        warps_by_registers = REGISTERS // QUARTERS // of_warp * QUARTERS
        shared = _whole(self.shared, SHARED_AT_ONCE) + OWN_SHARED
        by_threads = THREADS // WARP // warps
        return min(BLOCKS, by_threads, warps_by_registers // warps, SHARED // shared)

    @property
    def waves(self) -> float:
        """Return how often all places are taken: below 1, some stay free."""
        return self.blocks / (self.fitting * MULTIPROCESSORS)


def _whole(count: int, at_once: int) -> int:
    return ceil(count / at_once) * at_once


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    op: str
    layout: str
    size: Size
    launch: Launch

    def __str__(self) -> str:
        return f"{NAMES.get(self.op, self.op)} {self.layout} of {self.size}"

    @property
    def each(self) -> float:
        """Return the pixels of a thread."""
        return self.size.pixels / (self.launch.blocks * self.launch.threads)

    @property
    def too_few(self) -> bool:
        """Return whether few blocks work long while other multiprocessors have nothing to do."""
        return self.launch.blocks < MULTIPROCESSORS and self.each > MANY_PIXELS

    @property
    def has_tail(self) -> bool:
        """Return whether a few blocks are left for a second wave, which lasts like the first."""
        return 1 < self.launch.waves < 1.25

    @property
    def apart(self) -> bool:
        """Return whether a map's pixels, which are not neighbors, are read one by one."""
        by_person = re.search("channels_last|rows", self.launch.kernel)
        return self.layout == "channels-last" and not by_person


def launched(op: str, layout: str, size: Size, dtype: torch.dtype) -> emulated_lines.Run:
    """Run one block of an op's kernel for maps of zeros."""
    joints = torch.full((size.persons, size.joints, 2), size.width / 2)
    maps = torch.zeros(size.persons, size.joints, size.height, size.width, dtype=dtype)
    if layout == "channels-last":
        maps = maps.to(memory_format=torch.channels_last)
    return emulated_lines.count(calls(joints, maps, size.taps, size.sigma)[op], most=1)


def report(lines: list[Line], dtype: str) -> str:
    """Return the table, and below it what in it is not sensible."""
    rows = []
    for line in lines:
        launch = line.launch
        rows.append([NAMES.get(line.op, line.op), line.layout, str(line.size)])
        rows[-1] += [f"`{launch.kernel}`", f"{launch.blocks:,}", f"{launch.threads:,}"]
        rows[-1] += [f"{launch.shared:,}", f"{launch.registers}", f"{launch.fitting}"]
        rows[-1] += [f"{launch.waves:.2f}", f"{line.each:,.0f}"]
    few = [f"{line}: {line.launch.blocks}" for line in lines if line.too_few]
    tails = [f"{line}: {line.launch.waves:.2f} waves" for line in lines if line.has_tail]
    apart = [str(line) for line in lines if line.apart]
    parts = [f"# How the CUDA ops launch, {dtype}\n", HEAD, table(COLUMNS, rows), ""]
    parts += [
        _list(f"Fewer than {MULTIPROCESSORS} blocks, of over {MANY_PIXELS} pixels a thread", few)
    ]
    parts += [_list("A second wave that few blocks are left for", tails)]
    parts += [
        _list(
            "Joints lie side by side, and a block reads one: few bytes of every 32 fetched", apart
        )
    ]
    return "\n".join(parts).rstrip()


def _list(what: str, items: list[str]) -> str:
    return f"{what}:\n\n" + "".join(f"- {item}\n" for item in items or ["none"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    name = parser.parse_args().dtype
    with tempfile.TemporaryDirectory() as build:
        reports = resources.ptxas_reports("90", Path(build))
    registers = {kernel: numbers[0] for (_, kernel), numbers in reports.items()}
    emulated_lines.build()
    lines = []
    for op, layout, size in itertools.product(OPS, ("contiguous", "channels-last"), SIZES):
        if op == "encode" and layout != "contiguous":  # which reads no maps
            continue
        run = launched(op, layout, size, getattr(torch, name))
        launch = Launch(run.kernel, run.blocks, run.threads, run.shared, registers[run.kernel])
        lines.append(Line(op, layout, size, launch))
        print(lines[-1], file=sys.stderr)
    print(report(lines, name))


if __name__ == "__main__":
    main()
