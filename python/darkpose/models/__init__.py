# SPDX-License-Identifier: Apache-2.0
"""Networks from a normalized image to heatmaps, plain `nn.Module`s found by name."""

from collections.abc import Callable
from functools import partial

from torch import nn

from darkpose.models.simple_baseline import SimpleBaseline
from darkpose.models.small import SmallNet

MODELS: dict[str, Callable[[int], nn.Module]] = {
    "small": SmallNet,
    "simple_r18": partial(SimpleBaseline, 18),
    "simple_r50": partial(SimpleBaseline, 50),
}


def create(name: str, num_joints: int = 17) -> nn.Module:
    """Return a new network: [B, 3, H, W] normalized RGB to heatmaps [B, num_joints, H/4, W/4].

    Raises ValueError for an unknown name or a number of joints below 1.
    """
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {name}")
    if num_joints < 1:
        raise ValueError(f"num_joints must be at least 1, got {num_joints}")
    return MODELS[name](num_joints)
