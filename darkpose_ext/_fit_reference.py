# SPDX-License-Identifier: Apache-2.0
"""What `border="fit"` of `decode` computes, in plain torch. Mirrors `csrc/fit.h`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from darkpose_ext.taps import fit_rule

_DETERMINED = 1e-6
_LEAST_SIZE = 1e-30


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
    _, limit, reach = fit_rule(taps)
    axis = torch.arange(-reach, reach + 1, device=h.device)
    j, i = (offset.flatten() for offset in torch.meshgrid(axis, axis, indexing="ij"))
    columns, rows = x[..., None] + i, y[..., None] + j  # [..., P, N]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    flat = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    values = h.double().flatten(-2).gather(-1, flat.flatten(-2)).view(flat.shape)
    peaks = values[..., len(i) // 2, None]
    values = torch.where(inside, values / peaks, 0.0)

    counts = values > 0
    weights = torch.where(counts, values, 0.0).square()
    logs = torch.where(counts, values, 1.0).log()
    offset = torch.stack((i, j), -1).double()
    squared = offset.square().sum(-1, keepdim=True)
    terms = torch.cat((torch.ones_like(squared), offset, -squared / 2), -1)  # [N, 4]
    normal = (weights[..., None, None] * terms[:, :, None] * terms[:, None]).sum(-3)
    right = ((weights * logs)[..., None] * terms).sum(-2)  # [..., P, 4]
    size = normal.diagonal(0, -2, -1).sqrt().clamp(min=_LEAST_SIZE)
    correlation = normal / size[..., None] / size[..., None, :]
    determined = torch.linalg.det(correlation) > _DETERMINED
    unit = torch.eye(4, dtype=torch.float64, device=h.device)
    correlation = torch.where(determined[..., None, None], correlation, unit)
    answer = torch.linalg.solve_ex(correlation, right / size).result / size

    a = answer[..., 3]
    sound = determined & (a > 0) & near_border(x, y, height, width, taps)
    step = answer[..., 1:3] / torch.where(sound, a, 1.0)[..., None]
    sound = sound & (step.abs().amax(-1) <= limit)
    length = step.norm(dim=-1, keepdim=True)
    step = torch.where(length > max_shift, step * (max_shift / length), step)
    return torch.where(sound[..., None], step, 0.0).to(h.dtype), sound
