# SPDX-License-Identifier: Apache-2.0
"""What moves a network's weights: Adam or AdamW, its learning rate by epoch, step and layer.

A layer's share of the learning rate, and which weights shrink, are as ViTPose and BEiT have them
(ViTPose's `mmcv_custom/layer_decay_optimizer_constructor.py`).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from darkpose.models.checkpoints import check_alike

Freeze = Literal["backbone"]


@dataclass(frozen=True)
class OptimizerOptions:
    """How a network's weights are moved.

    Args:
        learning_rate: of Adam.
        milestones: numbers of epochs after which the learning rate is multiplied by `gamma`.
        gamma: see `milestones`.
        warmup: steps over which the learning rate rises from 0.
        weight_decay: by how much of themselves, times the learning rate, weights shrink in a step
            (AdamW); biases, the scales of norms, positions and tokens do not. None: nothing does.
        layer_decay: factor on the learning rate from each layer of a transformer to the one before
            it; the head has all of it. ViTPose: 0.8 (S), 0.75 (B).
        drop_path: probability that an image passes by the last layer of a transformer in training,
            rising from 0 for the first one. ViTPose: 0.1 (S), 0.3 (B).
        freeze: "backbone": only the layers whose size is the number of joints are trained, of a
            SimpleBaseline or a transformer the whole head.

    Raises:
        ValueError: a number is out of its range.
    """

    learning_rate: float = 1e-3
    milestones: tuple[int, ...] = (170, 200)
    gamma: float = 0.1
    warmup: int = 0
    weight_decay: float | None = None
    layer_decay: float | None = None
    drop_path: float | None = None
    freeze: Freeze | None = None

    def __post_init__(self) -> None:
        decay, layers, path = self.weight_decay, self.layer_decay, self.drop_path
        ranges = {
            "weight_decay": (decay is None or 0 <= decay < math.inf, "finite and at least 0"),
            "layer_decay": (layers is None or 0 < layers <= 1, "above 0 and at most 1"),
            "drop_path": (path is None or 0 <= path < 1, "at least 0 and below 1"),
        }
        for name, (sound, wanted) in ranges.items():
            if not sound:
                raise ValueError(f"model.{name} must be {wanted}, got {getattr(self, name)}")

    def rate(self, epoch: int, step: int) -> float:
        """Return the learning rate, which resuming cannot shift: a function of epoch and step."""
        drops = sum(epoch >= milestone for milestone in self.milestones)
        risen = min(1.0, (step + 1) / max(1, self.warmup))
        return self.learning_rate * self.gamma**drops * risen


def make_optimizer(network: nn.Module, options: OptimizerOptions) -> torch.optim.AdamW:
    """Return AdamW for the parameters that have gradients; a group's `share` is the factor on its
    learning rate. Without decay it is Adam.

    Where nothing decays there is one group, of the parameters in their order: what runs of before
    had is then gone on with.

    Raises:
        ValueError: the rate is to decay by layer, and the network has no layers of a transformer.
    """
    shares = {} if options.layer_decay is None else _shares(network, options.layer_decay)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        share = shares.get(id(parameter), 1.0)
        shrinks = options.weight_decay is not None and _shrinks(name, parameter)
        decay = options.weight_decay if shrinks else 0.0
        new = {"params": [], "share": share, "weight_decay": decay}
        groups.setdefault((share, shrinks), new)["params"].append(parameter)
    return torch.optim.AdamW(list(groups.values()), options.learning_rate)


def set_rate(groups: Iterable[dict[str, Any]], rate: float) -> None:
    """Give each group of an optimizer of `make_optimizer` its share of a learning rate."""
    for group in groups:
        group["lr"] = rate * group["share"]


def check_optimizer(states: list[Any], optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError unless the states of optimizers from a file are those of one as `optimizer`,
    and let its groups say of rates and decay what this run's do, not the file's."""
    expected = optimizer.state_dict()
    for found in states:
        groups = found.get("param_groups") if isinstance(found, dict) else None
        if isinstance(groups, list) and len(groups) != len(expected["param_groups"]):
            raise ValueError(
                f"the optimizer must have {len(expected['param_groups'])} groups of parameters to "
                f"go on with, got {len(groups)}: model.weight_decay, model.layer_decay and "
                "model.freeze must be those of the checkpoint's run"
            )
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moments = ({"step": p.new_zeros(()), "exp_avg": p, "exp_avg_sq": p} for p in parameters)
    members = [{"params": group["params"]} for group in expected["param_groups"]]
    wanted = {"state": dict(enumerate(moments)), "param_groups": members}
    check_alike(states, [wanted], "optimizer_states")
    states[0]["param_groups"] = expected["param_groups"]


def transformer_layers(network: nn.Module, option: str) -> list[nn.Module]:
    """Return a transformer's layers, the first one first.

    Args:
        network: with the attributes `embeddings`, `layers` and `head`.
        option: that needs them, for the message.

    Raises:
        ValueError: it has none.
    """
    if all(hasattr(network, name) for name in ("embeddings", "layers", "head")):
        return list(network.layers)  # type: ignore[arg-type]
    raise ValueError(
        f"{option} must be left out for {type(network).__name__}: it is for transformers, networks "
        "with embeddings, layers and a head"
    )


def _shrinks(name: str, parameter: nn.Parameter) -> bool:
    """Return whether it is what a layer multiplies by; norms have as many values as channels."""
    return name.endswith("weight") and parameter.ndim > 1


def _shares(network: nn.Module, decay: float) -> dict[int, float]:
    """Return the factor on the learning rate by a parameter's id, where it is not 1."""
    layers = transformer_layers(network, "model.layer_decay")
    parts = [network.embeddings, *layers]
    return {
        id(parameter): decay ** (len(parts) - i)
        for i, part in enumerate(parts)
        for parameter in part.parameters()  # type: ignore[union-attr]
    }
