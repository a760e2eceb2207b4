# SPDX-License-Identifier: Apache-2.0
"""The command line: `darkpose fit --config x.yaml`, `darkpose --help` for the rest.

jsonargparse makes every option from the type hints and docstrings of what a command builds: a value
may come from YAML, from the command line, or from both, and is checked before anything runs.
"""

import logging
import sys
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

try:
    from jsonargparse import ArgumentParser, Namespace
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from darkpose import ablation, demo
    from darkpose.codec import ENCODINGS
    from darkpose.data.synthetic import write_dataset
    from darkpose.training import CONFIGS, Recipe, build, training_parser
except ModuleNotFoundError as error:
    missing = (error.name or "").partition(".")[0]
    if missing in ("", "darkpose", "darkpose_ext"):
        raise
    raise ImportError(f"darkpose needs {missing}: pip install 'darkpose[train]'") from None

_DESCRIPTION = """Train and evaluate keypoint networks with the DARK coordinate representation.

`darkpose demo` is a first look, in minutes on a CPU. `darkpose fit --config mine.yaml` trains on
COCO-style annotations; `darkpose fit --help` lists what mine.yaml may say, and demo.yaml and
lspet.yaml come with the package."""


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
            data.setup("fit")  # what is wrong with the data is found before anything is written
        verb = getattr(trainer, self.verb)
        verb(task, datamodule=data, ckpt_path=config.ckpt_path, weights_only=True)


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
        text = ablation.report(runs)
        (config.out / "ablation.md").write_text(text + "\n")
        print(text)


class FunctionCommand:
    """A plain function, its arguments as options."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function
        self.summary = (function.__doc__ or "").splitlines()[0]
        self.parser = ArgumentParser(exit_on_error=False)
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
    """Run one command; a bad argument or file ends it with one sentence and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    known = commands()
    parser = ArgumentParser(prog="darkpose", description=_DESCRIPTION, exit_on_error=False)
    subcommands = parser.add_subcommands(required=True)
    for name, command in known.items():
        subcommands.add_subcommand(name, command.parser, help=command.summary)
    name = "darkpose"
    try:
        config = parser.parse_args(find_configs(sys.argv[1:] if arguments is None else arguments))
        name = f"darkpose {config.subcommand}"
        known[config.subcommand].run(config[config.subcommand])
    except (ValueError, OSError, ArgumentError, MisconfigurationException) as error:
        sys.exit(f"{name}: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    """Return what an error says on one line; of one from a worker, without its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any(line.endswith("Traceback (most recent call last):") for line in lines):
        return lines[-1].partition(": ")[2]
    return " ".join(lines)


def find_configs(arguments: Sequence[str]) -> list[str]:
    """Replace the name of a configuration that comes with the package by its path.

    Raises:
        ValueError: there is no file of that name, nor does one come with the package.

    >>> find_configs(["fit", "--config", "lspet.yaml"])[2].endswith("configs/lspet.yaml")
    True
    """
    found = list(arguments)
    for i, argument in enumerate(found):
        name = argument.removeprefix("--config=")
        named = argument.startswith("--config=") or found[i - 1 : i] == ["--config"]
        if named and not Path(name).exists():
            if not (CONFIGS / name).is_file():
                packaged = ", ".join(sorted(path.name for path in CONFIGS.glob("*.yaml")))
                raise ValueError(f"--config must be a file or one of {packaged}, got {name}")
            found[i] = argument.replace(name, str(CONFIGS / name))
    return found


if __name__ == "__main__":
    main()
