# SPDX-License-Identifier: Apache-2.0
"""DARK: the coordinate representation of heatmap-based keypoint networks.

The ops of `darkpose_ext` and what a program needs beside them, each imported when it is asked for:
`darkpose.decode(heatmaps, taps)`, `from darkpose import Predictor`.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darkpose.codec import HeatmapCodec
    from darkpose.models.pose import PoseModel
    from darkpose.predict.predictor import Outcome, Poses, Predictor, Request
    from darkpose.topdown import decode_topdown
    from darkpose_ext import (
        decode,
        encode,
        gaussian_taps,
        heatmap_mse,
        modulate,
        opencv_taps,
    )

# OpenCV reads these once, as it is imported, and whoever sets them is heard: the pixels of an
# image, and how much it says of videos among what a command says.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**29))
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

__all__ = [
    "HeatmapCodec",
    "Outcome",
    "PoseModel",
    "Poses",
    "Predictor",
    "Request",
    "decode",
    "decode_topdown",
    "encode",
    "gaussian_taps",
    "heatmap_mse",
    "modulate",
    "opencv_taps",
]

_PLACES = {
    "HeatmapCodec": "darkpose.codec",
    "PoseModel": "darkpose.models.pose",
    "decode_topdown": "darkpose.topdown",
    **dict.fromkeys(("Outcome", "Poses", "Predictor", "Request"), "darkpose.predict.predictor"),
}
"""Of what is not an op."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_PLACES.get(name, "darkpose_ext")), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "darkpose", "darkpose_ext"):
            raise
        raise ImportError(
            f"darkpose.{name} needs {missing}: pip install 'darkpose[predict]'"
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
