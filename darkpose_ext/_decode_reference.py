# SPDX-License-Identifier: Apache-2.0
"""`decode` once more in plain torch, and what it is made of."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from darkpose_ext._fit_reference import fit_steps

LOWEST = 1e-10
"""A value of the stencil that is not above this has no logarithm worth a step, as released."""


def arithmetic_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 is computed in float64, everything else in float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def decode(
    heatmaps: Tensor,  # [B..., K, H, W]
    taps: Sequence[float],
    *,
    method: str = "dark",
    flipped: Tensor | None = None,  # [B..., K, H, W]
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
    transform: Tensor | None = None,  # [B..., 2, 3]
    border: str = "stay",
) -> tuple[Tensor, Tensor]:  # [B..., K, 2], [B..., K]
    """Twin of `torch.ops.dark.decode` (Eq 1 to 9, then 2)."""
    h = merged(heatmaps, flipped, flip_index, flip_shift)
    width = h.shape[-1]
    scores, index = highest(h.flatten(-2))
    x, y = index % width, index // width
    step = _STEPS[method](h, x, y, taps, max_shift)
    if border == "fit":
        fitted, sound = fit_steps(h, x[..., None], y[..., None], taps, max_shift)
        step = torch.where(sound, fitted[..., 0, :], step)
    coords = coordinates(x, y, step, scores, transform)
    return torch.where(scores.isnan()[..., None], scores[..., None], coords), scores


# ---- what it is made of --------------------------------------------------------------------------


def highest(values: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum along the last dimension and its first index; NaN where there is a NaN.

    Mirrors `csrc/peak.h`. `Tensor.max` promises no particular index for ties.
    """
    top = values.amax(-1)
    positions = torch.arange(values.shape[-1], device=values.device)
    first = torch.where(values == top[..., None], positions, values.shape[-1] - 1).amin(-1)
    return top, first


def merged(
    heatmaps: Tensor, flipped: Tensor | None, flip_index: Sequence[int] | None, flip_shift: int
) -> Tensor:
    """The maps that are searched, in the arithmetic type."""
    h = heatmaps.to(arithmetic_dtype(heatmaps.dtype))
    if flipped is None:
        return h
    return 0.5 * (h + mirror_back(flipped.to(h.dtype), flip_index, flip_shift))


def mirror_back(
    flipped: Tensor, flip_index: Sequence[int] | None = None, flip_shift: int = 0
) -> Tensor:
    """The output for the mirrored input as if for the input: HRNet's `flip_back` and shift."""
    if flip_index is not None:
        flipped = flipped[..., list(flip_index), :, :]
    width = flipped.shape[-1]
    columns = torch.arange(width, device=flipped.device)
    return flipped[..., width - 1 - (columns - flip_shift).clamp(min=0)]


def coordinates(
    x: Tensor,  # [B..., N]
    y: Tensor,  # [B..., N]
    step: Tensor,  # [B..., N, 2]
    scores: Tensor,  # [B..., N]
    transform: Tensor | None,  # [B..., 2, 3]
) -> Tensor:  # [B..., N, 2]
    """The pixels and the steps from them, which are taken from what is a peak; then Eq 2."""
    can_step = (scores > 0) & scores.isfinite()
    coords = torch.stack((x, y), -1) + torch.where(can_step[..., None], step, 0.0)
    if transform is None:
        return coords
    matrix = transform.to(coords.dtype)
    return coords @ matrix[..., :2].mT + matrix[..., None, :, 2]


def convolve(h: Tensor, taps: Sequence[float]) -> Tensor:
    # Both directions, zeros outside. A loop over taps would be slower and no clearer than conv2d.
    kernel = torch.tensor(list(taps), dtype=h.dtype, device=h.device)
    reach = len(taps) // 2
    maps = h.reshape(-1, 1, *h.shape[-2:])
    maps = conv2d(maps, kernel.view(1, 1, 1, -1), padding=(0, reach))
    maps = conv2d(maps, kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return maps.reshape(h.shape)


def _at(h: Tensor, x: Tensor, y: Tensor) -> Tensor:
    height, width = h.shape[-2:]
    flat = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    return h.flatten(-2).gather(-1, flat[..., None])[..., 0]


def _argmax_step(h: Tensor, x: Tensor, y: Tensor, taps: Sequence[float], limit: float) -> Tensor:
    return torch.zeros(*x.shape, 2, dtype=h.dtype, device=h.device)


def _standard_step(h: Tensor, x: Tensor, y: Tensor, taps: Sequence[float], limit: float) -> Tensor:
    height, width = h.shape[-2:]
    dx = (_at(h, x + 1, y) - _at(h, x - 1, y)).sign()
    dy = (_at(h, x, y + 1) - _at(h, x, y - 1)).sign()
    fits = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    return torch.where(fits[..., None], 0.25 * torch.stack((dx, dy), -1), 0.0)


def _second_max_step(
    h: Tensor, x: Tensor, y: Tensor, taps: Sequence[float], limit: float
) -> Tensor:
    height, width = h.shape[-2:]
    if height * width == 1:
        return _argmax_step(h, x, y, taps, limit)
    peak = y * width + x
    others = torch.arange(height * width - 1, device=h.device)
    others = others + (others >= peak[..., None])  # every index but the peak's, in order
    _, second = highest(h.flatten(-2).gather(-1, others))
    second = second + (second >= peak)
    toward = torch.stack((second % width - x, second // width - y), -1).to(h.dtype)
    return 0.25 * toward / toward.norm(dim=-1, keepdim=True)


def taylor_step(h: Tensor, x: Tensor, y: Tensor, taps: Sequence[float], limit: float) -> Tensor:
    height, width = h.shape[-2:]
    blurred = convolve(h, taps) if len(taps) else h
    axis = [(d, 0) for d in (-2, -1, 0, 1, 2)] + [(0, d) for d in (-2, -1, 1, 2)]
    diagonal = [(-1, -1), (1, -1), (-1, 1), (1, 1)]
    v = {(i, j): _at(blurred, x + i, y + j) for i, j in axis + diagonal}
    center, lowest = v[0, 0], torch.stack(list(v.values())).amin(0)

    log = {offset: (value / center).log() for offset, value in v.items()}
    dx = (log[1, 0] - log[-1, 0]) / 2
    dy = (log[0, 1] - log[0, -1]) / 2
    dxx = (log[2, 0] + log[-2, 0]) / 4
    dyy = (log[0, 2] + log[0, -2]) / 4
    dxy = (log[1, 1] + log[-1, -1] - log[1, -1] - log[-1, 1]) / 4
    determinant = dxx * dyy - dxy * dxy
    step = torch.stack((dxy * dy - dyy * dx, dxy * dx - dxx * dy), -1) / determinant[..., None]

    length = step.norm(dim=-1)
    fits = (x >= 2) & (x < width - 2) & (y >= 2) & (y < height - 2)
    safe = fits & (lowest > LOWEST) & (dxx < 0) & (determinant > 0) & length.isfinite()
    step = torch.where((length > limit)[..., None], step * (limit / length)[..., None], step)
    return torch.where(safe[..., None], step, 0.0)


_STEPS = {
    "argmax": _argmax_step,
    "standard": _standard_step,
    "second_max": _second_max_step,
    "dark": taylor_step,
}
