# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint says of itself, and how it is written and read.

Weights alone do not say what heatmaps mean: the same numbers with another input size, convention or
joint order give wrong coordinates without an error. A checkpoint therefore carries all of it, and
is refused where it disagrees with what it is loaded into.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darkpose.codec import HEATMAP_ENCODINGS, HeatmapCodec
from darkpose.data.spec import KeypointSpec
from darkpose.files import replacing
from darkpose.models.matching import FLOATING, few
from darkpose.models.torch_files import read_torch_file
from darkpose.values import finite, printable, shown

METADATA = "darkpose"  # its key in a checkpoint
FORMAT = 1
COLORS = ("rgb", "bgr")

_MOST_VALUES = 100_000  # in the metadata
_DEEPEST = 8
_LONGEST = 400  # characters of a message


def write_checkpoint(content: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint beside its place and rename it: a killed run leaves no half a file."""
    with replacing(path) as file:
        torch.save(content, file)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU. Nothing in it is ever executed.

    Its metadata come as `PoseModel.metadata` gives them and its weights are dense tensors, whoever
    wrote it.

    Raises:
        OSError: there is no such file.
        ValueError: it is damaged or cut short, no checkpoint that darkpose wrote, or has values
            that cannot be.
    """
    content = read_torch_file(path)
    found = content.get(METADATA) if isinstance(content, dict) else None
    if found is None:
        raise ValueError(
            f"{printable(str(path))} must be a checkpoint that darkpose wrote, it has no metadata: "
            "darkpose convert makes one of another project's pose network"
        )
    with naming(path):
        content[METADATA] = _checked_metadata(found)
        content["state_dict"] = _checked_weights(content.get("state_dict"))
        _check_progress(content)
    checkpoint: dict[str, Any] = content
    return checkpoint


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Let a ValueError about a checkpoint begin with its name, in one line that can be shown."""
    try:
        yield
    except ValueError as error:
        words = printable(" ".join(str(error).split()))
        cut = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."
        raise ValueError(f"{printable(str(path))}: {cut}") from error


def check_metadata(
    found: Mapping[str, Any], expected: Mapping[str, Any], *, resuming: bool = False
) -> None:
    """Raise ValueError, naming the first difference, if a checkpoint is of another kind of network.

    The encoding of heatmaps, how they are smoothed and what is done near their border may differ
    unless training resumes: that is what they are trained toward and how they are read, not what
    they mean. Skeleton, upper body and OKS sigmas change nothing that has been learned.
    """
    was, wanted = _meaning(found), _meaning(expected)
    if not resuming:
        for name in ("modulation", "border"):
            was.pop(name)
        if {was["encoding"], wanted["encoding"]} <= set(HEATMAP_ENCODINGS):
            was.pop("encoding")
    for name, value in was.items():
        if value != wanted[name]:
            raise ValueError(
                f"the checkpoint was trained with {name} {value}, "
                f"the configuration says {wanted[name]}"
            )


def check_alike(found: Any, expected: Any, name: str) -> None:
    """Raise ValueError unless a state from a file is made as a new one is: mappings with its keys,
    lists as long, tensors of its shapes, numbers for numbers. What is null in the new one may be
    any one value; `name` is what the message calls it."""
    kind: Any = Tensor if isinstance(expected, Tensor) else type(expected)
    if isinstance(expected, int | float):
        kind = int | float
    elif expected is None:
        kind = int | float | str | Tensor | None
    if not isinstance(found, kind):
        raise ValueError(f"{name} must be {type(expected).__name__}, got {type(found).__name__}")
    if isinstance(expected, dict):
        if missing := expected.keys() - found.keys():
            raise ValueError(f"{name} must have {few(sorted(map(str, missing)))}, got none")
        for key, value in expected.items():
            check_alike(found[key], value, f"{name}.{key}")
    elif isinstance(expected, list | tuple):
        if len(found) != len(expected):
            raise ValueError(f"{name} must have {len(expected)} values, got {len(found)}")
        for one, other in zip(found, expected, strict=True):
            check_alike(one, other, name)
    elif isinstance(found, Tensor):
        wanted = torch.Size() if expected is None else expected.shape
        if found.shape != wanted or found.dtype not in FLOATING:
            raise ValueError(
                f"{name} must be numbers {list(wanted)}, got {found.dtype} {list(found.shape)}"
            )


def _meaning(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return by name all that must agree, with lists for tuples."""
    meaning = {
        **{name: metadata[name] for name in ("network", "color", "mean", "std")},
        "configuration": metadata.get("configuration"),
        "joints": metadata["joints"]["names"],
        **HeatmapCodec.from_dict(metadata["codec"]).to_dict(),
    }
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in meaning.items()
    }


