# SPDX-License-Identifier: Apache-2.0
"""Runs that differ in some options: each trained once, into a folder of its own, found again there.

An ablation or a table is many trainings. Each writes what it found into its folder when it has
ended, so that the whole can be interrupted anywhere and asked for again.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from numpy.typing import NDArray

from darkpose.console import say
from darkpose.evaluate.metrics import Difference, bootstrap_difference
from darkpose.evaluate.predictions import Predictions, Subjects
from darkpose.files import write_text
from darkpose.train.lock import run_folder
from darkpose.train.trainer import Recipe

Changes = Mapping[str, Any]
"""Options that make a run another than its recipe, such as {"codec.encoding": "biased"}."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One trained network, decoded in every way its encoding has."""

    name: str  # of what was varied
    seed: int
    seconds: float  # of training, the last part of it if it was interrupted
    predictions: dict[str, Predictions]  # by decoder
    figures: dict[str, dict[str, float]]  # by decoder: AP, ..., PCK@0.02, ...


def run_all(
    out: Path, wanted: Mapping[str, tuple[Recipe, Changes]], seeds: Sequence[int]
) -> dict[str, list[Run]]:
    """Return the runs of each name, one per seed, trained if `out` does not hold them.

    A seed is done for all names before the next begins; what was interrupted goes on from its last
    checkpoint.

    Raises:
        FileExistsError: a run's folder holds one with other settings, or anything else. This is
            found before anything is trained.
    """
    for seed in seeds:
        for name, (recipe, changes) in wanted.items():
            _check_folder(out / f"{name}-{seed}", recipe, changes, seed)
    people: dict[str, Subjects] = {}  # whom the runs of a name are evaluated on
    runs: dict[str, list[Run]] = {name: [] for name in wanted}
    for seed in seeds:
        for name, (recipe, changes) in wanted.items():
            folder = out / f"{name}-{seed}"
            if not (folder / "run.json").exists():
                people[name] = _train(folder, name, recipe, changes, seed)
            elif name not in people:
                people[name] = Subjects.of(recipe(changes, seed, folder)[1].people.val_set)
            runs[name].append(_load(folder, people[name]))
    return runs


def _check_folder(folder: Path, recipe: Recipe, changes: Changes, seed: int) -> None:
    config = folder / "config.yaml"
    if folder.exists() and not (
        config.exists() and recipe.reread(config) == recipe.settings(changes, seed)
    ):
        raise FileExistsError(
            f"{folder} must not exist or must hold a run with the same settings, "
            "but it holds something else: remove it, or name another --out"
        )


def _train(folder: Path, name: str, recipe: Recipe, changes: Changes, seed: int) -> Subjects:
    """Train and evaluate a run, write what it found, and return whom it was evaluated on."""
    task, data, trainer = recipe(changes, seed, folder)
    data.setup("fit")  # what is wrong is found before anything is written
    last = folder / "checkpoints" / "last.ckpt"
    checkpoint = last if last.exists() else None
    if checkpoint is None:
        task.initialize()
    began = time.perf_counter()
    with run_folder(folder, trainer):
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    seconds = time.perf_counter() - began
    task.decoders = task.model.codec.decoders
    trainer.validate(task, datamodule=data, verbose=False)
    assert task.evaluation is not None
    arrays: dict[str, NDArray[Any]] = {"rows": task.evaluation.rows}
    figures = {}
    for decoder in task.decoders:
        found = task.evaluation.predictions(decoder)
        arrays[f"points_{decoder}"], arrays[f"scores_{decoder}"] = found.points, found.scores
        figures[decoder] = task.evaluation.figures(decoder)
    if trainer.is_global_zero:
        np.savez(folder / "predictions.npz", allow_pickle=False, **arrays)
        summary = {"name": name, "seed": seed, "seconds": seconds, "figures": figures}
        write_text(folder / "run.json", json.dumps(summary, indent=2))  # last: it marks the end
    trainer.strategy.barrier()
    said = [f"{figure} {value:.3f}" for figure, value in figures[task.decoders[-1]].items()]
    _logger.info("%s, seed %d: %s in %.0f s", name, seed, "".join(said[:1]), seconds)
    return Subjects.of(data.people.val_set)


def _load(folder: Path, people: Subjects) -> Run:
    summary = json.loads((folder / "run.json").read_text())
    with np.load(folder / "predictions.npz") as arrays:
        there = people.at(arrays["rows"].tolist())
        found = {
            name: Predictions(there, arrays[f"points_{name}"], arrays[f"scores_{name}"])
            for name in summary["figures"]
        }
    return Run(predictions=found, **summary)


@dataclass(frozen=True)
class Reading:
    """A network's runs, one per seed, read by one decoder: what a row of a table is about."""

    runs: Sequence[Run]
    decoder: str

    def percent(self, figure: str) -> list[float]:
        """Return a figure of each run."""
        return [100 * run.figures[self.decoder][figure] for run in self.runs]

    def mean_and_spread(self, figure: str) -> tuple[float, float]:
        """Return a figure's mean in percent and the deviation of several runs, NaN of one."""
        values = self.percent(figure)
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else np.nan

    def cell(self, figure: str) -> str:
        """Return a figure's mean in percent ± its standard deviation."""
        mean, spread = self.mean_and_spread(figure)
        return one_decimal(mean) if np.isnan(spread) else f"{mean:.1f} ±{spread:.1f}"

    def gain(self, before: "Reading", threshold: float) -> Difference:
        """Return what this one's PCK is above that of `before`, by a bootstrap over people.

        Paired over people, a person's figure being the mean over seeds: the interval knows nothing
        of how much another seed would change. Conventions may drop different people by their boxes:
        those whom both have are compared.
        """
        ours, theirs = self._per_person(threshold), before._per_person(threshold)
        both = [person for person in ours if person in theirs]
        return bootstrap_difference([ours[one] for one in both], [theirs[one] for one in both])

    def _per_person(self, threshold: float) -> dict[int, float]:
        """Return the share of a person's joints nearer than `threshold`, mean over seeds.

        By annotation; of those with labeled joints, whom detected people are not among.
        """
        found = [run.predictions[self.decoder] for run in self.runs]
        shares = np.mean([one.pck_per_person(threshold) for one in found], axis=0)
        labeled = np.flatnonzero(np.isfinite(shares)).tolist()
        return {found[0].records[i].annotation_id: float(shares[i]) for i in labeled}


def one_decimal(value: float) -> str:
    """Return a figure as a table has it, or that there is none.

    >>> one_decimal(68.41), one_decimal(float("nan"))
    ('68.4', '-')
    """
    return "-" if np.isnan(value) else f"{value:.1f}"


@rank_zero_only
def publish(path: Path, text: str) -> None:
    """Write a table and print it, once where there are several processes."""
    write_text(path, text)
    say(text)
