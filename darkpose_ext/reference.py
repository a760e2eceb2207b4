# SPDX-License-Identifier: Apache-2.0
"""Each op once more in plain torch: what the kernels compute, to be read and compared with.

`encode` here is what `csrc/cpu/encode.cpp` and `csrc/cuda/encode.cu` compute. The twins render
whole maps where the kernels look only where they must; arguments are checked by the functions of
`darkpose_ext.ops`, which document them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from darkpose_ext._checks import check_extent
from darkpose_ext._crop_reference import crop as crop
from darkpose_ext._fit_reference import fit_steps


def arithmetic_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 is computed in float64, everything else in float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def encode(
    joints: Tensor,  # [B..., K, 2]
    weights: Tensor,  # [B..., K]
    height: int,
    width: int,
    sigma: float,
    *,
    rounding: str = "none",
    truncate: bool = False,
    transform: Tensor | None = None,  # [B..., 2, 3]
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:  # [B..., K, H, W], [B..., K]
    """Twin of `torch.ops.dark.encode` (Eq 12 to 14)."""
    check_extent("encode", [*joints.shape[:-1], height, width])
    arithmetic = arithmetic_dtype(joints.dtype)
    centers = joints.to(arithmetic)
    if transform is not None:
        matrix = transform.to(arithmetic)
        centers = centers @ matrix[..., :2].mT + matrix[..., None, :, 2]
    round_ = {"floor": torch.floor, "ceil": torch.ceil, "round": lambda c: (c + 0.5).floor()}
    if rounding != "none":
        centers = round_[rounding](centers)
    x, y = centers.unbind(-1)
    weights = weights.to(arithmetic)
    counts = (weights > 0) & _touches_map(x, width, sigma) & _touches_map(y, height, sigma)
    weights = torch.where(counts, weights, 0.0)
    columns = _gaussian_factor(x, width, sigma, truncate)  # [B..., K, W]
    rows = _gaussian_factor(y, height, sigma, truncate)  # [B..., K, H]
    heatmaps = torch.where(counts[..., None, None], rows[..., :, None] * columns[..., None, :], 0.0)
    return heatmaps.to(dtype or arithmetic), weights


def modulate(heatmaps: Tensor, taps: Sequence[float], *, rescale: str = "minmax") -> Tensor:
    """Twin of `torch.ops.dark.modulate` (Eq 10, 11). heatmaps [..., H, W]."""
    h = heatmaps.to(arithmetic_dtype(heatmaps.dtype))
    blurred = _convolve(h, taps)
    highest, top = h.amax((-2, -1), keepdim=True), blurred.amax((-2, -1), keepdim=True)
    bottom = blurred.amin((-2, -1), keepdim=True) if rescale == "minmax" else torch.zeros_like(top)
    spread = top - bottom
    # Where the map is flat but for rounding, or the formula would divide by zero, turn it over
    # or overflow, it stays as convolved. Mirrors `csrc/modulate.h`.
    flat = 64 * torch.finfo(h.dtype).eps * torch.maximum(top, -bottom)
    sound = (highest > 0) & (spread > 0) & (spread > flat)
    sound = sound & highest.isfinite() & spread.isfinite()
    if rescale == "none":
        return blurred
    return torch.where(sound, (blurred - bottom) * (highest / spread), blurred)


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
    arithmetic = arithmetic_dtype(heatmaps.dtype)
    h = heatmaps.to(arithmetic)
    if flipped is not None:
        h = 0.5 * (h + mirror_back(flipped.to(arithmetic), flip_index, flip_shift))
    height, width = h.shape[-2:]
    scores, index = highest(h.flatten(-2))
    x, y = index % width, index // width
    step = _STEPS[method](h, x, y, taps, max_shift)
    if border == "fit":
        fitted, sound = fit_steps(h, x[..., None], y[..., None], taps, max_shift)
        step = torch.where(sound, fitted[..., 0, :], step)
    can_step = (scores > 0) & scores.isfinite()
    coords = torch.stack((x, y), -1) + torch.where(can_step[..., None], step, 0.0)
    if transform is not None:
        matrix = transform.to(arithmetic)
        coords = coords @ matrix[..., :2].mT + matrix[..., None, :, 2]
    return torch.where(scores.isnan()[..., None], scores[..., None], coords), scores


def heatmap_mse(
    heatmaps: Tensor,  # [B..., K, H, W]
    joints: Tensor,  # [B..., K, 2]
    weights: Tensor,  # [B..., K]
    sigma: float,
    *,
    rounding: str = "none",
    truncate: bool = False,
    transform: Tensor | None = None,  # [B..., 2, 3]
) -> Tensor:  # [B..., K]
    """Twin of `torch.ops.dark.heatmap_mse`, differentiable by autograd."""
    residual, _ = _residual(heatmaps, joints, weights, sigma, rounding, truncate, transform)
    return 0.5 * residual.square().mean((-2, -1))


def heatmap_mse_backward(
    grad: Tensor,  # [B..., K]
    heatmaps: Tensor,
    joints: Tensor,
    weights: Tensor,
    sigma: float,
    *,
    rounding: str = "none",
    truncate: bool = False,
    transform: Tensor | None = None,
) -> Tensor:  # [B..., K, H, W]
    """Twin of `torch.ops.dark.heatmap_mse_backward`: the gradient, laid out as `heatmaps`."""
    residual, weights = _residual(heatmaps, joints, weights, sigma, rounding, truncate, transform)
    scale = grad.to(residual.dtype) * weights / (residual.shape[-2] * residual.shape[-1])
    counts = (weights > 0)[..., None, None]
    gradient = torch.where(counts, scale[..., None, None] * residual, 0.0)
    return torch.empty_like(heatmaps).copy_(gradient)


# ---- what the ops are made of -------------------------------------------------------------------


def highest(values: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum along the last dimension and its first index; NaN where there is a NaN.

    Mirrors `csrc/peak.h`. `Tensor.max` promises no particular index for ties.
    """
    top = values.amax(-1)
    positions = torch.arange(values.shape[-1], device=values.device)
    first = torch.where(values == top[..., None], positions, values.shape[-1] - 1).amin(-1)
    return top, first


