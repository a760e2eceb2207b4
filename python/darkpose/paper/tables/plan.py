# SPDX-License-Identifier: Apache-2.0
"""Which configuration trains a cell of a table: a recipe of the paper's, or one base for all."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import filter as matching
from pathlib import Path
from typing import Any

from darkpose.codec import released_sigma
from darkpose.paper.recipes import recipes
from darkpose.paper.tables.paper import REPRESENTATIONS
from darkpose.paper.tables.rows import Training
from darkpose.train.trainer import Recipe, training_parser

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How the networks of a table are trained.

    Either `dataset` has a recipe for each training, found by its name; one that is not there is
    made from another recipe of its network. Or `base` is one configuration, a file or YAML itself,
    in which network, input size and representation are changed.
    """

    dataset: str | None = None
    base: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further changes to every training, such as `{"trainer.precision": "bf16-mixed"}`."""

    def recipe(self, training: Training) -> tuple[Recipe, dict[str, Any]]:
        """Return a training's configuration, and what to change in it.

        Raises:
            ValueError: there is no recipe for its network.
        """
        own = recipes().get(f"{self.dataset}/{training.name}.yaml")
        if own is not None:
            return _parsed(own), dict(self.options)
        recipe = _parsed(self.base or self._nearest(training))
        changes = _changes(training, square=recipe.config.data.data_format == "mpii")
        return recipe, {**changes, **self.options}

    def _nearest(self, training: Training) -> str:
        """Return the recipe with most in common: DARK's before others, without extra data."""
        known = [Path(name).stem for name in recipes() if name.startswith(f"{self.dataset}/")]
        network, size = training.network, f"{training.network}_{training.height}"
        for pattern in (f"{size}_dark", f"{size}_*", f"{network}_*_dark", f"{network}_*"):
            if alike := matching(known, pattern):
                name = f"{self.dataset}/{min(alike, key=len)}.yaml"
                _logger.info("%s has no recipe of its own: made from %s", training.name, name)
                return recipes()[name]
        raise ValueError(f"there is no recipe for {network}: there are {', '.join(known)}")


def _parsed(config: str) -> Recipe:
    parser = training_parser()
    return Recipe(parser, parser.parse_args(["--config", config]))


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
