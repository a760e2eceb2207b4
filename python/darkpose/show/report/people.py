# SPDX-License-Identifier: Apache-2.0
"""The best and the worst people of an evaluation, as pictures with everything drawn over them."""

import base64
import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from darkpose.data.drawing import Image, view
from darkpose.data.images import read_image
from darkpose.evaluate.evaluation import Evaluation
from darkpose.geometry import Matrix, apply
from darkpose.show.report.measures import Measured

MAX_PEOPLE = 500
"""Of a report: some 12 kilobytes each on photographs."""
LONGEST = 384  # pixels of a picture's longer side
_QUALITY = 82  # of JPEG


def check_count(count: int) -> None:
    """Raise ValueError if there are to be more pictures than a page can have."""
    if not 0 <= count <= MAX_PEOPLE:
        raise ValueError(f"people must be from 0 to {MAX_PEOPLE}, got {count}")


def chosen(measured: Measured, count: int) -> list[tuple[int, str]]:
    """Return positions of at most `count` people, and "worst" or "best": half of each by OKS.

    People without a labeled joint, and detections of nobody, are neither: of their pose nothing is
    known. Of people alike the first ones are taken.
    """
    last = measured.oks[measured.decoders[-1]]
    counted = np.flatnonzero(measured.known)
    order = counted[np.argsort(last[counted], kind="stable")].tolist()
    count = min(count, len(order))
    worst, best = order[: (count + 1) // 2], order[len(order) - count // 2 :]
    return [(i, "worst") for i in worst] + [(i, "best") for i in reversed(best)]


def people(evaluation: Evaluation, measured: Measured, count: int) -> list[dict[str, Any]]:
    """Return what the page knows of each person of `chosen`, as plain values.

    Points are in pixels of the picture, whose first pixel's corner is (0, 0), as SVG counts.

    Raises:
        ValueError: an image that has been evaluated can no longer be read.
    """
    return [_entry(evaluation, measured, i, kind) for i, kind in chosen(measured, count)]


def _entry(evaluation: Evaluation, measured: Measured, i: int, kind: str) -> dict[str, Any]:
    record, row = measured.records[i], int(measured.rows[i])
    crop = evaluation.dataset.crops[row]
    corner = np.subtract(crop.center, np.divide(crop.size, 2))
    shown = view(read_image(record.image_path), [*corner, *crop.size], LONGEST, enlarge=False)
    to_svg = _by_corners(shown.matrix)
    joints = measured.joints[i]
    height, width = shown.pixels.shape[:2]
    return {
        "kind": kind,
        "name": record.image_path.name,
        "image": record.image_id,
        "annotation": record.annotation_id,
        "size": [width, height],
        "jpeg": data_uri(shown.pixels),
        "truth": _rounded(np.column_stack([apply(to_svg, joints[:, :2]), joints[:, 2]]), 1),
        "oks": _by_decoder(measured, lambda d: _number(float(measured.oks[d][i]), 3)),
        "score": _by_decoder(measured, lambda d: _number(float(measured.scores[d][i]), 3)),
        "points": _by_decoder(
            measured, lambda d: _rounded(apply(to_svg, measured.points[d][i]), 1)
        ),
        "scores": _by_decoder(measured, lambda d: _rounded(measured.joint_scores[d][i], 3)),
        "errors": _by_decoder(measured, lambda d: _rounded(measured.errors[d][i], 4)),
    }


def data_uri(pixels: Image) -> str:
    """Return an image as a JPEG inside of a page."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _by_corners(matrix: Matrix) -> Matrix:
    """Return a map to pixels with centers at integers as one to pixels with centers at halves."""
    return matrix + np.array([[0, 0, 0.5], [0, 0, 0.5]])


def _by_decoder(measured: Measured, value: Callable[[str], Any]) -> dict[str, Any]:
    return {decoder: value(decoder) for decoder in measured.decoders}


def _rounded(values: NDArray[np.float64], digits: int) -> Any:
    """Return nested lists for JSON, which has no NaN."""
    nested = np.round(values, digits).tolist()
    return [
        [_number(v, digits) for v in row] if isinstance(row, list) else _number(row, digits)
        for row in nested
    ]


def _number(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
