# SPDX-License-Identifier: Apache-2.0
"""Finds the state dict in other projects' files; `models.torch_files` has checked and read them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darkpose.models.matching import FLOATING, WHOLE, few
from darkpose.models.torch_files import read_torch_file
from darkpose.models.weights.others import YOLO
from darkpose.values import printable

_CONTAINERS = ("state_dict", "best_state_dict", "model")


def read_state_dict(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file's weights, on the CPU and in the file's own data types.

    Args:
        path: what torch.save wrote of a state dict, or of a dict with one as `state_dict`,
            `best_state_dict` or `model`.

    Returns:
        The state dict with the file's key names, and what else the file holds.

    Raises:
        OSError, ValueError: as `read_torch_file`; or it has no state dict of dense floating-point
            tensors.
    """
    name = printable(str(path))
    try:
        content = read_torch_file(path)
    except ValueError as error:
        if "holds ultralytics." not in str(error):
            raise
        raise ValueError(f"{name} must be of a network that darkpose has, got {YOLO}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name} must hold a state dict, got {type(content).__name__}")
    container = next((key for key in _CONTAINERS if isinstance(content.get(key), dict)), None)
    state = content if container is None else content[container]
    others = {} if container is None else {k: v for k, v in content.items() if k != container}
    if not state:
        raise ValueError(f"{name} must hold a state dict with tensors, got an empty one")
    for key, value in state.items():
        if not isinstance(key, str) or not _usable(key, value):
            raise ValueError(
                f"{name} must hold a state dict of dense floating-point tensors, "
                f"got {_describe(value)} as {few([str(key)])}"
            )
    return state, others


def _usable(key: str, value: object) -> bool:
    if not isinstance(value, Tensor):
        return False
    kinds = (*FLOATING, *WHOLE) if key.endswith("num_batches_tracked") else FLOATING
    return value.dtype in kinds and value.layout is torch.strided and value.device.type == "cpu"


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a {value.layout} tensor of {value.dtype} on {value.device}"
    return type(value).__name__
