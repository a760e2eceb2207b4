# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint says of itself, and how it is written and read.

Weights alone do not say what heatmaps mean: the same numbers with another input size, convention or
joint order give wrong coordinates without an error. A checkpoint therefore carries all of it, and
is refused where it disagrees with what it is loaded into.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from darkpose.codec import HEATMAP_ENCODINGS, HeatmapCodec
from darkpose.files import replacing

METADATA = "darkpose"  # its key in a checkpoint
FORMAT = 1


def write_checkpoint(content: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint beside its place and rename it: a killed run leaves no half a file."""
    with replacing(path) as file:
        torch.save(content, file)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU. Nothing in it is ever executed.

    Raises:
        OSError: there is no such file.
        ValueError: it is cut short, or no checkpoint that darkpose wrote.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged archive fails in as many ways as it has parts
        raise ValueError(
            f"{path} must be a complete checkpoint, got a file that torch.load cannot read"
        ) from error
    found = checkpoint.get(METADATA) if isinstance(checkpoint, dict) else None
    if found is None:
        raise ValueError(f"{path} must be a checkpoint that darkpose wrote, it has no metadata")
    if found["format"] != FORMAT:
        raise ValueError(f"{path} must be of format {FORMAT}, got {found['format']}")
    return checkpoint


def check_metadata(
    found: Mapping[str, Any], expected: Mapping[str, Any], *, resuming: bool = False
) -> None:
    """Raise ValueError, naming the first difference, if a checkpoint is of another kind of network.

    The encoding of heatmaps and how they are smoothed may differ unless training resumes: that is
    what they are trained toward and how they are read, not what they mean. Skeleton and upper body
    change nothing that has been learned.
    """
    was, wanted = _meaning(found), _meaning(expected)
    if not resuming:
        was.pop("modulation")
        if {was["encoding"], wanted["encoding"]} <= set(HEATMAP_ENCODINGS):
            was.pop("encoding")
    for name, value in was.items():
        if value != wanted[name]:
            raise ValueError(
                f"the checkpoint was trained with {name} {value}, "
                f"the configuration says {wanted[name]}"
            )


def _meaning(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return by name all that must agree, with lists for tuples."""
    joints = metadata["joints"]
    meaning = {
        **{name: metadata[name] for name in ("network", "color", "mean", "std")},
        "joints": joints["names"],
        "oks_sigmas": joints["oks_sigmas"],
        **HeatmapCodec.from_dict(metadata["codec"]).to_dict(),
    }
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in meaning.items()
    }
