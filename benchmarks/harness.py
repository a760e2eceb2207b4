# SPDX-License-Identifier: Apache-2.0
"""How every figure is measured: calls in turn, in one process, on the same data.

A machine drifts (clocks, neighbors, temperature), so the calls that are compared take turns: a few
calls of the first, of the second, and so on, again and again. A ratio is the median of the ratios
within a turn, which drift cannot reach. `benchmarks/README.md` has the rules.
"""

import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import torch

Call = Callable[[], object]

RESULTS = Path(__file__).parent / "results"
GROUP_US = 500.0  # calls are timed in groups that take about this long
WARM_US = 20000.0  # a call shorter than this is made once, untimed, before each group
TURNS = (5, 300)
QUEUE_US = 50.0  # in which Python queues a call for a GPU, at first guess
LONGEST_US = 20000.0  # that a GPU is held up for calls to queue
GPU_CYCLES = 2000  # of a microsecond, at a clock that no GPU is far above


@dataclass(frozen=True)
class Figure:
    """Microseconds per call: the median of the turns and their quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Figure":
        """Summarize two samples or more."""
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, low, high)


def interval(samples: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median, from order statistics; the range if there are few."""
    ordered, n = sorted(samples), len(samples)
    reach = round(0.98 * n**0.5)  # 1.96 standard deviations of a binomial with p = 1/2
    return ordered[max(0, n // 2 - reach)], ordered[min(n - 1, (n - 1) // 2 + reach)]


def elapsed(call: Call, count: int, device: str = "cpu", processor_time: bool = False) -> float:
    """Return the microseconds of one of `count` calls; on a GPU by its own clock.

    `processor_time` counts those in which this process runs, in all of its threads together: the
    time of calls that use one thread and wait for nothing, without that of other processes.
    """
    if device == "cuda":
        return _elapsed_on_gpu(call, count)
    clock = time.process_time_ns if processor_time else time.perf_counter_ns
    began = clock()
    for _ in range(count):
        call()
    return (clock() - began) / 1000 / count


def _elapsed_on_gpu(call: Call, count: int) -> float:
    """Time calls that were all queued before the GPU began with the first.

    It spins until they are. Else it would wait between short calls for Python, and that wait would
    be counted. Where it began too early the calls are made again behind a longer spin; calls that
    wait for the GPU themselves cannot be queued, and take what they take.
    """
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    spin = QUEUE_US * (1 + count)
    while True:
        torch.cuda._sleep(int(spin * GPU_CYCLES))
        begin.record()
        for _ in range(count):
            call()
        queued = not begin.query()
        end.record()
        torch.cuda.synchronize()
        microseconds = begin.elapsed_time(end) * 1000
        if queued or spin >= LONGEST_US or microseconds > WARM_US:
            return microseconds / count
        spin *= 8


def take_turns(
    calls: Mapping[str, Call],
    seconds: float = 0.0,
    device: str = "cpu",
    turns: int = 0,
    processor_time: bool = False,
) -> dict[str, list[float]]:
    """Time each call for about `seconds`, or in so many turns; sample i of all is from turn i.

    Before each group one call goes untimed, so that what fits a cache is found there whatever the
    other calls left; a call far longer than a cache takes to fill is spared that.
    """
    counts, warm, cost = {}, {}, 0.0
    for name, call in calls.items():
        call()  # compiles, allocates
        once = elapsed(call, 1, device, processor_time)
        if once < WARM_US:
            once = max(0.1, min(once, elapsed(call, 3, device, processor_time)))
        counts[name] = max(1, round(GROUP_US / once))
        warm[name] = once < WARM_US
        cost += once * (counts[name] + warm[name])
    affordable = round(seconds * 1e6 * len(calls) / cost)
    samples: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls.items())
    with _no_collection():
        for _ in range(turns or min(max(affordable, TURNS[0]), TURNS[1])):
            for name, call in order:
                if warm[name]:
                    call()
                samples[name].append(elapsed(call, counts[name], device, processor_time))
            order.reverse()  # so that none is always the one after the same other
    return samples


def prepare() -> None:
    """Set a process up for measuring: one thread, and memory that is kept."""
    set_threads(1)
    keep_memory()


def keep_memory() -> None:
    """Make glibc reuse freed memory, however large, rather than return it to the kernel.

    Else a call that returns a large tensor is timed with the kernel's clearing of fresh pages, many
    times what writing them takes, or without it, as earlier calls have it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    trim_threshold, mmap_max = -1, -4  # of <malloc.h>
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(mmap_max, 0)


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch and OpenCV use that many threads."""
    before = torch.get_num_threads()
    set_threads(count)
    try:
        yield
    finally:
        set_threads(before)


def set_threads(count: int) -> None:
    """Let torch and OpenCV use that many threads from here on."""
    torch.set_num_threads(count)
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(count)


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# ---- what a figure means nothing without ---------------------------------------------------------


def machine(device: str = "cpu") -> dict[str, object]:
    """Return machine, versions, commit and date."""
    about: dict[str, object] = {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
    }
    if device == "cuda":
        about |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    packages = ("torch", "numpy", "opencv-python-headless", "opencv-python", "kornia")
    return about | {
        "python": platform.python_version(),
        **{name: version for name in packages if (version := _version(name))},
        "commit": commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }


def commit() -> str:
    """Return the commit of the working tree, with a mark if it was changed since.

    On a machine without git or the history, what DARKPOSE_COMMIT says.
    """

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        try:
            ran = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
        except OSError:  # no git here
            return ""
        return ran.stdout.strip() if ran.returncode == 0 else ""

    known = git("rev-parse", "--short=12", "HEAD") or os.environ.get("DARKPOSE_COMMIT", "unknown")
    changed = git("status", "--porcelain", "--untracked-files=no", ":/", ":!results")
    return known + (" and changes" if changed else "")


def write(path: Path, content: Mapping[str, object]) -> None:
    """Write results as JSON with four significant digits, a row per line.

    The file is replaced at once: a script that is stopped leaves the old rows or the new ones.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for key, value in content.items():
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(_short(row)) for row in value)
            lines.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(_short(value))}")
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    unfinished.replace(path)


def _short(value: object) -> object:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_short(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
