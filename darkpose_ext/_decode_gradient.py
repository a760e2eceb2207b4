# SPDX-License-Identifier: Apache-2.0
"""`decode` with a gradient, to train through coordinates: `decode(..., differentiable=True)`.

The forward pass is the op. The backward pass holds the maximum where it stands and differentiates
the Taylor step by the values round it: through Eq 9, the logarithm and the smoothing, whose
transpose is the smoothing itself, since taps are symmetric; near the border, where `border` is
"fit", the Gaussian's peak, through the least squares. Only windows are computed, of all maps at
once, and nothing waits for a GPU. Mirrors `csrc/step.h` and `csrc/fit.h`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from darkpose_ext._decode_reference import LOWEST, arithmetic_dtype
from darkpose_ext._fit_reference import fitted, near_border
from darkpose_ext.taps import fit_rule


def _gradient(
    grad_coords: Tensor,  # [B..., K, 2]
    grad_scores: Tensor,  # [B..., K]
    heatmaps: Tensor,  # [B..., K, H, W]
    flipped: Tensor | None,
    transform: Tensor | None,
    taps: Sequence[float],
    flip_index: Sequence[int] | None,
    flip_shift: int,
    max_shift: float,
    border: str,
) -> tuple[Tensor, Tensor | None]:
    height, width = heatmaps.shape[-2:]
    inverse = (
        None if flip_index is None else sorted(range(len(flip_index)), key=flip_index.__getitem__)
    )
    peaks, scores = torch.ops.dark.decode(
        heatmaps, [], flipped, method="argmax", flip_index=flip_index, flip_shift=flip_shift
    )
    x, y = peaks.nan_to_num().long().unbind(-1)
    reach = len(taps) // 2 + 2  # of the pixels that the smoothed stencil is made of
    radius = max(reach, fit_rule(taps).reach) if border == "fit" else reach

    around = torch.arange(-radius, radius + 1, device=heatmaps.device)
    columns, rows = x[..., None, None] + around, (y[..., None] + around)[..., None]
    exists = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows = columns.clamp(0, width - 1), rows.clamp(0, height - 1) * width
    places = [(rows + columns).flatten(-2)]  # [B..., K, n * n] of both kinds of maps
    windows = _gathered(heatmaps, places[0])
    if flipped is not None:
        mirrored = (rows + (width - 1) - (columns - flip_shift).clamp(min=0)).flatten(-2)
        places.append(_reordered(mirrored, inverse))
        windows = (windows + _reordered(_gathered(flipped, places[1]), flip_index)) / 2
    windows = torch.where(exists, windows.unflatten(-1, exists.shape[-2:]), 0.0)

    if transform is not None:
        matrix = transform.to(grad_coords.dtype)[..., None, :, :2]
        matrix = torch.where(matrix.isfinite(), matrix, 0.0)
        grad_coords = (matrix * grad_coords[..., None]).sum(-2)
    can_step = (scores > 0) & scores.isfinite()
    fits = (x >= 2) & (x < width - 2) & (y >= 2) & (y < height - 2)
    middle = _middle(windows, reach)
    values = _widened(
        _taylor_gradient(grad_coords, middle, can_step & fits, taps, max_shift), radius
    )
    if border == "fit":
        near = can_step & near_border(x, y, height, width, taps)
        of_fit, sound = _fit_gradient(grad_coords, windows, taps, max_shift)
        values = torch.where((near & sound)[..., None, None], _widened(of_fit, radius), values)
    finite = torch.where(scores.isfinite(), grad_scores, 0.0)
    values = (values + _widened(finite[..., None, None], radius)).flatten(-2)
    values = torch.where(exists.flatten(-2), values, 0.0)
    if flipped is None:
        return _scattered(values, places[0], heatmaps), None
    return (
        _scattered(values / 2, places[0], heatmaps),
        _scattered(_reordered(values / 2, inverse), places[1], flipped),
    )


class _Gradient(torch.autograd.Function):
    """The gradient for `heatmaps` and `flipped`, which has no derivative of its own."""

    generate_vmap_rule = True

    # By its number of parameters `torch.compile` sees that it has no ctx.
    forward = staticmethod(_gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError("decode: second derivatives are not implemented")


class DifferentiableDecode(torch.autograd.Function):
    """`torch.ops.dark.decode` by DARK's step, its gradient for `heatmaps` and `flipped`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        heatmaps: Tensor,  # [B..., K, H, W]
        flipped: Tensor | None,  # [B..., K, H, W]
        transform: Tensor | None,  # [B..., 2, 3]
        taps: Sequence[float],
        flip_index: Sequence[int] | None,
        flip_shift: int,
        max_shift: float,
        border: str,
    ) -> tuple[Tensor, Tensor]:  # [B..., K, 2], [B..., K]
        coords, scores = torch.ops.dark.decode(
            heatmaps,
            taps,
            flipped,
            transform,
            flip_index=flip_index,
            flip_shift=flip_shift,
            max_shift=max_shift,
            border=border,
        )
        return coords, scores

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.options = inputs[3:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _Gradient.apply(*grads, *ctx.saved_tensors, *ctx.options)
        return *gradients, *(None,) * 6


def _taylor_gradient(
    grad: Tensor,  # [B..., K, 2] for the step
    windows: Tensor,  # [B..., K, n, n] round the maximum, 0 outside of the map
    can_step: Tensor,  # [B..., K]
    taps: Sequence[float],
    max_shift: float,
) -> Tensor:  # [B..., K, n, n]
    """Return the step's gradient for the window; 0 where there is no step or a shortened one."""
    blurred = torch.ops.dark.modulate(windows, taps, rescale="none") if len(taps) else windows
    stencil = _middle(blurred, 2)  # [B..., K, y, x]
    log = (stencil / stencil[..., 2:3, 2:3]).log()
    dx = (log[..., 2, 3] - log[..., 2, 1]) / 2
    dy = (log[..., 3, 2] - log[..., 1, 2]) / 2
    dxx = (log[..., 2, 4] + log[..., 2, 0]) / 4
    dyy = (log[..., 4, 2] + log[..., 0, 2]) / 4
    dxy = (log[..., 3, 3] + log[..., 1, 1] - log[..., 1, 3] - log[..., 3, 1]) / 4
    determinant = dxx * dyy - dxy * dxy
    xx, yy, xy = dyy / determinant, dxx / determinant, -dxy / determinant  # of the inverse
    step_x, step_y = -(xx * dx + xy * dy), -(xy * dx + yy * dy)

    # The step is -H^-1 D, hence its derivative -H^-1 (dD + dH step).
    grad_x, grad_y = grad.unbind(-1)
    for_dx, for_dy = -(xx * grad_x + xy * grad_y), -(xy * grad_x + yy * grad_y)
    right, below = for_dx / 2, for_dy / 2
    along, down = for_dx * step_x / 4, for_dy * step_y / 4
    diagonal = (for_dx * step_y + for_dy * step_x) / 4
    none = torch.zeros_like(right)
    for_log = (
        (none, none, down, none, none),
        (none, diagonal, -below, -diagonal, none),
        (along, -right, -2 * (along + down), right, along),
        (none, -diagonal, below, diagonal, none),
        (none, none, down, none, none),
    )
    lowest = torch.stack(
        (
            stencil[..., 2, :].amin(-1),
            stencil[..., :, 2].amin(-1),
            stencil[..., 1:4:2, 1:4:2].amin((-2, -1)),
        )
    ).amin(0)
    length = torch.hypot(step_x, step_y)
    moves = can_step & (lowest > LOWEST) & (dxx < 0) & (determinant > 0) & (xx + yy).isfinite()
    moves = moves & length.isfinite() & (length <= max_shift)
    for_stencil = torch.stack([torch.stack(row, -1) for row in for_log], -2) / stencil
    for_stencil = torch.where(moves[..., None, None], for_stencil, 0.0)
    gradient = _widened(for_stencil, windows.shape[-1] // 2)
    return torch.ops.dark.modulate(gradient, taps, rescale="none") if len(taps) else gradient


def _fit_gradient(
    grad: Tensor,  # [B..., K, 2] for the step
    windows: Tensor,  # [B..., K, n, n] round the maximum, 0 outside of the map
    taps: Sequence[float],
    max_shift: float,
) -> tuple[Tensor, Tensor]:  # [B..., K, m, m], [B..., K]
    """Return the gradient of the fitted Gaussian's peak, 0 of a shortened one, and whose is sound.

    From the normal equations N (c, b, a) = sum h^2 t log h with terms t of each pixel, relative to
    the maximum, follows N d(c, b, a) = sum t h (2 (log h - t (c, b, a)) + 1) dh. A factor of all
    values moves c alone.
    """
    reach = fit_rule(taps).reach
    peak = _middle(windows, 0).double()
    values = (_middle(windows, reach).double() / peak).flatten(-2)
    fit = fitted(values, taps)
    a, grad = fit.answer[..., 3:], grad.double()
    along = (grad * fit.step).sum(-1, keepdim=True)
    for_answer = torch.cat((torch.zeros_like(along), grad / a, -along / a), -1) / fit.size
    right = torch.linalg.solve_ex(fit.correlation, for_answer).result / fit.size
    by_pixel, explained = ((fit.terms * of[..., None, :]).sum(-1) for of in (right, fit.answer))
    counts = values > 0
    residual = torch.where(counts, values, 1.0).log() - explained
    moves = counts & (fit.sound & (fit.step.norm(dim=-1) <= max_shift))[..., None]
    gradient = torch.where(moves, by_pixel * values * (2 * residual + 1), 0.0)
    side = 2 * reach + 1
    return (gradient.unflatten(-1, (side, side)) / peak).to(windows.dtype), fit.sound


def _middle(windows: Tensor, reach: int) -> Tensor:
    """Return the middle of windows [..., n, n], `reach` pixels to each side."""
    start = windows.shape[-1] // 2 - reach
    inner = slice(start, start + 2 * reach + 1)
    return windows[..., inner, inner]


def _widened(windows: Tensor, radius: int) -> Tensor:
    """Return windows [..., n, n] with zeros round them, `radius` pixels to each side."""
    return pad(windows, (radius - windows.shape[-1] // 2,) * 4)


def _gathered(maps: Tensor, places: Tensor) -> Tensor:
    """Return the values [..., K, N] of maps [..., K, H, W] at flat indices [..., K, N]."""
    return maps.flatten(-2).gather(-1, places).to(arithmetic_dtype(maps.dtype))


def _scattered(values: Tensor, places: Tensor, maps: Tensor) -> Tensor:
    """Return maps, otherwise of zeros, with the sums of the values at flat indices."""
    flat = values.new_zeros(maps.shape).flatten(-2).scatter_add(-1, places, values)
    return flat.unflatten(-1, maps.shape[-2:]).to(maps.dtype)


def _reordered(values: Tensor, order: Sequence[int] | None) -> Tensor:
    """Return values [..., K, N] with the joints in another order, without an index to copy."""
    return values if order is None else torch.stack([values[..., k, :] for k in order], -2)
