# SPDX-License-Identifier: Apache-2.0
"""The goals as data, and whether they are met: a line for each with what was measured.

    python benchmarks/goals.py [--device cuda] [--only decode] [--json FILE]

17 joints, maps of 64 x 48, float32, one thread, unless the line says otherwise. `median` is ours;
`measured` is in the goal's own terms, with the quartiles of the turns.
"""

import json
import os
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import floors, harness, script, shares  # noqa: E402  from the folder this file is in
from benchmarks.cases import OPS, REAL, USUAL, Case, calls, inference, real, usual  # noqa: E402
from benchmarks.peers import SAPIENS, absent  # noqa: E402


@dataclass(frozen=True)
class Goal:
    """A bound on an op's time.

    kind is "time" (ours over theirs, at most), "pixel" (a pixel of ours over one of theirs, at
    most), "speed" (theirs over ours, at least), "threads" (one thread's over several, at least),
    "share" (our bytes a second over those of `than`, at least), "microseconds" (at most) or
    "memory" (bytes allocated over those of the gradient, at most).
    """

    case: Case
    kind: str
    bound: float
    than: str = ""
    threads: int = 1

    def met(self, measured: float) -> bool:
        """Return whether a measured value is within the bound."""
        if self.kind in ("time", "pixel", "microseconds", "memory"):
            return measured <= self.bound
        return measured >= self.bound

    def __str__(self) -> str:
        return {
            "time": f"at most {self.bound:g}x {self.than}",
            "pixel": f"a pixel at most {self.bound:g}x {self.than}",
            "speed": f"at least {self.bound:g}x as fast as {self.than}",
            "threads": f"{self.threads} threads at least {self.bound:g}x one",
            "share": f"at least {self.bound:.0%} of the bandwidth of {self.than}",
            "microseconds": f"at most {self.bound:g} µs",
            "memory": f"allocates at most {self.bound:g}x its gradient",
        }[self.kind]


LONGER = ("heatmap_mse", "decode_peaks")  # than 12 µs for a person
FROM_MEMORY = 512  # people: maps of 107 MB

# As today's networks have them: every joint of the face and the hands. People, joints, map, sigma.
LARGE = ((1, 308, 256, 192, 6.0), (1, 133, 96, 72, 3.0), (32, 133, 96, 72, 3.0))


def _on_large_maps() -> Iterator[Goal]:
    for *shape, sigma in LARGE:
        yield Goal(Case("decode", *shape, sigma=sigma), "time", 1.25, "amax")
        yield Goal(Case("encode", *shape, sigma=sigma), "time", 1.25, "full")
        yield Goal(Case("heatmap_mse", *shape, sigma=sigma), "time", 1.5, "copy")
        yield Goal(Case("heatmap_mse", *shape, sigma=sigma), "memory", 1.01)
        yield Goal(Case("modulate", *shape, sigma=sigma), "pixel", 1.0, USUAL)
    yield Goal(Case("decode", 2, 308, 256, 192), "speed", 50, SAPIENS)


CPU = (
    Goal(Case("decode"), "time", 1.5, "amax"),
    Goal(Case("decode", FROM_MEMORY), "time", 1.2, "amax"),
    Goal(Case("decode"), "speed", 100, "NumPy loop"),
    Goal(Case("decode"), "threads", 1.8, threads=2),
    Goal(real("decode", "hourglass_48x48"), "time", 1.5, "amax"),
    *(Goal(Case("flip_decode", people), "time", 2.2, "decode") for people in (32, FROM_MEMORY)),
    *(Goal(real("decode_peaks", name), "time", 2, "decode") for name in REAL),
    Goal(Case("decode_peaks", data="noise"), "time", 15, "decode"),
    *(Goal(Case("modulate"), "speed", 8, f"OpenCV {f}") for f in ("sepFilter2D", "GaussianBlur")),
    Goal(Case("modulate"), "time", 6, "decode"),
    *(Goal(Case("encode", people), "time", 1.2, "full") for people in (32, FROM_MEMORY)),
    Goal(Case("encode"), "speed", 30, "NumPy loop"),
    Goal(Case("heatmap_mse"), "speed", 5, "twin's encode and mse_loss"),
    Goal(Case("heatmap_mse"), "speed", 5, "encode and mse_loss"),
    Goal(Case("heatmap_mse"), "memory", 1.01),
    *(Goal(Case(op, 1), "microseconds", 12) for op in OPS if op not in LONGER),
    *_on_large_maps(),
)

