# SPDX-License-Identifier: Apache-2.0
"""The command line: `darkpose fit --config x.yaml`, `darkpose --help` for the rest.

jsonargparse makes every option from the type hints and docstrings of what a command builds: a value
may come from YAML, from the command line, or from both, and is checked before anything runs.
"""

import sys
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path

try:
    from jsonargparse import ArgumentParser, Namespace
except ModuleNotFoundError:
    raise ImportError("darkpose needs jsonargparse: pip install 'darkpose[train]'") from None

from darkpose import stopping
from darkpose.cli.commands import COMMANDS
from darkpose.cli.sentences import sentence
from darkpose.console import console
from darkpose.paper.recipes import find_configs

_DESCRIPTION = """Train and evaluate keypoint networks with the DARK coordinate representation.

`darkpose demo` is a first look, in minutes on a CPU. `darkpose fit --config mine.yaml` trains on
COCO-style annotations; `darkpose fit --help` lists what mine.yaml may say. The paper's recipes come
with the package, `--config coco/hrnet_w32_128_dark.yaml`, and `darkpose table 5 --dataset coco
--preset paper` trains and prints a table of it. `darkpose --version` says which this is."""


_LAST = "checkpoints/last.ckpt"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a bad argument or file ends it with one sentence and exit status 1."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    called = next((argument for argument in given if not argument.startswith("-")), "")
    name = "darkpose"
    config = Namespace()
    with console(), stopping.stoppable():
        try:
            command = COMMANDS[called].load() if called in COMMANDS else None
            parser = ArgumentParser(prog="darkpose", description=_DESCRIPTION, exit_on_error=False)
            subcommands = parser.add_subcommands(required=True)
            for known, entry in COMMANDS.items():  # of the others the help says what they are for
                own = command.parser if command and known == called else ArgumentParser()
                subcommands.add_subcommand(known, own, help=entry.summary)
            found = find_configs(given)
            if found[:1] == [called]:
                found[1:] = getattr(command, "implied", list)(found[1:])
            config = parser.parse_args(found)[called]
            assert command is not None
            name = f"darkpose {called}"
            command.run(config)
        except BaseException as error:
            number = stopping.asked(error)
            if number is not None:
                stopping.leave(f"{name}: ended by {number.name}{_kept(config)}" if _first() else "")
            if isinstance(error, _refusals()):
                sys.exit(f"{name}: {sentence(error)}")
            raise


def _first() -> bool:
    """Return whether this is the only process, or the one that speaks for all."""
    lightning = sys.modules.get("lightning.fabric.utilities.rank_zero")
    return lightning is None or not getattr(lightning.rank_zero_only, "rank", None)


def _kept(config: Namespace) -> str:
    """Return where the last checkpoint of a command that trains is, if there is one."""
    out = config.get("out")
    if not isinstance(out, Path):
        return ""
    found = [path for depth in ("", "*/", "*/*/") for path in out.glob(f"{depth}{_LAST}")]
    last = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return f", the last checkpoint is {last}" if last else ""


def _refusals() -> tuple[type[Exception], ...]:
    """Return what commands raise for what a user can mend."""
    own = (ValueError, OSError, ImportError, ArgumentError)
    lightning = sys.modules.get("lightning.fabric.utilities.exceptions")
    return own if lightning is None else (*own, lightning.MisconfigurationException)


if __name__ == "__main__":
    main()
