# SPDX-License-Identifier: Apache-2.0
"""Which share of a GPU's copy bandwidth each op should reach, at the least.

On an H100 and maps that lie one after the other, what the kernels were built for. An H200 has the
same multiprocessors and more bandwidth, and channels-last maps take more instructions: there the
goal is a part of what the kernels' instructions allow, which `instructions.py` counts. A kernel
whose instructions take longer than its bytes reaches the share by which they do.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks import floors
from benchmarks.cases import Case
from benchmarks.harness import RESULTS

COUNTS = RESULTS / "instructions.json"
H100 = {"decode": 0.85, "flip_decode": 0.85, "modulate": 0.6, "heatmap_mse": 0.85}  # of copy
ENCODE = 0.9  # of full's bandwidth
OF_ALLOWED = 0.9
# Warp instructions a second: 132 multiprocessors at 1.755 GHz, of the 4 that each can issue in a
# clock the 2.5 that code full of loads and dependent steps gets.
ISSUED = 132 * 1.755e9 * 2.5

Key = tuple[str, str, str]
"""op, dtype, layout."""
Counts = dict[Key, tuple[float, float]]
"""Warp instructions and bytes of a map."""


def recorded(path: Path = COUNTS) -> dict[str, float]:
    """Return the warp instructions that `instructions.py` recorded last, by case; or nothing."""
    if not path.exists():
        return {}
    *_, last = json.loads(path.read_text()).values()
    return dict(last["counts"])


def counted(path: Path = COUNTS) -> Counts:
    """Return the warp instructions and bytes of a map, of the cases that read or write maps.

    They are named as in "decode with flip test bfloat16 channels-last".
    """
    counts = recorded(path).items()
    return dict(_case(name, count) for name, count in counts if not name.startswith("crop"))


def _case(name: str, instructions: float) -> tuple[Key, tuple[float, float]]:
    name, is_last, _ = name.partition(" channels-last")
    op, _, dtype = name.rpartition(" ")
    case = Case({"decode with flip test": "flip_decode"}.get(op, op), dtype=dtype)
    moved = floors.work(case)
    layout = "channels_last" if is_last else "contiguous"
    return (case.op, dtype, layout), (instructions, (moved.read + moved.written) / case.maps)


def allowed(instructions: float, moved: float, copy_rate: float) -> float:
    """Return the share of a copy's bytes a second, from what is done and moved for a map."""
    return min(1.0, (moved / copy_rate) / (instructions / ISSUED))


def goals(gpu: str, copy_rate: float, counts: Counts) -> Iterator[tuple[Key, str, float | None]]:
    """Yield each case, whose bandwidth its goal is a share of, and the share.

    None stands for a share that only the missing counts tell.

    Args:
        gpu: the device's name, as torch gives it.
        copy_rate: bytes a second, read and written, both counted.
        counts: see `counted`.
    """
    fixed = "H200" not in gpu
    for layout in ("contiguous", "channels_last"):
        for dtype in ("float32", "bfloat16"):
            for op, share in H100.items():
                key = (op, dtype, layout)
                if fixed and layout == "contiguous":
                    yield key, "copy", share
                elif key in counts:
                    yield key, "copy", OF_ALLOWED * allowed(*counts[key], copy_rate)
                else:
                    yield key, "copy", None
    for dtype in ("float32", "bfloat16"):
        yield ("encode", dtype, "contiguous"), "full", ENCODE
