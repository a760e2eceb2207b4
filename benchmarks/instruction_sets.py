# SPDX-License-Identifier: Apache-2.0
"""Do the CPU kernels return the same bits from every instruction set, and what is each worth?

    python benchmarks/instruction_sets.py [--data FOLDER] [--compilers g++ clang++] [--json FILE]

The installed library holds versions of which a processor only ever runs one. Here each is a library
of its own, run in a process of its own. Fails if any two differ; a NaN equals any other, since
which of two a sum passes on is up to the compiler.
"""

import argparse
import os
import pickle
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("", "python", "tests")]
from benchmarks import harness  # noqa: E402  from the folder this file is in
from darkpose.markdown import table  # noqa: E402
from samples import DTYPES, LAYOUTS, MADE, made_maps  # noqa: E402

SETS = {"x86-64": "DEFAULT", "x86-64-v3": "AVX2", "x86-64-v4": "AVX512"}  # and torch's names
# A pixel, a row, a column; fewer pixels than a vector has lanes, as many; rows narrower than a
# vector, as wide, wider; the usual map.
SHAPES = ((1, 1), (1, 700), (70, 1), (3, 5), (4, 4), (5, 7), (16, 15), (15, 16), (17, 33), (64, 48))
PEOPLE, SIGMA = 2, 2.0
JOINTS = 18  # more than are decoded together, no multiple of four; so many results of real maps
TAPS = (3, 7, 11, 17, 63)


def taps(count: int) -> list[float]:
    """Return Gaussian taps; darkpose_ext would load its own library beside the one that is run."""
    x = torch.arange(count, dtype=torch.float64) - count // 2
    g = (-0.5 * (x / (0.15 * count + 0.35)) ** 2).exp()
    return (g / g.sum()).tolist()


def difficult_maps(height: int, width: int, special: bool) -> Tensor:
    """Return [PEOPLE, JOINTS, H, W] of all kinds; `special`: with NaN and infinity, too."""
    kinds = [made_maps(kind, 2 * PEOPLE, height, width) for kind in MADE]
    maps = torch.stack(kinds).view(-1, PEOPLE, height, width).transpose(0, 1).contiguous()
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
    """Yield an op, what it was run on and what it returned, for every case."""
    ops = torch.ops.dark
    for name, maps in each_input(data):
        people, joints, height, width = maps.shape
        points = torch.rand(people, joints, 2) * torch.tensor((width + 8, height + 8)) - 4
        weights = torch.rand(people, joints).mul(4).round().to(maps.dtype)
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
                modulated = ops.modulate(maps[:JOINTS], taps(count), rescale=rescale)
                yield "modulate", f"{name} {count} {rescale}", modulated
        for matrix, rounding in ((None, "none"), (transform, "round")):
            options = {"rounding": rounding, "truncate": rounding == "round"}
            target = (points.to(maps.dtype), weights)
            encoded = ops.encode(
                *target, height, width, SIGMA, matrix, dtype=maps.dtype, **options
            )[0]
            arguments = (maps, *target, SIGMA, matrix)
            gradient = ops.heatmap_mse_backward(weights, *arguments, **options)
            yield "encode", f"{name} {rounding}", encoded[:JOINTS]
            yield "heatmap_mse", f"{name} {rounding}", ops.heatmap_mse(*arguments, **options)
            yield "its gradient", f"{name} {rounding}", gradient[:JOINTS]


def times() -> dict[str, float]:
    """Return the median microseconds of each op at the usual size, on one thread."""
    harness.prepare()
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


def be_library(path: Path, data: str, only_times: bool) -> None:
    """Write results or times to standard output: what a process of its own does."""
    torch.ops.load_library(path)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.inference_mode():
        if only_times:
            return pickle.dump(times(), sys.stdout.buffer)
        for op, case, result in results(data):
            numbers = result if result.dtype == torch.float64 else result.float()
            pickle.dump((op, case, numbers.numpy()), sys.stdout.buffer)
    pickle.dump(None, sys.stdout.buffer)


def build(compiler: str, name: str) -> Path:
    """Compile the CPU kernels for one instruction set and return the library."""
    folder = ROOT / "build" / "instruction_sets" / f"{compiler}-{name}"
    settings = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CXX_COMPILER": compiler,
        "CMAKE_CXX_FLAGS": f"-DDARK_ONE_INSTRUCTION_SET -march={name}",
        "DARK_CUDA": "OFF",
        "Python_EXECUTABLE": sys.executable,
    }
    given = [f"-D{setting}={value}" for setting, value in settings.items()]
    for command in (["-S", ROOT, "-B", folder, "-G", "Ninja", *given], ["--build", folder]):
        done = subprocess.run(["cmake", *command], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"instruction_sets: {compiler} for {name}\n{done.stdout}{done.stderr}")
    return folder / "_C.so"


@dataclass
class Difference:
    """How an op's results differ from those of the first library."""

    values: int = 0
    differing: int = 0
    largest: float = 0.0
    case: str = ""  # that of the largest

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
        if self.differing == 0:
            return "same bits"
        return f"{self.differing} differ, by up to {self.largest:.2g}: {self.case}"


def compare(libraries: dict[str, Path], data: str) -> dict[str, dict[str, Difference]]:
    """Return differences by library and op. All run at once, so that no result is kept."""
    found: dict[str, dict[str, Difference]] = {name: {} for name in libraries}
    command = [sys.executable, __file__, "--data", data, "--library"]
    running = [
        subprocess.Popen([*command, path], stdout=subprocess.PIPE) for path in libraries.values()
    ]
    streams = [process.stdout for process in running if process.stdout]
    while (given := [pickle.load(stream) for stream in streams])[0]:
        for differences, (op, case, result) in zip(found.values(), given, strict=True):
            differences.setdefault(op, Difference()).add(case, given[0][2], result)
    return found


def main() -> None:
    """Build, compare, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default=os.environ.get("DARKPOSE_DATA", ""))
    parser.add_argument("--compilers", nargs="+", default=["g++"])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--times", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        return be_library(options.library, options.data, options.times)
    known = list(SETS.values())
    best = known.index(torch.backends.cpu.get_cpu_capability())
    libraries = {
        f"{compiler}, {name}": build(compiler, name)
        for compiler in options.compilers
        for name in list(SETS)[: best + 1]
    }
    libraries["installed"] = ROOT / "darkpose_ext" / "_C.so"
    found, rows = compare(libraries, options.data), []
    for name, path in libraries.items():
        command = [sys.executable, __file__, "--times", "--library", path]
        timed = pickle.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        for op, difference in found[name].items():
            rows.append({"library": name, "op": op, "us": timed[op]} | asdict(difference))
    ops = list(dict.fromkeys(row["op"] for row in rows))
    first = next(iter(found.values()))
    head = ["library", *(f"{op}, {first[op].values:,} values" for op in ops)]
    cells = {(row["library"], row["op"]): f"{row['us']:.0f} µs" for row in rows}
    print(
        table(
            head,
            [
                [name, *(f"{found[name][op]}, {cells[name, op]}" for op in ops)]
                for name in libraries
            ],
        )
    )
    if options.json:
        harness.write(options.json, {"machine": harness.machine(), "rows": rows})
    if any(row["differing"] for row in rows):
        raise SystemExit("instruction_sets: not the same bits")


if __name__ == "__main__":
    main()
