# SPDX-License-Identifier: Apache-2.0
"""How often the threads of a kernel come past each line of its source.

The kernels' source is compiled for the CPU (`tests/emulation`) with gcov's counters, and some
blocks of a launch are run.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.frequencies import WARP, Lines
from benchmarks.sass import Frame

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "counted"
BLOCKS = 34  # of each launch, which are run: two people where a block serves one map
# What the emulator says of a launch where DARK_EMULATED_BLOCKS is set.
LAUNCH = r"launch of (\d+) blocks of (\d+) threads, (\d+) bytes"
SHARED = 227  # KB of shared memory that a block can have, on sm_90


@dataclass
class Run:
    """A kernel's launch, of which some blocks were run, and what the counters say of them."""

    kernel: str
    blocks: int  # of the launch
    threads: int  # of a block
    shared: int  # bytes of shared memory, of a block
    lines: Lines


def build() -> None:
    """Compile the kernels' sources for the CPU, with counters."""
    configure = [
        *("cmake", "-S", str(ROOT), "-B", str(BUILD), "-G", "Ninja", "-DDARK_CUDA=OFF"),
        *("-DDARK_NUMPY=OFF", "-DDARK_EMULATED=ON", "-DCMAKE_BUILD_TYPE=Debug"),
        # Of an inlined function's lines gcov counts only some.
        "-DCMAKE_CXX_FLAGS=--coverage -O0 -Dalways_inline=unused",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    for command in (configure, ["ninja", "-C", str(BUILD), "_emulated"]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)


def count(call: Callable[[], object], most: int = BLOCKS) -> Run:
    """Run `most` blocks of the kernel that `call` launches, through torch.ops.dark_emulated."""
    for old in BUILD.rglob("*.gcda"):
        old.unlink()
    blocks, threads, shared = _run(call, most)
    # Of every source: the linker keeps one copy of a function that several have.
    counters = sorted(map(str, (BUILD / "CMakeFiles/_emulated.dir/emulated").glob("*.gcda")))
    gcov = ["gcov", "--json-format", "--stdout", "--branch-probabilities", *counters]
    done = subprocess.run(gcov, capture_output=True, text=True, cwd=BUILD, check=True)
    files = [file for line in done.stdout.splitlines() for file in json.loads(line)["files"]]
    functions = [f for file in files for f in file["functions"] if f["execution_count"]]
    found = {plain_name(function["demangled_name"]) for function in functions}
    kernels = [name for name in found if re.fullmatch(r"\w+_kernel(<.*>)?", name)]
    if len(kernels) != 1:
        raise RuntimeError(f"expected one kernel, found {kernels}")
    lines = _lines(files, min(blocks, most) * threads // WARP)
    return Run(kernels[0], blocks, threads, shared, lines)


def plain_name(name: str) -> str:
    """Return a demangled kernel's name with its template arguments, without namespaces."""
    name = re.sub(r"\(anonymous namespace\)::|dark::|c10::|^void |^auto ", "", name)
    name = re.sub(r"\((Partner|Interpolation)\)", lambda kind: f"{kind[1].lower()} ", name)
    return name.partition("(")[0]


def _run(call: Callable[[], object], most: int) -> tuple[int, int, int]:
    """Return the blocks of the launch, the threads and the bytes of shared memory of a block."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # counters are written when a process ends, and begin at zero in each
        os.close(read)
        os.dup2(write, 2)
        os.environ["DARK_EMULATED_BLOCKS"] = str(most)
        os.environ["DARKPOSE_EMULATED_SHARED"] = str(SHARED)
        torch.ops.load_library(str(BUILD / "_emulated.so"))
        torch.set_num_threads(1)
        call()
        sys.exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    launches = re.findall(LAUNCH, said)
    if status != 0 or len(launches) != 1:
        raise RuntimeError(f"expected a call that launches one kernel:\n{said}")
    blocks, threads, shared = map(int, launches[0])
    return blocks, threads, shared


def _lines(files: list[dict[str, Any]], warps: int) -> Lines:
    executed: dict[Frame, float] = {}
    held: dict[Frame, float] = {}
    for file in files:
        path = str((ROOT / file["file"]).resolve())
        if not path.startswith(str(ROOT / "csrc")):
            continue
        for line in file["lines"]:  # as often as templates have instances
            frame = (path, line["line_number"])
            executed[frame] = executed.get(frame, 0) + line["count"] / warps
            # The first condition of the line, in the instance that ran.
            pairs = zip(line["branches"][::2], line["branches"][1::2], strict=False)
            ways = [pair for pair in pairs if not any(branch["throw"] for branch in pair)]
            ways = [pair for pair in ways if any(branch["count"] for branch in pair)]
            if ways:
                true = sum(branch["count"] for branch in ways[0] if branch["fallthrough"])
                held[frame] = held.get(frame, 0) + true / warps
    return Lines(executed, held)
