# SPDX-License-Identifier: Apache-2.0
"""How many blocks a multiprocessor holds, and what a table of launches finds fault with."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks import emulated_lines
from benchmarks.launches import SIZES, Launch, Line, report
from conftest import ABSENT

SMALL = Launch("decode_kernel<float, partner 0>", 264, 128, 0, 32)


@pytest.mark.parametrize(
    "launch, fitting",
    [
        (SMALL, 16),  # 2,048 threads
        (replace(SMALL, threads=32), 32),  # blocks
        (replace(SMALL, threads=192), 10),  # 64 warps, six of each block
        (replace(SMALL, registers=33), 12),  # 40 of a thread: 51 warps, whole ones to a quarter: 48
        (replace(SMALL, registers=64), 8),
        (replace(SMALL, threads=1024, registers=64), 1),
        (replace(SMALL, shared=227 << 10), 1),
        (replace(SMALL, shared=113 << 10), 2),  # and 1 KB of each block's own
        (replace(SMALL, shared=(113 << 10) + 1), 1),
        # As the occupancy calculator of CUDA has it for 512 threads of 40 registers and 60,352 B.
        (Launch("modulate_kernel<float, 1>", 308, 512, 60352, 40), 3),
    ],
)
def test_blocks_fit_a_multiprocessor(launch: Launch, fitting: int) -> None:
    assert launch.fitting == fitting


def test_what_leaves_multiprocessors_idle_is_told() -> None:
    line, places = Line("decode", "channels-last", SIZES[-1], SMALL), 132 * 16
    assert [
        replace(line, launch=replace(SMALL, blocks=n)).has_tail for n in (places, places + 1)
    ] == [
        False,
        True,
    ]
    long = replace(line, launch=replace(SMALL, blocks=1, threads=1024))
    enough = replace(line, launch=replace(SMALL, blocks=308))
    short = replace(long, size=SIZES[0])
    assert [x.too_few for x in (long, enough, short)] == [True, False, False]
    named = report([long, enough, short], "float32").partition("of over 256 pixels a thread:\n\n")[
        2
    ]
    assert named.startswith("- decode channels-last of 1 x 308 x 256x192, 31 taps: 1\n\n")


@pytest.mark.parametrize(
    ("kernel", "apart"),
    [
        ("modulate_kernel<float, 1>", True),
        ("decode_channels_last_kernel<float, 4, false>", False),
        ("heatmap_mse_rows_kernel<float>", False),
    ],
)
def test_maps_read_value_by_value_are_told(kernel: str, apart: bool) -> None:
    line = Line("modulate", "channels-last", SIZES[0], replace(SMALL, kernel=kernel))
    assert line.apart == apart
    assert not replace(line, layout="contiguous").apart


@pytest.mark.skipif("emulated" in ABSENT, reason=ABSENT.get("emulated", ""))
def test_emulated_kernels_tell_how_they_are_launched() -> None:
    code = """
import os, torch
torch.ops.load_library(os.environ["DARKPOSE_EMULATED"])
torch.ops.dark_emulated.encode(torch.zeros(5, 17, 2), torch.ones(5, 17), 64, 48, 2.0)
"""
    environment = {**os.environ, "DARK_EMULATED_BLOCKS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    (launch,) = re.findall(emulated_lines.LAUNCH, done.stderr)
    blocks, threads, shared = map(int, launch)
    assert blocks == 5 * 17
    assert threads % 32 == 0
    assert shared == (64 + 48) * 4  # both factors of a target
