# SPDX-License-Identifier: Apache-2.0
"""What a visit to a GPU does, as data: the stages of its two calls. `gpu_visit.py` runs them."""

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = {1: 300, 2: 400}  # that a call may take
GRACE = 2  # seconds between asking a stage to end and ending it

# The files whose tests have a CUDA variant; others would need packages that the machine may lack.
# First the one whose tests take longest, since they compile.
TEST_FILES = tuple(
    f"tests/test_{name}.py"
    for name in (
        *("registration", "arguments", "crop", "cuda_crop", "cuda_paths", "cuda_peaks"),
        *("border", "decode", "decode_peaks", "decode_properties", "encode", "heatmap_mse"),
        *("layouts", "modulate", "precision", "real_heatmaps"),
    )
)
# Our namespace in a kernel's mangled name, and in its demangled one.
OURS, OURS_DEMANGLED = "kns=_ZN4dark", "regex:dark::"
SECTIONS = ("SpeedOfLight", "MemoryWorkloadAnalysis", "WarpStateStats", "InstructionStats")

Command = tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """One command of a call."""

    name: str
    seconds: int  # its time limit
    command: Command
    rehearsal: Command = ()  # the same without a driver; empty where there is no such thing
    beside: bool = False  # runs beside the stage before it
    stops: bool = False  # if it fails, nothing after it means anything
    instead_of: str = ""  # runs only if that stage failed, and makes up for it
    needs: str = ""  # a program: where it is missing, the stage is left out
    lines: int = 6  # of its output, to be shown at once


@dataclass(frozen=True)
class Places:
    """Where things are."""

    out: Path  # results
    visit: Path  # what was taken along
    emulated: Path  # the library of the emulated kernels, for a rehearsal

    def before(self, name: str) -> Path:
        """Return a file that the first call wrote: brought along, or still in the results."""
        brought = self.visit / "before" / name
        return brought if brought.exists() else self.out / name


def groups(stages: list[Stage]) -> list[list[Stage]]:
    """Return the stages, those together that run side by side."""
    together: list[list[Stage]] = []
    for stage in stages:
        if stage.beside:
            together[-1].append(stage)
        else:
            together.append([stage])
    return together


def longest(stages: list[Stage]) -> int:
    """Return the seconds that stages take if each uses its limit and must be ended."""
    return sum(
        max(stage.seconds for stage in group) + GRACE * len(group) for group in groups(stages)
    )


def first(places: Places) -> list[Stage]:
    """Return the stages of the first call: is it right? And then: is it fast?"""
    return [
        Stage("machine", 10, ("nvidia-smi",), needs="nvidia-smi", lines=16),
        *library(places),
        smoke(places),
        Stage(
            "tests", 100, pytest(10, "-k", "cuda and not emulated", *TEST_FILES), rehearsed_tests()
        ),
        # Both watch the same program, which one rehearsal is enough for.
        sanitizer("memcheck", script("sanitize", "--emulated", str(places.emulated))),
        sanitizer("racecheck", ()),
        figures(places, "goals", 60, *("--without", "compiled twin", "--seconds", "0.5"), lines=40),
        figures(places, "gpu_crops", 12, lines=6),
    ]


def second(places: Places) -> list[Stage]:
    """Return the stages of the second call: what was mended, why it is slow, every figure."""
    again = failed_before(places)
    below = ("gpu_variants", str(places.before("goals-cuda.json")), str(places.visit))
    below += ("--json", str(places.out / "below-cuda.json"))
    profile = (
        *("ncu", "--profile-from-start", "off", "--clock-control", "none"),
        *("--kernel-name-base", "demangled", "--kernel-name", OURS_DEMANGLED),
        *(word for section in SECTIONS for word in ("--section", section)),
        *script("gpu_launches"),
    )
    return [
        *library(places),
        smoke(places),
        *(
            [Stage("again", 20, pytest(min(len(again) // 4, 10), *again), lines=20)]
            if again
            else []
        ),
        Stage("profile", 50, profile, script("gpu_launches", "--rehearse"), needs="ncu"),
        *(
            [Stage("below", 30, script(*below), script(*below, "--rehearse"), lines=25)]
            if places.before("goals-cuda.json").exists()
            else []
        ),
        figures(places, "goals", 65, "--seconds", "0.5", lines=40),
        figures(places, "gpu", 15, lines=12),
        figures(places, "end_to_end", 55, lines=12),
        figures(places, "training", 30, lines=8),
        figures(places, "scaling", 10, lines=20),
    ]


def library(places: Places) -> list[Stage]:
    """Return what gets a library: the one taken along, else one built here."""
    visit = str(places.visit)
    rehearsal = script("gpu_library", "check", "--device", "cpu")
    return [
        Stage("library", 20, script("gpu_library", "load", visit), rehearsal),
        Stage("build", 50, script("gpu_library", "build"), instead_of="library", stops=True),
    ]


def smoke(places: Places) -> Stage:
    """Return the smoke test."""
    rehearsal = script("gpu_smoke", "--emulated", str(places.emulated))
    return Stage("smoke", 30, script("gpu_smoke"), rehearsal, stops=True, lines=14)


def sanitizer(tool: str, rehearsal: Command) -> Stage:
    """Return a stage in which compute-sanitizer watches our kernels, beside the stage before."""
    command = (
        *("env", "PYTORCH_NO_CUDA_MEMORY_CACHING=1", "compute-sanitizer", "--tool", tool),
        # Calls of the CUDA API that fail are trials of torch's; ours become errors of the ops.
        *("--kernel-name", OURS, "--report-api-errors", "no", "--error-exitcode", "3"),
        *script("sanitize"),
    )
    return Stage(tool, 100, command, rehearsal, beside=True, needs="compute-sanitizer", lines=8)


def figures(places: Places, name: str, seconds: int, *options: str, lines: int) -> Stage:
    """Return a stage that runs a script of this folder, and keeps its figures."""
    kept = ("--json", str(places.out / f"{name.replace('_', '-')}-cuda.json"))
    command = script(name, "--device", "cuda", *options, *kept)
    rehearsal = script(name, "--rehearse", *options, *kept)
    return Stage(name, seconds, command, rehearsal, lines=lines)


def script(name: str, *options: str) -> Command:
    """Return the command that runs a script of this folder."""
    return (sys.executable, "-u", str(ROOT / "benchmarks" / f"{name}.py"), *options)


def pytest(workers: int, *arguments: str) -> Command:
    """Return the command that runs tests; with workers and limits where their plugins are."""
    parallel = ("-n", str(workers)) if workers and importlib.util.find_spec("xdist") else ()
    limited = ("--timeout", "60") if importlib.util.find_spec("pytest_timeout") else ()
    plugins = ("-p", "benchmarks.gpu_plugin", "-p", "no:cacheprovider")
    options = ("-q", "--continue-on-collection-errors", *plugins, *parallel, *limited)
    return (sys.executable, "-m", "pytest", *options, *arguments)


def rehearsed_tests() -> Command:
    """Return a test of each file: of the emulated kernels, or the CPU's where it has none."""
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "benchmarks.gpu_plugin")
    return ("env", "ONE_TEST_PER_FILE=1", *tests, "-k", "emulated or cpu", *TEST_FILES)


def failed_before(places: Places) -> list[str]:
    """Return the names of the tests that failed in the first call."""
    path = places.before("failed.txt")
    return sorted(set(path.read_text().splitlines()))[:200] if path.exists() else []


def lacks(stage: Stage) -> bool:
    """Return whether this machine has not the program that a stage needs."""
    return bool(stage.needs) and shutil.which(stage.needs) is None
