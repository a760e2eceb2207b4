# SPDX-License-Identifier: Apache-2.0
"""Loads `_C.so`, the kernels of `torch.ops.dark`, or says in one message why it cannot."""

from pathlib import Path

import torch

LIBRARY = Path(__file__).with_name("_C.so")
BUILD = "python setup.py develop"
OPS = ("encode", "modulate", "decode", "heatmap_mse", "heatmap_mse_backward")


def _load() -> None:
    advice = f"Build it in the source folder: {BUILD}"
    release = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if release < (2, 10):
        raise ImportError(f"darkpose_ext needs torch 2.10 or later, this is {torch.__version__}.")
    if not LIBRARY.exists():
        raise ImportError(f"The compiled ops are missing: no file {LIBRARY}. {advice}")
    try:
        torch.ops.load_library(LIBRARY)
    except OSError as error:
        raise ImportError(
            f"{LIBRARY} does not load under torch {torch.__version__}: {error}. {advice}"
        ) from error
    missing = [name for name in OPS if not hasattr(torch.ops.dark, name)]
    if missing:
        raise ImportError(f"{LIBRARY} is stale: it lacks {', '.join(missing)}. {advice}")


_load()