def mirror_back(
    flipped: Tensor, flip_index: Sequence[int] | None = None, flip_shift: int = 0
) -> Tensor:
    """The output for the mirrored input as if for the input: HRNet's `flip_back` and shift."""
    if flip_index is not None:
        flipped = flipped[..., list(flip_index), :, :]
    width = flipped.shape[-1]
    columns = torch.arange(width, device=flipped.device)
    return flipped[..., width - 1 - (columns - flip_shift).clamp(min=0)]


def _touches_map(center: Tensor, size: int, sigma: float) -> Tensor:
    # Mirrors `gaussian.h`: the released rule for a joint that counts.
    return (center - 3 * sigma < size) & (center + 3 * sigma + 1 > -1)


def _gaussian_factor(center: Tensor, size: int, sigma: float, truncate: bool) -> Tensor:
    pixels = torch.arange(size, dtype=center.dtype, device=center.device)
    factor = (-0.5 * ((pixels - center[..., None]) / sigma) ** 2).exp()
    if truncate:
        nearest = (center[..., None] + 0.5).floor()
        factor = torch.where((pixels - nearest).abs() > 3 * sigma, 0.0, factor)
    return factor


def _residual(
    heatmaps: Tensor,
    joints: Tensor,
    weights: Tensor,
    sigma: float,
    rounding: str,
    truncate: bool,
    transform: Tensor | None,
) -> tuple[Tensor, Tensor]:
    # w (p - g), 0 where the joint does not count, even if p is NaN there.
    h = heatmaps.to(arithmetic_dtype(heatmaps.dtype))
    height, width = h.shape[-2:]
    targets, weights = encode(
        joints.to(h.dtype),
        weights,
        height,
        width,
        sigma,
        rounding=rounding,
        truncate=truncate,
        transform=transform,
    )
    weights = weights.to(h.dtype)
    difference = torch.where((weights > 0)[..., None, None], h - targets, 0.0)
    return weights[..., None, None] * difference, weights


def _convolve(h: Tensor, taps: Sequence[float]) -> Tensor:
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


def _taylor_step(h: Tensor, x: Tensor, y: Tensor, taps: Sequence[float], limit: float) -> Tensor:
    height, width = h.shape[-2:]
    blurred = _convolve(h, taps) if len(taps) else h
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
    safe = fits & (lowest > 1e-10) & (dxx < 0) & (determinant > 0) & length.isfinite()
    step = torch.where((length > limit)[..., None], step * (limit / length)[..., None], step)
    return torch.where(safe[..., None], step, 0.0)


_STEPS = {
    "argmax": _argmax_step,
    "standard": _standard_step,
    "second_max": _second_max_step,
    "dark": _taylor_step,
}
