# SPDX-License-Identifier: Apache-2.0
"""What is possible in an annotation file and yet mostly a mistake: said, and left as it is.

Corners in place of sizes, shares of the image in place of pixels, joints of another person: nothing
fails, and a network learns from all of it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darkpose.data.annotations import PersonRecord
from darkpose.data.tally import Tally

_OUTSIDE = "people with most of their labeled joints outside of their box"
_CORNERS = "boxes beyond their images, as if x1, y1, x2, y2 and not x, y, width, height"
_SHARES = (
    "boxes smaller than 2 pixels, all there are, as if they were shares of the image and not pixels"
)


def say_oddities(records: Sequence[PersonRecord], file: object) -> None:
    """Log what looks wrong with people's boxes and joints, each kind once with the first example.

    Args:
        records: of annotated people, N.
        file: what messages call it.
    """
    tally = Tally(file)
    boxes = np.array([record.box for record in records])  # [N, 4]
    joints = np.stack([record.joints for record in records])  # [N, K, 3]

    def count(kind: str, which: NDArray[np.bool_]) -> None:
        if which.any():
            tally.add(kind, records[int(np.argmax(which))].name, int(which.sum()))

    if (boxes < 2).all():
        count(_SHARES, np.ones(len(records), bool))
    unknown = (np.inf, np.inf)
    sizes = np.array([record.image_size or unknown for record in records])  # [N, 2]
    ends = boxes[:, :2] + boxes[:, 2:]
    beyond = np.any(ends > sizes + 1, axis=1)
    within = np.all(boxes[:, 2:] <= sizes + 1, axis=1)
    corners = within & np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    if beyond.sum() > len(records) / 2 and np.all(corners[beyond]):
        count(_CORNERS, beyond)
    points, known = joints[..., :2], joints[..., 2] > 0
    out = ((points < boxes[:, None, :2] - 1) | (points > ends[:, None] + 1)).any(-1)
    count(_OUTSIDE, (out & known).sum(1) > known.sum(1) / 2)
    tally.say()
