# SPDX-License-Identifier: Apache-2.0
"""Do the CPU kernels return the same bits from every instruction set, and what is each worth?

    python benchmarks/instruction_sets.py [--data FOLDER] [--compilers g++ clang++] [--json FILE]

The installed library holds versions of which a processor only ever runs one. Here each is compiled
as a library of its own, which `one_library.py` runs. Prints a table with each op's time at
32 x 17 x 64 x 48 on one thread; fails if any two libraries differ. A NaN equals any other, since
which of two a sum passes on is up to the compiler.
"""

import argparse
import os
import pickle
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]
from benchmarks import harness  # noqa: E402  from the folder this file is in
from darkpose.evaluate.markdown import table  # noqa: E402

SETS = {"x86-64": "DEFAULT", "x86-64-v3": "AVX2", "x86-64-v4": "AVX512"}  # and torch's names


def build(compiler: str, name: str) -> Path:
    """Compile the CPU kernels for one instruction set and return the library."""
    folder = ROOT / "build" / "instruction_sets" / f"{compiler}-{name}"
    flags = f"-DCMAKE_CXX_FLAGS=-DDARK_ONE_INSTRUCTION_SET -march={name}"
    settings = ["-DCMAKE_BUILD_TYPE=Release", "-DDARK_CUDA=OFF", "-DDARK_NUMPY=OFF"]
    settings += [f"-DCMAKE_CXX_COMPILER={compiler}"]
    settings += [flags, f"-DPython_EXECUTABLE={sys.executable}"]
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", *settings]
    for command in (configure, ["cmake", "--build", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"instruction_sets: {compiler} for {name}\n{done.stdout}{done.stderr}")
    return folder / "_C.so"


@dataclass
class Comparison:
    """An op's results beside those of the first library, and its time."""

    values: int = 0
    differing: int = 0
    largest: float = 0.0
    case: str = ""  # that of the largest difference
    us: float = 0.0

    def add(self, case: str, first: NDArray[Any], other: NDArray[Any]) -> None:
        """Count two results, in which -0 differs from 0."""
        bits = f"i{first.itemsize}"
        differs = (first.view(bits) != other.view(bits)) & ~(np.isnan(first) & np.isnan(other))
        self.values += first.size
        if not differs.any():
            return
        self.differing += int(differs.sum())
        with np.errstate(invalid="ignore"):
            largest = float(np.abs(first[differs] - other[differs]).max())
        if not self.case or not largest <= self.largest:  # NaN is the largest
            self.largest, self.case = largest, case

    def __str__(self) -> str:
        different = f"{self.differing} differ, by up to {self.largest:.2g}: {self.case}"
        return f"{different if self.differing else 'same bits'}, {self.us:.0f} µs"


def compare(libraries: dict[str, Path], data: str) -> dict[str, dict[str, Comparison]]:
    """Return comparisons by library and op. All run at once, so that no result is kept."""
    command = [sys.executable, str(Path(__file__).with_name("one_library.py"))]
    running = [
        subprocess.Popen([*command, str(path), data], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for path in libraries.values()
    ]
    streams = [process.stdout for process in running if process.stdout]
    compared: dict[str, dict[str, Comparison]] = {name: {} for name in libraries}
    while (given := [pickle.load(stream) for stream in streams])[0]:
        op, case, first = given[0]
        for of_library, (*_, result) in zip(compared.values(), given, strict=True):
            of_library.setdefault(op, Comparison()).add(case, first, result)
    for process, of_library in zip(running, compared.values(), strict=True):
        for op, us in pickle.loads(process.communicate()[0]).items():
            of_library[op].us = us
    return compared


def main() -> None:
    """Build, compare, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default=os.environ.get("DARKPOSE_DATA", ""))
    parser.add_argument("--compilers", nargs="+", default=["g++"])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    known = list(SETS.values())
    if (best := torch.backends.cpu.get_cpu_capability()) not in known:
        raise SystemExit(f"instruction_sets: for x86-64 processors, this one has {best}")
    libraries = {
        f"{compiler}, {name}": build(compiler, name)
        for compiler in options.compilers
        for name in list(SETS)[: known.index(best) + 1]
    }
    libraries["installed"] = ROOT / "darkpose_ext" / "_C.so"
    compared = compare(libraries, options.data)
    ops = next(iter(compared.values()))
    head = ["library", *(f"{op}, {of_op.values:,} values" for op, of_op in ops.items())]
    print(table(head, [[name, *map(str, by_op.values())] for name, by_op in compared.items()]))
    rows = [
        {"library": name, "op": op} | asdict(of_op)
        for name, by_op in compared.items()
        for op, of_op in by_op.items()
    ]
    if options.json:
        harness.write(options.json, {"machine": harness.machine(), "rows": rows})
    if any(row["differing"] for row in rows):
        raise SystemExit("instruction_sets: not the same bits")


if __name__ == "__main__":
    main()
