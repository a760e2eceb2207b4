# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a run: the parser of its options, the objects they describe, the trainer.

The trainer is Lightning's with this project's habits: what is logged, what is kept, and where.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import lightning
from jsonargparse import ArgumentParser, Namespace
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from darkpose.checkpoints import AtomicCheckpoints
from darkpose.codec import HeatmapCodec
from darkpose.data.module import PoseData
from darkpose.task import PoseTask

CONFIGS = Path(__file__).with_name("configs")

# Options of Lightning's trainer that are decided here, or that no command uses.
_NO_OPTIONS = {
    # The sampler knows rank and world size itself, and repeats nobody in evaluation.
    *("logger", "use_distributed_sampler", "default_root_dir", "enable_checkpointing"),
    *("barebones", "limit_predict_batches", "model_registry", "enable_autolog_hparams"),
}


def training_parser() -> ArgumentParser:
    """Return a parser of codec, data, model and trainer: all that a training run is."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    parser.add_class_arguments(HeatmapCodec, "codec", skip={"flip_index"})
    parser.add_class_arguments(PoseData, "data")
    parser.add_class_arguments(PoseTask, "model")
    skip = _NO_OPTIONS & signature(Trainer).parameters.keys()
    parser.add_class_arguments(Trainer, "trainer", instantiate=False, skip=skip)
    parser.add_argument("--seed", type=int, default=0, help="Of the network's initial weights.")
    parser.add_argument("--out", type=Path, default=Path("runs/default"), help="Folder to write.")
    parser.link_arguments("codec", "data.codec", apply_on="instantiate")
    parser.link_arguments("codec", "model.codec", apply_on="instantiate")
    parser.link_arguments("data.spec", "model.spec", apply_on="instantiate")
    return parser


def build(parser: ArgumentParser, config: Namespace) -> tuple[PoseTask, PoseData, Trainer]:
    """Return what a training parser's configuration describes, the network newly initialized.

    The initial weights depend on `config.seed` alone; data order and augmentation have seeds of
    their own. Training writes `settings` into the folder, as `config.yaml`.
    """
    lightning.seed_everything(config.seed, verbose=False)
    made = parser.instantiate(config)
    options = dict(made.trainer)
    file = _SettingsFile(made.out / "config.yaml", settings(parser, config))
    callbacks = [*_listed(options.pop("callbacks", None)), file]
    return made.model, made.data, make_trainer(made.out, callbacks, **options)


def settings(parser: ArgumentParser, config: Namespace) -> str:
    """Return as YAML every option of a configuration that decides its result.

    It is a configuration file itself, and equal for equal runs: folder and checkpoint are left out.
    """
    said = config.clone()
    for name in ("config", "out", "ckpt_path", "seeds"):
        said.pop(name, None)
    text: str = parser.dump(said, skip_validation=True)
    return text


class _SettingsFile(Callback):
    """Written as training begins, when all that may be refused has been accepted."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(self.text)


@dataclass(frozen=True)
class Recipe:
    """A configuration for runs that differ in encoding and seed."""

    parser: ArgumentParser
    config: Namespace

    def __call__(
        self, encoding: str, seed: int, folder: Path
    ) -> tuple[PoseTask, PoseData, Trainer]:
        """Return what one run needs, the network newly initialized."""
        config = self._varied(encoding, seed)
        config.out = folder
        return build(self.parser, config)

    def settings(self, encoding: str, seed: int) -> str:
        """Return what one run's `config.yaml` says."""
        return settings(self.parser, self._varied(encoding, seed))

    def _varied(self, encoding: str, seed: int) -> Namespace:
        config = self.config.clone()
        config.codec.encoding, config.seed, config.data.seed = encoding, seed, seed
        return config


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
    # Figures that `Evaluation.gather` has made equal in all processes need no averaging.
    warnings.filterwarnings("ignore", message=r"It is recommended to use `self.log\('(val|test)/")
    # An option left at None is one that was not given: Lightning's own default holds.
    given = {name: value for name, value in options.items() if value is not None}
    if str(given.get("precision", "")).endswith("16-true"):
        raise ValueError(
            f"precision {given['precision']} would round joints by up to a pixel: "
            "use bf16-mixed or 16-mixed"
        )
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


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) else [] if value is None else [value]
