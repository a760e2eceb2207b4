# SPDX-License-Identifier: Apache-2.0
"""The twin of `torch.ops.dark.crop` in plain torch, bit for bit; `csrc/sample.h` has its rules."""

from collections.abc import Sequence

import torch
from torch import Tensor

from darkpose_ext._crop_checks import check_crop

_RUN = 8  # neighbors of a row whose positions are steps from one that is computed in float64
_FARTHEST = 2.0**29


def crop(
    images: Sequence[Tensor],
    index: Tensor,
    transform: Tensor,
    height: int,
    width: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str = "bilinear",
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Cut people out of images, see `darkpose_ext.crop`."""
    check_crop(images, index, transform, height, width, mean, std, interpolation, dtype)
    sample = _bilinear if interpolation == "bilinear" else _bicubic
    channels = images[0].shape[2]
    crops = images[0].new_zeros(len(index), height, width, channels)
    for out, image, matrix in zip(crops, index.tolist(), transform.double(), strict=True):
        if not 0 <= image < len(images) or not matrix.float().isfinite().all():
            continue  # the op refuses them in main memory
        x, along = _places(matrix[0], height, width)
        y, down = _places(matrix[1], height, width)
        levels = sample(images[image], x, y, along[..., None], down[..., None])
        out.copy_(levels.round().clamp(0, 255))
    if dtype is None:
        return crops
    arithmetic = torch.float64 if dtype == torch.float64 else torch.float32
    normalized = crops.to(arithmetic) / 255
    normalized = normalized - normalized.new_tensor(mean or [0.0] * channels)
    normalized = normalized / normalized.new_tensor(std or [1.0] * channels)
    return normalized.to(dtype).permute(0, 3, 1, 2)


def _places(row: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the pixel at or before each position and how far beyond it lies, [H, W]."""
    y, x = torch.arange(height, device=row.device), torch.arange(width, device=row.device)
    first = x // _RUN * _RUN
    base = (row[0] * first + (row[1] * y)[:, None] + row[2]).clamp(-_FARTHEST, _FARTHEST)
    whole = base.floor()
    step = row[0].clamp(-_FARTHEST / (2 * _RUN), _FARTHEST / (2 * _RUN)).float()
    offset = (base - whole).float() + step * (x - first).float()
    return whole.long() + offset.floor().long(), offset - offset.floor()


def _pixels(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return float32 [H, W, C] of the pixels (x, y), zeros beyond the border."""
    height, width, _ = image.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return image[y.clamp(0, height - 1), x.clamp(0, width - 1)] * inside[..., None].float()


def _bilinear(image: Tensor, x: Tensor, y: Tensor, along: Tensor, down: Tensor) -> Tensor:
    def column(at: Tensor) -> Tensor:
        upper, lower = _pixels(image, at, y), _pixels(image, at, y + 1)
        return upper + down * (lower - upper)

    left, right = column(x), column(x + 1)
    return left + along * (right - left)


def _bicubic(image: Tensor, x: Tensor, y: Tensor, along: Tensor, down: Tensor) -> Tensor:
    def near(t: Tensor) -> Tensor:
        return ((1.25 * t - 2.25) * t) * t + 1

    def weighted(t: Tensor, values: Sequence[Tensor]) -> Tensor:  # of the pixels -1 to 2
        s = t + 1
        weights = [((-0.75 * s + 3.75) * s - 6) * s + 3, near(t), near(1 - t)]
        weights.append(1 - weights[0] - weights[1] - weights[2])
        first, *others = (w * v for w, v in zip(weights, values, strict=True))
        return sum(others, first)

    def column(at: Tensor) -> Tensor:
        return weighted(down, [_pixels(image, at, y + dy) for dy in (-1, 0, 1, 2)])

    return weighted(along, [column(x + dx) for dx in (-1, 0, 1, 2)])
