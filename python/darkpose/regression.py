# SPDX-License-Identifier: Apache-2.0
"""Coordinate regression from heatmaps, what DARK is compared with in the paper's Table 6.

Both methods take a network's map as logits, and the expected position under its softmax as the
joint: DSNT (Nibali et al., 2018) with a Euclidean loss and the map held to a small Gaussian, IPR
(integral pose regression, Sun et al., ECCV 2018, in 2-D) with an L1 loss alone. Positions are in
heatmap pixels, centers at integers. All arithmetic is in float32, whatever the network's precision.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_DSNT_REGULARIZATION = 1.0  # lambda of the DSNT paper
_SMALL = 1e-24  # keeps logarithms finite, as in the authors' code
_NEAR = 2.0  # sigmas round a joint within which probability counts as certainty

RegressionLoss = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""From maps, points, weights and sigma to each joint's loss."""


def expectation(
    heatmaps: Tensor,  # [B..., K, H, W] logits
) -> tuple[Tensor, Tensor]:  # [B..., K, 2] (x, y), [B..., K, H, W]
    """Return the expected position under each map's softmax, and the softmax."""
    logits = heatmaps if heatmaps.dtype == torch.float64 else heatmaps.float()
    probability = logits.flatten(-2).softmax(-1).view_as(logits)
    x, y = _grid(probability)
    # No matrix products: autocast would round the positions to half precision for them.
    across, down = probability.sum(-2) * x, probability.sum(-1) * y
    return torch.stack([across.sum(-1), down.sum(-1)], dim=-1), probability


def dsnt_loss(
    heatmaps: Tensor,  # [B..., K, H, W] logits
    points: Tensor,  # [B..., K, 2] heatmap pixels
    weights: Tensor,  # [B..., K]
    sigma: float,
) -> Tensor:  # [B..., K]
    """Return DSNT's loss of each joint, scaled so that the mean is that over weighted joints.

    It is the distance to the expected position, in units of half a map, plus the Jensen-Shannon
    divergence of the map from a Gaussian of `sigma` heatmap pixels (DSNT: 1) at the joint. Joints
    outside the map, where no expectation can lie, have no loss; without any joint it is 0. In
    distributed training each process divides by its own weighted joints.
    """
    with _full_precision(heatmaps):
        position, probability = expectation(heatmaps)
        points = points.to(position.dtype)
        weights = _inside(points, weights, probability)
        height, width = probability.shape[-2:]
        x, y = (position - points).unbind(-1)  # numbers made into tensors would stop the GPU
        offset = torch.stack([x / (width / 2), y / (height / 2)], dim=-1)
        distance = torch.linalg.vector_norm(offset, dim=-1)
        divergence = _jensen_shannon(probability, _gaussian(points, sigma, probability))
        loss = weights * (distance + _DSNT_REGULARIZATION * divergence)
        return loss * (weights.numel() / weights.sum().clamp(min=1))


def ipr_loss(
    heatmaps: Tensor,  # [B..., K, H, W] logits
    points: Tensor,  # [B..., K, 2] heatmap pixels
    weights: Tensor,  # [B..., K]
    sigma: float,
) -> Tensor:  # [B..., K]
    """Return integral pose regression's loss of each joint, scaled by K.

    It is the L1 distance in shares of the map; the authors sum it over joints and divide by people,
    which is the mean of what is returned. `sigma` has no part in it. Joints outside the map have no
    loss.
    """
    del sigma
    with _full_precision(heatmaps):
        position, probability = expectation(heatmaps)
        points = points.to(position.dtype)
        weights = _inside(points, weights, probability)
        height, width = probability.shape[-2:]
        x, y = (position - points).unbind(-1)
        distance = x.abs() / width + y.abs() / height
        return weights * distance * weights.shape[-1]


def decode_expectation(
    heatmaps: Tensor,  # [B..., K, H, W] logits
    sigma: float,
    flipped: Tensor | None = None,  # [B..., K, H, W] logits
    flip_index: Sequence[int] | None = None,  # K
    flip_shift: int = 0,
) -> tuple[Tensor, Tensor]:  # [B..., K, 2] (x, y), [B..., K]
    """Return expected positions and scores, with a flip test averaged over both.

    The methods' authors define no score, so that AP would rank people by their boxes alone. Here a
    joint's score is the probability that its map puts within two sigmas of the position: 0.86 for
    the Gaussian that DSNT trains toward, near 0 for a map that is unsure.

    Args:
        heatmaps: the network's output.
        sigma: in heatmap pixels.
        flipped: the output for the mirrored input.
        flip_index: the joint that each joint becomes in the mirror; needed with `flipped`.
        flip_shift: columns by which the mirrored output is moved to the right.
    """
    position, probability = expectation(heatmaps)
    score = _certainty(position, probability, sigma)
    if flipped is None:
        return position, score
    mirrored, probability = expectation(flipped)
    other_score = _certainty(mirrored, probability, sigma)
    width = heatmaps.shape[-1]
    mirrored = torch.stack([width - 1 - mirrored[..., 0] + flip_shift, mirrored[..., 1]], dim=-1)
    order = torch.as_tensor(flip_index, device=heatmaps.device)
    position = (position + mirrored.index_select(-2, order)) / 2
    return position, (score + other_score.index_select(-1, order)) / 2


def _grid(maps: Tensor) -> tuple[Tensor, Tensor]:
    height, width = maps.shape[-2:]
    options = {"dtype": maps.dtype, "device": maps.device}
    return torch.arange(width, **options), torch.arange(height, **options)  # type: ignore[call-overload]


def _squared_distance(points: Tensor, maps: Tensor) -> Tensor:  # [B..., K, H, W]
    x, y = _grid(maps)
    across, down = x - points[..., :1], y - points[..., 1:]
    return across.square().unsqueeze(-2) + down.square().unsqueeze(-1)


def _gaussian(points: Tensor, sigma: float, maps: Tensor) -> Tensor:
    gaussian = (-_squared_distance(points, maps) / (2 * sigma**2)).exp()
    return gaussian / (gaussian.sum((-2, -1), keepdim=True) + _SMALL)


def _jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    middle = ((p + q) / 2 + _SMALL).log()
    halves = p * ((p + _SMALL).log() - middle) + q * ((q + _SMALL).log() - middle)
    return halves.sum((-2, -1)) / 2


def _certainty(position: Tensor, probability: Tensor, sigma: float) -> Tensor:
    near = _squared_distance(position, probability) <= (_NEAR * sigma) ** 2
    return (probability * near).sum((-2, -1))


def _inside(points: Tensor, weights: Tensor, maps: Tensor) -> Tensor:
    height, width = maps.shape[-2:]
    x, y = points.unbind(-1)
    inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    return weights.to(points.dtype) * inside


def _full_precision(maps: Tensor) -> torch.autocast:
    return torch.autocast(maps.device.type, enabled=False)
