# SPDX-License-Identifier: Apache-2.0
"""A training or evaluation that is told to end, in one process or several."""

import signal
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import SLURMEnvironment

from darkpose import stopping


class Stops(Callback):
    """End at a signal, and tell the processes that this one has started."""

    def on_train_batch_start(self, *_args: Any, **_options: Any) -> None:
        stopping.check()

    on_validation_batch_start = on_test_batch_start = on_train_batch_start

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        number, launcher = stopping.asked(exception), trainer.strategy.launcher
        if number is not None and launcher is not None:
            launcher.kill(number)


def own_signals(trainer: Trainer) -> None:
    """Leave SIGTERM to `stopping` if it has it, and to Lightning where that requeues at Slurm.

    Lightning's handler ends a run with status 0, and waits for processes that have ended.
    """
    if signal.getsignal(signal.SIGTERM) is not stopping.stop:
        return
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    else:
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
