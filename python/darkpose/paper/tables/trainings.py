# SPDX-License-Identifier: Apache-2.0
"""Which configuration trains the network of a row: a recipe of the paper's, or one base for all."""

import logging
from collections.abc import Mapping
from fnmatch import filter as matching
from pathlib import Path
from typing import Any, Literal

from darkpose.codec import released_sigma
from darkpose.paper.recipes import recipes
from darkpose.paper.tables.rows import REPRESENTATIONS, Row
from darkpose.train.trainer import Recipe, training_parser

Preset = Literal["paper", "small"]
_logger = logging.getLogger(__name__)


def configured(
    row: Row, dataset: str, preset: Preset, options: Mapping[str, Any]
) -> tuple[Recipe, dict[str, Any]]:
    """Return the configuration of a row's training, and what to change in it: last, `options`.

    On coco and mpii the paper's preset has a recipe for each training, found by its name; one that
    is not there is made from another recipe of its network. Otherwise there is one configuration,
    in which network, input size and representation are changed.

    Raises:
        ValueError: there is no recipe for its network, or no such data set.
    """
    if dataset in ("coco", "mpii") and preset == "paper":
        name = _nearest(row, dataset)
        if name == f"{dataset}/{row.training}.yaml":
            return _parsed(recipes()[name]), dict(options)
        _logger.info("%s has no recipe of its own: made from %s", row.training, name)
        base = recipes()[name]
    elif dataset in ("coco", "mpii"):
        base = recipes()[f"{dataset}/hrnet_w32_256_dark.yaml"]
        options = {"model.init": None, **options}
    elif dataset == "lspet":
        base = recipes()["lspet.yaml"]
    elif Path(dataset).is_file():
        base = dataset
    else:
        raise ValueError(f"dataset must be coco, mpii, lspet or a YAML file, got {dataset}")
    recipe = _parsed(base)
    changes = _changes(row, square=recipe.config.data.data_format == "mpii")
    return recipe, {**changes, **options}


def _nearest(row: Row, dataset: str) -> str:
    """Return a training's recipe, or that with most in common: DARK's, without extra data."""
    known = [Path(name).stem for name in recipes() if name.startswith(f"{dataset}/")]
    network, size = row.network, f"{row.network}_{row.height}"
    for pattern in (row.training, f"{size}_dark", f"{size}_*", f"{network}_*_dark", f"{network}_*"):
        if alike := matching(known, pattern):
            return f"{dataset}/{min(alike, key=len)}.yaml"
    raise ValueError(f"there is no recipe for {network}: there are {', '.join(known)}")


def _parsed(config: str) -> Recipe:
    parser = training_parser()
    return Recipe(parser, parser.parse_args(["--config", config]))


def _changes(row: Row, square: bool) -> dict[str, Any]:
    """Return what makes a base's network that of a training; what hangs on it is set anew."""
    size = (row.height if square else row.height * 3 // 4, row.height)
    convention, encoding, _ = REPRESENTATIONS[row.representation]
    regresses = encoding in ("dsnt", "ipr")
    return {
        "model.network": row.network,
        "model.decoders": None,
        "codec.input_size": size,
        "codec.heatmap_size": None,
        "codec.sigma": 1.0 if regresses else released_sigma(size),  # DSNT's own is 1 pixel
        "codec.modulation": None,
        "codec.convention": convention,
        "codec.encoding": encoding,
    }
