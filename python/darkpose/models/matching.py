# SPDX-License-Identifier: Apache-2.0
"""Tensors against those of a network, strictly: what is missing, left over or of another shape.

`num_batches_tracked`, which files from before PyTorch 0.4.1 do not have and nothing reads, may be
missing.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from darkpose.values import printable

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)

_COUNTED = "num_batches_tracked"
_SHOWN = 5  # keys in a message
_LONGEST = 120  # characters of a key in a message


def differences(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, list[str]]:
    """Return the keys of tensors that are missing, unexpected, of another shape or of numbers that
    do not become the expected ones, by these words.

    Words without keys are left out.
    """
    found = {
        "missing": _beside(expected, tensors),
        "unexpected": _beside(tensors, expected),
        "of another shape": [
            f"{key} {list(tensors[key].shape)} for {list(wanted.shape)}"
            for key, wanted in expected.items()
            if key in tensors and tensors[key].shape != wanted.shape
        ],
        "of another kind of numbers": [
            key
            for key, wanted in expected.items()
            if key in tensors and not _becomes(tensors[key].dtype, wanted.dtype)
        ],
    }
    return {kind: keys for kind, keys in found.items() if keys}


def _becomes(given: torch.dtype, wanted: torch.dtype) -> bool:
    return given == wanted or any({given, wanted} <= set(kind) for kind in (FLOATING, WHOLE))


def _beside(keys: Iterable[str], others: Mapping[str, object]) -> list[str]:
    return [key for key in keys if key not in others and not key.endswith(_COUNTED)]


def describe(found: Mapping[str, list[str]]) -> str:
    """Return `differences` in words: of every kind the number and the first keys."""
    return "; ".join(f"{len(keys)} {kind}: {few(keys)}" for kind, keys in found.items())


def complete(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what `load_state_dict(strict=True)` takes: with all counts of batches, and no others.

    Args:
        tensors: without `differences` from what is expected.
        expected: the state dict of the network.
    """
    return {
        key: tensors.get(key, torch.zeros_like(value)) if key.endswith(_COUNTED) else tensors[key]
        for key, value in expected.items()
    }


def few(keys: Iterable[str]) -> str:
    """Return the first keys for a message, and how many more there are."""
    keys = list(keys)
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(printable(key[:_LONGEST]) for key in keys[:_SHOWN]) + more
