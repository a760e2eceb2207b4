# SPDX-License-Identifier: Apache-2.0
"""What `darkpose` can do: each command's options and what it runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from darkpose.codec import ENCODINGS
from darkpose.deploy.export import export
from darkpose.evaluate.ensemble import DECODER, evaluate_ensemble
from darkpose.evaluate.metrics.coco import Nms
from darkpose.evaluate.outcome import write_outcome
from darkpose.files import write_text
from darkpose.models.complexity import models_table
from darkpose.models.weights.convert import convert
from darkpose.paper import ablation, demo
from darkpose.paper.synthetic import write_dataset
from darkpose.paper.tables.command import table
from darkpose.predict.command import predict
from darkpose.show.look import look
from darkpose.show.report.command import ReportCommand
from darkpose.train.data import PoseData
from darkpose.train.trainer import Recipe, build, training_parser

_IMAGES = "Images, folders, patterns such as 'day1/*.jpg'"


class Command(Protocol):
    """What the command line needs of a command."""

    summary: str
    parser: ArgumentParser

    def run(self, config: Namespace) -> None: ...


class TrainerCommand:
    """`fit`, `validate` and `test`, as Lightning's trainer has them."""

    def __init__(self, verb: str, summary: str) -> None:
        self.verb, self.summary = verb, summary
        self.parser = training_parser()
        self.parser.add_argument("--ckpt_path", type=Path | None, help="Checkpoint to start from.")

    def run(self, config: Namespace) -> None:
        last = config.out / "checkpoints" / "last.ckpt"
        if self.verb != "fit":
            if config.ckpt_path is None:
                raise ValueError("needs --ckpt_path, the checkpoint to evaluate")
        elif last.exists() and not _beside(last, config.ckpt_path):
            raise FileExistsError(
                f"{config.out} already holds a run: resume it with --ckpt_path {last}, "
                "or name another --out"
            )
        task, data, trainer = build(self.parser, config)
        if self.verb == "fit":
            data.setup("fit")  # what is wrong is found before anything is written
            if config.ckpt_path is None:
                task.initialize()
        verb = getattr(trainer, self.verb)
        verb(task, datamodule=data, ckpt_path=config.ckpt_path, weights_only=True)
        if self.verb != "fit" and trainer.is_global_zero:
            assert task.evaluation is not None
            write_outcome(task.evaluation, task.decoders[-1], config.out)


def _beside(last: Path, checkpoint: Path | None) -> bool:
    return checkpoint is not None and checkpoint.resolve().parent == last.resolve().parent


class AblationCommand:
    """Encoding x decoding over several seeds."""

    summary = "Train both encodings with several seeds, decode each network in every way."

    def __init__(self) -> None:
        self.parser = training_parser()
        seeds = (
            "How many runs of each encoding, with the seeds from --seed on. "
            "Encoding, data.seed and the run's folder are set by this command."
        )
        self.parser.add_argument("--seeds", type=int, default=5, help=seeds)

    def run(self, config: Namespace) -> None:
        seeds = range(config.seed, config.seed + config.seeds)
        recipe = Recipe(self.parser, config)
        runs = ablation.ablation(recipe, config.out, tuple(reversed(ENCODINGS)), seeds)
        self._publish(config.out / "ablation.md", ablation.report(runs))

    @staticmethod
    @rank_zero_only
    def _publish(path: Path, text: str) -> None:
        write_text(path, text)
        print(text)


class EnsembleCommand:
    """Several checkpoints as one predictor."""

    summary = "Evaluate several checkpoints together, averaged as heatmaps or as coordinates."

    def __init__(self) -> None:
        self.parser = ArgumentParser(exit_on_error=False)
        self.parser.add_argument(
            "--config", action="config", help="YAML file with any of these options."
        )
        self.parser.add_argument(
            "--checkpoints", type=list[Path], required=True, help="Two or more checkpoints."
        )
        self.parser.add_class_arguments(PoseData, "data", skip={"codec"}, instantiate=False)
        self.parser.add_argument(
            "--flip_test", type=bool, default=True, help="Average over the mirrored input too."
        )
        self.parser.add_argument("--nms", type=Nms, default="hard", help="See `PoseTask`.")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.parser.add_argument("--device", type=str, default=device, help="Device to run on.")
        self.parser.add_argument(
            "--out", type=Path, default=Path("runs/ensemble"), help="Folder to write."
        )

    def run(self, config: Namespace) -> None:
        data = dict(self.parser.instantiate(config).data)
        evaluation = evaluate_ensemble(
            config.checkpoints, data, config.flip_test, config.nms, config.device
        )
        for name, value in write_outcome(evaluation, DECODER, config.out).items():
            print(f"{name:12} {value:.4f}")


class FunctionCommand:
    """A plain function, its arguments as options; those without a default by their position.

    `several` is a list among the latter, the last of them, and what the help says of it.
    """

    def __init__(
        self, function: Callable[..., object], several: tuple[str, str] | None = None
    ) -> None:
        self.function = function
        self.summary = (function.__doc__ or "").splitlines()[0]
        self.parser = ArgumentParser(exit_on_error=False)
        skipped: set[str | int] = {several[0]} if several else set()
        self.parser.add_function_arguments(function, as_positional=True, skip=skipped)
        if several:
            self.parser.add_argument(several[0], nargs="+", type=str, help=several[1])

    def run(self, config: Namespace) -> None:
        self.function(**self.parser.instantiate(config))


def commands() -> dict[str, Command]:
    """Return every command by name."""
    resume = "Train a network; with --ckpt_path, go on where a checkpoint stopped."
    evaluate = "Evaluate the checkpoint --ckpt_path on the validation data."
    return {
        "fit": TrainerCommand("fit", resume),
        "validate": TrainerCommand("validate", evaluate),
        "test": TrainerCommand("test", f"{evaluate[:-1]}, logged as a test."),
        "predict": FunctionCommand(predict, ("images", f"{_IMAGES}, videos.")),
        "look": FunctionCommand(look, ("images", f"{_IMAGES}.")),
        "report": ReportCommand(),
        "export": FunctionCommand(export),
        "table": FunctionCommand(table),
        "ablation": AblationCommand(),
        "ensemble": EnsembleCommand(),
        "convert": FunctionCommand(convert),
        "models": FunctionCommand(models_table),
        "demo": FunctionCommand(demo.demo),
        "synth": FunctionCommand(write_dataset),
    }
