# SPDX-License-Identifier: Apache-2.0
"""The families of pose networks that Hugging Face's transformers has, and their configurations.

A configuration is of plain values, as checkpoints carry it. Nothing in it is looked up by a name
that a file could choose, and nothing is downloaded.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Literal

from darkpose.values import printable, shown

EXPERTS = ("coco", "aic", "mpii", "ap10k", "apt36k", "coco_wholebody")
"""Of ViTPose+ in the order of its `dataset_index`, by the data sets they were trained on.

Source: transformers' documentation of ViTPose, "Notes".
"""


@dataclass(frozen=True)
class Family:
    """A family of models, and what no file says of them, but the code that trained them."""

    title: str
    network: str
    """transformers' class."""
    configuration: str
    """Its configuration's class."""
    parts: Mapping[str, str]
    """The modules that its stages are, by our names."""
    joint_layer: str
    """The layer whose size is the number of joints."""
    subconfigurations: Mapping[str, tuple[str, str]]
    """Of configurations inside: the class and its `model_type`."""
    sigma: float | None
    """Of its training's targets, in heatmap pixels; None: the image processor's file says it."""
    enlarging: Literal["bilinear", "bicubic"]
    """How its image processor fills crops that are smaller than the input."""
    joints: str
    """The set of joints that a file without names can have, if it has its flip pairs."""


FAMILIES = {
    "vitpose": Family(
        title="ViTPose",
        network="VitPoseForPoseEstimation",
        configuration="VitPoseConfig",
        parts={
            "embeddings": "backbone.embeddings",
            "layers": "backbone.encoder.layer",
            "head": "head",
        },
        joint_layer="head.conv",
        subconfigurations={"backbone_config": ("VitPoseBackboneConfig", "vitpose_backbone")},
        # ViTPose's own configurations, target_type GaussianHeatmap, sigma 2 for maps of 48 x 64.
        sigma=2.0,
        enlarging="bilinear",
        joints="coco",
    ),
    "sapiens2": Family(
        title="Sapiens2",
        network="Sapiens2ForPoseEstimation",
        configuration="Sapiens2Config",
        parts={
            "embeddings": "model.embeddings",
            "layers": "model.model.layer",
            "head": "decode_head",
        },
        joint_layer="decode_head.predictor",
        subconfigurations={"head_config": ("Sapiens2HeadConfig", "sapiens2_head")},
        sigma=None,
        enlarging="bicubic",
        joints="sapiens308",
    ),
}
"""By transformers' `model_type`, the name of such a network in our checkpoints too."""

_RENAMED = ("out_features", "out_indices")  # arguments of a configuration that are not its fields


def family_of(configuration: Mapping[str, Any]) -> Family:
    """Return the family of models that a configuration is of, or raise ValueError."""
    name = configuration.get("model_type")
    if name not in FAMILIES:
        known = " or ".join(f"a {family.title} ({name})" for name, family in FAMILIES.items())
        raise ValueError(f"a model of transformers must be {known}, got {shown(name)}")
    return FAMILIES[name]


def expert_of(configuration: Mapping[str, Any]) -> str | None:
    """Return which data set's expert a ViTPose+ is to be; None of other models.

    Raises:
        ValueError: it has no such expert, or is no ViTPose+.
    """
    number = configuration.get("backbone_config", {}).get("num_experts", 1)
    known = EXPERTS[:number] if number > 1 else ()
    name = configuration.get("expert") or (EXPERTS[0] if known else None)
    if name is not None and name not in known:
        wanted = f"one of {', '.join(known)}" if known else "none: this is no ViTPose+"
        raise ValueError(f"expert must be {wanted}, got {shown(name)}")
    return name


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a model's own configuration what its network is made of, as plain values.

    Left out are names of joints, versions and folders, and whatever could import or download.

    Args:
        values: of `config.json`.

    Raises:
        ImportError: transformers is not installed.
        ValueError: a model that is none of `FAMILIES`, or has another backbone than those.
    """
    family = family_of(values)
    kept = {name: values[name] for name in _arguments(family.configuration) if name in values}
    for name, (inside, model_type) in family.subconfigurations.items():
        given = values.get(name)
        found = given.get("model_type", model_type) if isinstance(given, Mapping) else given
        if not isinstance(given, Mapping) or found != model_type:
            raise ValueError(
                f"{name} of a {family.title} must be a {model_type}, got {shown(found)}"
            )
        kept[name] = {key: given[key] for key in _arguments(inside) if key in given}
    made = {"model_type": values["model_type"], **kept}
    return dict(json.loads(json.dumps(made)))  # lists for tuples, as files have them


def configured(configuration: Mapping[str, Any], num_joints: int) -> Any:
    """Return transformers' configuration of a model for so many joints."""
    family, values = family_of(configuration), dict(configuration)
    for name in ("model_type", "expert"):
        values.pop(name, None)
    for name, (inside, _) in family.subconfigurations.items():
        values[name] = _made(inside, values.get(name) or {})
    return _made(family.configuration, {**values, "num_labels": num_joints})


def _made(name: str, values: Mapping[str, Any]) -> Any:
    if unknown := values.keys() - {*_arguments(name), "num_labels"}:
        raise ValueError(f"{name} has no {', '.join(sorted(map(printable, unknown)))}")
    return getattr(library(), name)(**values)


def _arguments(name: str) -> list[str]:
    """Return the arguments of a configuration's class that its network depends on."""
    common = {field.name for field in fields(library().PreTrainedConfig)}
    own = [field.name for field in fields(getattr(library(), name)) if field.name not in common]
    return sorted([*(name for name in own if not name.startswith("_")), *_RENAMED])


@contextmanager
def refusing() -> Iterator[None]:
    """Let what transformers raises for a configuration's values be a ValueError in one line."""
    try:
        yield
    except (ImportError, ValueError):
        raise
    except Exception as error:  # of many types, few of them public
        words = " ".join(str(error).split())
        raise ValueError(f"transformers refuses the model's configuration: {words}") from error


def library() -> Any:
    """Return transformers.

    Raises:
        ImportError: it is not installed, or too old to have these models.
    """
    try:
        import transformers

        for family in FAMILIES.values():
            getattr(transformers, family.network)
    except (ImportError, AttributeError) as error:
        raise ImportError(
            "ViTPose and Sapiens2 need transformers 5.24 or later: "
            f"pip install 'darkpose[huggingface]' ({error})"
        ) from error
    return transformers
