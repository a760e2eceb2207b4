# SPDX-License-Identifier: Apache-2.0
"""The maps that are decoded, for those who want to see them.

The op averages over the mirrored input while it reads; here the average is made, to be drawn.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.images import DecodedImage
from darkpose.geometry import Matrix, flip_shift
from darkpose.predict.pixels import crop_any
from darkpose.regression import expectation
from darkpose_ext.reference import mirror_back

if TYPE_CHECKING:
    from darkpose.predict.predictor import Predictor


def flip_average(
    codec: HeatmapCodec,
    heatmaps: Tensor,  # [B, K, H, W]
    flipped: Tensor | None,  # [B, K, H, W]
) -> Tensor:  # [B, K, H, W]
    """Return what `codec.decode` reads: the mean with the mirrored input's output, if there is one.

    Of coordinate regression it is the probability of each place, the maps' softmax.

    Raises:
        ValueError: the codec has no `flip_index`, the joint that each joint becomes in the mirror.
    """
    if codec.regresses:
        heatmaps = expectation(heatmaps)[1]
        flipped = None if flipped is None else expectation(flipped)[1]
    if flipped is None:
        return heatmaps.float()
    if codec.flip_index is None:
        raise ValueError("flipped needs a codec with flip_index, got none")
    shift = flip_shift(codec.convention)
    return 0.5 * (heatmaps.float() + mirror_back(flipped.float(), codec.flip_index, shift))


class PersonMaps(NamedTuple):
    """What a network has seen of one person and what it says."""

    crop: NDArray[np.uint8]
    """[H, W, 3]: its input, RGB."""
    heatmaps: Tensor
    """[K, h, w]: averaged over the mirrored input, if that is asked for."""
    to_crop: Matrix
    """[2, 3]: image to input pixels."""
    to_image: Matrix
    """[2, 3]: heatmap to image pixels."""


def person_maps(
    predictor: "Predictor",
    image: DecodedImage,
    box: ArrayLike,  # x, y, width, height in pixels of the image
) -> PersonMaps:
    """Return what a predictor's network says of a person in an image (`predict.pixels` makes it).

    Raises:
        ValueError: the box has no positive, finite size.
    """
    codec = predictor.codec
    crop = codec.crop(box)
    to_crop = codec.image_to_input(crop)
    pixels = crop_any(image, to_crop, codec.input_size)
    heatmaps = flip_average(codec, *predictor.heatmaps(torch.from_numpy(pixels)[None]))
    return PersonMaps(pixels, heatmaps[0].cpu(), to_crop, codec.heatmap_to_image(crop))
