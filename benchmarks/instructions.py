# SPDX-License-Identifier: Apache-2.0
"""Counts the warp instructions that each CUDA kernel executes for one heatmap, without a GPU.

    python benchmarks/instructions.py [--only decode] [--lines 2] [--record LABEL]
    python benchmarks/instructions.py --table > benchmarks/results/instructions.md

From the SASS for sm_90, of ordinary maps: 2,048 people of 17 joints, 64 x 48, 11 taps, launched as
on a GPU. Each basic block is counted as often as a warp executes it, all warps of a map added up,
an instruction whose predicate is false included. Which blocks those are, a run of the emulated
kernels says (`emulated_lines.py`); how often a warp goes round a loop, `instructions_loops.py`,
which has to know every loop.

Needs nvcc, g++, gcov, cmake, ninja, c++filt and nvdisasm, which is not part of every nvcc:
`pip install nvidia-cuda-nvdisasm==13.2.78` and its folder on PATH.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import emulated_lines, frequencies, instructions_loops, sass  # noqa: E402  from this folder
from benchmarks.frequencies import Frequencies, text_of  # noqa: E402

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "sass"
RESULTS = ROOT / "benchmarks" / "results" / "instructions.json"
TOOLS = ("nvcc", "nvdisasm", "g++", "gcov", "cmake", "ninja", "c++filt")
PERSONS, JOINTS, HEIGHT, WIDTH, TAPS, SIGMA = 2048, 17, 64, 48, 11, 2.0
MAPS, PIXELS = PERSONS * JOINTS, HEIGHT * WIDTH
# An H100 or H200: warp instructions a second, and bytes a second that a copy moves.
INSTRUCTIONS = 132 * 1.755e9 * 2.5
COPIES = {"H100": 3.0e12, "H200": 4.3e12}


@dataclass(frozen=True)
class Case:
    """What is counted: the kernels of some ops on maps of one kind."""

    name: str
    source: str  # csrc/cuda/<source>.cu
    ops: tuple[str, ...]
    dtype: torch.dtype
    passes: int  # how often the bytes of a map are read or written, all ops together
    hand: tuple[int, int] | None = None  # counted by hand, from .. to
    goal: int | None = None

    @property
    def size(self) -> int:
        """Return the bytes read and written for a map."""
        return self.passes * PIXELS * self.dtype.itemsize


F32, BF16 = torch.float32, torch.bfloat16
BOTH = ("heatmap_mse", "heatmap_mse_backward")
CASES = (
    Case("decode float32", "decode", ("decode",), F32, 1, (1630, 1630), 1000),
    Case("decode bfloat16", "decode", ("decode",), BF16, 1, (1700, 1700), 1000),
    Case("decode with flip test float32", "decode", ("flip",), F32, 2, (2640, 2640), 1700),
    Case("decode with flip test bfloat16", "decode", ("flip",), BF16, 2, (2640, 2640)),
    Case("modulate float32", "modulate", ("modulate",), F32, 2, (13600, 16000), 6500),
    Case("encode float32", "encode", ("encode",), F32, 1, (1700, 1700)),
    Case("encode bfloat16", "encode", ("encode",), BF16, 1, (1120, 1120), 1000),
    Case("heatmap_mse float32", "heatmap_mse", BOTH, F32, 3, (4790, 4790)),
    Case("heatmap_mse bfloat16", "heatmap_mse", BOTH, BF16, 3, (3860, 3860), 3000),
    Case("decode float32 channels-last", "decode", ("decode",), F32, 1),
    Case("decode bfloat16 channels-last", "decode", ("decode",), BF16, 1),
    Case("heatmap_mse float32 channels-last", "heatmap_mse", BOTH, F32, 3),
    Case("heatmap_mse bfloat16 channels-last", "heatmap_mse", BOTH, BF16, 3),
)


@cache
def people() -> tuple[Tensor, Tensor]:
    """Make joints [B, K, 2] inside the maps, and Gaussians there with noise [B, K, H, W]."""
    random = torch.Generator().manual_seed(0)
    size = torch.tensor((WIDTH, HEIGHT))
    some = 64
    joints = 8 + torch.rand(some, JOINTS, 2, generator=random) * (size - 16)
    x, y = torch.arange(WIDTH), torch.arange(HEIGHT)[:, None]
    squares = (x - joints[..., :1, None]) ** 2 + (y - joints[..., 1:, None]) ** 2
    maps = torch.exp(-squares / (2 * SIGMA**2))
    maps += 0.05 * torch.randn(maps.shape, generator=random)
    return tuple(t.repeat(PERSONS // some, *[1] * (t.dim() - 1)) for t in (joints, maps))


def call(case: Case, op: str) -> Callable[[], object]:
    """Return a call of the emulated op on the case's data."""
    joints, maps = people()
    weights = torch.ones(PERSONS, JOINTS)
    maps = maps.to(case.dtype)
    if "channels-last" in case.name:
        maps = maps.to(memory_format=torch.channels_last)
    at = torch.arange(TAPS) - TAPS // 2
    taps = torch.exp(-(at**2) / (2 * SIGMA**2))
    taps = (taps / taps.sum()).tolist()
    ops = torch.ops.dark_emulated
    target = (joints, weights)
    return {
        "decode": lambda: ops.decode(maps, taps),
        "flip": lambda: ops.decode(maps, taps, maps.flip(-1)),
        "modulate": lambda: ops.modulate(maps, taps),
        "encode": lambda: ops.encode(*target, HEIGHT, WIDTH, SIGMA, dtype=case.dtype),
        "heatmap_mse": lambda: ops.heatmap_mse(maps, *target, SIGMA),
        "heatmap_mse_backward": lambda: ops.heatmap_mse_backward(weights, maps, *target, SIGMA),
    }[op]


