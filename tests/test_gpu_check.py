# SPDX-License-Identifier: Apache-2.0
"""A visit to a GPU is short and cannot be repeated: what is known of it without one.

The stages themselves are rehearsed by `benchmarks/gpu_check.sh --dry-run`.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu_stages, gpu_visit
from benchmarks.gpu_stages import Places, Stage

ROOT = Path(__file__).parents[1]
CALLS = {1: gpu_stages.first, 2: gpu_stages.second}


def python(code: str) -> gpu_stages.Command:
    return (sys.executable, "-c", code)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Folders of a visit whose first call failed a test and missed a goal."""
    before = tmp_path / "visit" / "before"
    before.mkdir(parents=True)
    (before / "failed.txt").write_text("tests/test_decode.py::test_it[(1, 2)]\n" * 2)
    (before / "goals-cuda.json").write_text('{"goals": []}')
    return Places(tmp_path / "out", tmp_path / "visit", tmp_path / "emulated.so")


@pytest.fixture
def visit(places: Places) -> gpu_visit.Visit:
    return gpu_visit.Visit(1, places, rehearse=False)


# ---- the stages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_the_limits_of_the_stages_sum_to_less_than_the_calls(call: int, places: Places) -> None:
    stages = CALLS[call](places)
    assert {"smoke", "goals"} < {stage.name for stage in stages}
    assert 200 < gpu_stages.longest(stages) <= gpu_stages.SECONDS[call]


@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_timed_before_the_smoke_test_has_passed(call: int, places: Places) -> None:
    stages = CALLS[call](places)
    before = [stage.name for stage in stages[: [s.name for s in stages].index("smoke")]]
    assert set(before) <= {"machine", "library", "build"}
    assert next(stage for stage in stages if stage.name == "smoke").stops


@pytest.mark.parametrize("call", CALLS)
def test_every_script_and_test_file_of_a_stage_exists(call: int, places: Places) -> None:
    for stage in CALLS[call](places):
        for word in (*stage.command, *stage.rehearsal):
            if word.endswith(".py"):
                assert (ROOT / word).is_file(), word


def test_the_test_files_are_those_with_cuda_variants() -> None:
    fixture = r"def test_\w+\([^)]*\b(ops|kernels|gpu|device): (Implementation|str)\b"
    files = (ROOT / "tests").glob("test_*.py")
    have = {f"tests/{path.name}" for path in files if re.search(fixture, path.read_text())}
    # Of what is built on the ops; most of them need packages.
    others = ("predictor", "huggingface_results", "topdown", "uncut")
    have -= {f"tests/test_{name}.py" for name in others}
    assert have == set(gpu_stages.TEST_FILES)


def test_the_second_call_repeats_what_failed_and_what_was_missed(places: Places) -> None:
    names = [stage.name for stage in gpu_stages.second(places)]
    again = next(stage for stage in gpu_stages.second(places) if stage.name == "again")
    assert again.command[-1] == "tests/test_decode.py::test_it[(1, 2)]"
    assert names.index("below") < names.index("goals")  # which writes the file anew
    shutil.rmtree(places.visit)
    assert {"again", "below"}.isdisjoint(s.name for s in gpu_stages.second(places))


# ---- running them --------------------------------------------------------------------------------


def test_a_wrong_value_ends_the_visit(visit: gpu_visit.Visit) -> None:
    smoke = Stage("smoke", 20, python("exit('WRONG: decode')"), stops=True)
    visit.run([smoke, Stage("goals", 20, python("print('timed')"))])
    assert visit.outcomes == {"smoke": "FAILED"}
    report = visit.report.read_text()
    assert "WRONG: decode" in report and "timed" not in report
    assert visit.conclude() == 1


def test_other_failures_do_not(visit: gpu_visit.Visit) -> None:
    visit.run([Stage("a", 20, python("exit(1)")), Stage("b", 20, python("print('whole log')"))])
    assert visit.outcomes == {"a": "FAILED", "b": "passed"}
    assert "whole log" in visit.report.read_text() and visit.conclude() == 1


def test_a_library_built_here_makes_up_for_one_that_does_not_load(visit: gpu_visit.Visit) -> None:
    load, build = (Stage("library", 20, python("exit(1)")), Stage("build", 20, python("")))
    visit.run([load, Stage(**vars(build) | {"instead_of": "library", "stops": True})])
    assert visit.outcomes == {"library": "made up for", "build": "passed"}
    assert visit.conclude() == 0
    assert gpu_visit.Visit(1, visit.places, False)._wanted(build)


