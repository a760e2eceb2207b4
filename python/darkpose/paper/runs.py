# SPDX-License-Identifier: Apache-2.0
"""Trained and evaluated networks as folders: made once, found again, continued if interrupted.

An ablation or a table is many trainings. Each writes what it found into its folder when it has
ended, so that the whole can be interrupted anywhere and asked for again.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from darkpose.evaluate.evaluation import People, Predictions, predictions
from darkpose.files import write_text
from darkpose.train.trainer import Recipe

State = Literal["missing", "interrupted", "finished"]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One trained network, decoded in every way its encoding has."""

    name: str  # of what was varied
    seed: int
    seconds: float  # of training, the last part of it if it was interrupted
    predictions: dict[str, Predictions]  # by decoder
    figures: dict[str, dict[str, float]]  # by decoder: AP, ..., PCK@0.02, ...


class Runs:
    """The runs of one folder, trained as they are asked for."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._people: dict[str, People] = {}  # whom the runs of a name are evaluated on

    def state(self, recipe: Recipe, name: str, changes: Mapping[str, Any], seed: int) -> State:
        """Return what `get` will find.

        Raises:
            FileExistsError: the run's folder holds one with other settings, or anything else.
        """
        folder = self.out / f"{name}-{seed}"
        if not folder.exists():
            return "missing"
        config = folder / "config.yaml"
        if not config.exists() or recipe.reread(config) != recipe.settings(changes, seed):
            raise FileExistsError(
                f"{folder} must not exist or must hold a run with the same settings, "
                "but it holds something else: remove it, or name another --out"
            )
        if (folder / "run.json").exists():
            return "finished"
        return "interrupted" if (folder / "checkpoints" / "last.ckpt").exists() else "missing"

    def get(self, recipe: Recipe, name: str, changes: Mapping[str, Any], seed: int) -> Run:
        """Return the run `name` of a recipe with some options changed, trained if it is missing.

        One that was interrupted goes on from its last checkpoint.

        Raises:
            FileExistsError: the run's folder holds one with other settings, or anything else.
        """
        folder = self.out / f"{name}-{seed}"
        state = self.state(recipe, name, changes, seed)
        if state != "finished":
            checkpoint = folder / "checkpoints" / "last.ckpt"
            self._train(recipe, name, changes, seed, checkpoint if state == "interrupted" else None)
        if name not in self._people:
            self._people[name] = People.of(recipe(changes, seed, folder)[1].people.val_set)
        return load_run(folder, self._people[name])

    def _train(
        self,
        recipe: Recipe,
        name: str,
        changes: Mapping[str, Any],
        seed: int,
        checkpoint: Path | None,
    ) -> None:
        folder = self.out / f"{name}-{seed}"
        task, data, trainer = recipe(changes, seed, folder)
        data.setup("fit")  # what is wrong is found before anything is written
        if checkpoint is None:
            task.initialize()
        began = time.perf_counter()
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
            # Last, as it marks the end.
            write_text(folder / "run.json", json.dumps(summary, indent=2))
        trainer.strategy.barrier()
        self._people[name] = People.of(data.people.val_set)
        said = [f"{figure} {value:.3f}" for figure, value in figures[task.decoders[-1]].items()]
        _logger.info("%s, seed %d: %s in %.0f s", name, seed, "".join(said[:1]), seconds)


def load_run(folder: Path, people: People) -> Run:
    """Return a run that has been written; `people` are those it was evaluated on."""
    summary = json.loads((folder / "run.json").read_text())
    with np.load(folder / "predictions.npz") as arrays:
        found = {
            name: predictions(
                people, arrays["rows"], arrays[f"points_{name}"], arrays[f"scores_{name}"]
            )
            for name in summary["figures"]
        }
    return Run(predictions=found, **summary)


def mean_and_spread(runs: Sequence[Run], decoder: str, column: str) -> tuple[float, float | None]:
    """Return a figure's mean over runs in percent, and the standard deviation of several."""
    values = [100 * run.figures[decoder][column] for run in runs]
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
