# SPDX-License-Identifier: Apache-2.0
"""Encoding x decoding, the paper's Tables 1 to 3: each network decoded in every way.

Networks that differ in their encoding alone start from the same weights and see the same crops in
the same order, and each is decoded in every way from the same heatmaps, so that a difference
between two cells is one of coordinate representation and of nothing else.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from darkpose.evaluate import markdown
from darkpose.evaluate.metrics.pck import THRESHOLDS
from darkpose.paper.runs import Reading, Run, publish, run_all
from darkpose.paper.tables.figures import COCO_COLUMNS, PAPER_DECODERS
from darkpose.train.trainer import Recipe

ENCODINGS = ("biased", "unbiased")
"""The paper's, in the order in which it improves them."""


def ablation(recipe: Recipe, out: Path, seeds: Sequence[int]) -> None:
    """Train both encodings with each seed, and write `ablation.md` of what each decoder finds."""
    publish(out / "ablation.md", ablation_text(by_encoding(recipe, out, ENCODINGS, seeds)))


def by_encoding(
    recipe: Recipe, out: Path, encodings: Sequence[str], seeds: Sequence[int]
) -> dict[str, list[Run]]:
    """Return the runs of each encoding, those that `out` lacks trained."""
    wanted = {encoding: (recipe, {"codec.encoding": encoding}) for encoding in encodings}
    return run_all(out, wanted, seeds)


def ablation_text(runs: Mapping[str, Sequence[Run]]) -> str:
    """Return tables of AP, of PCK, and of the gain from each decoder to the next, as Markdown."""
    shares = [f"PCK@{threshold:g}" for threshold in THRESHOLDS]
    parts = [
        markdown.table(*cells(runs, columns, PAPER_DECODERS)) for columns in (COCO_COLUMNS, shares)
    ]
    for threshold in THRESHOLDS[:3]:
        rows = []
        for encoding, found in runs.items():
            for before, after in pairwise(PAPER_DECODERS):
                d = Reading(found, after).gain(Reading(found, before), threshold)
                interval = f"{100 * d.low:+.2f} to {100 * d.high:+.2f}"
                gain = [f"{100 * d.mean:+.2f}", interval, f"{d.p:.3f}"]
                rows.append([encoding, before, after, *gain])
        gain_in = f"gain in PCK@{threshold:g}"
        head = ["encoding", "from", "to", gain_in, "95 % interval", "p"]
        parts.append(markdown.table(head, rows))
    return "\n\n".join(parts)


def cells(
    runs: Mapping[str, Sequence[Run]], columns: Sequence[str], decoders: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of encoding x decoding, figures in percent."""
    rows = [
        [encoding, decoder, *map(Reading(found, decoder).cell, columns)]
        for encoding, found in runs.items()
        for decoder in decoders
    ]
    return ["encoding", "decoding", *columns], rows
