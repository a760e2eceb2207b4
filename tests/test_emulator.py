# SPDX-License-Identifier: Apache-2.0
"""The emulator of a GPU finds what it is there to find: kernels with planted faults
(`emulation/faults.cpp`), each also without its fault, in the plain build and in the traced one."""

import ctypes
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ABSENT

if "emulated" in ABSENT:
    pytest.skip(ABSENT["emulated"], allow_module_level=True)

Finder = Callable[[str, bool], str]
Tracer = Callable[[str, bool], list[dict]]

# What the plain build finds: the words of an error, or that the result is wrong.
PLAIN = {
    "block_barrier": "a wrong result: nan",
    "barrier_before_reuse": "a wrong result: -1",
    "mask_too_small": r"__shfl_xor_sync with mask 0x0000ffff, which does not name (it|that)",
    "mask_too_large": r"waits at __ballot_sync with mask 0xffffffff for lane 8, which has returned",
    "lane_outside_mask": r"takes the value of lane 8 by __shfl_sync with mask 0x000000ff, which",
    "operations_differ": r"waits at __reduce_max_sync .* for lane 3, which waits at __syncwarp",
    "masks_differ": r"waits at __any_sync with mask 0xffffffff for lane \d+, which has returned",
    "thread_that_returns": r"waits at __syncthreads for lane 8 of warp 1 .*, which has returned",
    "read_beyond_tile": "a wrong result: nan",
    "write_beyond_tile": r"block \d wrote byte 256 of its 256 bytes of shared memory",
    "misaligned_load": "makes a misaligned access of 16 bytes",
    "stale_shared_memory": "a wrong result: nan",
    "shared_memory": r"asks for 65552 bytes of shared memory; the limit is 65536 \(of a block\)",
    "shared_memory_not_allowed": r"asks for 65536 bytes .* is 49152 \(the kernel's opt-in\)",
    "launch_bound": r"asks for 64 threads; the limit is 32 \(the kernel's launch bounds\)",
    "part_of_a_warp": r"asks for 3 blocks of 63 threads, not of whole warps",
    "threads": r"asks for 1056 threads; the limit is 1024 \(of a block\)",
    "blocks": r"asks for 2147483648 blocks; the limit is 2147483647 \(of a grid\)",
    "parameters": r"asks for 41\d\d bytes of parameters; the limit is 4096 \(of a kernel\)",
}
# What the traced build finds, too or alone.
TRACED = {
    "block_barrier": {"race: write, read", "race: read, write", "uninitialized"},
    "barrier_before_reuse": {"race: write, read", "race: read, write"},
    "warp_barrier": {"race: write, read"},
    "half_warp_barrier": {"race: write, read"},
    "read_beyond_tile": {"outside"},
    "write_beyond_tile": {"outside"},
    "misaligned_vector": {"misaligned"},
    "stale_shared_memory": {"uninitialized"},
    "blocks_share_a_word": {"race: write, write"},
}
SEEDS = [str(seed) for seed in range(20)]


def faults_library(name: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(Path(os.environ["DARKPOSE_EMULATED"]).parent / f"{name}.so"))


def finder(library: ctypes.CDLL) -> Finder:
    def find(name: str, planted: bool) -> str:
        found = ctypes.create_string_buffer(1000)
        library.run(name.encode(), int(planted), found, len(found))
        return found.value.decode()

    return find


@pytest.fixture
def find() -> Finder:
    """Run a kernel, with its fault or without, and return what the plain build finds."""
    return finder(faults_library("_faults"))


@pytest.fixture
def traced() -> Tracer:
    """Run a kernel, with its fault or without, and return the traced build's report."""
    library = faults_library("_faults_traced")
    library.emulation_trace.restype = ctypes.c_char_p

    def trace(name: str, planted: bool) -> list[dict]:
        finder(library)(name, planted)
        return [json.loads(line) for line in library.emulation_trace().decode().splitlines()]

    return trace


def kinds(report: list[dict]) -> set[str]:
    return {line["kind"] for line in report} - {"accesses", "banks"}


@pytest.mark.parametrize("name", sorted({**PLAIN, **TRACED}))
def test_kernel_without_its_fault_passes(
    find: Finder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for seed in SEEDS:
        monkeypatch.setenv("DARKPOSE_EMULATED_SEED", seed)
        assert find(name, False) == ""


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_planted_fault_is_found_in_every_order(
    find: Finder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for seed in SEEDS:
        monkeypatch.setenv("DARKPOSE_EMULATED_SEED", seed)
        assert re.search(PLAIN[name], find(name, True))


def test_seed_chooses_the_order(find: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane named is the first that ran, the place the first block's whose warps were late."""
    for name in ("mask_too_small", "barrier_before_reuse"):
        seen = []
        for seed in SEEDS:
            monkeypatch.setenv("DARKPOSE_EMULATED_SEED", seed)
            seen.append(find(name, True))
            assert find(name, True) == seen[-1]
        assert len(set(seen)) > 1


@pytest.mark.parametrize("kilobytes", [48, 64, 99, 163, 227])
def test_shared_memory_is_that_of_the_emulated_gpu(
    find: Finder, monkeypatch: pytest.MonkeyPatch, kilobytes: int
) -> None:
    monkeypatch.setenv("DARKPOSE_EMULATED_SHARED", str(kilobytes))
    assert find("shared_memory", False) == ""
    assert f"the limit is {kilobytes * 1024} (of a block)" in find("shared_memory", True)


def test_unknown_size_of_shared_memory_is_refused(
    find: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKPOSE_EMULATED_SHARED", "100")
    assert "must be 48, 64, 99, 163 or 227 (KB), got 100" in find("shared_memory", False)


@pytest.mark.parametrize("name", sorted({**PLAIN, **TRACED}))
def test_tracer_finds_nothing_in_a_kernel_without_its_fault(traced: Tracer, name: str) -> None:
    report = traced(name, False)
    assert kinds(report) == set() and report[0]["count"] > 0


@pytest.mark.parametrize("name", sorted(TRACED))
def test_tracer_finds_the_planted_fault(traced: Tracer, name: str) -> None:
    assert kinds(traced(name, True)) == TRACED[name]


def test_faults_that_only_the_tracer_sees(find: Finder) -> None:
    only = sorted(set(TRACED) - set(PLAIN))
    assert [find(name, True) for name in only] == [""] * 4, only


@pytest.mark.parametrize(
    "name, planted, ways",
    [
        ("bank_conflict", False, 1),
        ("bank_conflict", True, 32),
        ("bank_conflict_of_vectors", False, 1),
        ("bank_conflict_of_vectors", True, 2),
    ],
)
def test_tracer_tells_how_many_ways_banks_conflict(
    find: Finder, traced: Tracer, name: str, planted: bool, ways: int
) -> None:
    assert find(name, planted) == ""
    banks = [line for line in traced(name, planted) if line["kind"] == "banks"]
    assert len(banks) == 2  # a write and a read
    for line in banks:
        assert line["most"] == ways and line["ways"] == ways * line["count"]
        assert line["count"] == 3 * 2  # blocks, warps


def test_switch_without_a_case_is_an_error_wherever_kernels_are_compiled() -> None:
    """nvcc says nothing about one in device code."""
    rules = (Path(os.environ["DARKPOSE_EMULATED"]).parent / "build.ninja").read_text()
    flags = re.findall(r"^  FLAGS = .*$", rules, re.MULTILINE)
    assert len(flags) > 10 and all("-Werror=switch" in line for line in flags)
