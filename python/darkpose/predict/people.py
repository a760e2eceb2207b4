# SPDX-License-Identifier: Apache-2.0
"""An image on its way through the network.

A network's batches hold people of several images, and an image may have more people than a batch:
each image therefore keeps what has come back so far.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from darkpose import affine
from darkpose.codec import HeatmapCodec
from darkpose.data.images import DecodedImage, Matrices, crop_people
from darkpose.geometry import FARTHEST, Convention, clip_box


class Pending:
    """Boxes of an image, their crops, and the keypoints found so far.

    Args:
        request: whose image it is.
        codec: of the network.
        joints: K.
        image: to cut crops out of. It is let go when no more crops are needed.
        boxes: [N, 4] as `checked_boxes` returns them.
        scores: [N] of the boxes.
        ahead: how many people are cut out now, and at once; others are when their turn comes.
        device: of the network, to which the image goes once.
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
        device: torch.device,
    ) -> None:
        self.request, self.codec, self.boxes, self.scores = request, codec, boxes, scores
        self.image_size = (0, 0) if image is None else image.size
        self.found = np.full((len(boxes), joints, 4), np.nan, np.float32)
        """[N, K, 4]: x, y, the joint's score and its ambiguity."""
        fits, of_input, of_heatmap = maps_to_image(codec, boxes)
        self._positions, self._ahead = np.flatnonzero(fits).tolist(), max(1, ahead)
        self.to_image: dict[int, NDArray[np.float32]] = dict(
            zip(self._positions, of_heatmap, strict=True)
        )
        """[2, 3] from heatmap to image pixels, of people who are not yet found."""
        self._to_pixels, self._image = of_input, None
        self._ready: Tensor | None = None
        if image is not None and self._positions:
            self._to_pixels = image.to_pixels(of_input)
            self._image = on_device(image.pixels, device)
            self._ready = self._cut(0)

    @classmethod
    def bad(cls, request: Any, codec: HeatmapCodec, joints: int, error: str) -> "Pending":
        """Return nobody, of an image that is wrong."""
        nobody = np.empty((0, 4)), np.empty(0)
        pending = cls(request, codec, joints, None, *nobody, 0, torch.device("cpu"))
        pending.error = error
        return pending

    def crops(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the position of each person who can be cut out, and the network's input, uint8 RGB
        [H, W, 3], on the device."""
        for first in range(0, len(self._positions), self._ahead):
            crops, self._ready = self._ready, None
            crops = self._cut(first) if crops is None else crops
            yield from zip(self._positions[first : first + self._ahead], crops, strict=True)

    def put(self, position: int, found: NDArray[np.float32]) -> None:
        """Keep what was found [K, 4] of the person at that position."""
        self.found[position] = found
        del self.to_image[position]

    @property
    def complete(self) -> bool:
        """Whether everybody has been found who can be."""
        return not self.to_image

    def _cut(self, first: int) -> Tensor:
        """Return the crops of some people at once, from this one on."""
        assert self._image is not None
        to_pixels, codec = self._to_pixels[first : first + self._ahead], self.codec
        index = np.zeros(len(to_pixels), np.int64)
        how = (codec.input_size, codec.enlarging)
        crops = torch.as_tensor(crop_people([self._image], index, to_pixels, *how))
        if first + self._ahead >= len(self._positions):
            self._image = None
        return crops


def on_device(pixels: Any, device: torch.device) -> Any:
    """Return an image [H, W, 3], an array or a tensor, as what `crop_people` cuts on that device:
    an array on a CPU, where images are read by threads that work beside others."""
    if not isinstance(pixels, Tensor):
        if device.type == "cpu":
            return pixels
        pixels = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    moved = pixels.to(device)
    return moved.numpy() if device.type == "cpu" else moved


def maps_to_image(
    codec: HeatmapCodec,
    boxes: NDArray[np.float64],  # [N, 4]
) -> tuple[NDArray[np.bool_], Matrices, NDArray[np.float32]]:  # [N], [M, 2, 3], [M, 2, 3]
    """Return which boxes can be cut out, and of these the maps from pixels of the input and of the
    heatmap to the image's, as `KeypointDataset` has them.

    Others have no width or no height, or a crop within a pixel, where `darkpose` has none.
    """
    assert codec.heatmap_size is not None
    crop = affine.box_centers_sizes(boxes, codec.input_size, codec.convention, codec.padding)
    fits = np.asarray((boxes[:, 2:] > 0).all(1))
    if codec.convention is Convention.darkpose:
        fits &= crop[1][:, 0] > 1
    of_input, of_heatmap = (
        affine.target_to_image(crop[0][fits], crop[1][fits], size, codec.convention)
        for size in (codec.input_size, codec.heatmap_size)
    )
    return fits, of_input, of_heatmap.astype(np.float32)


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
