# SPDX-License-Identifier: Apache-2.0
"""Encoding x decoding, the paper's Tables 1 to 3: each network decoded in every way.

Networks that differ in their encoding alone start from the same weights and see the same crops in
the same order, and each is decoded in every way from the same heatmaps, so that a difference
between two cells is one of coordinate representation and of nothing else.
"""

import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose.codec import DECODERS
from darkpose.data.dataset import KeypointDataset
from darkpose.evaluation import Predictions
from darkpose.metrics import bootstrap_difference
from darkpose.metrics.pck import THRESHOLDS
from darkpose.training import Recipe

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One trained network, decoded in every way."""

    encoding: str
    seed: int
    seconds: float  # of training
    predictions: dict[str, Predictions]  # by decoder
    figures: dict[str, dict[str, float]]  # by decoder: AP, ..., PCK@0.02, ...


def ablation(
    recipe: Recipe, out: Path, encodings: Sequence[str], seeds: Sequence[int]
) -> list[Run]:
    """Train and evaluate every (encoding, seed) that `out` does not hold yet; return them all.

    A run that was interrupted begins anew.

    Raises:
        FileExistsError: a run's folder holds one with other settings, or anything else.
    """
    runs: list[Run] = []
    dataset: KeypointDataset | None = None  # no run's seed or encoding changes it
    for seed in seeds:
        for encoding in encodings:
            folder = out / f"{encoding}-{seed}"
            if not _holds_run(folder, recipe.settings(encoding, seed)):
                dataset = _train(recipe, encoding, seed, folder)
            elif dataset is None:
                dataset = recipe(encoding, seed, folder)[1].val_set
            runs.append(load_run(folder, dataset))
            best = runs[-1].figures["dark"]
            _logger.info("%s, seed %d: AP %.3f with dark", encoding, seed, best["AP"])
    return runs


def _holds_run(folder: Path, settings: str) -> bool:
    """Return whether a folder holds a finished run with these settings."""
    if not folder.exists():
        return False
    config = folder / "config.yaml"
    if not config.exists() or config.read_text() != settings:
        raise FileExistsError(
            f"{folder} must not exist or must hold a run with the same settings, "
            "but it holds something else: remove it, or name another --out"
        )
    return (folder / "run.json").exists()


def _train(recipe: Recipe, encoding: str, seed: int, folder: Path) -> KeypointDataset:
    """Write one run; return what it was evaluated on."""
    task, data, trainer = recipe(encoding, seed, folder)
    data.setup("fit")  # what is wrong with the data is found before anything is removed or written
    if trainer.is_global_zero:
        shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    trainer.fit(task, datamodule=data)
    seconds = time.perf_counter() - began
    task.decoders = DECODERS
    trainer.validate(task, datamodule=data, verbose=False)
    assert task.evaluation is not None
    arrays: dict[str, NDArray[Any]] = {"rows": task.evaluation.rows}
    figures = {}
    for decoder in DECODERS:
        found = task.evaluation.predictions(decoder)
        arrays[f"points_{decoder}"], arrays[f"scores_{decoder}"] = found.points, found.scores
        figures[decoder] = task.evaluation.figures(decoder)
    np.savez(folder / "predictions.npz", allow_pickle=False, **arrays)
    summary = {"encoding": encoding, "seed": seed, "seconds": seconds, "figures": figures}
    (folder / "run.json").write_text(json.dumps(summary, indent=2) + "\n")  # last: marks the end
    return data.val_set


def load_run(folder: Path, dataset: KeypointDataset) -> Run:
    """Return a run that has been written; `dataset` is what it was evaluated on."""
    summary = json.loads((folder / "run.json").read_text())
    with np.load(folder / "predictions.npz") as arrays:
        records = [dataset.records[i] for i in arrays["rows"]]
        predictions: dict[str, Predictions] = {
            decoder: Predictions(records, arrays[f"points_{decoder}"], arrays[f"scores_{decoder}"])
            for decoder in DECODERS
        }
    return Run(predictions=predictions, **summary)


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
    lines = [
        "| encoding | decoding | " + " | ".join(columns) + " |",
        "| --- " * (len(columns) + 2) + "|",
    ]
    for encoding in dict.fromkeys(run.encoding for run in runs):
        for decoder in decoders:
            cells = [_cell(runs, encoding, decoder, column) for column in columns]
            lines.append(f"| {encoding} | {decoder} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(runs: Sequence[Run], encoding: str, decoder: str, column: str) -> str:
    values = [run.figures[decoder][column] for run in runs if run.encoding == encoding]
    spread = f" ±{100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def comparison_table(
    runs: Sequence[Run], pairs: Sequence[tuple[str, str]], threshold: float
) -> str:
    """Return, as Markdown, the gain in PCK from one decoder to another, paired over people.

    A person's figure is the mean over seeds; the interval is a bootstrap over people.
    """
    lines = [
        f"| encoding | from | to | gain in PCK@{threshold:g} | 95 % interval | p |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for encoding in dict.fromkeys(run.encoding for run in runs):
        for before, after in pairs:
            a, b = (_per_person(runs, encoding, name, threshold) for name in (before, after))
            d = bootstrap_difference(b, a)
            lines.append(
                f"| {encoding} | {before} | {after} | {100 * d.mean:+.2f} | "
                f"{100 * d.low:+.2f} to {100 * d.high:+.2f} | {d.p:.3f} |"
            )
    return "\n".join(lines)


def _per_person(
    runs: Sequence[Run], encoding: str, decoder: str, threshold: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    shares = [
        run.predictions[decoder].pck_per_person(threshold)
        for run in runs
        if run.encoding == encoding
    ]
    return np.mean(shares, axis=0)
