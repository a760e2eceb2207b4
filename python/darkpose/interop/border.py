# SPDX-License-Identifier: Apache-2.0
"""DARK inside a heatmap, and near its border, where DARK does not work, a fitted Gaussian.

Within two pixels of the border DARK's stencil leaves the map and it stays at the argmax; within two
sigma the zeros that its smoothing finds beyond the map pull the peak inward. Other libraries refine
there all the same, from repeated or mirrored values, and so the drop-ins for them have to be good
there too. This matters for maps that have a peak there. Of those that networks really predicted few
have even their maximum there, most of these are wrong, and DARK's answer and the fit's differ by
nothing that could be measured (`benchmarks/interop.py`).

A Gaussian of any width is a paraboloid in the logarithm: c + b (p - m) - a |p - m|^2 / 2 round the
argmax m, with its peak at m + b / a. These four unknowns are fitted to the pixels that exist within
1.5 sigma. The error of a logarithm is that of its value h divided by h, hence weights h^2.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from darkpose_ext import decode

REACH = 2.0
"""In sigma: how near to the border a maximum must be to be refined by the fit."""
WINDOW = 1.5
"""In sigma: the half side of the square of pixels that are fitted."""
SHIFT = (1.0, 0.5)
"""Pixels and sigmas: a step longer than both, in x or y, is none from a peak's highest pixel to the
peak, and is not taken."""
DETERMINED = 1e-6
"""Least determinant of the correlations of the unknowns; 0 if the pixels leave one of them open."""


def decode_to_the_border(
    heatmaps: Tensor,  # [B, K, H, W]
    taps: Sequence[float],
    sigma: float,
    *,
    flipped: Tensor | None = None,  # [B, K, H, W]
    flip_index: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:  # [B, K, 2], [B, K]
    """Return coordinates in heatmap pixels and scores; `darkpose_ext.decode` wherever that works.

    Args:
        heatmaps, taps, flipped, flip_index: as in `darkpose_ext.decode`; the mirrored maps are
            aligned, without a shift.
        sigma: about that of the peaks, in heatmap pixels: it sets how far "near" is.

    Raises:
        TypeError, ValueError: as `darkpose_ext.decode`.
    """
    if heatmaps.dim() != 4:
        raise ValueError(f"heatmaps must be [B, K, H, W], got {list(heatmaps.shape)}")
    coords, scores = decode(heatmaps, taps, flipped=flipped, flip_index=flip_index)
    peaks, _ = decode(heatmaps, [], method="argmax", flipped=flipped, flip_index=flip_index)
    (height, width), margin = heatmaps.shape[-2:], REACH * sigma
    x, y = peaks.unbind(-1)  # of a NaN no comparison holds
    near = (x < margin) | (x > width - 1 - margin) | (y < margin) | (y > height - 1 - margin)
    people, joints = (near & (scores > 0)).nonzero(as_tuple=True)
    if len(people):
        start, peak = peaks[people, joints], scores[people, joints, None]
        offset, terms, products = _design(max(1, round(WINDOW * sigma)), start.device)
        column, row = (start.long()[:, None] + offset).unbind(-1)  # [M, P]
        in_column, in_row = column.clamp(0, width - 1), row.clamp(0, height - 1)
        exists = (column == in_column) & (row == in_row)
        values = heatmaps[people[:, None], joints[:, None], in_row, in_column].double()
        if flipped is not None:
            swapped = joints if flip_index is None else joints.new_tensor(flip_index)[joints]
            mirror = flipped[people[:, None], swapped[:, None], in_row, width - 1 - in_column]
            values = (values + mirror.double()) / 2
        step, sound = _fit(values * exists / peak, terms, products)
        sound &= step.abs().amax(-1) <= max(SHIFT[0], SHIFT[1] * sigma)
        coords[people, joints] = torch.where(
            sound[:, None], (start + step).to(coords.dtype), coords[people, joints]
        )
    return coords, scores


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # else a later call outside of it could not use them
def _design(reach: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the window's pixels [P, 2] round its middle, the terms that each pixel gives the four
    unknowns [P, 4], and the products of any two of those [P, 16]."""
    axis = torch.arange(-reach, reach + 1, device=device)
    offset = torch.cartesian_prod(axis, axis)
    squared = offset.square().sum(-1, keepdim=True)
    terms = torch.cat((torch.ones_like(squared), offset, -squared / 2), -1).double()
    return offset, terms, (terms[:, :, None] * terms[:, None]).flatten(1)


def _fit(
    values: Tensor,  # [M, P], those not positive do not count
    terms: Tensor,  # [P, 4]
    products: Tensor,  # [P, 16]
) -> tuple[Tensor, Tensor]:  # [M, 2], [M]
    """Return the way to each peak, and whether its values tell it."""
    lit = values > 0
    weights = torch.where(lit, values, 0.0).square()
    log = torch.where(lit, values, 1.0).log()
    normal = (weights @ products).unflatten(-1, (4, 4))
    size = normal.diagonal(dim1=-2, dim2=-1).sqrt().clamp(min=1e-30)
    factor, failed = torch.linalg.cholesky_ex(normal / size[:, None] / size[:, :, None])
    right = (weights * log) @ terms / size
    answer = torch.cholesky_solve(right[..., None], factor)[..., 0] / size
    determinant = factor.diagonal(dim1=-2, dim2=-1).square().prod(-1)
    sound = (failed == 0) & (determinant > DETERMINED) & (answer[:, 3] > 0)
    return answer[:, 1:3] / answer[:, 3:], sound
