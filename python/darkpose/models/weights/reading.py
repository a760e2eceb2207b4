# SPDX-License-Identifier: Apache-2.0
"""Reads the state dicts of other projects' files without executing anything that is in them.

A file of torch.save is a pickle, which may name any function of any module to be called while it is
read. `torch.load(weights_only=True)` calls what is on a list and refuses the rest. Harmless files
hold a few more things beside their weights; these are let through and thrown away, so that neither
NumPy nor mmengine is ever called.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darkpose.data.published import missing

# By the names pickles have them under: NumPy before and since version 2.
DISCARDED = (
    "numpy.core.multiarray.scalar",  # HRNet's and SimpleBaseline's `perf`
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",  # mmpose 1.x: joint weights and colors in `meta`
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    "mmengine.logging.history_buffer.HistoryBuffer",  # mmengine's `message_hub`
)
_CONTAINERS = ("state_dict", "best_state_dict", "model")


class Discarded:
    """Stands in for an object that is not needed: takes whatever a pickle gives it, keeps none."""

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


def read_state_dict(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file's weights, on the CPU and in the file's own data types.

    Args:
        path: what torch.save wrote of a state dict, or of a dict with one as `state_dict`,
            `best_state_dict` or `model`.

    Returns:
        The state dict with the file's key names, and what else the file holds.

    Raises:
        OSError: there is no such file.
        ValueError: it holds a function or class beside those in `DISCARDED`, or no state dict of
            dense floating-point tensors, or torch cannot read it.
    """
    content = _read(Path(path))
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} must hold a state dict, got {type(content).__name__}")
    container = next((key for key in _CONTAINERS if isinstance(content.get(key), Mapping)), None)
    state = content if container is None else content[container]
    others = {} if container is None else {k: v for k, v in content.items() if k != container}
    if not state:
        raise ValueError(f"{path} must hold a state dict with tensors, got an empty one")
    for key, value in state.items():
        if not isinstance(key, str) or not _usable(key, value):
            raise ValueError(
                f"{path} must hold a state dict of dense floating-point tensors, "
                f"got {_describe(value)} as {key}"
            )
    return dict(state), others


def _read(path: Path) -> Any:
    if not path.exists():
        raise FileNotFoundError(missing(path))
    with path.open("rb") as file:
        beginning = file.read(40)
    if beginning and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in beginning):
        raise ValueError(
            f"{path} must be a file that torch.save wrote, "
            f"got text that begins with {beginning.decode()!r}"
        )
    allowed: list[Callable | tuple[Callable, str]] = [(Discarded, name) for name in DISCARDED]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive fails in as many ways as it has parts
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused is not None:
            raise ValueError(
                f"{path} holds {refused[1]}, which is refused: "
                "a checkpoint may hold tensors and plain values only"
            ) from None
        raise ValueError(
            f"{path} must be a complete file that torch.save wrote, got one that torch cannot read"
        ) from error


def _usable(key: str, value: object) -> bool:
    if not isinstance(value, Tensor) or type(value) not in (Tensor, nn.Parameter):
        return False
    floating = value.is_floating_point() or key.endswith("num_batches_tracked")
    return floating and value.layout is torch.strided and value.device.type == "cpu"


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a {value.layout} tensor of {value.dtype} on {value.device}"
    return type(value).__name__
