# SPDX-License-Identifier: Apache-2.0
"""Whose network a state dict is, told by its keys, and its tensors under our names.

HRNet, SimpleBaseline and DarkPose have our key names, wrapped or not. mmpose keeps backbone and
head apart. Classification networks end in layers that no pose network has. After renaming, keys and
shapes must be exactly those of one of our networks, except for `num_batches_tracked`, which files
from before PyTorch 0.4.1 do not have and nothing reads: silently loading half a checkpoint is how
wrong results are made.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from darkpose import models
from darkpose.encodings import EncodingName
from darkpose.geometry import Convention
from darkpose.models.families import FAMILIES
from darkpose.models.matching import describe, differences, few
from darkpose.models.pose import Color
from darkpose.models.weights.others import of_safetensors, other_network
from darkpose.models.weights.reading import read_state_dict


@dataclass(frozen=True)
class CodeBase:
    """How a code base names its tensors and what it trained with: weights say only the first."""

    colors: Mapping[str, Color]
    """By family of networks; it has no others."""
    convention: Convention
    encoding: EncodingName
    parts: tuple[str, ...] = ()
    """What its keys begin with before our names, the backbone's first; none where they are ours."""
    sigmas: Mapping[tuple[str, tuple[int, int]], float] = field(default_factory=dict)
    """By network and (width, height) of the input, where it is not `released_sigma`."""


CODE_BASES: dict[str, CodeBase] = {
    "hrnet": CodeBase({"hrnet": "rgb", "simple": "bgr"}, Convention.hrnet, "biased"),
    "simplebaseline": CodeBase({"simple": "bgr"}, Convention.hrnet, "biased"),
    "darkpose": CodeBase(
        {"hrnet": "rgb", "simple": "bgr", "hourglass": "bgr"},
        Convention.darkpose,
        "unbiased",
        sigmas={("hourglass_8", (96, 128)): 2.0},  # doubled there, and not for four stacks
    ),
    "mmpose": CodeBase(
        {"hrnet": "rgb", "simple": "rgb"},
        Convention.hrnet,
        "biased",
        parts=("backbone.", "keypoint_head.", "head."),  # head. since 1.0
    ),
}
if TYPE_CHECKING:
    Source = str
else:
    Source = Literal[tuple(CODE_BASES)]

JOINT_LAYERS = ("final_layer.", "score.", "score_.")
"""Beginnings of the keys of layers whose size is the number of joints."""

_WRAPPERS = ("module.", "model.", "network.")  # DataParallel, princeton's trainer, our own task
_MOST_JOINTS = 10_000
_FAMILIES = {"hg": "hourglass", "stage2": "hrnet", "deconv_layers": "simple"}  # by top-level module
_CLASSIFIER = re.compile(
    r"(fc|classifier|head|incre_modules|downsamp_modules|final_layer\.[01])\.|"
    r"stage4\.(\d{1,3})\.fuse_layers\.[1-3]\."
)


@dataclass(frozen=True)
class Weights:
    """What a file holds, under our names."""

    path: Path
    tensors: Mapping[str, Tensor]
    parts: tuple[str, ...]
    """Of the code bases that have the file's key names."""
    others: Mapping[str, Any]
    """What the file holds beside them."""

    @property
    def num_joints(self) -> int | None:
        """Number of heatmaps, None if these weights make none."""
        return joints_in(self.tensors)

    @property
    def family(self) -> str | None:
        """What the names of networks with such tensors begin with."""
        layers = {key.partition(".")[0] for key in self.tensors}
        return next((name for layer, name in _FAMILIES.items() if layer in layers), None)

    @property
    def sources(self) -> list[str]:
        """Names of the code bases that this may be from."""
        return [
            name
            for name, base in CODE_BASES.items()
            if base.parts == self.parts and self.family in base.colors
        ]


def joint_layers(network: nn.Module) -> tuple[str, ...]:
    """Return what the keys begin with of a network's layers whose size is the number of joints."""
    own: str | None = getattr(network, "joint_layer", None)
    return JOINT_LAYERS if own is None else (own,)


def joints_in(tensors: Mapping[str, Tensor]) -> int | None:
    """Return for how many joints a pose network with our key names is, None if it is none."""
    own = (f"model.{family.joint_layer}.weight" for family in FAMILIES.values())
    for key in ("final_layer.weight", "score.0.weight", *own):
        if key in tensors and tensors[key].dim() > 0:
            return tensors[key].shape[0]
    return None


