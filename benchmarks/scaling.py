# SPDX-License-Identifier: Apache-2.0
"""How the time of each op grows with people, joints, map and threads, as Markdown.

    python benchmarks/scaling.py [--device cuda] [--json FILE]

From 32 people, 17 joints, maps of 64 x 48 and one thread, one of them varies. Beside each time
stands that for one map: where it is constant, time grows in proportion.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import harness, script  # noqa: E402  from the folder this file is in
from benchmarks.cases import Case, calls, inference  # noqa: E402
from benchmarks.table import time  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402

OPS = ("decode", "flip_decode", "modulate", "encode", "heatmap_mse")
BATCHES = {"cpu": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), "cuda": (1, 8, 64, 512, 1024, 2048)}
JOINTS = (1, 4, 17, 34, 68, 133)
MAPS = ((32, 24), (64, 48), (96, 72), (128, 96), (192, 144), (256, 192))  # height, width
THREADS = (1, 2, 4, 8)  # as far as there are cores
SECONDS = 0.15  # for a point, 0.05 on a GPU
REHEARSED = {"people": ("1", "8"), "joints": ("1", "133"), "map": ("32x24", "96x72")}

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


def rehearsed(op: str) -> Iterator[Point]:
    """Yield a GPU's smallest points and largest ones that a CPU has time for, to be done there."""
    for varied, value, case, count in points(op, "cuda"):
        if value in REHEARSED[varied]:
            batch = min(case.batch, script.REHEARSED)
            yield varied, value, replace(case, batch=batch, device="cpu"), count


def measure(device: str, rehearse: bool = False) -> Iterator[dict[str, Any]]:
    """Time every point: rows of the JSON."""
    seconds = SECONDS if device == "cpu" else SECONDS / 3
    for op in OPS:
        for varied, value, case, count in rehearsed(op) if rehearse else points(op, device):
            with inference(op), harness.threads(count):
                made = calls(case, ["this"])
                samples = harness.take_turns(made, seconds, device, turns=2 * rehearse)["this"]
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
    options = script.arguments(__doc__).parse_args()
    device = script.start("scaling", options)
    measured = measure(device, options.rehearse)
    rows = list(script.keep(measured, options.json, harness.machine(device)))
    print("Time of a call, and for each of its maps\n")
    for text in tables(rows):
        print(text)


if __name__ == "__main__":
    main()
