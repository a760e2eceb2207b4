# SPDX-License-Identifier: Apache-2.0
"""The one thing that a detector of people must be: a function from pixels to boxes.

darkpose brings no detector along. Any function of your own will do, named by its import path, and
an object-detection pipeline of Hugging Face's transformers is one already.
"""

from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from darkpose.data.images import DecodedImage, Image
from darkpose.importing import imported, is_import_path
from darkpose.predict.pixels import as_rgb

HUGGING_FACE = "huggingface:"
"""What the name of a model on Hugging Face's hub, or of its folder, begins with."""

Detected = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Boxes [N, 4] and scores [N]."""

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_one_at_a_time = Lock()  # hardly any detector may be called by several threads at once


class Detector(Protocol):
    """Finds people."""

    def __call__(self, image: Image, /) -> tuple[Any, Any]:
        """Return boxes [N, 4] (x, y, width, height in pixels) and scores [N] of people in an RGB
        image, uint8 [H, W, 3]."""
        ...


def detect(detector: Detector, image: DecodedImage) -> Detected:
    """Return the boxes [N, 4] and scores [N] of people in an image.

    Raises:
        TypeError, ValueError: the detector returns something else.
    """
    with _one_at_a_time:
        return _checked(detector(as_rgb(image)))


def _checked(found: Any) -> Detected:
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError(
            f"a detector must return boxes [N, 4] and scores [N], got a {type(found).__name__}"
        )
    boxes, scores = (np.asarray(value, np.float64) for value in found)
    if boxes.size == 0 and scores.size == 0:
        return np.empty((0, 4)), np.empty(0)
    if boxes.shape != (len(boxes), 4) or scores.shape != (len(boxes),):
        raise ValueError(
            "a detector must return boxes [N, 4] and scores [N], "
            f"got {list(boxes.shape)} and {list(scores.shape)}"
        )
    return boxes, scores


def load_detector(name: str, device: Any = None, min_score: float | None = None) -> Detector:
    """Return a detector by name, without boxes below a score; its library is imported only now.

    Args:
        name: `module:attribute` of a function like `Detector`, in an installed module or in the
            current folder; or `huggingface:MODEL`, an object-detection model of the hub or a folder
            with one, of which people are taken.
        device: for `huggingface`.
        min_score: of a box; if None, 0.5 for `huggingface`, and any for others.

    Raises:
        ImportError: the module, or transformers, is not installed.
        ValueError: the name has no such form, or names nothing that can be called.
    """
    if name.startswith(HUGGING_FACE):
        return HuggingFaceDetector(
            name.removeprefix(HUGGING_FACE), device, 0.5 if min_score is None else min_score
        )
    if not is_import_path(name):
        raise ValueError(f"detector must be module:function or {HUGGING_FACE}MODEL, got {name}")
    found = imported(name, "detector")

    def confident(image: Image, /) -> tuple[Any, Any]:
        boxes, scores = _checked(found(image))
        kept = scores >= (-np.inf if min_score is None else min_score)
        return boxes[kept], scores[kept]

    return confident


class HuggingFaceDetector:
    """An object-detection pipeline of transformers, for its label `person`.

    Args:
        model: of the hub, or a folder.
        device: to run on.
        threshold: least score of a box.

    Raises:
        ImportError: transformers is not installed.
    """

    def __init__(self, model: str, device: Any = None, threshold: float = 0.5) -> None:
        try:
            from transformers import pipeline
        except ImportError as error:
            raise ImportError(
                f"{HUGGING_FACE} needs transformers: pip install 'darkpose[huggingface]'"
            ) from error
        self.threshold = threshold
        self.pipeline = pipeline("object-detection", model=model, device=device)

    def __call__(self, image: Image, /) -> Detected:
        from PIL.Image import fromarray

        found = self.pipeline(fromarray(image), threshold=self.threshold)
        people = [each for each in found if each["label"].lower() == "person"]
        corners = [[each["box"][side] for side in _CORNERS] for each in people]
        boxes = np.array(corners, np.float64).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        return boxes, np.array([each["score"] for each in people], np.float64)
