# SPDX-License-Identifier: Apache-2.0
"""Networks from a normalized image to heatmaps, plain `nn.Module`s found by name.

Each has `stride`, which divides width and height of its input, and `smallest`, the least of them.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from darkpose.models.hourglass import StackedHourglass
from darkpose.models.hrnet import HRNet
from darkpose.models.simple_baseline import SimpleBaseline
from darkpose.models.small import SmallNet

MODELS: dict[str, Callable[[int], nn.Module]] = {
    "small": SmallNet,
    "simple_r18": partial(SimpleBaseline, 18),
    "simple_r50": partial(SimpleBaseline, 50),
    "simple_r101": partial(SimpleBaseline, 101),
    "simple_r152": partial(SimpleBaseline, 152),
    "hrnet_w32": partial(HRNet, width=32),
    "hrnet_w48": partial(HRNet, width=48),
    "hourglass_4": partial(StackedHourglass, stacks=4),
    "hourglass_8": partial(StackedHourglass, stacks=8),
    # Those that the hourglass's authors released.
    "hourglass_2_princeton": partial(StackedHourglass, stacks=2, late=True),
    "hourglass_8_princeton": partial(StackedHourglass, stacks=8, late=True),
    # Narrow ones of the same families, for a CPU.
    "simple_small": partial(SimpleBaseline, 18, width=20),
    "hrnet_small": partial(HRNet, width=16, stem=16, modules=(1, 1, 1), blocks=2),
    "hourglass_small": partial(StackedHourglass, stacks=2, features=96),
}


def check_input_size(network: nn.Module, input_size: tuple[int, int]) -> None:
    """Raise ValueError for an input (width, height) in pixels that the network does not take."""
    stride, smallest = int(network.stride), int(network.smallest)  # type: ignore[arg-type]
    if any(size % stride or size < smallest for size in input_size):
        raise ValueError(
            f"input_size must be divisible by {stride} and at least {smallest} for this network, "
            f"got {input_size[0]} x {input_size[1]}"
        )


def create(name: str, num_joints: int = 17) -> nn.Module:
    """Return a new network: [B, 3, H, W] normalized image to heatmaps [B, num_joints, H/4, W/4].

    A network of several stacks returns all of theirs in training, [S, B, num_joints, H/4, W/4], and
    those of the last one otherwise.

    Raises ValueError for an unknown name or a number of joints below 1.
    """
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {name}")
    if num_joints < 1:
        raise ValueError(f"num_joints must be at least 1, got {num_joints}")
    return MODELS[name](num_joints)
