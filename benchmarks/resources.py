# SPDX-License-Identifier: Apache-2.0
"""Compiles the CUDA kernels and prints what each needs of a multiprocessor, as a Markdown table.

    python benchmarks/resources.py [75 80 86 89 90 100 120] > benchmarks/results/resources.md

A cell holds registers of a thread / bytes of static shared memory, as ptxas reports them; dynamic
shared memory is chosen at the launch. Exits with 1 if a kernel keeps anything in local memory,
spilled registers or arrays. Needs nvcc, cmake and ninja, and no GPU.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")

Kernel = tuple[str, str]  # source file, name with its template arguments


def ptxas_reports(architecture: str, build: Path) -> dict[Kernel, tuple[int, int, int]]:
    """Return registers, shared bytes and bytes in local memory of each kernel."""
    options = [
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DCMAKE_CUDA_ARCHITECTURES={architecture}-real",
        "-DCMAKE_CUDA_FLAGS=-Xptxas=-v",
        "-DDARK_NUMPY=OFF",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    subprocess.run(
        ["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", *options],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    reports = {}
    for source in sorted((ROOT / "csrc" / "cuda").glob("*.cu")):
        target = f"CMakeFiles/_C.dir/csrc/cuda/{source.name}.o"
        command = ["ninja", "-C", str(build), "-v", target]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        for name, numbers in _parse(_demangled(done.stdout)).items():
            reports[source.stem, name] = numbers
    return reports


def _demangled(text: str) -> str:
    return subprocess.run(
        ["c++filt"], input=text, capture_output=True, text=True, check=True
    ).stdout


def _parse(text: str) -> dict[str, tuple[int, int, int]]:
    found = {}
    for block in text.split("Function properties for ")[1:]:
        name = re.sub(r"\((?:anonymous namespace)\)::|dark::|c10::", "", block.splitlines()[0])
        name = re.sub(r"\((Partner|Interpolation)\)", lambda kind: f"{kind[1].lower()} ", name)
        name = re.sub(r"^void |\(.*", "", name)
        numbers = {
            what: int(match.group(1)) if (match := re.search(pattern, block)) else 0
            for what, pattern in (
                ("registers", r"Used (\d+) registers"),
                ("shared", r"(\d+) bytes smem"),
                ("stack", r"(\d+) bytes stack frame"),
                ("spilled", r"(\d+) bytes spill stores"),
            )
        }
        local = max(numbers["stack"], numbers["spilled"])
        found[name] = (numbers["registers"], numbers["shared"], local)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("architectures", nargs="*", default=ARCHITECTURES, help="such as 90")
    architectures = parser.parse_args().architectures
    missing = [tool for tool in ("nvcc", "cmake", "ninja", "c++filt") if not shutil.which(tool)]
    if missing:
        sys.exit(f"resources: not found: {', '.join(missing)}")
    columns = []
    for architecture in architectures:
        with tempfile.TemporaryDirectory() as build:
            columns.append(ptxas_reports(architecture, Path(build)))
        print(f"sm_{architecture} compiled", file=sys.stderr)

    version = subprocess.run(["nvcc", "--version"], capture_output=True, text=True).stdout
    print("# What the CUDA kernels need\n")
    print("Registers of a thread / bytes of static shared memory, as compiled by")
    print(f"{version.splitlines()[-2]}. By `python benchmarks/resources.py`.\n")
    print("| kernel |", " | ".join(f"sm_{a}" for a in architectures), "|")
    print("| --- |", " --- |" * len(architectures))
    in_local_memory = []
    for kernel in sorted(columns[0]):
        cells = []
        for architecture, column in zip(architectures, columns, strict=True):
            registers, shared, local = column[kernel]
            cells.append(f"{registers} / {shared}" + (f" / {local} local" if local else ""))
            if local:
                in_local_memory.append(f"{kernel[1]} on sm_{architecture}: {local} bytes")
        print(f"| `{kernel[1]}` |", " | ".join(cells), "|")
    print("\nIn local memory (spilled registers, arrays):", len(in_local_memory) or "nothing.")
    if in_local_memory:
        sys.exit("resources: in local memory: " + "; ".join(in_local_memory))


if __name__ == "__main__":
    main()
