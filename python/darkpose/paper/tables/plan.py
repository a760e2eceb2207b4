# SPDX-License-Identifier: Apache-2.0
"""Which configuration trains a cell of a table: a recipe of the paper's, or one base for all."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darkpose.codec import released_sigma
from darkpose.paper.tables.paper import REPRESENTATIONS
from darkpose.paper.tables.rows import Training
from darkpose.train.trainer import Recipe, training_parser

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How the networks of a table are trained.

    Either `recipes` is a folder with a configuration for each training, found by its name; one that
    is not there is made from another recipe of its network. Or `base` is one configuration, in
    which network, input size and representation are changed.
    """

    recipes: Path | None = None
    base: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further changes to every training, such as `{"trainer.precision": "bf16-mixed"}`."""

    def recipe(self, training: Training) -> tuple[Recipe, dict[str, Any]]:
        """Return a training's configuration, and what to change in it.

        Raises:
            ValueError: there is no recipe for its network.
        """
        if self.recipes is not None and (path := self.recipes / f"{training.name}.yaml").is_file():
            return _parsed(path), dict(self.options)
        recipe = _parsed(self.base or self._nearest(training))
        changes = _changes(training, square=recipe.config.data.data_format == "mpii")
        return recipe, {**changes, **self.options}

    def _nearest(self, training: Training) -> Path:
        """Return the recipe of a training's network that has most in common with it."""
        assert self.recipes is not None
        prefixes = (f"{training.network}_{training.height}_", f"{training.network}_")
        for prefix in prefixes:
            # DARK's own before others, plain ones before those with extra data.
            found = sorted(self.recipes.glob(f"{prefix}*.yaml"), key=lambda file: len(file.stem))
            found.sort(key=lambda file: not file.stem.endswith("_dark"))
            if found:
                _logger.info("%s has no recipe of its own: made from %s", training.name, found[0])
                return found[0]
        known = ", ".join(sorted(file.stem for file in self.recipes.glob("*.yaml")))
        raise ValueError(f"there is no recipe for {training.network}: there are {known}")


def _parsed(path: Path) -> Recipe:
    parser = training_parser()
    return Recipe(parser, parser.parse_args(["--config", str(path)]))


def _changes(training: Training, square: bool) -> dict[str, Any]:
    """Return what makes a base's network that of a training; what hangs on it is set anew."""
    size = (training.height if square else training.height * 3 // 4, training.height)
    regresses = training.representation in ("dsnt", "ipr")
    return {
        "model.network": training.network,
        "model.decoders": None,
        "codec.input_size": size,
        "codec.heatmap_size": None,
        "codec.sigma": 1.0 if regresses else released_sigma(size),  # DSNT's own is 1 pixel
        "codec.modulation": None,
        **REPRESENTATIONS[training.representation],
    }