@cache
def disassembled(source: str) -> tuple[str, dict[str, str]]:
    """Return the SASS of csrc/cuda/`source`.cu for sm_90, and mangled by plain kernel names."""
    path, cubin = ROOT / "csrc" / "cuda" / f"{source}.cu", BUILD / f"{source}.cubin"
    newest = max(file.stat().st_mtime for file in (ROOT / "csrc").rglob("*") if file.is_file())
    if not cubin.exists() or cubin.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        include = f"-I{Path(torch.__file__).parent / 'include'}"
        flags = ["-O3", "-DNDEBUG", "-std=c++17", "-lineinfo", "-arch=sm_90", "-cubin"]
        stable = "-DTORCH_TARGET_VERSION=0x020a000000000000"
        _said(["nvcc", *flags, stable, include, str(path), "-o", str(cubin)])
    text = _said(["nvdisasm", "-c", "-gi", str(cubin)])
    mangled = sass.names(text)
    plain = map(emulated_lines.plain_name, _said(["c++filt", *mangled]).splitlines())
    return text, dict(zip(plain, mangled, strict=True))


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"instructions: {command[0]} failed\n{done.stdout}{done.stderr}")
    return done.stdout


def count(case: Case, depth: int) -> float:
    """Return the warp instructions a map; print where they are, `depth` calls deep."""
    total = 0.0
    for op in case.ops:
        run = emulated_lines.count(call(case, op))
        text, mangled = disassembled(case.source)
        name = mangled[run.kernel]
        blocks = sass.parse(text, [name])[name]
        table = instructions_loops.trips(run.kernel, run.threads, case.dtype.itemsize)
        try:
            found = Frequencies(blocks, run.lines, *table)
        except sass.UnknownLoop as error:
            raise sass.UnknownLoop(f"{case.name}: {run.kernel}\n{error}") from None
        warps = run.blocks * run.threads / frequencies.WARP / MAPS
        print(
            f"{case.name}: {run.kernel}, {run.blocks} x {run.threads} threads: "
            f"{found.instructions:,.0f} of a warp, {warps:.3g} warps a map",
            file=sys.stderr,
        )
        if depth:
            print_check(found)
            print_lines(found, warps, depth)
        total += found.instructions * warps
    return total


def print_check(found: Frequencies) -> None:
    """Print how often a warp moves memory in a line, and how often a lane came past it.

    One is a small whole multiple of the other where the table is right about unrolled loops.
    """
    often: Counter[tuple[str, sass.Frame]] = Counter()
    for block, times in found.of.items():
        for instruction in found.blocks[block].instructions:
            opcode = instruction.opcode.partition(".")[0]
            own = [frame for frame in instruction.frames if frame in found.lines.executed]
            if opcode in ("LDG", "STG", "LDS", "STS", "SHFL") and own:
                often[opcode, own[0]] += times
    for (opcode, frame), times in sorted(often.items(), key=lambda item: item[0][1]):
        lane = found.lines.executed[frame] / frequencies.WARP
        where = f"{Path(frame[0]).name}:{frame[1]} {text_of(frame)}"
        print(f"{opcode:5}{times:8.1f} a warp, past it {lane:6.1f}: {where}")
    for frame in found.uncounted:
        print(f"none counted, though executed: {Path(frame[0]).name}:{frame[1]} {text_of(frame)}")


