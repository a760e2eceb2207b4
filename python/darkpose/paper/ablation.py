# SPDX-License-Identifier: Apache-2.0
"""Encoding x decoding, the paper's Tables 1 to 3: each network decoded in every way.

Networks that differ in their encoding alone start from the same weights and see the same crops in
the same order, and each is decoded in every way from the same heatmaps, so that a difference
between two cells is one of coordinate representation and of nothing else.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from darkpose.evaluate.markdown import table
from darkpose.evaluate.metrics import bootstrap_difference
from darkpose.evaluate.metrics.pck import THRESHOLDS
from darkpose.paper.runs import Run, Runs, mean_and_spread
from darkpose.train.trainer import Recipe

DECODERS = ("argmax", "standard", "dark_unmodulated", "dark")


def ablation(
    recipe: Recipe, out: Path, encodings: Sequence[str], seeds: Sequence[int]
) -> list[Run]:
    """Train and evaluate every (encoding, seed) that `out` does not hold yet; return them all."""
    runs = Runs(out)
    return [
        runs.get(recipe, encoding, {"codec.encoding": encoding}, seed)
        for seed in seeds
        for encoding in encodings
    ]


def report(runs: Sequence[Run]) -> str:
    """Return tables of AP, of PCK, and of the gain from each decoder to the next, as Markdown."""
    steps = tuple(zip(DECODERS, DECODERS[1:], strict=False))
    return "\n\n".join(
        [
            markdown_table(runs, ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")),
            markdown_table(runs, [f"PCK@{threshold:g}" for threshold in THRESHOLDS]),
            *(comparison_table(runs, steps, threshold) for threshold in THRESHOLDS[:3]),
        ]
    )


def markdown_table(
    runs: Sequence[Run], columns: Sequence[str], decoders: Sequence[str] = DECODERS
) -> str:
    """Return encoding x decoding as Markdown: means over seeds ± their standard deviation."""
    rows = []
    for encoding in dict.fromkeys(run.name for run in runs):
        for decoder in decoders:
            cells = [_cell(runs, encoding, decoder, column) for column in columns]
            rows.append([encoding, decoder, *cells])
    return table(["encoding", "decoding", *columns], rows)


def _cell(runs: Sequence[Run], encoding: str, decoder: str, column: str) -> str:
    mean, spread = mean_and_spread([run for run in runs if run.name == encoding], decoder, column)
    return f"{mean:.1f}" if spread is None else f"{mean:.1f} ±{spread:.1f}"


def comparison_table(
    runs: Sequence[Run], pairs: Sequence[tuple[str, str]], threshold: float
) -> str:
    """Return, as Markdown, the gain in PCK from one decoder to another, paired over people.

    A person's figure is the mean over seeds; the interval is a bootstrap over people.
    """
    rows = []
    for encoding in dict.fromkeys(run.name for run in runs):
        for before, after in pairs:
            a, b = (_per_person(runs, encoding, name, threshold) for name in (before, after))
            d = bootstrap_difference(b, a)
            interval = f"{100 * d.low:+.2f} to {100 * d.high:+.2f}"
            rows.append([encoding, before, after, f"{100 * d.mean:+.2f}", interval, f"{d.p:.3f}"])
    gain = f"gain in PCK@{threshold:g}"
    return table(["encoding", "from", "to", gain, "95 % interval", "p"], rows)


def _per_person(
    runs: Sequence[Run], encoding: str, decoder: str, threshold: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    shares = [
        run.predictions[decoder].pck_per_person(threshold) for run in runs if run.name == encoding
    ]
    return np.mean(shares, axis=0)
