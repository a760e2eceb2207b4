# SPDX-License-Identifier: Apache-2.0
"""Counts the warp instructions that each CUDA kernel executes for a heatmap or crop, without a GPU.

    python benchmarks/instructions.py [--only decode] [--lines 2] [--record LABEL]
    python benchmarks/instructions.py --table > benchmarks/results/instructions.md

From the SASS for sm_90, of ordinary maps: 2,048 people of 17 joints, 64 x 48, 11 taps, launched as
on a GPU; of crops, those of `gpu_crops.py`. Each basic block is counted as often as a warp executes
it, all warps of a map added up, an instruction whose predicate is false included. Which blocks
those are, a run of the emulated kernels says (`emulated_lines.py`); how often a warp goes round a
loop, `instructions_loops.py`, which has to know every loop.

Needs nvcc, g++, gcov, cmake, ninja, c++filt and nvdisasm, which is not part of every nvcc:
`pip install nvidia-cuda-nvdisasm==13.2.78` and its folder on PATH.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import emulated_lines, frequencies, instructions_loops, sass  # noqa: E402  from this folder
from benchmarks.frequencies import Frequencies, text_of  # noqa: E402
from benchmarks.instructions_cases import CASES, Case, call  # noqa: E402

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "sass"
RESULTS = ROOT / "benchmarks" / "results" / "instructions.json"
TOOLS = ("nvcc", "nvdisasm", "g++", "gcov", "cmake", "ninja", "c++filt")
# An H100 or H200: warp instructions a second, and bytes a second that a copy moves.
INSTRUCTIONS = 132 * 1.755e9 * 2.5
COPIES = {"H100": 3.0e12, "H200": 4.3e12}


@cache
def disassembled(source: str) -> tuple[str, dict[str, str]]:
    """Return the SASS of csrc/cuda/`source`.cu for sm_90, and mangled by plain kernel names."""
    path, cubin = ROOT / "csrc" / "cuda" / f"{source}.cu", BUILD / f"{source}.cubin"
    newest = max(file.stat().st_mtime for file in (ROOT / "csrc").rglob("*") if file.is_file())
    if not cubin.exists() or cubin.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        include = f"-I{Path(torch.__file__).parent / 'include'}"
        flags = ["-O3", "-DNDEBUG", "-std=c++17", "-lineinfo", "-arch=sm_90", "-cubin"]
        flags += ["-fmad=false"] if source == "crop" else []  # as CMakeLists.txt has it
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
        if (name := mangled.get(run.kernel, "")) == "":
            raise RuntimeError(f"{case.name}: no SASS of {run.kernel} in {case.source}.cu")
        blocks = sass.parse(text, [name])[name]
        table = instructions_loops.trips(run.kernel, run.threads, case.dtype.itemsize)
        try:
            found = Frequencies(blocks, run.lines, *table)
        except sass.UnknownLoop as error:
            raise sass.UnknownLoop(f"{case.name}: {run.kernel}\n{error}") from None
        warps = run.blocks * run.threads / frequencies.WARP / case.maps
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
    often: defaultdict[tuple[str, sass.Frame], float] = defaultdict(float)
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
    of: defaultdict[tuple[sass.Frame, ...], float] = defaultdict(float)
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


def table(rows: dict[str, dict[str, Any]], only: str = "") -> str:
    """Return rows of counts as Markdown, and what the last count of a case allows.

    Goals are aims set before the kernels were rewritten: only the row `before` moves them.
    """
    lines = [
        "# Warp instructions a heatmap, or a crop\n",
        "From SASS for sm_90, by `python benchmarks/instructions.py`; no GPU has run them. "
        "2,048 people of 17 joints, 64x48, 11 taps; crops of 256x192 in three colors, as large in "
        "their frames: what is said of a map is of a crop there. The share of the "
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
    before = rows.get("before", {"counts": {}})["counts"]
    for case in CASES:
        known = [of[case.name] for of in counts if case.name in of]
        if known and only in case.name:
            cells = [f"{of[case.name]:,.0f}" if case.name in of else "" for of in counts]
            hand = "-".join(f"{h:,}" for h in dict.fromkeys(case.hand or ()))
            lines.append(
                f"| {case.name} | {hand} | {aim(case, before.get(case.name))} | "
                f"{' | '.join(cells)} | {case.size:,} | {allowed(case, known[-1])} |"
            )
    far = [case.name for case in CASES if _far(case, before.get(case.name))]
    lines += [
        "",
        "Before, more than 20 % from the count by hand: " + (", ".join(far) or "none") + ".",
    ]
    kept = [f"`{label}`: commit {row['commit']}, {row['nvcc']}." for label, row in rows.items()]
    return "\n".join([*lines, "", *kept])


def _far(case: Case, count: float | None) -> float:
    """Return how far a count is from the one by hand, relatively; 0 within 20 %."""
    if case.hand is None or count is None:
        return 0
    lower, upper = case.hand
    off = count / ((lower + upper) / 2) - 1
    return off if not 0.8 * lower <= count <= 1.2 * upper else 0


def aim(case: Case, before: float | None) -> str:
    """Return the goal, moved in proportion where the count before is far from the one by hand."""
    if case.goal is None:
        return ""
    off = _far(case, before)
    return f"{case.goal * (1 + off):,.0f}" + (f" (moved by {off:+.0%})" if off else "")


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
        hint = " (pip install nvidia-cuda-nvdisasm==13.2.78)" if "nvdisasm" in missing else ""
        sys.exit(f"instructions: not found: {', '.join(missing)}{hint}")
    with ThreadPoolExecutor() as pool:  # nvcc meanwhile
        built = pool.submit(emulated_lines.build)
        list(pool.map(disassembled, {c.source for c in CASES if options.only in c.name}))
        built.result()
    counts, failed = {}, False
    for case in CASES:
        if options.only in case.name:
            try:
                counts[case.name] = count(case, options.lines)
            except (sass.UnknownLoop, RuntimeError) as error:
                failed = True
                print(f"instructions: {error}", file=sys.stderr)
    version = _said(["nvcc", "--version"]).splitlines()[-2].rpartition(", ")[2]
    commit = _said(["git", "-C", str(ROOT), "describe", "--always", "--dirty=-changed"]).strip()
    row = {"commit": commit, "nvcc": f"nvcc {version}", "counts": counts}
    print(table({**rows, "now": row}, options.only))
    if options.record:
        kept = rows.get(options.record, {"counts": {}})["counts"]
        rows[options.record] = {**row, "counts": {**kept, **counts}}
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
