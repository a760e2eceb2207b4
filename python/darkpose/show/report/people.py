# SPDX-License-Identifier: Apache-2.0
"""The best and the worst people of an evaluation, as pictures with everything drawn over them."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from darkpose.data.drawing import view
from darkpose.data.orientation import Pixels, decode_file
from darkpose.evaluate.predictions import Predictions
from darkpose.geometry import apply
from darkpose.predict.pixels import as_rgb
from darkpose.show.report.markup import picture
from darkpose.show.report.matching import Matched

MAX_PEOPLE = 500
"""Of a report: some 12 kilobytes each on photographs."""
LONGEST = 384  # pixels of a picture's longer side
_QUALITY = 82  # of JPEG


def check_count(count: int) -> None:
    """Raise ValueError if there are to be more pictures than a page can have."""
    if not 0 <= count <= MAX_PEOPLE:
        raise ValueError(f"people must be from 0 to {MAX_PEOPLE}, got {count}")


def chosen(matched: Matched, count: int) -> list[tuple[int, str]]:
    """Return positions of at most `count` people, and "worst" or "best": half of each by OKS.

    People without a labeled joint, and detections of nobody, are neither: of their pose nothing is
    known. Of people alike the first ones are taken.
    """
    counted = np.flatnonzero(matched.known)
    order = counted[np.argsort(matched.shown.oks[counted], kind="stable")].tolist()
    count = min(count, len(order))
    worst, best = order[: (count + 1) // 2], order[len(order) - count // 2 :]
    return [(i, "worst") for i in worst] + [(i, "best") for i in reversed(best)]


def people(matched: Matched, count: int) -> list[dict[str, Any]]:
    """Return what the page knows of each person of `chosen`, as plain values; NaN may be among.

    Points are in pixels of the picture, whose first pixel's corner is (0, 0), as SVG counts.

    Raises:
        ValueError: an image that has been evaluated can no longer be read.
    """
    return [_entry(matched, i, kind) for i, kind in chosen(matched, count)]


def _entry(matched: Matched, i: int, kind: str) -> dict[str, Any]:
    record, crop = matched.shown.records[i], matched.shown.subjects.crops[i]
    corner = np.subtract(crop.center, np.divide(crop.size, 2))
    image = decode_file(record.image_path, Pixels("stored", record.image_size))
    seen = view(as_rgb(image), [*corner, *crop.size], LONGEST, enlarge=False)
    # From pixels with centers at integers to pixels with centers at halves.
    to_svg = seen.matrix + np.array([[0, 0, 0.5], [0, 0, 0.5]])
    height, width = seen.pixels.shape[:2]
    bgr = cv2.cvtColor(seen.pixels, cv2.COLOR_RGB2BGR)
    joints = matched.shown.joints[i]

    def by_decoder(value: Callable[[Predictions], Any], digits: int) -> dict[str, Any]:
        return {
            decoder: np.round(value(found), digits).tolist()
            for decoder, found in matched.by_decoder.items()
        }

    return {
        "kind": kind,
        "name": record.image_path.name,
        "image": record.image_id,
        "annotation": record.annotation_id,
        "size": [width, height],
        "jpeg": picture(bgr, "jpeg", cv2.IMWRITE_JPEG_QUALITY, _QUALITY),
        "truth": np.column_stack([apply(to_svg, joints[:, :2]), joints[:, 2]]).round(1).tolist(),
        "oks": by_decoder(lambda found: found.oks[i], 3),
        "score": by_decoder(lambda found: found.ranks[i], 3),
        "points": by_decoder(lambda found: apply(to_svg, found.points[i]), 1),
        "scores": by_decoder(lambda found: found.scores[i], 3),
        "errors": by_decoder(lambda found: found.errors[i], 4),
    }
