# SPDX-License-Identifier: Apache-2.0
"""Configurations that come with the package: files, and the paper's, of which there is one."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from darkpose.files import read_yaml


@cache
def recipes() -> dict[str, str]:
    """Return each configuration as YAML, by the name that users type."""
    found = {file.name: file.read_text("utf-8") for file in Path(__file__).parent.glob("*.yaml")}
    paper = yaml.safe_load(found.pop("paper.yaml"))
    for name, own in paper["recipes"].items():
        words = ["all", *re.split("[/_]", name)]
        made: dict[str, Any] = {"out": f"runs/{name}"}
        parts = [part for word, part in paper["parts"].items() if word in words]
        for part in [*parts, own or {}]:
            for group, options in part.items():
                made[group] = {**made.get(group, {}), **options}
        found[f"{name}.yaml"] = yaml.safe_dump(made, sort_keys=False)
    return dict(sorted(found.items()))


def find_configs(arguments: Sequence[str]) -> list[str]:
    """Replace the name of a configuration that comes with the package by what it says.

    Raises:
        ValueError: there is no file of that name, nor does one come with the package; a file is not
            YAML.

    >>> find_configs(["fit", "--config", "lspet.yaml"])[2] == recipes()["lspet.yaml"]
    True
    """
    found = list(arguments)
    for i, argument in enumerate(found):
        name = argument.removeprefix("--config=")
        named = argument.startswith("--config=") or found[i - 1 : i] == ["--config"]
        if named and Path(name).is_file():
            _check(Path(name), set())
        elif named and not Path(name).exists():
            if name not in recipes():
                known, place = ", ".join(recipes()), Path(name).absolute()
                raise ValueError(
                    f"--config must be a file or one of {known}, got {name}: there is no {place}"
                )
            found[i] = argument.replace(name, recipes()[name])
    return found


def _check(file: Path, seen: set[Path]) -> None:
    """Refuse a configuration, or a YAML file that it names, which is no YAML or has no end: it is
    named, where jsonargparse would not, or read for ever."""
    seen.add(file)
    waiting = [read_yaml(file)]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            waiting += each.values() if isinstance(each, dict) else each
        elif isinstance(each, str) and each.endswith((".yaml", ".yml")):
            for inside in (Path(each), file.parent / each):
                if inside.is_file() and inside not in seen:
                    _check(inside, seen)
