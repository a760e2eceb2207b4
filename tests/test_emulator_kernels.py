# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels under the emulator's slower eyes: every access of theirs traced, on GPUs with
little and with much shared memory, and the roundings of a GPU."""

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from conftest import ABSENT
from traces import Banks, Found, Trace, read_trace

if "emulated" in ABSENT:
    pytest.skip(ABSENT["emulated"], allow_module_level=True)
pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
PATHS = [str(TESTS / f"test_cuda_{name}.py") for name in ("paths", "crop", "peaks")]
KERNELS = {
    "crop",
    "decode",
    "decode_peaks",
    "encode",
    "heatmap_mse",
    "heatmap_mse_backward",
    "modulate",
}
# What is found and does no harm: the kernel, what, and why.
HARMLESS = {
    ("modulate", "uninitialized"): "runs that reach beyond a row's end; their sums are not used",
}
# Turns that the banks of shared memory take for an instruction of a warp: 1 without conflicts.
MEAN_WAYS = 1.5


def build_of(name: str) -> Path:
    return Path(os.environ["DARKPOSE_EMULATED"]).parent / f"{name}.so"


def run(command: list[str], **variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run(
        command, env=environment, cwd=TESTS.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def run_paths(library: Path, **variables: str) -> None:
    """Run the emulated tests of every way through the kernels with this library."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-k", "emulated", *PATHS]
    run(command, DARKPOSE_EMULATED=str(library), **variables)


@pytest.fixture(scope="module", params=["64", "227"])
def trace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """The accesses of all kernels, on a GPU with so many KB of shared memory."""
    report = tmp_path_factory.mktemp("trace") / "report"
    library = build_of("_emulated_traced")
    settings = {"DARKPOSE_EMULATED_SHARED": request.param, "DARKPOSE_EMULATED_SEED": request.param}
    run_paths(library, DARKPOSE_EMULATED_TRACE=str(report), **settings)
    return read_trace(report, library)


def harmful(found: Found) -> bool:
    return (found.kernel, found.kind) not in HARMLESS


def test_kernels_neither_race_nor_leave_their_memory_nor_misalign(trace: Trace) -> None:
    assert set(trace.accesses) == KERNELS and min(trace.accesses.values()) > 100_000
    assert {found: example for found, example in trace.found.items() if harmful(found)} == {}


def test_what_is_called_harmless_is_still_there(trace: Trace) -> None:
    assert {(found.kernel, found.kind) for found in trace.found} >= set(HARMLESS)


def test_shared_memory_has_few_bank_conflicts(trace: Trace) -> None:
    kernels: defaultdict[str, Banks] = defaultdict(Banks)
    for (kernel, _), banks in trace.banks.items():
        kernels[kernel].instructions += banks.instructions
        kernels[kernel].ways += banks.ways
    assert set(kernels) == KERNELS
    assert {kernel: banks.mean for kernel, banks in kernels.items() if banks.mean > MEAN_WAYS} == {}


@pytest.mark.parametrize("kilobytes", ["48", "99", "163"])
def test_kernels_serve_gpus_with_other_shared_memory(kilobytes: str) -> None:
    run_paths(
        build_of("_emulated"), DARKPOSE_EMULATED_SHARED=kilobytes, DARKPOSE_EMULATED_SEED=kilobytes
    )


def test_nudged_build_rounds_differently() -> None:
    """Else its run of the op tests (`make test-slow`) would show nothing."""
    program = """
import os, torch
torch.ops.load_library(os.environ["DARKPOSE_EMULATED"])
torch.manual_seed(0)
joints = 16 * torch.rand(1, 17, 2)
maps = torch.ops.dark_emulated.encode(joints, torch.ones(1, 17), 16, 16, 2.0)[0]
print(*maps.flatten().tolist())
"""
    maps = []
    for name in ("_emulated", "_emulated_nudged"):
        printed = run([sys.executable, "-c", program], DARKPOSE_EMULATED=str(build_of(name)))
        maps.append([float(value) for value in printed.split()])
    differences = [b / a - 1 for a, b in zip(*maps, strict=True)]
    assert max(map(abs, differences)) < 1e-6  # a few units in the last place of float32
    assert min(differences) < -3e-8 and max(differences) > 3e-8
