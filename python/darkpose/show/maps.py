# SPDX-License-Identifier: Apache-2.0
"""The maps that are decoded, for those who want to see them."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from darkpose.data.images import DecodedImage
from darkpose.decoders import flip_average
from darkpose.geometry import Matrix
from darkpose.predict.predictor import Predictor


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
    predictor: Predictor,
    image: DecodedImage,
    box: ArrayLike,  # x, y, width, height in pixels of the image
) -> PersonMaps:
    """Return what a predictor's network says of a person in an image (`predict.pixels` makes it).

    Raises:
        ValueError: the box has no positive, finite size.
    """
    codec = predictor.codec
    crop = codec.crop(box)
    pixels = image.crop(codec.input_to_image(crop), codec.input_size, codec.enlarging)
    heatmaps = flip_average(codec, *predictor.heatmaps(torch.from_numpy(pixels)[None]))
    to_crop, to_image = codec.image_to_input(crop), codec.heatmap_to_image(crop)
    return PersonMaps(pixels, heatmaps[0].cpu(), to_crop, to_image)
