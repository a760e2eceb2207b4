# SPDX-License-Identifier: Apache-2.0
"""Runs the two calls of a visit to a GPU, whose stages `gpu_stages.py` has, or rehearses them.

    OUT=folder benchmarks/gpu_check.sh 1|2|--dry-run|--pack

Into OUT go, each as it is made and all in one folder, at most eight files: `visit-1.txt` or
`visit-2.txt` with the whole output of stages that ran one after the other and what became of each;
that of stages side by side in files of their own; `failed.txt` with the names of failed tests;
`*-cuda.json` with figures. GPU_VISIT is the folder that was taken along, build/gpu-visit if unset.
For the second call it has the first one's `failed.txt` and `goals-cuda.json` in `before/`, or they
are still in OUT. The exit status is 1 if a stage failed.
"""

import argparse
import os
import runpy
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.gpu_library import PACKAGES  # noqa: E402  from the folder this file is in
from benchmarks.gpu_stages import (  # noqa: E402
    GRACE,
    ROOT,
    Command,
    Places,
    Stage,
    first,
    groups,
    lacks,
    second,
)

LARGEST = 15 << 20  # bytes of a log; what is in the middle of a longer one is cut
REHEARSAL_SECONDS = 120  # for both calls together
# What the tools say of a machine that does not let them at its GPU: no failure of ours.
REFUSALS = (b"device not supported", b"librarynotloaded", b"err_nvgpuctrperm")


@dataclass
class Running:
    """A stage that was started."""

    stage: Stage
    process: subprocess.Popen[bytes]
    log: Path
    start: int  # of its output in the log
    began: float = field(default_factory=time.monotonic)

    def output(self) -> bytes:
        """Return what it has written until now."""
        return self.log.read_bytes()[self.start :]


class Visit:
    """A call, or a rehearsal of one: runs stages, and keeps what became of them."""

    def __init__(self, number: int, places: Places, rehearse: bool) -> None:
        self.places, self.rehearse = places, rehearse
        self.outcomes: dict[str, str] = {}
        places.out.mkdir(parents=True, exist_ok=True)
        self.report = places.out / f"visit-{number}.txt"
        self.report.write_bytes(b"")
        (places.out / "failed.txt").unlink(missing_ok=True)  # of another call
        self.environment = environment(places, rehearse)

    def say(self, text: str) -> None:
        """Print, and write into the report."""
        print(text, flush=True)
        with self.report.open("a") as file:
            file.write(f"{text}\n")

    def run(self, stages: list[Stage]) -> None:
        """Run stages in order, until one fails that the others build upon."""
        for group in groups(stages):
            wanted = [stage for stage in group if self._wanted(stage)]
            running = [self._start(stage, alone=len(group) == 1) for stage in wanted]
            try:
                for one in running:
                    self._finish(one)
            finally:  # also where the visit itself is ended: none of them would see that
                for one in running:
                    end(one.process)
            for stage in wanted:
                if stage.stops and self.outcomes[stage.name] == "FAILED":
                    self.say(f"==== {stage.name} failed: nothing after it would mean anything")
                    return

    def _wanted(self, stage: Stage) -> bool:
        if stage.instead_of and self.outcomes.get(stage.instead_of) != "FAILED":
            if self.rehearse:
                self.say(f"==== {stage.name}, if {stage.instead_of} failed: not run")
                self.say(f"     {shlex.join(stage.command)}")
            return False
        if self.rehearse:
            self.say(f"==== {stage.name}: {shlex.join(stage.command)}")
            if not stage.rehearsal:
                self.outcomes[stage.name] = "needs the driver"
                return False
        elif lacks(stage):
            self.say(f"==== {stage.name}: left out, {stage.needs} is missing here")
            self.outcomes[stage.name] = f"left out: no {stage.needs}"
            return False
        return True

    def _start(self, stage: Stage, alone: bool) -> Running:
        log = self.report if alone else self.places.out / f"{stage.name}.txt"
        if not alone:
            log.write_bytes(b"")
        command = stage.rehearsal if self.rehearse else stage.command
        with log.open("ab") as file:
            process = start(command, file, self.environment)
        return Running(stage, process, log, log.stat().st_size)

    def _finish(self, one: Running) -> None:
        stage = one.stage
        limit = REHEARSAL_SECONDS if self.rehearse else stage.seconds
        status = wait(one.process, one.began + limit)
        seconds, output = time.monotonic() - one.began, one.output()
        if status == 0:
            outcome = "passed"
        elif stage.needs and any(words in output.lower() for words in REFUSALS):
            outcome = "not possible on this machine"
        else:
            outcome = "FAILED"
        self.outcomes[stage.name] = outcome
        if stage.instead_of and outcome == "passed":
            self.outcomes[stage.instead_of] = "made up for"
        shorten(one.log)
        print(*output.decode(errors="replace").splitlines()[-stage.lines :], sep="\n")
        why = "the time limit" if status is None else f"status {status}"
        self.say(f"==== {stage.name}: {outcome} after {seconds:.1f} s of {limit} ({why})")

    def conclude(self) -> int:
        """Say what became of all, the names of failed tests last; return the exit status."""
        failed_tests = self.places.out / "failed.txt"
        failed = [name for name, outcome in self.outcomes.items() if outcome == "FAILED"]
        for name, outcome in self.outcomes.items():
            self.say(f"{name:12}{outcome}")
        if failed_tests.exists():
            names = failed_tests.read_text().splitlines()
            self.say("\n".join([f"{len(names)} tests failed:", *names[:50]]))
        self.say(f"==== failed: {', '.join(failed)}" if failed else "==== no stage failed")
        return 1 if failed else 0


