# SPDX-License-Identifier: Apache-2.0
"""Networks from a normalized image to heatmaps, plain `nn.Module`s found by name or import path.

Those of `MODELS` take sizes that their `stride` divides, from `smallest` on, and have heatmaps of a
quarter of the input. Of another one neither is known: it is asked once.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from darkpose.importing import imported, is_import_path
from darkpose.models.families import FAMILIES
from darkpose.models.hourglass import StackedHourglass
from darkpose.models.hrnet import HRNet
from darkpose.models.huggingface import Pretrained
from darkpose.models.model_files import is_model
from darkpose.models.simple_baseline import SimpleBaseline
from darkpose.models.small import SmallNet
from darkpose.models.transformers import TransformersNetwork

Make = Callable[[int, tuple[int, int]], nn.Module]
"""From the number of joints and the input's (width, height) to a new network."""


def _any_size(network: Callable[..., nn.Module], **options: object) -> Make:
    """Return how a network is made that is the same for every input size."""
    return lambda num_joints, _input_size: network(num_joints=num_joints, **options)


MODELS: dict[str, Make] = {
    "small": _any_size(SmallNet),
    "simple_r18": _any_size(SimpleBaseline, depth=18),
    "simple_r50": _any_size(SimpleBaseline, depth=50),
    "simple_r101": _any_size(SimpleBaseline, depth=101),
    "simple_r152": _any_size(SimpleBaseline, depth=152),
    "hrnet_w32": _any_size(HRNet, width=32),
    "hrnet_w48": _any_size(HRNet, width=48),
    "hourglass_4": _any_size(StackedHourglass, stacks=4),
    "hourglass_8": _any_size(StackedHourglass, stacks=8),
    # Narrow ones of the same families, for a CPU.
    "simple_small": _any_size(SimpleBaseline, depth=18, width=20),
    "hrnet_small": _any_size(HRNet, width=16, stem=16, modules=(1, 1, 1), blocks=2),
    "hourglass_small": _any_size(StackedHourglass, stacks=2, features=96),
}


def create(
    name: str,
    num_joints: int = 17,
    input_size: tuple[int, int] = (192, 256),
    configuration: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return a new network: [B, 3, H, W] normalized image to heatmaps [B, num_joints, h, w].

    A network of several stacks returns all of theirs in training, [S, B, num_joints, h, w], and
    those of the last one otherwise.

    Args:
        name: of `MODELS`; or `module:function` of your own code, which is called with `num_joints`
            and `input_size` and returns the network; or `huggingface:MODEL` for a network of the
            kind of that model, with new weights.
        num_joints: how many heatmaps it is to have.
        input_size: (width, height) of the input in pixels, for networks that depend on it.
        configuration: of a network of `darkpose.models.families.FAMILIES`; with `huggingface:MODEL`
            only the `expert` of a ViTPose+ other than COCO's.

    Raises:
        ImportError: there is no such module.
        ValueError: an unknown name, a number of joints below 1, or a function that returns no
            network.
    """
    if num_joints < 1:
        raise ValueError(f"num_joints must be at least 1, got {num_joints}")
    if is_model(name):
        found = Pretrained(name, expert=(configuration or {}).get("expert"))
        return found.network(num_joints)
    if is_import_path(name):
        network = imported(name, "network")(num_joints, input_size)
        if not isinstance(network, nn.Module):
            raise ValueError(f"{name} must return an nn.Module, got {type(network).__name__}")
        return network
    if name in FAMILIES:
        if configuration is None:
            raise ValueError(f"network {name} has many sizes: name one of them, huggingface:MODEL")
        return TransformersNetwork(configuration, num_joints)
    if name not in MODELS:
        raise ValueError(
            f"network must be one of {', '.join(MODELS)}, or module:function, got {name}"
        )
    return MODELS[name](num_joints, input_size)


def check_input_size(network: nn.Module, input_size: tuple[int, int]) -> None:
    """Raise ValueError for an input (width, height) in pixels that a network of `MODELS` does not
    take."""
    stride, smallest = int(network.stride), int(network.smallest)  # type: ignore[arg-type]
    if any(size % stride or size < smallest for size in input_size):
        raise ValueError(
            f"input_size must be divisible by {stride} and at least {smallest} for this network, "
            f"got {input_size[0]} x {input_size[1]}"
        )


def heatmap_size(
    network: nn.Module, input_size: tuple[int, int], num_joints: int
) -> tuple[int, int]:
    """Return the (width, height) of a network's heatmaps for an input of that size in pixels.

    A network that does not say its stride is run once without values, on the meta device.

    Raises:
        ValueError: it does not take this size, or returns no heatmaps [1, num_joints, h, w].
    """
    width, height = input_size
    if hasattr(network, "stride") and hasattr(network, "smallest"):
        check_input_size(network, input_size)
        return width // 4, height // 4
    tensors = [*network.named_parameters(), *network.named_buffers()]
    without_values = {name: torch.empty_like(value, device="meta") for name, value in tensors}
    training = network.training
    image = torch.empty(1, 3, height, width, device="meta")
    try:
        with torch.no_grad():
            found = torch.func.functional_call(network.eval(), without_values, (image,))
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"the network must take images [1, 3, {height}, {width}] of this input_size, "
            f"also on torch's meta device, got an error: {error}"
        ) from error
    finally:
        network.train(training)
    shape = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
    if not isinstance(shape, list) or len(shape) != 4 or shape[:2] != [1, num_joints]:
        raise ValueError(
            f"the network must return heatmaps [1, {num_joints}, h, w] for an image "
            f"[1, 3, {height}, {width}], got {shape}"
        )
    return shape[3], shape[2]
