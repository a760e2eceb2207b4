# SPDX-License-Identifier: Apache-2.0
"""An image on its way through the network.

A network's batches hold people of several images, and an image may have more people than a batch:
each image therefore keeps what has come back so far.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkpose.codec import HeatmapCodec
from darkpose.data.images import DecodedImage, Image
from darkpose.geometry import FARTHEST, Convention, Matrix, clip_box, invert
from darkpose.predict.pixels import crop_any


class Pending:
    """Boxes of an image, their crops, and the keypoints found so far.

    Args:
        request: whose image it is.
        codec: of the network.
        joints: K.
        image: to cut crops out of. It is let go when no more crops are needed.
        boxes: [N, 4] as `checked_boxes` returns them.
        scores: [N] of the boxes.
        ahead: how many people are cut out now; others are when their turn comes.
    """

    error: str | None = None
    """What is wrong with the image."""

    def __init__(
        self,
        request: Any,
        codec: HeatmapCodec,
        joints: int,
        image: DecodedImage | None,
        boxes: NDArray[np.float64],
        scores: NDArray[np.float64],
        ahead: int,
    ) -> None:
        self.request, self.codec, self.boxes, self.scores = request, codec, boxes, scores
        self.image_size = (0, 0) if image is None else image.size
        self.keypoints = np.full((len(boxes), joints, 3), np.nan, np.float32)
        self.to_image: dict[int, NDArray[np.float32]] = {}
        """[2, 3] from heatmap to image pixels, of people who have a crop and are not yet found."""
        self._to_input: dict[int, Matrix] = {}
        for position, box in enumerate(boxes):
            if found := matrices(codec, box):
                self._to_input[position], self.to_image[position] = found
        first = list(self._to_input)[:ahead]
        self._image = image
        self._cut = {position: self._crop(position) for position in first}
        if len(first) == len(self._to_input):
            self._image = None

    @classmethod
    def bad(cls, request: Any, codec: HeatmapCodec, joints: int, error: str) -> "Pending":
        """Return nobody, of an image that is wrong."""
        pending = cls(request, codec, joints, None, np.empty((0, 4)), np.empty(0), 0)
        pending.error = error
        return pending

    def crops(self) -> Iterator[tuple[int, Image]]:
        """Yield the position of each person who can be cut out, and the network's input."""
        for position in list(self._to_input):
            ready = self._cut.pop(position, None)
            yield position, self._crop(position) if ready is None else ready
        self._image = None

    def put(self, position: int, keypoints: NDArray[np.float32]) -> None:
        """Keep the keypoints [K, 3] of the person at that position."""
        self.keypoints[position] = keypoints
        del self.to_image[position]

    @property
    def complete(self) -> bool:
        """Whether everybody has been found who can be."""
        return not self.to_image

    def _crop(self, position: int) -> Image:
        assert self._image is not None
        to_input, codec = self._to_input[position], self.codec
        return crop_any(self._image, to_input, codec.input_size, codec.enlarging)


def matrices(codec: HeatmapCodec, box: ArrayLike) -> tuple[Matrix, NDArray[np.float32]] | None:
    """Return the maps [2, 3] from image to input and from heatmap to image pixels, as
    `KeypointDataset` has them; None if a box is too small for any."""
    try:
        crop = codec.crop(box)
        to_input, to_heatmap = codec.image_to_input(crop), codec.image_to_heatmap(crop)
        return to_input, invert(to_heatmap).astype(np.float32)
    except ValueError:  # no width, no height, or a crop within a pixel, where `darkpose` has none
        return None


def checked_boxes(boxes: ArrayLike | None, image_size: tuple[int, int]) -> NDArray[np.float64]:
    """Return boxes as [N, 4] x, y, width, height; the whole image if None.

    Raises:
        ValueError: they are not [N, 4] finite numbers, a size is negative, or a box lies farther
            away than any image reaches.
    """
    if boxes is None:
        return np.array([[0.0, 0.0, *image_size]])
    try:
        values = np.asarray(boxes, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"boxes must be [N, 4] numbers, got {boxes!r}") from None
    if values.size == 0:
        return values.reshape(0, 4)
    if values.ndim != 2 or values.shape[1] != 4:
        raise ValueError(f"boxes must be [N, 4]: x, y, width, height, got {list(values.shape)}")
    wrong = ~np.isfinite(values).all(1) | (values[:, 2:] < 0).any(1)
    wrong |= (np.abs(values) > FARTHEST).any(1)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            "boxes must be finite, of sizes that are not negative and within "
            f"{FARTHEST:.0f} pixels, got {values[first].tolist()} at position {first}"
        )
    return values


def clipped(
    boxes: NDArray[np.float64],  # [N, 4]
    image_size: tuple[int, int],
    convention: Convention,
) -> NDArray[np.float64]:  # [N, 4]
    """Return annotated boxes as `KeypointDataset` clips them; without size if nothing is left."""
    found = boxes.copy()
    for row, box in enumerate(boxes):
        if (box[2:] > 0).all():
            found[row] = clip_box(box, image_size, convention) or (*box[:2], 0.0, 0.0)
    return found


def checked_scores(scores: ArrayLike | None, count: int, *, given: bool) -> NDArray[np.float64]:
    """Return the scores [N] of boxes; 1 if None.

    Raises:
        ValueError: they are not one finite number per box, or there are no boxes.
    """
    if scores is None:
        return np.ones(count)
    if not given:
        raise ValueError("box_scores need boxes, got none")
    values = np.asarray(scores, np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(f"box_scores must be {count} finite numbers, one per box, got {scores!r}")
    return values