FULL_GPU = 2048  # people: maps of 428 MB, more than any cache holds


def on_gpu(gpu: str, copy_rate: float, counts: shares.Counts) -> Iterator[Goal]:
    """Yield the goals of a GPU; `shares.goals` says what these are, and which counts lack."""
    for (op, dtype, layout), than, share in shares.goals(gpu, copy_rate, counts):
        case = Case(op, FULL_GPU, dtype=dtype, layout=layout, device="cuda")
        if share is not None:
            yield Goal(case, "share", share, than)
        if case == Case("heatmap_mse", FULL_GPU, device="cuda"):
            yield Goal(case, "speed", 3, "compiled twin")
            yield Goal(case, "memory", 1.01)


GPU = tuple(on_gpu("NVIDIA H100", 3.0e12, {}))


@dataclass(frozen=True)
class Outcome:
    """A goal, and what was measured for it."""

    goal: Goal
    ours: harness.Figure  # microseconds a call
    measured: harness.Figure  # in the goal's terms
    floor: float  # microseconds

    @property
    def met(self) -> bool:
        """Return whether the median meets the goal."""
        return self.goal.met(self.measured.median)


def impossible(goal: Goal) -> str:
    """Return why a goal cannot be measured here, or nothing."""
    if package := absent(goal.than):
        return f"no {package}"
    if goal.threads > (cores := harness.usable_cores()):
        return f"{cores} core"
    if goal.case.data in REAL and not os.environ.get("DARKPOSE_DATA"):
        return "DARKPOSE_DATA does not name the folder of data"
    return ""


def measure(goals: Iterable[Goal], seconds: float = 1.0, turns: int = 0) -> Iterator[Outcome]:
    """Measure goals, in so many turns if given; those on the same case share their turns.

    One thread of a CPU is measured by the processor's time, which others on the machine disturb
    less; several threads by the clock on the wall.
    """
    for case, group in groupby(goals, lambda goal: goal.case):
        together = [goal for goal in group if not impossible(goal)]
        if not together:
            continue
        with inference(case.op), harness.threads(1):
            peers = [goal.than for goal in together if goal.than]
            functions = calls(case, dict.fromkeys(["this", "amax", "full", "copy", *peers]))
            own = case.device == "cpu"
            share = seconds / len(functions) + 0.1
            samples = harness.take_turns(functions, share, case.device, turns, processor_time=own)
            figures = {name: harness.Figure.of(values) for name, values in samples.items()}
            operations = floors.operation_rate(case.device, processor_time=own)
            rates = floors.rates(case, figures, operations)
            floor = floors.floor(floors.work(case), rates)
            for goal in together:
                if goal.kind == "threads":
                    measured = harness.Figure.of(list(_speedups(functions["this"], goal.threads)))
                elif goal.kind == "memory":
                    gradient = case.pixels * getattr(torch, case.dtype).itemsize
                    allocated = _allocated(functions["this"], gradient, case.device)
                    measured = harness.Figure(*3 * [allocated / gradient])
                else:
                    measured = harness.Figure.of(_in_terms(goal, samples))
                yield Outcome(goal, figures["this"], measured, floor)


def _in_terms(goal: Goal, samples: dict[str, list[float]]) -> Sequence[float]:
    ours = samples["this"]
    if goal.kind == "microseconds":
        return ours
    theirs = samples[goal.than]
    if goal.kind == "time":
        return [a / b for a, b in zip(ours, theirs, strict=True)]
    if goal.kind == "pixel":
        pixels = usual(goal.case).pixels / goal.case.pixels
        return [a / b * pixels for a, b in zip(ours, theirs, strict=True)]
    faster = [b / a for a, b in zip(ours, theirs, strict=True)]
    if goal.kind == "speed":
        return faster
    work = floors.work(goal.case)
    size = getattr(torch, goal.case.dtype).itemsize * goal.case.pixels
    bytes_of = {"amax": size, "full": size, "copy": 2 * size}
    return [value * (work.read + work.written) / bytes_of[goal.than] for value in faster]


