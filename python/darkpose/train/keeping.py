# SPDX-License-Identifier: Apache-2.0
"""Which checkpoints of a run are kept, and where a run that was killed goes on.

Lightning's loops count started, processed and completed batches and epochs; what they make of it
when a run goes on depends on the hook in which a checkpoint was written, and a second kill counts
an epoch twice. Here a checkpoint stands for one of two places, whoever wrote it: after a step in an
epoch, with or without an evaluation to come, or before an epoch. The counters are set to that.
"""

import math
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from darkpose.models.checkpoints import read_checkpoint

MONITOR = "val/score"  # what the best checkpoint has most of


class KeepBestAndLast(Checkpoint):
    """Write `best.ckpt` after an evaluation, `last.ckpt` after an epoch and between.

    The score to beat is that of the `best.ckpt` in the folder; where none lies there the next
    evaluation's is written.

    Args:
        folder: where they are written.
        every: optimizer steps from one `last.ckpt` to the next within an epoch. None: none.
    """

    def __init__(self, folder: Path, every: int | None = None) -> None:
        self.folder, self.every = folder, every
        self.best: float | None = None
        self.figure = "score"
        """What the score is called, once it is known: AP or PCKh@0.5."""
        self._evaluation_due = False
        self._saved_step = -1

    # ---- writing ---------------------------------------------------------------------------------

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        best, found = self.folder / "best.ckpt", None
        if trainer.is_global_zero and best.exists():
            found = score_of(best)
        self.best = trainer.strategy.broadcast(found)
        self._saved_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_args: Any, **_options: Any
    ) -> None:
        step = trainer.global_step
        if self.every is None or step == self._saved_step or step % self.every:
            return  # within an accumulation the step is the one before
        self._saved_step = step
        loop = trainer.fit_loop.epoch_loop
        timed = getattr(trainer, "_val_check_time_interval", None) is not None
        stops = trainer.should_stop and not loop.batch_progress.is_last_batch
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        self._evaluation_due = not timed and not stops and loop._should_check_val_fx(fetcher)
        self._write(trainer, "last.ckpt")
        self._evaluation_due = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        if MONITOR not in trainer.callback_metrics:
            return
        score = float(trainer.callback_metrics[MONITOR])
        shown = [name for name in trainer.progress_bar_metrics if name.startswith("val/")]
        self.figure = shown[0].removeprefix("val/") if shown else self.figure
        if self.best is None or score > self.best or math.isnan(self.best) > math.isnan(score):
            self.best = score
            self._write(trainer, "best.ckpt")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, "last.ckpt")

    def _write(self, trainer: Trainer, name: str) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.folder / name, weights_only=False)

    def state_dict(self) -> dict[str, Any]:
        # The first two have the names that Lightning's ModelCheckpoint gives them.
        return {
            "monitor": MONITOR,
            "best_model_score": self.best,
            "evaluation_due": self._evaluation_due,
        }

    # ---- going on --------------------------------------------------------------------------------

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        loops = checkpoint.get("loops")
        if trainer.state.fn == "fit" and loops is not None:
            state = checkpoint["callbacks"].get(self.state_key, {})
            due = bool(state.get("evaluation_due"))
            accumulated = trainer.accumulate_grad_batches
            go_on(loops["fit_loop"], checkpoint["global_step"], due, accumulated)


def kept(trainer: Trainer) -> str:
    """Return one sentence on where a run's best checkpoint is and what it scored; where nothing was
    evaluated, on the last one."""
    run = next(one for one in trainer.checkpoint_callbacks if isinstance(one, KeepBestAndLast))
    best, last = run.folder / "best.ckpt", run.folder / "last.ckpt"
    if run.best is not None and best.exists():
        score = "no figure" if math.isnan(run.best) else f"{run.figure} {run.best:.4f}"
        return f"the best checkpoint is {best}: {score}"
    if last.exists():
        return f"nothing was evaluated, the last checkpoint is {last}"
    return "no checkpoint was written"


def score_of(path: Path) -> float | None:
    """Return the score that a best checkpoint was kept for; None if it does not say.

    Raises:
        OSError, ValueError: as `read_checkpoint`.
    """
    for state in read_checkpoint(path).get("callbacks", {}).values():
        if state.get("monitor") == MONITOR and state.get("best_model_score") is not None:
            return float(state["best_model_score"])
    return None


def go_on(loop: dict[str, Any], steps: int, evaluation_due: bool, accumulated: int) -> None:
    """Set the counters of a fit loop's state to the place that it stands for, in place.

    Args:
        loop: `state_dict` of a trainer's fit loop.
        steps: of the optimizer, until there.
        evaluation_due: it was written after a step and before the evaluation that follows.
        accumulated: batches to an optimizer step.
    """
    batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    epoch = epochs["current"]["started"] - 1
    if epoch < 0:
        return
    ended = batches["is_last_batch"]
    done = batches["current"]["processed"]
    if not ended:  # batches whose gradients have been lost are read again
        done -= done % accumulated
    lost = batches["current"]["processed"] - done
    total = batches["total"]["processed"] - lost
    between = done == 0 or (ended and not evaluation_due)
    if between:
        epoch, done, batches["is_last_batch"] = epoch + ended, 0, False
    begun = epoch + (not between)
    for counted in epochs.values():
        counted.update(ready=begun, started=begun, processed=epoch, completed=epoch)
    # After a step a checkpoint is written before the batch is completed. Lightning goes on to the
    # next one from there; from a completed one to an evaluation, if that has begun.
    open_ = 0 if between or evaluation_due else 1
    for counted, count in ((batches["current"], done), (batches["total"], total)):
        counted.update(ready=count, started=count, processed=count, completed=count - open_)
    evaluated = loop["epoch_loop.val_loop.batch_progress"]
    evaluated["is_last_batch"] = False
    for counted in (evaluated["current"], evaluated["total"]):
        counted.update(ready=0, started=0, processed=0, completed=0)
    if evaluation_due:
        evaluated["total"].update(ready=1, started=1)
    # What loggers call a step is counted when all that follows a step has been done.
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps - (not between)
    for loader in loop["state_dict"].get("combined_loader", ()):
        loader["delivered"] = 0 if ended else done
