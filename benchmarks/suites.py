# SPDX-License-Identifier: Apache-2.0
"""Which cases and peers the suites `bench_*.py` go through."""

import os
from collections.abc import Callable
from dataclasses import replace

from benchmarks.cases import REAL, Case, names, real

BATCHES = (1, 32, 512)
DTYPES = ("float32", "float16", "bfloat16")
LAYOUTS = ("contiguous", "channels_last")

Measure = Callable[[Case, str], None]
"""Times one of a case's functions: the suites' fixture."""


def suite(op: str) -> list[tuple[Case, str]]:
    """Return every case of an op with who is timed on it; a case's rows stand together.

    The op meets every size, type and layout; peers meet the sizes of `BATCHES` in float32.
    """
    main = [Case(op, batch) for batch in BATCHES]
    others = [Case(op, 32, 17, 96, 72), Case(op, 32, 17, 32, 24), Case(op, 32, 133)]
    rows = [(case, who) for case in main for who in [*MEMORY[op], *names(op)]]
    rows += [(case, who) for case in others for who in [*MEMORY[op], "this"]]
    layouts = LAYOUTS[:1] if op == "encode" else LAYOUTS  # its maps are always contiguous
    for case in main + others:
        rows += [
            (replace(case, dtype=dtype, layout=layout), "this")
            for dtype in DTYPES
            for layout in layouts
            if (dtype, layout) != ("float32", "contiguous")
        ]
    if op in ("decode", "modulate") and os.environ.get("DARKPOSE_DATA"):
        rows += [(real(op, name), who) for name in REAL for who in ("amax", "this", "NumPy loop")]
    return [(case, who) for case, who in rows if who in names(op) or who in MEMORY[op]]


MEMORY = {
    "decode": ("amax",),
    "flip_decode": ("amax",),
    "decode_peaks": ("amax",),
    "modulate": ("copy",),
    "encode": ("full",),
    "heatmap_mse": ("amax", "copy"),
    "heatmap_mse_forward": ("amax",),
}