def _speedups(call: harness.Call, count: int, rounds: int = 12) -> Iterator[float]:
    for _ in range(rounds):
        medians = []
        for n in (1, count):
            with harness.threads(n):
                medians.append(statistics.median(harness.take_turns({"": call}, 0.04)[""]))
        yield medians[0] / medians[1]


def _allocated(call: harness.Call, gradient: int, device: str) -> int:
    """Return the bytes a loss allocates; on a GPU those it holds at a time."""
    call()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() - gradient  # given up as the call begins
        call()
        return torch.cuda.max_memory_allocated() - before
    profiled = torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    )
    with profiled:
        call()
    by_function = (event.self_cpu_memory_usage for event in profiled.key_averages())
    return sum(size for size in by_function if size > 0)


# ---- which goals, and their lines ----------------------------------------------------------------


def gpu_goals(device: str, about: dict[str, object]) -> list[Goal]:
    """Return the goals of this GPU, or in a rehearsal an H200's as cases of the CPU."""
    counts, rehearsed = shares.counted(), device == "cpu"
    if rehearsed:
        gpu, rate = "H200" if counts else "H100", 4.3e12
    else:
        gpu, rate = torch.cuda.get_device_name(), copy_rate()
    about["copy, TB/s"] = rate / 1e12
    known = shares.goals(gpu, rate, counts)
    if lacks := [" ".join(key) for key, _, share in known if share is None]:
        print(f"left out, not counted in results/{shares.COUNTS.name}: {', '.join(lacks)}")
    goals = list(on_gpu(gpu, rate, counts))
    if rehearsed:
        few = {"batch": script.REHEARSED, "device": "cpu"}
        goals = [replace(goal, case=replace(goal.case, **few)) for goal in goals]
    return goals


def copy_rate() -> float:
    """Return the bytes a second that the GPU copies, those it reads and those it writes."""
    values = torch.rand(Case("decode", FULL_GPU).pixels, device="cuda")
    copy = torch.empty_like(values)
    samples = [harness.elapsed(lambda: copy.copy_(values), 5, "cuda") for _ in range(10)]
    return 2e6 * values.nbytes / statistics.median(samples)


def missed(path: Path) -> list[dict[str, Any]]:
    """Return the goals that a file of this script says were missed."""
    return [row["goal"] for row in json.loads(path.read_text())["goals"] if not row["met"]]


def line(outcome: Outcome) -> str:
    """Return a goal and what was measured."""
    goal, got = outcome.goal, outcome.measured
    return (
        f"{goal.case.op:20}{goal.case!s:33}{goal!s:50}{outcome.ours.median:8.1f} µs"
        f"{outcome.floor:9.1f}  {got.median:.3g} ({got.low:.3g} to {got.high:.3g}) "
        + ("met" if outcome.met else "MISSED")
    )


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = script.arguments(__doc__)
    parser.add_argument("--only", choices=list(OPS), nargs="+", help="ops to measure")
    parser.add_argument("--without", default="", help="a peer whose goals are left out")
    parser.add_argument(
        "--missed", type=Path, help="measure the goals that this JSON has as missed"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="for each case")
    options = parser.parse_args()
    device = script.start("goals", options)
    about = harness.machine(device)
    on_cpu = device == "cpu" and not options.rehearse
    goals = [
        goal
        for goal in (CPU if on_cpu else gpu_goals(device, about))
        if options.only is None or goal.case.op in options.only
        if not options.without or goal.than != options.without
    ]
    if options.missed:
        before = [(goal["case"], goal["kind"], goal["than"]) for goal in missed(options.missed)]
        goals = [goal for goal in goals if (asdict(goal.case), goal.kind, goal.than) in before]
    print(*(f"{key} {value}" for key, value in about.items()), sep=" | ")
    print(f"{'op':20}{'people x joints x map':33}{'goal':50}{'median':>11}{'floor':>9}  measured")

    def rows() -> Iterator[script.Row]:
        for outcome in measure(goals, options.seconds, turns=2 * options.rehearse):
            print(line(outcome), flush=True)
            yield asdict(outcome) | {"met": outcome.met}

    for _ in script.keep(rows(), options.json, about, "goals"):
        pass
    for goal in filter(impossible, goals):
        print(f"not measured: {goal.case.op} {goal.case}, {goal}: {impossible(goal)}")


if __name__ == "__main__":
    main()
