# SPDX-License-Identifier: Apache-2.0
"""`fit`, `validate` and `test`, as Lightning's trainer has them."""

from contextlib import nullcontext
from pathlib import Path

from jsonargparse import Namespace

from darkpose.cli.implied import implied
from darkpose.console import say
from darkpose.evaluate.writing import figures_table, write_evaluation
from darkpose.train.keeping import kept
from darkpose.train.lock import run_folder
from darkpose.train.trainer import build, training_parser


class _TrainerCommand:
    """A verb of Lightning's trainer."""

    verb: str

    def __init__(self) -> None:
        self.parser = training_parser()
        self.parser.add_argument("--ckpt_path", type=Path | None, help="Checkpoint to start from.")

    implied = staticmethod(implied)

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
        with run_folder(config.out, trainer) if self.verb == "fit" else nullcontext():
            quiet = {} if self.verb == "fit" else {"verbose": False}
            verb(task, datamodule=data, ckpt_path=config.ckpt_path, weights_only=True, **quiet)
        if not trainer.is_global_zero:
            return
        if self.verb == "fit":
            say(kept(trainer))
            return
        assert task.evaluation is not None
        write_evaluation(task.evaluation, task.decoders[-1], config.out)
        figures = {name: task.evaluation.figures(name) for name in task.decoders}
        loss = {name: value for name, value in trainer.callback_metrics.items() if "loss" in name}
        say(figures_table(figures))
        said = [f"{name} {float(value):.6f}" for name, value in loss.items()]
        said = [f"people: {len(task.evaluation.rows)}", *said, str(config.out)]
        say(", ".join(said))


class Fit(_TrainerCommand):
    """Train, or go on training."""

    verb = "fit"


class Validate(_TrainerCommand):
    """Evaluate."""

    verb = "validate"


class Test(_TrainerCommand):
    """Evaluate, and log it as a test."""

    verb = "test"


def _beside(last: Path, checkpoint: Path | None) -> bool:
    return checkpoint is not None and checkpoint.resolve().parent == last.resolve().parent
