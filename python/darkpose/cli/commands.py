# SPDX-License-Identifier: Apache-2.0
"""What `darkpose` can do: each command by name, imported when it is called.

A command is a function, whose arguments become options, or an object like `Command`.
"""

from collections.abc import Callable
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any, NamedTuple, Protocol, get_type_hints

from jsonargparse import ArgumentParser, Namespace


class Command(Protocol):
    """What the command line needs of a command."""

    parser: ArgumentParser

    def run(self, config: Namespace) -> None: ...


class LazyCommand(NamedTuple):
    """A command that is not imported yet."""

    place: str
    """`module:attribute` of a function, or of what returns a `Command`."""
    summary: str
    files: str | None = None
    """What the help says of the names of files that the command takes, as many as are given."""

    def load(self) -> Command:
        """Import the command.

        Raises:
            ImportError: a package that it needs is not installed.
        """
        module, _, attribute = self.place.partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in ("", "darkpose", "darkpose_ext"):
                raise
            raise ImportError(f"darkpose needs {missing}: pip install 'darkpose[train]'") from None
        if isinstance(found, type):
            command: Command = found()
            return command
        return FunctionCommand(found, self.files)


_IMAGES = "Images, folders, patterns such as 'day1/*.jpg'"

COMMANDS = {
    "fit": LazyCommand(
        "darkpose.cli.training:Fit",
        "Train a network; with --ckpt_path, go on where a checkpoint stopped.",
    ),
    "validate": LazyCommand(
        "darkpose.cli.training:Validate",
        "Evaluate the checkpoint --ckpt_path on the validation data.",
    ),
    "test": LazyCommand(
        "darkpose.cli.training:Test",
        "Evaluate the checkpoint --ckpt_path on the validation data, logged as a test.",
    ),
    "predict": LazyCommand(
        "darkpose.predict.command:predict",
        "Find the keypoints of people in images, folders or videos; write them, draw skeletons.",
        f"{_IMAGES}, videos.",
    ),
    "look": LazyCommand(
        "darkpose.show.look:look",
        "Draw what a checkpoint sees in images: skeletons, heatmaps, comparisons, as PNG files.",
        f"{_IMAGES}.",
    ),
    "report": LazyCommand(
        "darkpose.cli.report:ReportCommand",
        "Evaluate the checkpoint --ckpt_path and write the evaluation as one HTML file.",
    ),
    "export": LazyCommand(
        "darkpose.deploy.export:write",
        "Write a checkpoint as one file from an image to keypoints, for ONNX runtimes or libtorch.",
    ),
    "table": LazyCommand(
        "darkpose.paper.tables.command:table",
        "Train and evaluate the cells of one of the paper's tables, print it beside the paper's.",
    ),
    "ablation": LazyCommand(
        "darkpose.cli.ablation:Ablation",
        "Train both encodings with several seeds, decode each network in every way.",
    ),
    "ensemble": LazyCommand(
        "darkpose.cli.ensemble:Ensemble",
        "Evaluate several checkpoints together, averaged as heatmaps or as coordinates.",
    ),
    "convert": LazyCommand(
        "darkpose.models.weights.convert:convert",
        "Write another project's pose network as a checkpoint of darkpose.",
    ),
    "models": LazyCommand(
        "darkpose.models.complexity:models_table",
        "Print networks with their parameters, multiply-accumulates and the paper's GFLOPs.",
    ),
    "demo": LazyCommand(
        "darkpose.paper.demo:demo",
        "Train on synthetic people with both encodings, decode in three ways, write a table, draw.",
    ),
    "synth": LazyCommand(
        "darkpose.paper.synthetic.write:synth",
        "Write a synthetic COCO-style data set of people.",
    ),
}


class FunctionCommand:
    """A plain function, its arguments as options, or the fields of the dataclass that is its only
    one; those without a default by their position. An argument `from_` is the option `--from`.

    `files` is what the help says of the last of those, a list of names.
    """

    def __init__(self, function: Callable[..., object], files: str | None = None) -> None:
        self.function = function
        self.parser = ArgumentParser(exit_on_error=False)
        skipped: set[str | int] = set() if files is None else {"images"}
        self.options = _options(function)
        if self.options is None:
            self.parser.add_function_arguments(function, as_positional=True, skip=skipped)
        else:
            self.parser.add_class_arguments(self.options, as_positional=True, skip=skipped)
        if files is not None:
            self.parser.add_argument("images", nargs="+", type=str, help=files)
        for action in [each for each in self.parser._actions if each.dest.endswith("_")]:
            option = f"--{action.dest.rstrip('_')}"
            action.option_strings = [option]
            self.parser._option_string_actions[option] = action

    def run(self, config: Namespace) -> None:
        values = self.parser.instantiate(config)
        if self.options is None:
            self.function(**values)
        else:
            self.function(self.options(**values))


def _options(function: Callable[..., object]) -> Any:
    """Return the dataclass that is a function's only argument; None if there is none."""
    types = [kind for name, kind in get_type_hints(function).items() if name != "return"]
    return types[0] if len(types) == 1 and is_dataclass(types[0]) else None
