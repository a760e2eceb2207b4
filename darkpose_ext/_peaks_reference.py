# SPDX-License-Identifier: Apache-2.0
"""`decode_peaks` once more in plain torch. Mirrors `csrc/peaks.h`."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from darkpose_ext._decode_reference import convolve, coordinates, merged, taylor_step
from darkpose_ext._fit_reference import fit_steps


def decode_peaks(
    heatmaps: Tensor,  # [B..., K, H, W]
    taps: Sequence[float],
    k: int,
    *,
    radius: int,
    threshold: float = 0.0,
    flipped: Tensor | None = None,  # [B..., K, H, W]
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
    transform: Tensor | None = None,  # [B..., 2, 3]
    border: str = "stay",
) -> tuple[Tensor, Tensor, Tensor]:  # [B..., K, k, 2], [B..., K, k], [B..., K]
    """Twin of `torch.ops.dark.decode_peaks`."""
    h = merged(heatmaps, flipped, flip_index, flip_shift)
    width = h.shape[-1]
    maxima = local_maxima(h, radius) & (h > torch.tensor(threshold, dtype=h.dtype))
    heights = torch.where(maxima, h, -torch.inf).flatten(-2)
    heights = pad(heights, (0, max(0, k - heights.shape[-1])), value=-torch.inf)
    scores, index = heights.sort(dim=-1, descending=True, stable=True)
    scores, index = scores[..., :k], index[..., :k]
    nan = h.isnan().flatten(-2).any(-1, keepdim=True)
    found = (scores > -torch.inf) & ~nan
    index = torch.where(found, index, 0)

    x, y = index % width, index // width
    blurred = convolve(h, taps) if len(taps) else h
    each = blurred.unsqueeze(-3).expand(*index.shape, *h.shape[-2:])
    step = taylor_step(each, x, y, (), max_shift)
    if border == "fit":
        fitted, sound = fit_steps(h, x, y, taps, max_shift)
        step = torch.where(sound[..., None], fitted, step)
    x, y, heights = x.flatten(-2), y.flatten(-2), scores.flatten(-2)
    coords = coordinates(x, y, step.flatten(-3, -2), heights, transform)
    coords = coords.unflatten(-2, index.shape[-2:])
    scores = torch.where(nan, torch.nan, torch.where(found, scores, 0.0))
    return torch.where(found[..., None], coords, torch.nan), scores, found.sum(-1)


def local_maxima(h: Tensor, radius: int) -> Tensor:
    """Where a map is highest within the square of a radius, of equal pixels the first one's."""
    radius = min(radius, max(h.shape[-2:]))
    if radius == 0:
        return torch.ones_like(h, dtype=torch.bool)
    side = 2 * radius + 1
    left = _highest(h, (1, radius), (radius, -1, 0, 0))
    above = _highest(h, (radius, side), (radius, radius, radius, -1))
    before = torch.maximum(left, above)
    return (h > before) & (h >= _highest(h, (side, side), (radius,) * 4))


def _highest(h: Tensor, window: tuple[int, int], reach: tuple[int, int, int, int]) -> Tensor:
    """The highest value of the window that reaches so far to the left, right, top and bottom."""
    maps = pad(h.reshape(-1, 1, *h.shape[-2:]), reach, value=-torch.inf)
    return max_pool2d(maps, window, 1).view(h.shape)