# ---- what a file gave ----------------------------------------------------------------------------


def _checked_metadata(found: Any) -> dict[str, Any]:
    """Return metadata as `PoseModel.metadata` gives them, and what else is beside them."""
    _check_plain([found])
    for name in ("format", "network", "codec", "joints", "color", "mean", "std"):
        if not isinstance(found, dict) or name not in found:
            raise ValueError(f"metadata must say the checkpoint's {name}, got {shown(found)}")
    for name, choices in {"format": (FORMAT,), "color": COLORS}.items():
        if found[name] not in choices:
            wanted = " or ".join(map(str, choices))
            raise ValueError(f"{name} must be {wanted}, got {shown(found[name])}")
    if not isinstance(found["network"], str):
        raise ValueError(f"network must be a name, got {shown(found['network'])}")
    if not isinstance(found.get("configuration", {}), dict):
        raise ValueError(f"configuration must be a mapping, got {shown(found['configuration'])}")
    normalization = {name: finite(found[name], name, 3) for name in ("mean", "std")}
    if not (normalization["std"] > 0).all():
        raise ValueError(f"std must be positive, got {shown(found['std'])}")
    return {
        **found,
        **{name: tuple(values.tolist()) for name, values in normalization.items()},
        "codec": HeatmapCodec.from_dict(found["codec"]).to_dict(),
        "joints": asdict(_joints(found["joints"])),
    }


def _check_plain(values: list[Any]) -> None:
    """Raise ValueError for what is neither a number, text, a list nor a mapping, and for so many
    values, or so deep in each other, as no joints have."""
    seen = 0
    for _ in range(_DEEPEST):
        inside: list[Any] = []
        for value in values:
            if isinstance(value, dict):
                inside += [*value, *value.values()]
            elif isinstance(value, list | tuple):
                inside += value
            elif value is not None and not isinstance(value, str | int | float):
                raise ValueError(f"metadata must be plain values, got {type(value).__name__}")
            if seen + len(inside) > _MOST_VALUES:
                raise ValueError(f"metadata must be at most {_MOST_VALUES} values, got more")
        seen += len(inside)
        values = inside
    if values:
        raise ValueError(f"metadata must be at most {_DEEPEST} deep, got more")


def _joints(found: Any) -> KeypointSpec:
    known = {field.name for field in fields(KeypointSpec)}
    if (
        not isinstance(found, dict)
        or not {"names", "flip_pairs", "oks_sigmas"} <= set(found) <= known
    ):
        raise ValueError(
            f"joints must be a mapping of {', '.join(sorted(known))}, got {shown(found)}"
        )
    return KeypointSpec(**found)


def _checked_weights(found: Any) -> dict[str, Tensor]:
    if not isinstance(found, dict) or not found:
        raise ValueError(f"state_dict must be the network's tensors, got {shown(type(found))}")
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"state_dict must be tensors by name, "
                f"got {type(value).__name__} as {few([str(key)])}"
            )
        if value.layout is not torch.strided or value.device.type != "cpu":
            raise ValueError(f"state_dict must be dense tensors, got another one as {shown(key)}")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(
                f"{shown(key)} must hold every value, got {list(value.shape)} of fewer"
            )
    return found


def _check_progress(found: Mapping[str, Any]) -> None:
    """Raise ValueError for what Lightning's trainer reads before it knows whether it needs it."""
    kinds = {
        **dict.fromkeys(("epoch", "global_step"), int),
        "pytorch-lightning_version": str,
        **dict.fromkeys(("loops", "callbacks"), dict),
        **dict.fromkeys(("optimizer_states", "lr_schedulers"), list),
    }
    for name in kinds.keys() & found.keys():
        kind = kinds[name]
        if type(found[name]) is not kind:
            raise ValueError(f"{name} must be {kind.__name__}, got {type(found[name]).__name__}")
        if kind is str and not re.fullmatch(r"\d+(\.\d+)+\S{0,20}", found[name]):
            raise ValueError(f"{name} must be like 2.6.0, got {shown(found[name])}")
        if kind is int and not 0 <= found[name] < 2**53:
            raise ValueError(f"{name} must count what was trained, got {shown(found[name])}")
