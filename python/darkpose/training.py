# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a run: the parser of its options, the objects they describe, the trainer.

The trainer is Lightning's with this project's habits: what is logged, what is kept, and where.
"""

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from jsonargparse import ArgumentParser, Namespace
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from darkpose.codec import HeatmapCodec
from darkpose.data.module import PoseData
from darkpose.task import PoseTask

CONFIGS = Path(__file__).with_name("configs")


def training_parser() -> ArgumentParser:
    """Return a parser of codec, data, model and trainer: all that a training run is."""
    parser = ArgumentParser()
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    parser.add_class_arguments(HeatmapCodec, "codec", skip={"flip_index"})
    parser.add_class_arguments(PoseData, "data")
    parser.add_class_arguments(PoseTask, "model")
    # The sampler knows rank and world size itself, and repeats nobody in evaluation.
    ours = {"logger", "use_distributed_sampler"}
    parser.add_class_arguments(Trainer, "trainer", instantiate=False, skip=ours)
    parser.add_argument("--seed", type=int, default=0, help="Of the network's initial weights.")
    parser.add_argument("--out", type=Path, default=Path("runs/default"), help="Folder to write.")
    parser.link_arguments("codec", "data.codec", apply_on="instantiate")
    parser.link_arguments("codec", "model.codec", apply_on="instantiate")
    parser.link_arguments("data.spec", "model.spec", apply_on="instantiate")
    return parser


def build(parser: ArgumentParser, config: Namespace) -> tuple[PoseTask, PoseData, Trainer]:
    """Return what a training parser's configuration describes, the network newly initialized.

    The initial weights depend on `config.seed` alone; data order and augmentation have seeds of
    their own.
    """
    lightning.seed_everything(config.seed, verbose=False)
    made = parser.instantiate(config)
    return made.model, made.data, make_trainer(made.out, **made.trainer)


def make_trainer(out: Path, callbacks: list[Callback] | None = None, **options: Any) -> Trainer:
    """Return a trainer that logs to TensorBoard and CSV and keeps the best and the last checkpoint.

    Args:
        out: folder for `checkpoints/{best,last}.ckpt`, `logs/version_N/metrics.csv` and
            `tensorboard/version_N`; a later run in the same folder adds a version and deletes
            nothing.
        callbacks: in addition to the checkpoints'.
        options: any other argument of `lightning.Trainer`.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.pytorch.utilities._pytree")
    # An option left at None is one that was not given: Lightning's own default holds.
    given = {name: value for name, value in options.items() if value is not None}
    loggers = [CSVLogger(out, name="logs"), TensorBoardLogger(out, name="tensorboard")]
    folder: dict[str, Any] = {"dirpath": out / "checkpoints", "enable_version_counter": False}
    best = ModelCheckpoint(filename="best", monitor="val/AP", mode="max", **folder)
    last = ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **folder)
    return Trainer(
        logger=loggers,
        callbacks=[best, last, *_listed(callbacks)],
        plugins=[*_listed(given.pop("plugins", None)), AtomicCheckpoints()],
        use_distributed_sampler=False,
        **{"enable_model_summary": False, **given},
    )


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: a killed run leaves no half a file."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write `checkpoint` to the local file `path`."""
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        beside = final.with_name(f".{final.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(final)
        finally:
            beside.unlink(missing_ok=True)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) else [] if value is None else [value]
