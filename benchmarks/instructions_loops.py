# SPDX-License-Identifier: Apache-2.0
"""How often a warp goes round each loop of the CUDA kernels, for `instructions.py`.

A loop is known by a part of its source line. Where the compiler made several loops of one line, a
list has a count for each, in the order of the SASS: 0 for one that these maps do not need. It
unrolls by 4 what has no other number of its own, and takes the rest before or after that.

For maps of 17 x 64 x 48 and 11 taps, by lanes that find their share as the kernels do. A loop that
only some of a block's warps go round has the mean of all warps.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

Counts: TypeAlias = dict[str, float | Sequence[float]]

JOINTS, HEIGHT, WIDTH, TAPS, STENCIL = 17, 64, 48, 11, 5
WARP, PACK, RUN = 32, 16, 8
# The share of the warps' passes in which a condition (a part of its line) lets the following be
# done; a list has one for each branch of the line, in the order of the SASS.
Shares: TypeAlias = dict[str, float | Sequence[float]]


def turns(items: int, threads: int) -> float:
    """Return how often a warp takes one of `items` a lane, `threads` apart: the mean of warps."""
    warps = range(0, threads, WARP)
    return sum(max(0, math.ceil((items - first) / threads)) for first in warps) / len(warps)


def trips(kernel: str, threads: int, element: int) -> tuple[Counts, Shares]:
    """Return the loops of a kernel and its conditions that need a word.

    `kernel` is its name with template arguments, `threads` those of a block, `element` the bytes
    of a value of the maps.
    """
    name = kernel.partition("<")[0]
    packs = HEIGHT * WIDTH * element // PACK
    if name == "crop_kernel":
        return crop("unsigned char" in kernel, element), {}
    if name == "decode_kernel":
        in_flight = 4 if "partner 0" in kernel else 2
        packs_loop = {
            # By warps, the rest of a map, and by blocks.
            "while (next + (kInFlight - 1) * step < end)": [turns(packs, WARP) / in_flight, 0],
            "while (next < end)": [0, 0],
        }
        return {**packs_loop, **refine()}, {}
    if name == "modulate_whole_kernel":
        return modulate(threads, kernel.endswith("true>")), {}
    if name in ("encode_kernel", "heatmap_mse_kernel", "heatmap_mse_backward_kernel"):
        return whole_maps(threads, element)
    return channels_last(kernel, threads, element)


def crop(gray_levels: bool, element: int) -> Counts:
    """Return the loops of crop.cu, for crops whose pixels all have their neighbors."""
    gathered = RUN // element
    return {
        **({} if gray_levels else {"i < a.channels * kLevels": 3}),
        "part < end; part += kWarps": 8,
        # A lane of gray levels gathers its whole run.
        **({} if gray_levels else {"first < kRun; first += kGathered<T>": RUN // gathered}),
        "k < kGathered<T>; ++k, next += kStep": gathered,
        "k < kGathered<T>; ++k) {": 0,  # rows that are not whole runs
        "int c = 0; c < channels; ++c) pixel[c]": 0,
    }


def refine() -> Counts:
    """Return the loops of refine.cuh, by a warp."""
    side = STENCIL + TAPS - 1
    return {
        "t < count + kBefore + kBehind": 1,
        "first < side; first += kWarp": 1,
        "turn < turns": [math.ceil(side / 2) // 4, 0],
        "pairs > 0; --pairs": TAPS // 2,
    }


def modulate(threads: int, copied: bool) -> Counts:
    """Return the loops of modulate_whole.cuh."""
    reach, run = TAPS // 2, 8
    return {
        # The copy that is made where rows are not whole packs, by four.
        **({"p.y < a.height; p.next()": turns(HEIGHT * WIDTH, threads) / 4} if copied else {}),
        "i < kReach * a.pitch; i += block.size": turns(reach * WIDTH, threads),
        "run < runs; run += block.size": turns(HEIGHT * WIDTH // run, threads),
    }


def whole_maps(threads: int, element: int) -> tuple[Counts, Shares]:
    """Return the loops of for_each_pack, in factors.cuh."""
    in_flight, of_row = 4, WIDTH * element // PACK
    rows = threads // of_row
    each = math.ceil(HEIGHT / rows)
    passes = math.ceil(each / in_flight)
    loops: Counts = {
        "top < map_height; top += kTile": 1,
        "left < map_width; left += kTile": 1,
        # Of rows, then of columns; the first of either is for truncated targets.
        "i < count; i += static_cast<int>(blockDim.x)": [
            *(0, turns(HEIGHT, threads)),
            *(0, turns(WIDTH, threads)),
        ],
        "first < height; first += kInFlight * s.rows": passes,
    }
    return loops, {"if (y >= height) continue": each / (passes * in_flight)}


def channels_last(kernel: str, threads: int, element: int) -> tuple[Counts, Shares]:
    """Return the loops of the kernels that read a person's rows, in channels-last order."""
    name = kernel.partition("<")[0]
    in_flight = 2 if kernel.endswith("true>") else 4  # with the flip test
    at_once = WIDTH * JOINTS * element // PACK  # packs of a row, read at once
    rows = threads // at_once
    lanes = [lane for lane in range(threads) if lane < rows * at_once]
    steps = [math.ceil((HEIGHT - lane // at_once) / (in_flight * rows)) for lane in lanes]
    of_warps = [max(steps[i : i + WARP]) for i in range(0, len(steps), WARP)]
    read = sum(of_warps) / (threads // WARP)
    joints = JOINTS / (threads // WARP)
    # A joint's entries of a row, 48 for 32 lanes, are two steps of the rest before the unrolled
    # loop, which is not reached. Of these branches some belong to it.
    entries = "nth < count; nth += kWarp"
    first: Counts = {"first < s.packs; first += s.at_once": 1}
    if name == "decode_channels_last_kernel":
        loops: Counts = {
            **first,
            "first < s.height; first += kInFlight": read,
            # Once for the first part of a row, which is the whole, and once for others.
            "joint < s.joints; joint += block.warps()": joints,
            "int row = 0; row < s.rows": rows,
            entries: 0,
            "joint < s.joints; joint += teams": joints,
            **refine(),
        }
        return loops, {entries: [1, 1, 0]}
    targets: Counts = {
        **first,
        "joint < s.joints; joint += block.size)": turns(JOINTS, threads),
        # The first is for truncated targets.
        "Walk p(block, s.joints); p.y < s.height": [0, turns(JOINTS * HEIGHT, threads)],
        "top < s.height; top += kRowsInFlight": read,
    }
    if name == "heatmap_mse_rows_kernel":
        loops = {
            **targets,
            # Once for further parts of a row, and once for the first, which is the whole.
            "joint < s.joints; joint += block.warps()": [0, joints],
            "int row = 0; row < s.rows": rows,
            entries: 0,
        }
        return loops, {entries: [1, 1, 1, 0, 0, 0, 0]}
    if name == "heatmap_mse_backward_rows_kernel":
        return targets, {}
    return {}, {}
