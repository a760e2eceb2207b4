# SPDX-License-Identifier: Apache-2.0
"""How the time of each op grows with people, joints, map and threads, as Markdown.

    python benchmarks/scaling.py [--device cuda] [--json FILE]

From 32 people, 17 joints, maps of 64 x 48 and one thread, one of them varies. Beside each time
stands that for one map: where it is constant, time grows in proportion.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import harness  # noqa: E402  from the folder this file is in
from benchmarks.cases import Case, calls, inference  # noqa: E402
from benchmarks.table import time  # noqa: E402
from darkpose.markdown import table  # noqa: E402

OPS = ("decode", "flip_decode", "modulate", "encode", "heatmap_mse")
BATCHES = {"cpu": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), "cuda": (1, 8, 64, 512, 1024, 2048)}
JOINTS = (1, 4, 17, 34, 68, 133)
MAPS = ((32, 24), (64, 48), (96, 72), (128, 96), (192, 144), (256, 192))  # height, width
THREADS = (1, 2, 4, 8)  # as far as there are cores
SECONDS = 0.15  # for a point

Point = tuple[str, str, Case, int]
"""What varies, its value, the case and the threads."""


def points(op: str, device: str) -> Iterator[Point]:
    """Yield the points of an op's curves."""
    base = Case(op, device=device)
    for batch in BATCHES[device]:
        yield "people", str(batch), replace(base, batch=batch), 1
    for joints in JOINTS:
        yield "joints", str(joints), replace(base, joints=joints), 1
    for height, width in MAPS:
        yield "map", f"{height}x{width}", replace(base, height=height, width=width), 1
    for count in THREADS if device == "cpu" else ():
        if count <= harness.usable_cores():
            yield "threads", str(count), base, count
            yield "threads, 1 person", str(count), replace(base, batch=1), count


def measure(device: str) -> Iterator[dict[str, Any]]:
    """Time every point: rows of the JSON."""
    for op in OPS:
        for varied, value, case, count in points(op, device):
            with inference(op), harness.threads(count):
                samples = harness.take_turns(calls(case, ["this"]), SECONDS, device)["this"]
            figure = harness.Figure.of(samples)
            row: dict[str, Any] = {"op": op, "varied": varied, "value": value, "maps": case.maps}
            yield row | {"median": figure.median, "low": figure.low, "high": figure.high}


def tables(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table for each thing that varies: ops by its values."""
    for varied in dict.fromkeys(row["varied"] for row in rows):
        chosen = [row for row in rows if row["varied"] == varied]
        values = list(dict.fromkeys(row["value"] for row in chosen))
        lines = []
        for op in OPS:
            by_value = {row["value"]: row for row in chosen if row["op"] == op}
            cells = (
                f"{time(row['median'])}, {time(row['median'] / row['maps'])}"
                for row in (by_value[value] for value in values)
            )
            lines.append([op, *cells])
        yield f"{table([varied, *values], lines)}\n"


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("scaling: torch finds no CUDA device")
    harness.prepare()
    rows = list(measure(options.device))
    print("Time of a call, and for each of its maps\n")
    for text in tables(rows):
        print(text)
    if options.json:
        harness.write(options.json, {"machine": harness.machine(options.device), "rows": rows})


if __name__ == "__main__":
    main()
