# SPDX-License-Identifier: Apache-2.0
"""How often a warp goes round each loop of the CUDA kernels, for `instructions.py`.

A loop is known by a part of its source line. Where the compiler made several loops of one line, a
list has a count for each, in the order of the SASS: 0 for one that these maps do not need, which,
at the end of a list, may as well not be there. It unrolls by 4 what has no other number of its own,
and takes the rest before or after that.

For maps of 17 x 64 x 48 and 11 taps, by lanes that find their share as the kernels do. A loop that
only some of a block's warps go round has the mean of all warps.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

Counts: TypeAlias = dict[str, float | Sequence[float]]

JOINTS, HEIGHT, WIDTH, TAPS, STENCIL = 17, 64, 48, 11, 5
WARP, VECTOR = 32, 16
# The share of the warps' passes in which an `if` (its line) lets the following be done.
Shares: TypeAlias = dict[str, float]


def turns(items: int, threads: int) -> float:
    """Return how often a warp takes one of `items` a lane, `threads` apart: the mean of warps."""
    warps = range(0, threads, WARP)
    return sum(max(0, math.ceil((items - first) / threads)) for first in warps) / len(warps)


def reduced(warps: int) -> list[int]:
    """Return the turns of team_reduce's three loops: 16 results at once, 4 and 1."""
    others = warps - 1
    fours, rest = others - others % 4, others % 4
    sixteens = 0
    while fours > 12:
        sixteens, fours = sixteens + 1, fours - 16
    if fours > 4:  # 8 at once, without a loop
        fours -= 8
    return [sixteens, fours // 4, rest]


def trips(kernel: str, threads: int, element: int) -> tuple[Counts, Shares]:
    """Return the loops of a kernel and its conditions that need a word.

    `kernel` is its name with template arguments, `threads` those of a block, `element` the bytes
    of a value of the maps.
    """
    name = kernel.partition("<")[0]
    vectors = HEIGHT * WIDTH * element // VECTOR
    if name == "decode_kernel":
        in_flight = 4 if "partner 0" in kernel else 2
        key = "first < vectors; first += kInFlight * team.size"
        return {key: turns(vectors, WARP) / in_flight, **window()}, {}
    if name == "modulate_kernel":
        return modulate(threads, vectors), {}
    if name in ("encode_kernel", "heatmap_mse_kernel", "heatmap_mse_backward_kernel"):
        return whole_maps(name, threads, vectors)
    if name in (
        "decode_channels_last_kernel",
        "heatmap_mse_rows_kernel",
        "heatmap_mse_backward_rows_kernel",
    ):
        return channels_last(name, threads, element), {}
    return {}, {}


def window() -> Counts:
    """Return the loops of window.cuh, by a warp."""
    return {
        "i < kStencil * side": math.ceil(STENCIL * (STENCIL + TAPS - 1) / WARP),
        "for (int t = begin; t < end; ++t)": TAPS // 4,
        "i < kStencil * kStencil": 1,
        "for (int t = 0; t < a.taps_count; ++t)": TAPS // 4,
    }


def modulate(threads: int, vectors: int) -> Counts:
    """Return the loops of modulate.cu and modulate_tile.cuh."""
    run, reach = 8, TAPS // 2
    pairs = (TAPS - 1) // 2 / 4  # 4 pairs of taps at once, left in their middle
    return {
        "first < vectors.count; first += kInFlight": turns(vectors, threads) / 2,
        "Walk p(whole_block(), 2 * reach + 1)": turns((2 * reach + 1) * HEIGHT, threads),
        "Walk p(whole_block(), rows_in); p.y < runs": turns(HEIGHT * WIDTH // run, threads),
        "t < a.taps_count; t += 2": [pairs, pairs],
        "p.y < count - rows_in": turns(2 * reach * WIDTH, threads),
        "Walk p(whole_block(), columns); p.y < runs": turns(WIDTH * HEIGHT // run, threads),
        "warp < team.size / kWarp": reduced(threads // WARP),
        "i < vectors.count; i += block.size": turns(vectors, threads),
    }


def whole_maps(name: str, threads: int, vectors: int) -> tuple[Counts, Shares]:
    """Return the loops of for_each_vector, in factors.cuh."""
    in_flight = 4
    each = turns(vectors, threads)
    passes = math.ceil(each / in_flight)
    loops: Counts = {
        "top < map_height; top += tile": 1,
        "left < map_width; left += tile": 1,
        # Of rows, then of columns; the first of either is for truncated targets.
        "i < count; i += static_cast<int>(blockDim.x)": [
            *(0, turns(HEIGHT, threads)),
            *(0, turns(WIDTH, threads)),
        ],
        "while (p.y < height)": passes,
    }
    if name == "heatmap_mse_kernel":
        loops["warp < team.size / kWarp"] = reduced(threads // WARP)
    return loops, {"if (p.y >= height) continue": each / (passes * in_flight)}


def channels_last(name: str, threads: int, element: int) -> Counts:
    """Return the loops of the kernels that read a person's rows, in channels-last order."""
    at_once = WIDTH * JOINTS * element // VECTOR  # vectors of a row, read at once
    rows = threads // at_once
    lanes = [lane for lane in range(threads) if lane < rows * at_once]
    steps = [math.ceil((HEIGHT - lane // at_once) / (4 * rows)) for lane in lanes]
    of_warps = [max(steps[i : i + WARP]) for i in range(0, len(steps), WARP)]
    read = sum(of_warps) / (threads // WARP)
    joints = JOINTS / (threads // WARP)
    entries = math.ceil(rows * WIDTH / WARP)
    first: Counts = {"first < s.vectors; first += s.at_once": 1}
    if name == "decode_channels_last_kernel":
        return {
            **first,
            "first < s.height; first += kInFlight": read,
            # Once for the first part of a row, which is the whole, and once for others.
            "joint < s.joints; joint += block.size / kWarp": [joints, 0],
            "i < s.rows * count; i += kWarp": [entries // 4, 0],
            "joint < s.joints; joint += teams": joints,
            **window(),
        }
    targets: Counts = {
        **first,
        "joint < s.joints; joint += block.size)": turns(JOINTS, threads),
        # The first is for truncated targets.
        "Walk p(block, s.joints); p.y < s.height": [0, turns(JOINTS * HEIGHT, threads)],
    }
    if name == "heatmap_mse_rows_kernel":
        return {
            **targets,
            "top < s.height; top += kRowsInFlight": read,
            "joint < s.joints; joint += block.size / kWarp": [joints, 0],
            "i < s.rows * count; i += kWarp": [entries // 4, 0],
        }
    return {
        **targets,
        "top < s.height; top += kRowsInFlight": math.ceil(HEIGHT / (4 * rows)),
        "j < s.joints; j += block.size / kWarp": joints,
        "k < kRowsInFlight": 4,
        "i < s.rows * count; i += kWarp": entries // 4,
    }
