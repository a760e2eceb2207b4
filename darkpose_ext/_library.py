# SPDX-License-Identifier: Apache-2.0
"""Loads `_C.so`, the kernels of `torch.ops.dark`, or says in one message why it cannot."""

from pathlib import Path

import torch

LIBRARY = Path(__file__).with_name("_C.so")
BUILD = "python setup.py develop"

# The arguments of every op, by which a library of another version is known.
OPS = {
    "encode": "joints weights height width sigma transform rounding truncate dtype",
    "modulate": "heatmaps taps rescale",
    "decode": "heatmaps taps flipped transform method flip_index flip_shift max_shift border",
    "decode_peaks": "heatmaps taps k flipped transform radius threshold flip_index flip_shift "
    "max_shift border",
    "heatmap_mse": "heatmaps joints weights sigma transform rounding truncate",
    "heatmap_mse_backward": "grad heatmaps joints weights sigma transform rounding truncate",
    "crop": "images index transform height width mean std interpolation dtype",
}


def _load() -> None:
    advice = f"Build it in the source folder: {BUILD}"
    release = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if release < (2, 10):
        raise ImportError(f"darkpose_ext needs torch 2.10 or later, this is {torch.__version__}.")
    if not LIBRARY.exists():
        raise ImportError(f"The compiled ops are missing: no file {LIBRARY}. {advice}")
    try:
        torch.ops.load_library(LIBRARY)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ImportError(
            f"{LIBRARY} does not load under torch {torch.__version__}: {reason}. {advice}"
        ) from error
    stale = [name for name, arguments in OPS.items() if _arguments(name) != arguments]
    if stale:
        raise ImportError(f"{LIBRARY} is stale: it has another {', '.join(stale)}. {advice}")


def _arguments(name: str) -> str | None:
    op = getattr(torch.ops.dark, name, None)
    return " ".join(a.name for a in op.default._schema.arguments) if op is not None else None


_load()
