# SPDX-License-Identifier: Apache-2.0
"""A network of which only the head is trained: a few joints, few people, little time."""

from torch import nn

from darkpose.models.weights.formats import JOINT_LAYERS

_HEADS = ("deconv_layers.", *JOINT_LAYERS)


def freeze_backbone(network: nn.Module) -> list[nn.Module]:
    """Take the gradients from all of a network but its head, and return the modules outside of it.

    Without a change of their mode these would go on counting, as batch norms do in training.

    Args:
        network: a transformer with a `head`, a network of `darkpose.models`, or any whose last
            layers are called as theirs.

    Raises:
        ValueError: it has no head.
    """
    heads: tuple[str, ...] = _HEADS
    if isinstance(head := getattr(network, "head", None), nn.Module):
        heads = tuple(f"{name}." for name, module in network.named_modules() if module is head)
    names = [name for name, _ in network.named_parameters()]
    if not any(name.startswith(heads) for name in names):
        raise ValueError(
            f"model.freeze must be null for {type(network).__name__}: it has no head, final_layer, "
            "deconv_layers or score that could be trained alone"
        )
    for name, parameter in network.named_parameters():
        if not name.startswith(heads):
            parameter.requires_grad_(False)
    return [
        module
        for name, module in network.named_modules()
        if name and not f"{name}.".startswith(heads)
        if not any(head.startswith(f"{name}.") for head in heads)
    ]
