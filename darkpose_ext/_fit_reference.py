# SPDX-License-Identifier: Apache-2.0
"""What `border="fit"` of `decode` computes, in plain torch. Mirrors `csrc/fit.h`."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from darkpose_ext.taps import fit_rule

DETERMINED = 1e-6
"""Least determinant of the correlations of the four unknowns."""
LEAST_SIZE = 1e-30
"""Of an unknown, so that none is divided by zero."""


def near_border(x: Tensor, y: Tensor, height: int, width: int, taps: Sequence[float]) -> Tensor:
    """Return whether the pixels (x, y) are nearer than two sigma to the border of a map."""
    margin = fit_rule(taps).margin
    distances = (x, y, width - 1 - x, height - 1 - y)
    return torch.stack([distance < margin for distance in distances]).any(0)


def fit_steps(
    h: Tensor,  # [..., H, W]
    x: Tensor,  # [..., P]
    y: Tensor,  # [..., P]
    taps: Sequence[float],
    max_shift: float,
) -> tuple[Tensor, Tensor]:  # [..., P, 2], [..., P]
    """Return the steps from the maxima at (x, y) of each map, 0 where none is taken, of h's type.

    And where they are: from a maximum that is `near_border` and whose pixels tell its peak.
    """
    height, width = h.shape[-2:]
    reach = fit_rule(taps).reach
    axis = torch.arange(-reach, reach + 1, device=h.device)
    j, i = (offset.flatten() for offset in torch.meshgrid(axis, axis, indexing="ij"))
    columns, rows = x[..., None] + i, y[..., None] + j  # [..., P, N]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    flat = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    values = h.double().flatten(-2).gather(-1, flat.flatten(-2)).view(flat.shape)
    peaks = values[..., len(i) // 2, None]
    values = torch.where(inside, values / peaks, 0.0)

    fit = fitted(values, taps)
    sound = fit.sound & near_border(x, y, height, width, taps)
    length = fit.step.norm(dim=-1, keepdim=True)
    step = torch.where(length > max_shift, fit.step * (max_shift / length), fit.step)
    return torch.where(sound[..., None], step, 0.0).to(h.dtype), sound


class Fit(NamedTuple):
    """Gaussians c + b p - a p^2 / 2, fitted to logarithms of windows of N pixels."""

    step: Tensor
    """[..., 2]: b / a, from the window's middle to the peak."""
    sound: Tensor
    """[...]: whether the pixels tell a peak that is near enough; what is not may be anything."""
    answer: Tensor
    """[..., 4]: c, b in x and y, a."""
    correlation: Tensor
    """[..., 4, 4]: the normal equations' matrix, divided by `size` in rows and columns."""
    size: Tensor
    """[..., 4]"""
    terms: Tensor
    """[N, 4]: what each pixel multiplies the answer by."""


def fitted(values: Tensor, taps: Sequence[float]) -> Fit:
    """Fit Gaussians to values [..., N], float64, relative to the middle one; 0 counts as none."""
    _, limit, reach = fit_rule(taps)
    counts = values > 0
    weights = torch.where(counts, values, 0.0).square()
    logs = torch.where(counts, values, 1.0).log()
    axis = torch.arange(-reach, reach + 1, dtype=torch.float64, device=values.device)
    offset = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).flatten(0, 1)
    squared = offset.square().sum(-1, keepdim=True)
    terms = torch.cat((torch.ones_like(squared), offset, -squared / 2), -1)
    normal = (weights[..., None, None] * terms[:, :, None] * terms[:, None]).sum(-3)
    right = ((weights * logs)[..., None] * terms).sum(-2)
    size = normal.diagonal(0, -2, -1).sqrt().clamp(min=LEAST_SIZE)
    correlation = normal / size[..., None] / size[..., None, :]
    determined = torch.linalg.det(correlation) > DETERMINED
    unit = torch.eye(4, dtype=torch.float64, device=values.device)
    correlation = torch.where(determined[..., None, None], correlation, unit)
    answer = torch.linalg.solve_ex(correlation, right / size).result / size
    peaked = determined & (answer[..., 3] > 0)
    step = answer[..., 1:3] / torch.where(peaked, answer[..., 3], 1.0)[..., None]
    sound = peaked & (step.abs().amax(-1) <= limit)
    return Fit(step, sound, answer, correlation, size, terms)
