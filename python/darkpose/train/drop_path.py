# SPDX-License-Identifier: Apache-2.0
"""Stochastic depth for transformers that do not have it (Huang et al., ECCV 2016).

Hooks on what a layer adds to its input, so that neither modules nor keys of the weights change. As
in ViTPose (`mmpose/models/backbones/vit.py`) the probability rises linearly with the depth, both
branches of a layer have the same one, and an image is left out of each by itself.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_BRANCHES = ("attention", "mlp")


class DropPath:
    """Let images pass by the layers of a network in training mode.

    Args:
        layers: of the transformer, with `attention` and `mlp`; their results [B, ...], or the first
            of several, are what is left out.
        rate: probability of the last one.
    """

    def __init__(self, layers: Sequence[nn.Module], rate: float) -> None:
        self.rates = np.repeat(np.linspace(0, rate, len(layers)), len(_BRANCHES))
        self.factors: Tensor | None = None
        """Of each branch and image, [branches, B]: 0, or what keeps the expectation."""
        for layer in layers:  # Sapiens2's may have one rate for all
            own: Any = getattr(layer, "drop_path", None)
            if hasattr(own, "drop_prob"):
                own.drop_prob = 0.0
        branches = [getattr(layer, name) for layer in layers for name in _BRANCHES]
        for i, branch in enumerate(branches):
            branch.register_forward_hook(partial(self._scale, i))

    def draw(self, seed: int, epoch: int, samples: Tensor, device: torch.device) -> None:
        """Decide what the next images pass by.

        It is a function of (seed, epoch, sample) alone, as their crops are: resuming changes
        nothing, nor does the number of processes.

        Args:
            seed: of the run's data.
            epoch: counted from 0.
            samples: [B], which ones of the data set.
            device: of the network.
        """
        # The last number sets it apart from the generator that crops are drawn from.
        drawn = [
            np.random.default_rng((seed, epoch, index, 1)).random(len(self.rates))
            for index in samples.tolist()
        ]
        kept = np.stack(drawn, axis=1) >= self.rates[:, None]
        factors = torch.from_numpy(kept / (1 - self.rates[:, None])).float()
        self.factors = factors.to(device, non_blocking=True)

    def _scale(self, branch: int, module: nn.Module, _inputs: Any, output: Any) -> Any:
        if not module.training or self.factors is None or self.rates[branch] == 0:
            return output
        first, *others = output if isinstance(output, tuple) else (output,)
        factor = self.factors[branch].view(-1, *[1] * (first.ndim - 1))
        scaled = first * factor.to(first.dtype)
        return (scaled, *others) if isinstance(output, tuple) else scaled
