# SPDX-License-Identifier: Apache-2.0
"""Runs whose weights Lightning averages: its `WeightAveraging` callbacks, `EMAWeightAveraging` one.

Their checkpoints hold the averaged weights where all others hold the weights, so that what is
evaluated, kept as best, predicted with and exported is the average; the weights that training moves
are beside them, for it to go on with.
"""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from darkpose.models.checkpoints import check_alike
from darkpose.models.matching import describe, differences

_MOVED, _COUNT = "current_model_state", "averaging_state"  # Lightning's keys


def check_average(checkpoint: Mapping[str, Any], trainer: Trainer, own: Mapping[str, Any]) -> None:
    """Raise ValueError unless a run can go on with what a checkpoint says of its average.

    Args:
        checkpoint: as it was read.
        trainer: that is to go on.
        own: state of the model, for its names and shapes.
    """
    found = [one for one in trainer.callbacks if isinstance(one, WeightAveraging)]  # type: ignore[attr-defined]
    if _MOVED not in checkpoint:
        return
    if not found:
        raise ValueError(
            "the checkpoint's weights are an average: go on with the callback of trainer.callbacks "
            "that its run had, or begin a new run from them with model.init"
        )
    moved, count = checkpoint[_MOVED], checkpoint.get(_COUNT)
    if not isinstance(moved, dict) or not all(isinstance(v, Tensor) for v in moved.values()):
        raise ValueError(f"{_MOVED} must be the network's tensors, got {type(moved).__name__}")
    if wrong := differences(moved, own):
        raise ValueError(f"{_MOVED} must hold exactly the network's tensors, got {describe(wrong)}")
    steps = count.get("n_averaged") if isinstance(count, dict) and len(count) == 1 else None
    if not isinstance(steps, Tensor) or steps.shape != () or steps.dtype != torch.int64:
        raise ValueError(f"{_COUNT} must be n_averaged, a whole number, got another state")
    for callback in found:
        state = checkpoint.get("callbacks", {}).get(callback.state_key)
        check_alike(state, callback.state_dict(), callback.state_key)