def read_weights(path: str | Path) -> Weights:
    """Read a file and give its tensors our names; see `read_state_dict` for what is refused.

    Raises:
        ValueError: also where two keys become the same one, for networks of other kinds, which are
            called what they are (`others`), and where the file's name says that it is a Caffe-style
            ResNet, whose stride is in another convolution, which no key or shape tells.
    """
    if Path(path).suffix == ".safetensors" and Path(path).is_file():
        raise ValueError(f"{path} must be what torch.save wrote, got {of_safetensors(Path(path))}")
    state, others = read_state_dict(path)
    if "caffe" in Path(path).name.lower():
        raise ValueError(
            f"{path} must be a ResNet with the stride in its 3x3 convolutions, got a Caffe-style "
            "one by its name, whose weights would fit and compute something else"
        )
    for _ in _WRAPPERS:  # one around another, each once
        prefix = next((p for p in _WRAPPERS if all(k.startswith(p) for k in state)), "")
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    if other := other_network(state):
        raise ValueError(f"{path} must be of a network that darkpose has, got {other}")
    parts = next(
        (base.parts for base in CODE_BASES.values() if _consists_of(base.parts, state)), ()
    )
    tensors = _joined(state) if parts else state
    if len(tensors) < len(state):
        raise ValueError(f"{path} must hold every tensor once, got one under two names")
    return Weights(Path(path), tensors, parts, others)


def _consists_of(parts: tuple[str, ...], keys: Iterable[str]) -> bool:
    found = {next((part for part in parts if key.startswith(part)), None) for key in keys}
    return None not in found and parts[0] in found


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {key.partition(".")[2]: value for key, value in state.items()}
    if not any(key.startswith("final_layer.1.") for key in tensors):
        # A head of a single convolution that was written as a list of layers.
        tensors = {k.replace("final_layer.0.", "final_layer."): v for k, v in tensors.items()}
    return tensors


def without_classifier(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the backbone that a classification network shares with pose networks.

    Left out are the layers after the backbone, by the names of torchvision, timm and HRNet's two
    releases, and what HRNet's last exchange adds up for its three coarser branches, which only a
    classifier reads.
    """
    exchanges = (re.match(r"stage4\.(\d{1,3})\.", key) for key in tensors)
    last = max((int(match[1]) for match in exchanges if match), default=-1)
    backbone = {}
    for key, tensor in tensors.items():
        match = _CLASSIFIER.match(key)
        if match is None or (match[2] is not None and int(match[2]) != last):
            backbone[key] = tensor
    return backbone


# ---- which network -------------------------------------------------------------------------------


def recognize(weights: Weights) -> str:
    """Return the name in `models.MODELS` of the network whose weights these are, all of them.

    Raises:
        ValueError: they are of no network of ours, or not all and only those of the nearest one.
    """
    family, num_joints = weights.family, weights.num_joints
    if num_joints is None and (family or any(key.startswith("layer4.") for key in weights.tensors)):
        raise ValueError(
            f"{weights.path} must be a pose network, got a backbone without heatmaps, "
            "which can only initialize one for training"
        )
    if num_joints is not None and not 0 < num_joints <= _MOST_JOINTS:
        raise ValueError(f"{weights.path} must have heatmaps of joints, got {num_joints} of them")
    if family is None or num_joints is None:
        raise ValueError(
            f"{weights.path} must be an HRNet, SimpleBaseline or Hourglass network, "
            f"got tensors named {few(weights.tensors)}"
        )
    found = {
        name: differences(weights.tensors, _without_values(name, num_joints))
        for name in models.MODELS
        if name.startswith(f"{family}_")
    }
    nearest = min(found, key=lambda name: sum(map(len, found[name].values())))
    if found[nearest]:
        raise ValueError(
            f"{weights.path} must hold exactly the tensors of {nearest} with {num_joints} joints, "
            f"got {describe(found[nearest])}"
        )
    return nearest


def _without_values(name: str, num_joints: int) -> Mapping[str, Tensor]:
    with torch.device("meta"):
        network = models.create(name, num_joints)
    state: Mapping[str, Tensor] = network.state_dict()
    return state
