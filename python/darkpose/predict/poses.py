# SPDX-License-Identifier: Apache-2.0
"""What a predictor is asked for, and what it answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkpose.data.orientation import Pixels
from darkpose.decoders import AMBIGUOUS

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True, eq=False)
class Poses:
    """The people of one image. Pixel centers are at integers, points are (x, y)."""

    keypoints: NDArray[np.float32]
    """[N, K, 3]: x, y in pixels of the image and the joint's score; NaN for a box without size."""
    scores: NDArray[np.float32]
    """[N]: the box's score times the mean of the joints' scores that count, as for COCO's AP."""
    boxes: NDArray[np.float32]
    """[N, 4]: x, y, width, height in image pixels, as given or as clipped, to 0 x 0 if outside."""
    names: tuple[str, ...]
    """K names of joints."""
    skeleton: tuple[tuple[int, int], ...]
    """Pairs of joints with a limb between."""
    image_size: tuple[int, int]
    """(width, height) in pixels of the image that boxes and keypoints are in."""
    ambiguity: NDArray[np.float32]
    """[N, K]: the height of the second peak of a joint's heatmap over that of the first; above 0.5
    the joint is more often wrong than others. NaN without a peak, and for a network without
    heatmaps."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.keypoints)

    @property
    def doubtful(self) -> NDArray[np.bool_]:
        """[N, K]: whether a joint's ambiguity is above 0.5."""
        return np.asarray(self.ambiguity > AMBIGUOUS)

    def to_supervision(self) -> "supervision.KeyPoints":
        """Return the same for the `supervision` library; a joint that is NaN is at (0, 0) there.

        Raises:
            ImportError: the library is not installed.
        """
        try:
            from supervision import KeyPoints
        except ImportError as error:
            raise ImportError(
                "Poses.to_supervision needs supervision: pip install 'darkpose[supervision]'"
            ) from error
        if not len(self):
            return KeyPoints.empty()
        found = np.nan_to_num(self.keypoints)
        return KeyPoints(
            xy=found[..., :2],
            class_id=np.zeros(len(self), np.int_),
            keypoint_confidence=found[..., 2],
            detection_confidence=self.scores,
        )


class Request(NamedTuple):
    """One image, and whom to look at in it."""

    key: str | int
    """Whatever tells the image from others."""
    image: Any
    """As `Predictor.__call__` takes it."""
    boxes: ArrayLike | None = None
    """[N, 4]: x, y, width, height in image pixels."""
    box_scores: ArrayLike | None = None
    """[N]"""
    annotated: bool = False
    """Whether the boxes are those of an annotation file, not a detector's or one's own."""
    pixels: Pixels | None = None
    """How the boxes count an image file's; None: as the predictor's `orientation` says."""


class Outcome(NamedTuple):
    """What came of one request."""

    request: Request
    poses: Poses | None
    """None if the image or its boxes are bad."""
    error: str | None
    """One sentence that says what is."""
