# SPDX-License-Identifier: Apache-2.0
"""The rules of crop's arguments, for its public function, fake and twin: `csrc/crop_checks.h`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from darkpose_ext._checks import FLOATING, _dtype_name, _shape, check_extent, check_like
from darkpose_ext._values import (
    FLOATING_NAMES,
    INTERPOLATIONS,
    MAX_SIDE,
    check_channel_values,
    check_choice,
    check_integer,
)


def _check_tensor(name: str, t: Tensor, dtypes: Sequence[torch.dtype]) -> None:
    if not isinstance(t, Tensor):
        raise TypeError(f"crop: {name} must be a tensor, got {type(t).__name__}")
    if t.dtype not in dtypes:
        wanted = " or ".join(_dtype_name(dtype) for dtype in dtypes)
        raise TypeError(f"crop: {name} must be {wanted}, got {_dtype_name(t.dtype)}")


def _is_side(size: int) -> bool:
    """Symbols have no upper bound: they would be limited in what is compiled."""
    return size >= 1 and (isinstance(size, torch.SymInt) or size < MAX_SIDE)


def _check_images(images: Sequence[Tensor]) -> None:
    if not isinstance(images, Sequence):
        raise TypeError(f"crop: images must be a list of tensors, got {type(images).__name__}")
    if len(images) == 0:
        raise ValueError("crop: images must be one tensor or more, got none")
    first = images[0]
    for image in images:
        _check_tensor("images", image, [torch.uint8])
        if image.dim() != 3 or image.shape[2] not in (1, 3, 4):
            raise ValueError(
                f"crop: images must be [H, W, C] with a C of 1, 3 or 4, got {_shape(image)}"
            )
        if not all(map(_is_side, image.shape[:2])):
            raise ValueError(
                "crop: images must have at least one and fewer than 2^29 rows and columns, "
                f"got {_shape(image)}"
            )
        if image.shape[2] != first.shape[2]:
            raise ValueError(
                f"crop: images must have as many channels as the first, {first.shape[2]}, "
                f"got {image.shape[2]}"
            )
        if image.device != first.device:
            raise ValueError(
                f"crop: images must be on the device of the first, {first.device}, "
                f"got {image.device}"
            )


def check_crop(
    images: Sequence[Tensor],
    index: Tensor,
    transform: Tensor,
    height: int,
    width: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    interpolation: str,
    dtype: torch.dtype | None,
) -> None:
    """Everything but the numbers in index and transform, which the op looks at."""
    _check_images(images)
    _check_tensor("index", index, [torch.int64])
    if index.dim() != 1:
        raise ValueError(f"crop: index must be [N], got {_shape(index)}")
    if index.device != images[0].device:
        raise ValueError(
            f"crop: index must be on the device of images, {images[0].device}, got {index.device}"
        )
    _check_tensor("transform", transform, [torch.float32, torch.float64])
    check_like("crop", "transform", transform, [index.shape[0], 2, 3], "index", index)
    check_integer("crop", "height", height)
    check_integer("crop", "width", width)
    if not (_is_side(height) and _is_side(width)):
        raise ValueError(
            "crop: height and width must be at least 1 and less than 2^29, "
            f"got {height} and {width}"
        )
    channels = images[0].shape[2]
    check_extent("crop", [index.shape[0], height, width, channels], "crops")
    check_choice("crop", "interpolation", interpolation, INTERPOLATIONS)
    if dtype is not None and dtype not in FLOATING:
        raise TypeError(f"crop: dtype must be {FLOATING_NAMES}, got {_dtype_name(dtype)}")
    check_channel_values("mean", mean, dtype is not None, channels)
    check_channel_values("std", std, dtype is not None, channels)
