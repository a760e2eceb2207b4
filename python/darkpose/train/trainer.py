# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a run: the parser of its options, the objects they describe, the trainer.

The trainer is Lightning's with this project's habits: what is logged, what is kept, and where.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import lightning
import yaml
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from darkpose.codec import HeatmapCodec
from darkpose.data.options import DataOptions
from darkpose.files import write_text
from darkpose.models.checkpoints import read_checkpoint, write_checkpoint
from darkpose.models.model_files import is_model
from darkpose.models.pose import PoseModel
from darkpose.train.bar import bar
from darkpose.train.changes import SameOptions, listed
from darkpose.train.data import PoseData
from darkpose.train.finite import StopNotFinite
from darkpose.train.keeping import KeepBestAndLast
from darkpose.train.quiet import quiet_lightning
from darkpose.train.stops import Stops, own_signals
from darkpose.train.task import ModelOptions, PoseTask

# Options of Lightning's trainer that are decided here, or that no command uses.
_NO_OPTIONS = {
    # The sampler knows rank and world size itself, and repeats nobody in evaluation.
    *("use_distributed_sampler", "default_root_dir", "enable_checkpointing"),
    *("barebones", "limit_predict_batches", "model_registry", "enable_autolog_hparams"),
}

# Options of a command that no result depends on.
_NO_SETTINGS = (
    *("config", "out", "ckpt_path", "seeds", "checkpoint_steps", "stop_not_finite"),
    "resume_changed",
)


def training_parser() -> ArgumentParser:
    """Return a parser of codec, data, model and trainer: all that a training run is."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    parser.add_class_arguments(HeatmapCodec, "codec", skip={"flip_index"})
    parser.add_class_arguments(DataOptions, "data")
    parser.add_class_arguments(ModelOptions, "model")
    skip = _NO_OPTIONS & signature(Trainer).parameters.keys()
    parser.add_class_arguments(Trainer, "trainer", instantiate=False, skip=skip)
    parser.add_argument("--seed", type=int, default=0, help="Of the network's initial weights.")
    parser.add_argument("--out", type=Path, default=Path("runs/default"), help="Folder to write.")
    steps = "Optimizer steps from one checkpoint to the next, besides those at the ends of epochs."
    parser.add_argument("--checkpoint_steps", type=PositiveInt | None, help=steps)
    stop = "End where the loss or its gradient is not finite; false: go on with NaN."
    parser.add_argument("--stop_not_finite", type=bool, default=True, help=stop)
    changed = "Go on with a checkpoint though options that decide the result have changed."
    parser.add_argument("--resume_changed", type=bool, default=False, help=changed)
    return parser


def build(parser: ArgumentParser, config: Namespace) -> tuple[PoseTask, PoseData, Trainer]:
    """Return what a training parser's configuration describes, the network newly initialized.

    The initial weights depend on `config.seed` alone; data order and augmentation have seeds of
    their own. Training writes `settings` and the folder into the folder, as `config.yaml`.
    """
    lightning.seed_everything(config.seed, verbose=False)
    made = parser.instantiate(config)
    data = PoseData(made.codec, made.data)
    task = PoseTask(made.codec, data.people.spec, made.model)
    options = dict(made.trainer)
    text = settings(parser, config) + yaml.safe_dump({"out": str(made.out)})
    file = _SettingsFile(made.out / "config.yaml", text)
    same = SameOptions(
        yaml.safe_load(parser.dump(config, skip_validation=True, skip_unset=False)),
        changed=config.resume_changed,
    )
    callbacks = [*listed(options.pop("callbacks", None)), file, same]
    callbacks += [StopNotFinite()] if config.stop_not_finite else []
    trainer = make_trainer(made.out, callbacks, config.checkpoint_steps, **options)
    data.trainer = trainer  # who shares a batch is known before anything is written
    return task, data, trainer


def settings(parser: ArgumentParser, config: Namespace) -> str:
    """Return as YAML every option of a configuration that decides its result.

    It is a configuration file itself, and equal for equal runs: folder and checkpoint are left out.
    """
    said = config.clone()
    for name in _NO_SETTINGS:
        said.pop(name, None)
    text: str = parser.dump(said, skip_validation=True)
    return text


class Checkpoints(TorchCheckpointIO):
    """Lightning's checkpoints as `darkpose.models.checkpoints` writes and reads them."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write `checkpoint` to the local file `path`, complete or not at all."""
        write_checkpoint(checkpoint, path)

    def load_checkpoint(self, path: Any, *_args: Any, **_options: Any) -> dict[str, Any]:
        """Read a checkpoint, or `huggingface:MODEL`, to the CPU; one that no trainer wrote begins
        where training does.

        Raises:
            OSError, ValueError: as `read_checkpoint`.
        """
        untrained = {
            "pytorch-lightning_version": lightning.__version__,
            "epoch": 0,
            "global_step": 0,
        }
        if is_model(path):
            return {**untrained, **PoseModel.load(path).checkpoint()}
        return {**untrained, **read_checkpoint(path)}