def environment(places: Places, rehearse: bool) -> dict[str, str]:
    """Return the environment of every stage."""
    packages = [ROOT, ROOT / "python"] if rehearse else [ROOT, ROOT / "python", PACKAGES]
    mine = {
        "PYTHONPATH": os.pathsep.join(map(str, packages)),
        "PYTHONUNBUFFERED": "1",
        "FAILED_TESTS": str(places.out / "failed.txt"),
    }
    if rehearse:
        # Beside other processes torch's threads wait for each other more than they work.
        mine |= {"DARKPOSE_EMULATED": str(places.emulated), "OMP_NUM_THREADS": "1"}
    else:
        mine["FAIL_WITHOUT_CUDA"] = "1"
    if (data := places.visit / "data").is_dir() and "DARKPOSE_DATA" not in os.environ:
        mine["DARKPOSE_DATA"] = str(data)
    if (commit := places.visit / "commit").exists():
        mine["DARKPOSE_COMMIT"] = commit.read_text().strip()
    return os.environ | mine


# ---- processes and their logs --------------------------------------------------------------------


def start(command: Command, log: BinaryIO, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a command whose output goes into a file; it leads a group of processes of its own."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait(process: subprocess.Popen[bytes], until: float) -> int | None:
    """Return the exit status; None if the process was still running then, and was ended."""
    try:
        return process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        end(process)
    return None


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, those by force that do not end when they are asked."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:  # all have ended
            return
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            continue


def shorten(log: Path, largest: int = LARGEST) -> None:
    """Cut the middle of a log that is too large to be brought back."""
    if (size := log.stat().st_size) <= largest:
        return
    content, half = log.read_bytes(), largest // 2
    cut = f"\n[... {size - 2 * half} bytes are cut here ...]\n".encode()
    log.write_bytes(content[:half] + cut + content[-half:])


# ---- the command ---------------------------------------------------------------------------------


def rehearse(places: Places) -> int:
    """Go through every stage of both calls on the CPU."""
    if not places.emulated.exists():
        sys.exit(
            f"gpu_check: the emulated kernels are not built: there is no {places.emulated}\n"
            "make build/emulated/_emulated.so builds them; or name them in DARKPOSE_EMULATED"
        )
    began = time.monotonic()
    visit = Visit(0, places, rehearse=True)
    visit.run(begun := first(places))
    rest = [stage for stage in second(places) if stage.name not in {s.name for s in begun}]
    # In pairs: nothing is measured in earnest, and most of each is Python's start.
    visit.run([replace(stage, beside=i % 2 == 1) for i, stage in enumerate(rest)])
    status = visit.conclude()
    visit.say(f"rehearsed in {time.monotonic() - began:.0f} s, of at most {REHEARSAL_SECONDS}")
    return status


def main() -> int:
    """Do what the argument says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("call", type=int, choices=(1, 2), nargs="?", help="call of a visit")
    what.add_argument("--dry-run", action="store_true", help="rehearse both calls on the CPU")
    what.add_argument("--pack", action="store_true", help="make the folder to take along")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("gpu_check: ended by its time limit"))
    if options.pack:
        sys.argv[1:] = []
        runpy.run_path(str(ROOT / "benchmarks" / "gpu_pack.py"), run_name="__main__")
        return 0
    default = ROOT / ("build/gpu_check/dry-run" if options.dry_run else "benchmarks/results")
    emulated = os.environ.get("DARKPOSE_EMULATED", "build/emulated/_emulated.so")
    places = Places(
        out=Path(os.environ.get("OUT", default)).resolve(),
        visit=Path(os.environ.get("GPU_VISIT", ROOT / "build/gpu-visit")).resolve(),
        emulated=(ROOT / emulated).resolve(),
    )
    if options.dry_run:
        return rehearse(places)
    stages = (first if options.call == 1 else second)(places)
    visit = Visit(options.call, places, rehearse=False)
    visit.run(stages)
    return visit.conclude()


if __name__ == "__main__":
    sys.exit(main())
