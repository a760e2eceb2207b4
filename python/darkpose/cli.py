# SPDX-License-Identifier: Apache-2.0
"""The command line: `darkpose fit --config x.yaml`, `darkpose --help` for the rest.

jsonargparse makes every option from the type hints and docstrings of what a command builds: a value
may come from YAML, from the command line, or from both, and is checked before anything runs.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from jsonargparse import ArgumentParser, Namespace
from lightning import Trainer

from darkpose import ablation, demo
from darkpose.codec import ENCODINGS
from darkpose.data.module import PoseData
from darkpose.data.synthetic import write_dataset
from darkpose.task import PoseTask
from darkpose.training import CONFIGS, build, training_parser


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
        if self.verb == "fit" and config.ckpt_path is None:
            last = config.out / "checkpoints" / "last.ckpt"
            if last.exists():
                raise FileExistsError(
                    f"{config.out} already holds a run: resume it with --ckpt_path {last}, "
                    "or name another --out"
                )
        task, data, trainer = build(self.parser, config)
        verb = getattr(trainer, self.verb)
        verb(task, datamodule=data, ckpt_path=config.ckpt_path, weights_only=True)


class AblationCommand:
    """Encoding x decoding over several seeds."""

    summary = "Train both encodings with several seeds, decode each network in every way."

    def __init__(self) -> None:
        self.parser = training_parser()
        self.parser.add_argument("--seeds", type=int, default=5, help="How many, from --seed on.")

    def run(self, config: Namespace) -> None:
        def build_run(encoding: str, seed: int, folder: Path) -> tuple[PoseTask, PoseData, Trainer]:
            one = config.clone()
            one.codec.encoding, one.seed, one.data.seed, one.out = encoding, seed, seed, folder
            return build(self.parser, one)

        seeds = range(config.seed, config.seed + config.seeds)
        runs = ablation.ablation(build_run, config.out, tuple(reversed(ENCODINGS)), seeds)
        text = ablation.report(runs)
        (config.out / "ablation.md").write_text(text + "\n")
        print(text)


class FunctionCommand:
    """A plain function, its arguments as options."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function
        self.summary = (function.__doc__ or "").splitlines()[0]
        self.parser = ArgumentParser()
        self.parser.add_function_arguments(function)

    def run(self, config: Namespace) -> None:
        self.function(**self.parser.instantiate(config))


def commands() -> dict[str, Command]:
    """Return every command by name; later ones join here."""
    resume = "Train a network; with --ckpt_path, go on where a checkpoint stopped."
    evaluate = "Evaluate the checkpoint --ckpt_path on the validation data."
    return {
        "fit": TrainerCommand("fit", resume),
        "validate": TrainerCommand("validate", evaluate),
        "test": TrainerCommand("test", f"{evaluate[:-1]}, logged as a test."),
        "ablation": AblationCommand(),
        "demo": FunctionCommand(demo.demo),
        "synth": FunctionCommand(write_dataset),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a bad argument or file ends it with one sentence and exit status 1 or 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    known = commands()
    parser = ArgumentParser(prog="darkpose", description=__doc__)
    subcommands = parser.add_subcommands(required=True)
    for name, command in known.items():
        subcommands.add_subcommand(name, command.parser, help=command.summary)
    config = parser.parse_args(find_configs(sys.argv[1:] if arguments is None else arguments))
    try:
        known[config.subcommand].run(config[config.subcommand])
    except (ValueError, OSError) as error:
        sys.exit(f"darkpose {config.subcommand}: {error}")


def find_configs(arguments: Sequence[str]) -> list[str]:
    """Replace the name of a configuration that comes with the package by its path.

    >>> find_configs(["fit", "--config", "lspet.yaml"])[2].endswith("configs/lspet.yaml")
    True
    """
    found = list(arguments)
    for i, argument in enumerate(found):
        name = argument.removeprefix("--config=")
        named = argument.startswith("--config=") or found[i - 1 : i] == ["--config"]
        if named and not Path(name).exists() and (CONFIGS / name).is_file():
            found[i] = argument.replace(name, str(CONFIGS / name))
    return found


if __name__ == "__main__":
    main()