def test_a_stage_ends_with_all_its_processes_at_its_limit(
    visit: gpu_visit.Visit, tmp_path: Path
) -> None:
    # A child that ignores being asked, as a hung driver call does.
    child = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)"
    child += "; time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    began = time.monotonic()
    visit.run([Stage("hangs", 3, python(code)), Stage("next", 20, python("print('next')"))])
    assert time.monotonic() - began < 30
    assert visit.outcomes == {"hangs": "FAILED", "next": "passed"}
    assert "up" in visit.report.read_text()  # what it printed is kept


def test_a_visit_that_is_ended_leaves_no_process_running(places: Places, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    child = python(
        f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))"
        "; time.sleep(60)"
    )
    code = f"""
import sys
from pathlib import Path
from benchmarks import gpu_visit
from benchmarks.gpu_stages import Stage
gpu_visit.first = lambda places: [Stage("sleeps", 60, {child!r})]
sys.argv = ["gpu_visit", "1"]
gpu_visit.main()
"""
    mine = {"OUT": str(places.out), "PYTHONPATH": str(ROOT)}
    visit = subprocess.Popen(python(code), env=os.environ | mine)
    while not pid.exists() or not pid.read_text():
        assert visit.poll() is None
        time.sleep(0.1)
    visit.terminate()
    assert visit.wait(30) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_stages_side_by_side_run_at_once_into_files_of_their_own(visit: gpu_visit.Visit) -> None:
    # Each waits for the other's file: one after the other both would fail.
    code = """
import pathlib, time
pathlib.Path({mine!r}).touch()
for _ in range(200):
    if pathlib.Path({other!r}).exists():
        break
    time.sleep(0.1)
else:
    exit("alone")
print({mine!r})
"""
    a, b = str(visit.places.out / "a"), str(visit.places.out / "b")
    tests = Stage("tests", 30, python(code.format(mine=a, other=b)))
    visit.run([tests, Stage("memcheck", 30, python(code.format(mine=b, other=a)), beside=True)])
    assert visit.outcomes == {"tests": "passed", "memcheck": "passed"}
    assert (visit.places.out / "tests.txt").read_text().strip() == a
    assert (visit.places.out / "memcheck.txt").read_text().strip() == b


def test_tools_that_are_missing_or_refused_are_no_failures(visit: gpu_visit.Visit) -> None:
    refused = Stage("memcheck", 20, python("exit('Device not supported')"), needs="env")
    visit.run([Stage("profile", 20, ("no-such-tool",), needs="no-such-tool"), refused])
    assert visit.outcomes["profile"].startswith("left out")
    assert visit.outcomes["memcheck"] == "not possible on this machine"
    assert visit.conclude() == 0


def test_no_more_files_come_back_than_can(places: Places) -> None:
    for stages in (gpu_stages.first(places), gpu_stages.second(places)):
        written = {Path(word).name for s in stages for word in s.command if "/out/" in word}
        own_log = {s.name for group in gpu_stages.groups(stages) if len(group) > 1 for s in group}
        assert len({"visit", "failed"} | own_log | written) <= 8


def test_a_log_that_is_too_long_keeps_its_ends(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"begin" + b"." * 1000 + b"end")
    gpu_visit.shorten(log, largest=100)
    content = log.read_bytes()
    assert content.startswith(b"begin") and content.endswith(b"end") and len(content) < 200


@pytest.mark.parametrize("workers", ["0", "1"])
def test_failed_tests_are_named_as_they_fail(tmp_path: Path, workers: str) -> None:
    if workers != "0":
        pytest.importorskip("xdist")
    (tmp_path / "test_some.py").write_text(
        "import os\ndef test_right(): pass\ndef test_wrong(): assert 0\n"
        "def test_hangs(): os._exit(9)\n"
    )
    (tmp_path / "test_broken.py").write_text("import no_such_module\n")
    command = [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors"]
    command += ["-p", "benchmarks.gpu_plugin", *(["-n", workers] if workers != "0" else [])]
    mine = {"PYTHONPATH": str(ROOT), "FAILED_TESTS": str(tmp_path / "failed.txt")}
    others = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, env=others | mine)
    assert done.returncode != 0
    named = (tmp_path / "failed.txt").read_text().splitlines()
    assert set(named) - {"test_some.py::test_hangs"} == {
        "test_broken.py",
        "test_some.py::test_wrong",
    }


def test_a_rehearsal_without_emulated_kernels_says_how_to_build_them(tmp_path: Path) -> None:
    mine = {"DARKPOSE_EMULATED": str(tmp_path / "none.so"), "PYTHON": sys.executable}
    command = ["bash", str(ROOT / "benchmarks" / "gpu_check.sh"), "--dry-run"]
    done = subprocess.run(
        command, env=os.environ | mine | {"OUT": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1 and "make build/emulated/_emulated.so" in done.stderr
