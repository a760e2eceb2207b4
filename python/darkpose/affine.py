# SPDX-License-Identifier: Apache-2.0
"""The three conventions of `darkpose.geometry` in closed form, for any number of people at once.

Written once, for tensors and for NumPy arrays, which need no torch, in the type and on the device
of what is given: the library computes in float64, exported programs in float32. Programs that are
compiled or exported can hold these functions: nothing they do depends on a value, nor on N.

A map to the image is never an inverse of numbers, but T(p) = center + R S (p - middle), with the
target's pixel on which the crop's center lands, the crop's turn R, and S, the image pixels to one
of the target. In float32 it errs by two units in the last place of the image's coordinates at most.

Points are (x, y), sizes (width, height), boxes (x, y, width, height), pixel centers at integers.
"""

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = TypeVar("Floats", bound="Tensor | NDArray[np.float32] | NDArray[np.float64]")


def box_centers_sizes(
    boxes: Floats,  # [..., 4] image pixels
    input_size: tuple[int, int],
    convention: str,
    padding: float,
) -> tuple[Floats, Floats]:  # [..., 2], [..., 2]
    """Return the crops of boxes, see `darkpose.geometry.box_to_crop`."""
    inset = 1.0 if convention == "darkpose" else 0.0
    centers: Any = boxes[..., :2] + (boxes[..., 2:] - inset) / 2
    return centers, fix_aspect(boxes[..., 2:], input_size[0] / input_size[1], padding)


def fix_aspect(sizes: Any, aspect: float, padding: float = 1.0) -> Any:
    """Return the smallest sizes [..., 2] of ratio `aspect` that hold the given ones, padded."""
    library, (width, height) = _library(sizes), _parts(sizes)
    wide, high = library.maximum(width, height * aspect), library.maximum(height, width / aspect)
    return library.stack((wide, high), -1) * padding


def target_to_image(
    centers: Floats,  # [..., 2] image pixels
    sizes: Floats,  # [..., 2] image pixels
    target_size: tuple[int, int],
    convention: str,
    rotations: Floats | None = None,  # [...] degrees
) -> Floats:  # [..., 2, 3]
    """Return the maps from pixels of a target, the network's input or its heatmap, to the image."""
    (crop_x, crop_y), (target_x, target_y) = _spans(sizes, target_size, convention)
    cosine, sine = _turn(rotations)
    x, y = crop_x / target_x, crop_y / target_y
    linear = (cosine * x, -sine * y), (sine * x, cosine * y)
    return _taking(_middle(target_size, convention), _parts(centers), linear, centers)


def image_to_target(
    centers: Floats,  # [..., 2] image pixels
    sizes: Floats,  # [..., 2] image pixels
    target_size: tuple[int, int],
    convention: str,
    rotations: Floats | None = None,  # [...] degrees
) -> Floats:  # [..., 2, 3]
    """Return the inverses of `target_to_image`."""
    (crop_x, crop_y), (target_x, target_y) = _spans(sizes, target_size, convention)
    cosine, sine = _turn(rotations)
    x, y = target_x / crop_x, target_y / crop_y
    linear = (cosine * x, sine * x), (-sine * y, cosine * y)
    return _taking(_parts(centers), _middle(target_size, convention), linear, centers)


def enlarges(to_image: Any) -> Any:  # [..., 2, 3] -> [...] bool
    """Return whether crops of these maps shrink the image in no direction.

    That is, whether no singular value of the linear part exceeds 1: with f the sum of its squared
    entries and d its determinant, the squared singular values are the roots of t^2 - f t + d^2.
    """
    a, b, c, d = (to_image[..., i, j] for i in (0, 1) for j in (0, 1))
    squares, determinant = a * a + b * b + c * c + d * d, a * d - b * c
    return (squares <= 2) & (1 - squares + determinant * determinant >= 0)


def _spans(
    sizes: Any, target_size: tuple[int, int], convention: str
) -> tuple[tuple[Any, Any], tuple[int, int]]:
    """Return what of a crop, in x and in y, lies on what of the target."""
    (crop_width, crop_height), (width, height) = _parts(sizes), target_size
    if convention == "hrnet":
        return (crop_width, crop_width), (width, width)
    if convention == "darkpose":
        crop_width = crop_width - 1
        return (crop_width, crop_width), (width - 1, width - 1)
    return (crop_width, crop_height), (width - 1, height - 1)


def _middle(target_size: tuple[int, int], convention: str) -> tuple[float, float]:
    last = 0 if convention == "hrnet" else 1
    return (target_size[0] - last) / 2, (target_size[1] - last) / 2


def _turn(rotations: Any) -> tuple[Any, Any]:
    if rotations is None:
        return 1.0, 0.0
    library = _library(rotations)
    angles = library.deg2rad(rotations)
    return library.cos(angles), library.sin(angles)


def _parts(pairs: Any) -> tuple[Any, Any]:
    return pairs[..., 0], pairs[..., 1]


def _taking(source: Any, landing: Any, linear: Any, like: Any) -> Any:  # -> [..., 2, 3]
    """Return the maps of this linear part that take one point (x, y) to another, as many as there
    are points [..., 2] in `like`."""
    (x, y), rows = source, []
    for (a, b), to in zip(linear, landing, strict=True):
        rows += [a, b, to - a * x - b * y]
    # No matrix product anywhere: autocast would round coordinates to half precision for it.
    return _library(like).stack(rows, -1).reshape(*like.shape[:-1], 2, 3)


def _library(values: Any) -> Any:
    """Return the module whose functions take these values."""
    if hasattr(values, "new_tensor"):
        import torch

        return torch
    return np
