# SPDX-License-Identifier: Apache-2.0
"""Options that follow from `huggingface:MODEL`, so that nobody has to look them up."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from darkpose.files import read_yaml
from darkpose.models.huggingface import Pretrained
from darkpose.models.model_files import is_model

_NAMING = ("ckpt_path", "model.network")  # options that may name a model


def implied(arguments: Sequence[str]) -> list[str]:
    """Put before the options of a training command those that follow from the model it names.

    What is said on the command line or in a configuration wins. A checkpoint that disagrees is
    refused when it is loaded.

    Args:
        arguments: of `fit`, `validate`, `test` or `report`.

    Raises:
        ImportError, OSError, ValueError: as `darkpose.models.huggingface.Pretrained`.
    """
    found = list(_models(arguments))
    if not found:
        return list(arguments)
    model = Pretrained(found[-1])
    codec = model.codec.to_dict()
    codec.pop("flip_index")
    named = {"network": found[-1], **model.normalization}
    return [
        "--config",
        yaml.safe_dump({"codec": _plain(codec), "model": _plain(named)}),
        *arguments,
    ]


def _plain(values: dict[str, object]) -> dict[str, object]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}


def _models(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the models that configurations and options name, in their order."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, given, value = argument.partition("=")
        value = value if given else following
        name = option.removeprefix("--")
        if name in _NAMING and is_model(value):
            yield value
        elif name == "config":
            # One that comes with the package is here in place of its name.
            file = "\n" not in value and Path(value).is_file()
            content = read_yaml(Path(value)) if file else yaml.safe_load(value)
            for path in _NAMING:
                inside = content
                for part in path.split("."):
                    inside = inside.get(part) if isinstance(inside, dict) else None
                if is_model(inside):
                    yield str(inside)
