# SPDX-License-Identifier: Apache-2.0
"""The files of a model of Hugging Face's hub, or of a folder, read by transformers.

Nothing in them is ever executed. The class of an image processor is never made: it needs
torchvision, and all that is taken from its file are numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darkpose.data.annotation_file import read_json
from darkpose.files import expanded
from darkpose.models.families import library
from darkpose.models.matching import describe
from darkpose.values import printable

PREFIX = "huggingface:"
PROCESSOR = "preprocessor_config.json"

_LONGEST = 300  # characters of a message


def is_model(name: object) -> bool:
    """Whether a name is one of the hub or of a folder, `huggingface:MODEL`."""
    return str(name).startswith(PREFIX)


@dataclass(frozen=True)
class ModelFiles:
    """Reads a model's files.

    Args:
        name: of the hub or of a folder, with `huggingface:` before it or without.

    Everything raises FileNotFoundError where a file is missing, ValueError where it is not what it
    should be, and ImportError without transformers.
    """

    name: str

    @property
    def place(self) -> str:
        """The name or folder, as transformers takes it."""
        return str(expanded(self.name.removeprefix(PREFIX)))

    @property
    def shown(self) -> str:
        """What messages call it."""
        return PREFIX + printable(self.name.removeprefix(PREFIX))

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The content of config.json."""
        if self.place.startswith(("/", ".")) and not Path(self.place).is_dir():
            raise FileNotFoundError(
                f"{self.shown} must be a name of the hub, such as owner/model, or a folder: "
                f"there is no {printable(str(Path(self.place).absolute()))}"
            )
        with self.naming("a config.json, on the hub or in its folder"), _quiet():
            found: dict[str, Any] = library().PreTrainedConfig.get_config_dict(self.place)[0]
        return found

    @cached_property
    def processor(self) -> dict[str, Any]:
        """The content of the image processor's file."""
        library()
        from transformers.utils import cached_file

        with self.naming(f"a {PROCESSOR}, by which its input is made"), _quiet():
            values = read_json(str(cached_file(self.place, PROCESSOR)))
        if not isinstance(values, dict):
            raise ValueError(f"{PROCESSOR} of {self.shown} must be a mapping")
        return values

    def weights(self, network: Any) -> dict[str, Tensor]:
        """Return the tensors of transformers' model of this configuration, in full precision.

        Args:
            network: the same without values.

        Raises:
            ValueError: a tensor is missing, left over or of another shape, or the file would run
                code.
        """
        with self.naming("weights that can be read"), _quiet():
            model, found = type(network).from_pretrained(
                self.place,
                config=network.config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        differing = {
            "missing": [*found["missing_keys"]],
            "unexpected": [*found["unexpected_keys"]],
            "of another shape": [str(key[0]) for key in found["mismatched_keys"]],
        }
        if any(differing.values()):
            said = describe({kind: sorted(keys) for kind, keys in differing.items() if keys})
            raise ValueError(f"{self.shown} must have the tensors of its configuration, got {said}")
        tensors: dict[str, Tensor] = model.state_dict()
        return tensors

    @contextmanager
    def naming(self, wanted: str) -> Iterator[None]:
        """Let an error say in one line which model it is about, and what it must have."""
        try:
            yield
        except ImportError:
            raise
        except Exception as error:  # transformers raises many types, few of them public
            words = printable(" ".join(str(error).split()))
            kind = FileNotFoundError if isinstance(error, OSError) else ValueError
            raise kind(f"{self.shown} must have {wanted}, got: {words[:_LONGEST]}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back transformers' progress bars and its remarks on files."""
    logging_ = library().logging
    bars, level = logging_.is_progress_bar_enabled(), logging_.get_verbosity()
    logging_.disable_progress_bar()
    logging_.set_verbosity(logging_.CRITICAL)
    try:
        yield
    finally:
        logging_.set_verbosity(level)
        if bars:
            logging_.enable_progress_bar()