def print_lines(found: Frequencies, warps: float, depth: int) -> None:
    """Print the instructions a map by lines of source, callers first."""
    of: Counter[tuple[sass.Frame, ...]] = Counter()
    for block, times in found.of.items():
        for instruction in found.blocks[block].instructions:
            path = instruction.frames[::-1]
            for end in range(1, min(depth, len(path)) + 1):
                of[path[:end]] += times * warps
    least = 0.01 * found.instructions * warps

    def below(path: tuple[sass.Frame, ...]) -> None:
        inner = [p for p in of if len(p) == len(path) + 1 and p[: len(path)] == path]
        for child in sorted(inner, key=lambda p: -of[p]):
            if of[child] >= least:
                file, line = child[-1]
                where = f"{Path(file).name}:{line}"
                print(f"{of[child]:8,.0f} {'  ' * len(path)}{where} {text_of(child[-1])}")
                below(child)

    below(())


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the recorded counts as Markdown, with what the last one allows."""
    lines = [
        "# Warp instructions a heatmap\n",
        "From SASS for sm_90, by `python benchmarks/instructions.py`; no GPU has run them. "
        f"{PERSONS:,} people of {JOINTS} joints, {HEIGHT}x{WIDTH}, {TAPS} taps. The share of the "
        "speed of a copy is the most that the last count allows: 132 multiprocessors at 1.755 GHz, "
        "2.5 instructions a clock, against 3.0 TB/s (H100) and 4.3 TB/s (H200).\n",
        "| case | by hand | at most | "
        + " | ".join(rows)
        + " | bytes a map | ns by instructions | "
        + " | ".join(f"ns by copying, {gpu} | share, {gpu}" for gpu in COPIES)
        + " |",
        "| --- |" + " --- |" * (4 + len(rows) + 2 * len(COPIES)),
    ]
    counts = [row["counts"] for row in rows.values()]
    for case in CASES:
        known = [of[case.name] for of in counts if case.name in of]
        if known:
            cells = [f"{of[case.name]:,.0f}" if case.name in of else "" for of in counts]
            hand = "-".join(f"{h:,}" for h in dict.fromkeys(case.hand or ()))
            lines.append(
                f"| {case.name} | {hand} | {aim(case, known[0])} | "
                f"{' | '.join(cells)} | {case.size:,} | {allowed(case, known[-1])} |"
            )
    kept = [f"`{label}`: commit {row['commit']}, {row['nvcc']}." for label, row in rows.items()]
    return "\n".join([*lines, "", *kept])


def aim(case: Case, before: float) -> str:
    """Return the goal, moved in proportion where the first count is far from the one by hand."""
    if case.goal is None:
        return ""
    assert case.hand is not None
    hand = sum(case.hand) / 2
    if abs(before / hand - 1) <= 0.2:
        return f"{case.goal:,}"
    return f"{case.goal * before / hand:,.0f} ({case.goal:,} moved by {before / hand - 1:+.0%})"


def allowed(case: Case, instructions: float) -> str:
    """Return the times of a map in ns, and the shares of a copy's speed."""
    cells = [f"{instructions / INSTRUCTIONS * 1e9:.2f}"]
    for speed in COPIES.values():
        copying = case.size / speed
        share = min(1.0, copying / (instructions / INSTRUCTIONS))
        cells += [f"{copying * 1e9:.2f}", f"{share:.0%}"]
    return " | ".join(cells)


def main() -> None:
    """Count, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--lines", type=int, default=0, metavar="DEPTH", help="where they are")
    parser.add_argument("--record", metavar="LABEL", help=f"keep the counts in {RESULTS.name}")
    parser.add_argument("--table", action="store_true", help="only print what was recorded")
    options = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.table:
        return print(table(rows))
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        sys.exit(f"instructions: not found: {', '.join(missing)}")
    emulated_lines.build()
    counts, failed = {}, False
    for case in CASES:
        if options.only in case.name:
            try:
                counts[case.name] = count(case, options.lines)
            except sass.UnknownLoop as error:
                failed = True
                print(f"instructions: {error}", file=sys.stderr)
    version = _said(["nvcc", "--version"]).splitlines()[-2].rpartition(", ")[2]
    commit = _said(["git", "-C", str(ROOT), "describe", "--always", "--dirty=-changed"]).strip()
    row = {"commit": commit, "nvcc": f"nvcc {version}", "counts": counts}
    print(table({"now": row}))
    if options.record:
        rows.setdefault(options.record, row)["counts"].update(counts)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
