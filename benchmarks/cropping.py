# SPDX-License-Identifier: Apache-2.0
"""People cut out of an image: the op, OpenCV and others, and the goals, as Markdown.

    python benchmarks/cropping.py [--json FILE] [--seconds 1] [--goals] [--only planar]

Crops of 192x256 of people at random places, noise for an image, from pixels in memory; affine maps
are made beforehand, but where a library makes them of boxes itself. To uint8 [N, 256, 192, 3]: the
op, `cv2.warpAffine` into arrays that are there, and `before`, how darkpose cut people out before it
had the op: OpenCV on four channels. To normalized float32 [N, 3, 256, 192], what a network sees:
the op, OpenCV's crops normalized as released loaders do, those of before as darkpose's networks do,
kornia, transformers' image processors, torchvision. One thread is measured by the processor's time.
A peer that is not installed is left out, with a line that says so; `benchmarks/README.md` has the
rules.
"""

import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby, product
from pathlib import Path
from statistics import median

import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import harness, script  # noqa: E402  from the folder this file is in
from benchmarks.cropping_cases import IMAGES, KINDS, Case  # noqa: E402
from benchmarks.cropping_ways import (  # noqa: E402
    BEFORE,
    OPENCV,
    PEERS,
    UINT8,
    VITPOSE,
    calls,
    lacks,
)
from benchmarks.goals import Goal  # noqa: E402
from benchmarks.loading import text  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402

PEOPLE, THREADS = (1, 8, 32, 100), (1, 2)
SAPIENS = (768, 1024)  # width, height of Sapiens2's crops


def goals() -> Iterator[Goal]:
    """Yield the goals, those on the same case one after another."""
    for image, people in product(IMAGES, (32, 1)):
        case = Case(people, image)
        yield Goal(case, "speed", 2.0, OPENCV)
        yield Goal(case, "speed", 1.0, BEFORE)
        case = Case(people, image, dtype="float32")
        yield Goal(case, "time", 1.5, UINT8)
        yield Goal(case, "speed", 1.0, BEFORE)
        yield Goal(case, "speed", 20.0, VITPOSE)
    for kind in KINDS:
        if kind != "upright":
            yield Goal(Case(kind=kind), "speed", 1.0, BEFORE)
    for kind in ("upright", "bicubic"):
        yield Goal(Case(1, IMAGES[1], kind, size=SAPIENS), "speed", 1.0, BEFORE)


def checked(seconds: float, only: str = "") -> Iterator[script.Row]:
    """Yield each goal with what was measured, one thread; those alone of crops named so."""
    for case, group in groupby(goals(), lambda goal: goal.case):
        if only not in str(case):
            continue
        together = [goal for goal in group if not lacks(goal.than)]
        with torch.inference_mode(), harness.threads(1):
            functions = calls(case, ["op", *(goal.than for goal in together)])
            samples = harness.take_turns(functions, seconds / len(functions), processor_time=True)
        for goal in together:
            pairs = zip(samples["op"], samples[goal.than], strict=True)
            slower = goal.kind == "time"
            measured = harness.Figure.of([a / b if slower else b / a for a, b in pairs])
            yield {
                "goal": asdict(goal),
                "microseconds a crop": median(samples["op"]) / case.people,
                "measured": asdict(measured),
                "met": goal.met(measured.median),
            }


def timed(case: Case, threads: int, seconds: float) -> script.Row:
    """Return the microseconds a crop of all ways."""
    names = [name for name in ("op", *PEERS[case.dtype]) if not lacks(name)]
    with torch.inference_mode(), harness.threads(threads):
        own = threads == 1
        samples = harness.take_turns(calls(case, names), seconds / 4, processor_time=own)
    microseconds = {name: median(taken) / case.people for name, taken in samples.items()}
    return {**asdict(case), "threads": threads, "microseconds a crop": microseconds}


def report_goals(rows: Iterator[script.Row]) -> list[script.Row]:
    """Print each goal as it is measured and return them all."""
    kept = []
    print(table(["crops", "goal", "measured", "a crop", ""], []), flush=True)
    for row in rows:
        kept.append(row)
        found, goal = row["measured"], dict(row["goal"])
        goal["case"] = Case(**goal["case"])
        span = f"{found['median']:.3g} ({found['low']:.3g} to {found['high']:.3g})"
        cells = [str(goal["case"]), str(Goal(**goal)), span]
        cells += [f"{row['microseconds a crop']:.1f} µs", "met" if row["met"] else "MISSED"]
        print(f"| {' | '.join(cells)} |", flush=True)
    return kept


def report_times(seconds: float) -> list[script.Row]:
    """Print a table of the microseconds a crop for each type and number of threads, return rows."""
    kept = []
    settings = list(product(IMAGES, PEOPLE))
    for (dtype, peers), threads in product(PEERS.items(), THREADS):
        rows = [timed(Case(n, image, dtype=dtype), threads, seconds) for image, n in settings]
        found = [row["microseconds a crop"] for row in rows]
        names = [name for name in ("op", *peers) if name in found[0]]
        cells = [[name, *(text(each[name]) for each in found)] for name in names]
        head = [f"{people} of {width}x{height}" for (width, height), people in settings]
        title = f"{dtype}, {threads} thread{'s' * (threads > 1)}, µs"
        print("\n" + table([title, *head], cells), flush=True)
        kept += rows
    return kept


def run(options: Namespace) -> None:
    """Measure, print, and write the figures if asked."""
    about = harness.machine()
    print(*(f"{key} {value}" for key, value in about.items()), sep=" | ", end="\n\n")
    for name in sorted({name for peers in PEERS.values() for name in peers if lacks(name)}):
        print(f"left out: {name}: {lacks(name)}\n")
    content: dict[str, object] = {"machine": about}
    content["goals"] = report_goals(checked(options.seconds, options.only))
    if not (options.goals or options.only):
        content["times"] = report_times(options.seconds)
    if options.json:
        harness.write(options.json, content)


def main() -> None:
    """Be a command."""
    parser = script.arguments(__doc__, devices=("cpu",))
    parser.add_argument("--seconds", type=float, default=1.0, help="for each goal's case")
    parser.add_argument("--goals", action="store_true", help="the goals alone")
    parser.add_argument("--only", default="", help="the goals of crops that are called so: planar")
    options = parser.parse_args()
    script.start("cropping", options)
    run(options)


if __name__ == "__main__":
    main()
