# SPDX-License-Identifier: Apache-2.0
"""Stops a training whose loss or gradient is not finite: all that comes after it is NaN.

What decides is the norm of the gradients, which distributed processes have averaged: all of them
see the same one and stop at the same step. A loss that is not finite makes its gradients NaN.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

MOST_SKIPPED = 20
"""Steps in a row that the scaler of 16-mixed leaves out and that show that it finds no factor."""

_LATE = 16
"""Steps after which a GPU's norm is looked at: it has long been copied by then."""


class NotFiniteError(ValueError):
    """A training that can only go on with NaN."""


class _Norm(NamedTuple):
    step: int
    value: Tensor
    """In main memory."""
    copied: Any
    """The CUDA event after which `value` is there; None: it is."""


def poison(loss: Tensor) -> Tensor:
    """Return a loss that is bit for bit the same if it is finite, and else has gradients of NaN.

    A loss can overflow and its gradient not, and then only one process would know.
    """
    return loss * torch.where(loss.detach().isfinite(), 1.0, torch.nan)


class StopNotFinite(Callback):
    """Raise NotFiniteError where gradients are not finite.

    On a CPU that is before the step is taken, on a GPU up to 16 steps later, so that nobody waits
    for it; a checkpoint is never written with the weights of such a step. With 16-mixed precision
    the scaler leaves such steps out: the 20th in a row is an error.
    """

    def __init__(self) -> None:
        self._norms: deque[_Norm] = deque()
        self._skipped = 0

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        groups: Iterable[dict[str, Any]] = optimizer.param_groups
        gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        if not gradients:
            return
        value, copied = _copy(torch.nn.utils.get_total_norm(gradients))
        self._norms.append(_Norm(trainer.global_step, value, copied))
        self._look(trainer, _LATE if copied is not None else 0)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._look(trainer, 0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look(trainer, 0)

    def _look(self, trainer: Trainer, late: int) -> None:
        """Look at all norms but the last `late`, the same ones in every process."""
        most = MOST_SKIPPED if str(trainer.precision).startswith("16-") else 1
        while len(self._norms) > late:
            norm = self._norms.popleft()
            if norm.copied is not None:
                norm.copied.synchronize()
            self._skipped = 0 if norm.value.isfinite() else self._skipped + 1
            if self._skipped >= most:
                raise NotFiniteError(
                    f"training is stopped at step {norm.step + 1} of epoch "
                    f"{trainer.current_epoch}: the loss or its gradient is not finite; look at the "
                    "learning rate and the data, or go on with --stop_not_finite false"
                )


def _copy(norm: Tensor) -> tuple[Tensor, Any]:
    """Return a norm in main memory and the event after which it is there, None if it is already.

    To pinned memory the copy is one more entry of the GPU's queue, and nobody waits for it.
    """
    if not norm.is_cuda:
        return norm, None
    value = torch.empty_like(norm, device="cpu", pin_memory=True).copy_(norm, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    return value, copied