class _SettingsFile(Callback):
    """Written as training begins, when all that may be refused has been accepted."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        going_on = trainer.ckpt_path is not None and self.path.exists()
        if trainer.is_global_zero and not going_on:  # it says what the run was begun with
            write_text(self.path, self.text)


@dataclass(frozen=True)
class Recipe:
    """A configuration for runs that differ in their seed and in some options, given by their names.

    `{"codec.encoding": "biased"}` is such a change.
    """

    parser: ArgumentParser
    config: Namespace

    def __call__(
        self, changes: Mapping[str, Any], seed: int, folder: Path
    ) -> tuple[PoseTask, PoseData, Trainer]:
        """Return what one run needs, the network newly initialized."""
        config = self._changed(changes, seed)
        config.out = folder
        return build(self.parser, config)

    def settings(self, changes: Mapping[str, Any], seed: int) -> str:
        """Return what one run's `config.yaml` says."""
        return settings(self.parser, self._changed(changes, seed))

    def reread(self, path: Path) -> str:
        """Return what a run's `config.yaml` says, with today's defaults for what it leaves out."""
        return settings(self.parser, self.parser.parse_path(str(path)))

    def _changed(self, changes: Mapping[str, Any], seed: int) -> Namespace:
        said = {**changes, "seed": seed, "data.seed": seed}
        return self.parser.parse_object(_nested(said), namespace=self.config.clone())


def _nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{"a.b": 1}` as `{"a": {"b": 1}}`."""
    nested: dict[str, Any] = {}
    for name, value in options.items():
        *parents, last = name.split(".")
        inside = nested
        for parent in parents:
            inside = inside.setdefault(parent, {})
        inside[last] = value
    return nested


def make_trainer(
    out: Path,
    callbacks: list[Callback] | None = None,
    checkpoint_steps: int | None = None,
    **options: Any,
) -> Trainer:
    """Return a trainer that keeps the best and the last checkpoint, and logs to TensorBoard and CSV
    unless `options` name other loggers.

    Args:
        out: folder for `checkpoints/{best,last}.ckpt`, `logs/version_N/metrics.csv` and
            `tensorboard/version_N`; a later run in the same folder adds a version and deletes
            nothing.
        callbacks: in addition to the checkpoints'.
        checkpoint_steps: optimizer steps after which `last.ckpt` is written, besides the ends of
            epochs. A run that is killed repeats the steps since then, and ends with the weights of
            one that was not.
        options: any other argument of `lightning.Trainer`.
    """
    quiet_lightning()
    # An option left at None is one that was not given: Lightning's own default holds.
    given = {name: value for name, value in options.items() if value is not None}
    if str(given.get("precision", "")).endswith("16-true"):
        raise ValueError(
            f"precision {given['precision']} would round joints by up to a pixel: "
            "use bf16-mixed or 16-mixed"
        )
    if "logger" not in given:
        given["logger"] = [CSVLogger(out, "logs"), TensorBoardLogger(out, "tensorboard")]
    kept = KeepBestAndLast(out / "checkpoints", checkpoint_steps)
    shown = bar(given.get("enable_progress_bar"), listed(callbacks))
    trainer = Trainer(
        callbacks=[*listed(callbacks), *shown, kept, Stops()],
        plugins=[*listed(given.pop("plugins", None)), Checkpoints()],
        use_distributed_sampler=False,
        **{"enable_model_summary": False, **given},
    )
    own_signals(trainer)
    return trainer
