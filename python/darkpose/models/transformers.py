# SPDX-License-Identifier: Apache-2.0
"""ViTPose, ViTPose+ and Sapiens2 of Hugging Face's transformers as networks of ours.

`darkpose.models.huggingface` reads the models that people have.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from darkpose.models.families import EXPERTS, configured, expert_of, family_of, library, refusing
from darkpose.models.matching import describe, differences
from darkpose.values import shown

_LARGEST = 2**20  # number in a configuration
_COUNTS = ("num_hidden_layers", "num_experts")  # of which each has tensors


class TransformersNetwork(nn.Module):
    """A pose network of transformers: normalized images [B, 3, H, W] to heatmaps [B, K, h, w].

    Args:
        configuration: `model_type`, one of `FAMILIES`, and the arguments of its configuration's
            class, plain values; of a ViTPose+ also `expert`, one of `EXPERTS`, the first if none.
        num_joints: K.

    Raises:
        ImportError: transformers is not installed.
        ValueError: no such model, a value that it cannot have, or no such expert.
    """

    def __init__(self, configuration: Mapping[str, Any], num_joints: int) -> None:
        super().__init__()
        self.family = family_of(configuration)
        self.configuration = dict(configuration)
        with refusing():
            made = configured(configuration, num_joints)
            self.model = getattr(library(), self.family.network)(made)
        self.expert = expert_of(configuration)
        if self.expert is not None:
            self.configuration["expert"] = self.expert
            for layer in self.layers:
                experts = layer.get_submodule("mlp.experts")
                _keep_one(experts, EXPERTS.index(self.expert))

    def forward(self, image: Tensor) -> Tensor:
        """Return heatmaps [B, K, h, w]."""
        if self.expert is None:
            return self.model(image).heatmaps  # type: ignore[no-any-return]
        index = image.new_full(image.shape[:1], EXPERTS.index(self.expert), dtype=torch.int64)
        return self.model(image, dataset_index=index).heatmaps  # type: ignore[no-any-return]

    @property
    def embeddings(self) -> nn.Module:
        """What makes patches of an image."""
        return self.model.get_submodule(self.family.parts["embeddings"])

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer's blocks in order, each with `attention` and `mlp`."""
        return self.model.get_submodule(self.family.parts["layers"])

    @property
    def head(self) -> nn.Module:
        """What makes heatmaps of patches."""
        return self.model.get_submodule(self.family.parts["head"])

    @property
    def joint_layer(self) -> str:
        """What the keys of the layer begin with whose size is the number of joints."""
        return f"model.{self.family.joint_layer}."


def _keep_one(experts: Any, index: int) -> None:
    """Let a ViTPose+ layer ask one expert alone: the others' answers would be multiplied by 0.

    They are not trained either.
    """
    for number, expert in enumerate(experts):
        expert.requires_grad_(number == index)
    experts.forward = partial(_one, experts, index)


def _one(experts: Any, index: int, hidden_state: Tensor, indices: Tensor) -> Any:
    return experts[index](hidden_state)


def fitting(configuration: Mapping[str, Any], weights: Mapping[str, Tensor], joints: int) -> None:
    """Raise ValueError unless a network of this configuration has tensors of these shapes, before
    any memory is taken for it.

    Args:
        configuration: of `TransformersNetwork`, whoever wrote it.
        weights: by the keys of `PoseModel`'s state dict.
        joints: their number.
    """
    _check_sizes(configuration, len(weights))
    with torch.device("meta"):
        expected = TransformersNetwork(configuration, joints).state_dict()
    given = {key.removeprefix("network."): value for key, value in weights.items()}
    if found := differences(given, expected):
        title = family_of(configuration).title
        raise ValueError(f"a {title} must hold exactly its tensors, got {describe(found)}")


@contextmanager
def without_values() -> Iterator[None]:
    """Make networks of transformers without drawing the first values of their weights, which a
    file's are about to replace."""
    library()
    from transformers.initialization import no_init_weights

    with no_init_weights():
        yield


def _check_sizes(configuration: Mapping[str, Any], tensors: int) -> None:
    for name, value in configuration.items():
        if isinstance(value, Mapping):
            _check_sizes(value, tensors)
        largest = tensors if name in _COUNTS else _LARGEST
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int | float) and not abs(number) <= largest:
                raise ValueError(f"{name} must be at most {largest}, got {shown(value)}")
