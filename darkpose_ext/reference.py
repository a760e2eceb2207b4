# SPDX-License-Identifier: Apache-2.0
"""Each op once more in plain torch: what the kernels compute, to be read and compared with.

`encode` here is what `csrc/cpu/encode.cpp` and `csrc/cuda/encode.cu` compute. The twins render
whole maps where the kernels look only where they must; arguments are checked by the functions of
`darkpose_ext.ops`, which document them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from darkpose_ext._checks import check_extent
from darkpose_ext._crop_reference import crop as crop
from darkpose_ext._decode_reference import arithmetic_dtype as arithmetic_dtype
from darkpose_ext._decode_reference import convolve
from darkpose_ext._decode_reference import decode as decode
from darkpose_ext._decode_reference import mirror_back as mirror_back
from darkpose_ext._peaks_reference import decode_peaks as decode_peaks


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
    blurred = convolve(h, taps)
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
