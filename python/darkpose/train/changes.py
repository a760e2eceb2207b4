# SPDX-License-Identifier: Apache-2.0
"""What a run was begun with: kept in its checkpoints, compared when it goes on.

A run that goes on with another learning rate, batch or data ends with weights that neither
configuration describes. Each difference is therefore named, and refused unless it is asked for.
"""

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, WeightAveraging

from darkpose.values import shown

RUN = "darkpose_run"  # its key in a checkpoint

_TRAINER_DECIDES = {
    *("precision", "max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val"),
    *("gradient_clip_algorithm", "limit_train_batches", "overfit_batches", "sync_batchnorm"),
    "callbacks",
}
"""Of the trainer's options; the others say where and how fast, not what comes out."""

_FREE = {
    *("config", "out", "ckpt_path", "seeds", "checkpoint_steps", "resume_changed"),
    *("stop_not_finite", "data.train", "data.train_images", "data.val", "data.val_images"),
    *("data.joints", "data.val_mat", "data.detections", "data.workers", "data.cache_images"),
    "data.crop_on",
    *("model.init", "model.init_joints", "model.channels_last"),
}
"""Options that may change. Of files that people are read from, what they say is compared."""

_FILES = ("file", "images", "joints")  # of one of data.extra

_RAISED = {"trainer.max_epochs", "trainer.max_steps"}
"""May become more: the run then goes on for longer."""

_logger = logging.getLogger(__name__)


def deciding(options: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Return of a configuration what decides a run's result, in the same sections."""
    chosen = {}
    for name, value in options.items():
        place = f"{within}{name}"
        if place in _FREE or (within == "trainer." and name not in _TRAINER_DECIDES):
            continue
        if place == "trainer.callbacks":
            value = [one for one in listed(value) if _averages(one)]
        if place == "data.extra":
            value = [{k: v for k, v in one.items() if k not in _FILES} for one in value or ()]
        chosen[name] = deciding(value, f"{place}.") if isinstance(value, Mapping) else value
    return chosen


def listed(value: Any) -> list[Any]:
    """Return what an option for one or several holds."""
    return list(value) if isinstance(value, Sequence) else [] if value is None else [value]


def _averages(callback: Any) -> bool:
    """Return whether a callback of a configuration decides the result: one that averages does."""
    module, _, name = str(callback["class_path"]).rpartition(".")
    return issubclass(getattr(import_module(module), name), WeightAveraging)


class SameOptions(Callback):
    """Write what a run was begun with into its checkpoints, and compare it when the run goes on.

    Args:
        options: a whole configuration, see `deciding`.
        changed: go on whatever has changed, and say it.
    """

    def __init__(self, options: Mapping[str, Any], *, changed: bool = False) -> None:
        self.options, self.changed = deciding(options), changed
        self._run: dict[str, Any] | None = None

    def _of(self, trainer: Trainer) -> dict[str, Any]:
        """Return the options, with what only the trainer knows."""
        if self._run is None:
            data = trainer.datamodule.digests()  # type: ignore[attr-defined]
            self._run = {**self.options, **data, "processes": trainer.world_size}
        return self._run

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[RUN] = self._of(trainer)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != "fit":
            return
        began = checkpoint.get(RUN)
        if not isinstance(began, Mapping):
            _logger.info(
                "the checkpoint does not say with which options its run was begun: "
                "they are taken to be these"
            )
            return
        found = differences(began, self._of(trainer))
        if not found:
            return
        if not self.changed:
            raise ValueError(
                f"the run was begun with other options: {'; '.join(found)}; begin a new one, or go "
                "on all the same with --resume_changed true"
            )
        _logger.warning("the run goes on with other options: %s", "; ".join(found))


def differences(began: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> list[str]:
    """Return each option that has changed as `name old -> new`, but those that became more and may.

    Options that only one of them has belong to another version of darkpose.
    """
    found = []
    for name in sorted(began.keys() & now.keys()):
        place, old, new = f"{within}{name}", began[name], now[name]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{place}.")
        elif old != new and not (place in _RAISED and _raised(old, new)):
            found.append(f"{place} {shown(old)} -> {shown(new)}")
    return found


def _raised(old: Any, new: Any) -> bool:
    known = isinstance(old, int) and isinstance(new, int)
    return new is None or new == -1 or (known and old != -1 and new > old)
