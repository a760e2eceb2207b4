# SPDX-License-Identifier: Apache-2.0
"""Reads what the traced build of the emulated kernels reports (`emulation/trace.cpp`). As a program
it prints the report by source lines, what conflicts most in shared memory's banks first:

    make build/emulated/_emulated_traced.so
    export DARKPOSE_EMULATED=$PWD/build/emulated/_emulated_traced.so
    DARKPOSE_EMULATED_TRACE=trace.jsonl python -m pytest tests/test_cuda_paths.py -k emulated
    python tests/traces.py trace.jsonl $DARKPOSE_EMULATED
"""

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Found:
    """Where something is: the kernel, what (a race, ...), and the line of each access."""

    kernel: str
    kind: str
    lines: tuple[str, ...]  # "decode.cu:18 < find.cuh:39": within what it is called from


@dataclass
class Banks:
    """How the banks of shared memory serve instructions of a warp."""

    instructions: int = 0
    ways: int = 0  # turns of all of them together
    most: int = 0  # of one

    @property
    def mean(self) -> float:
        return self.ways / self.instructions


@dataclass
class Trace:
    """A report by source lines instead of addresses, the kernels' instances taken together."""

    accesses: dict[str, int]
    found: dict[Found, str]  # with an example
    banks: dict[tuple[str, str], Banks]  # of (kernel, line)


def read_trace(report: Path, library: Path) -> Trace:
    """Read the report that the traced library wrote at the end of a process."""
    reports = [json.loads(line) for line in report.read_text().splitlines()]
    addresses = {code for line in reports for code in line.get("code", []) if code}
    lines = lines_of(library, sorted(addresses))
    accesses: defaultdict[str, int] = defaultdict(int)
    found: dict[Found, str] = {}
    banks: defaultdict[tuple[str, str], Banks] = defaultdict(Banks)
    for one in reports:
        kernel, places = one["kernel"], [lines[code] for code in one.get("code", []) if code]
        if one["kind"] == "accesses":
            accesses[kernel] += one["count"]
        elif one["kind"] == "banks":
            here = banks[kernel, places[0]]
            here.instructions += one["count"]
            here.ways += one["ways"]
            here.most = max(here.most, one["most"])
        else:
            found.setdefault(Found(kernel, one["kind"], tuple(places)), one["example"])
    return Trace(dict(accesses), found, dict(banks))


def lines_of(library: Path, addresses: list[int]) -> dict[int, str]:
    """Return the source line of each address, and that of the kernel which it is inlined into."""
    if shutil.which("addr2line") is None:
        pytest.skip("addr2line (binutils) is not installed")
    asked = "".join(f"{address:#x}\n" for address in addresses)
    command = ["addr2line", "-e", str(library), "--addresses", "--inlines", "--basenames"]
    answer = subprocess.run(command, input=asked, check=True, capture_output=True, text=True)
    lines = {}
    for part in answer.stdout.split("\n0x")[: len(addresses)]:
        address, *frames = part.removeprefix("0x").splitlines()
        frames = [frame.split(" ")[0] for frame in frames]
        kept = [frame for frame in frames if frame.split(":")[0].endswith((".cu", ".cuh", ".h"))]
        lines[int(address, 16)] = " < ".join(dict.fromkeys((kept[0], kept[-1]) if kept else frames))
    return lines


def print_trace(trace: Trace) -> None:
    """Print what was found, then turns per instruction, on average and at most."""
    for found, example in trace.found.items():
        print(f"{found.kernel}: {found.kind}: {'; '.join(found.lines)} ({example})")
    print("\n mean  most  instructions  place")
    for (kernel, line), one in sorted(trace.banks.items(), key=lambda item: -item[1].mean):
        print(f"{one.mean:5.2f} {one.most:5d} {one.instructions:13d}  {kernel}: {line}")


if __name__ == "__main__":
    print_trace(read_trace(Path(sys.argv[1]), Path(sys.argv[2])))
