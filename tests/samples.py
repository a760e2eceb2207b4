# SPDX-License-Identifier: Apache-2.0
"""Inputs that more than one test file needs: maps that are hard to decode, layouts, people."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def taps_of(method: str, taps: Sequence[float]) -> list[float]:
    """Return the taps where the method of decode takes any."""
    return list(taps) if method == "dark" else []


def gaussians(centers: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Render [N, H, W] unbiased Gaussians of height 1 at centers [N, 2], in float64."""
    x = torch.arange(width, dtype=torch.float64) - centers[:, :1].double()  # [N, W]
    y = torch.arange(height, dtype=torch.float64) - centers[:, 1:].double()  # [N, H]
    squared = y[:, :, None] ** 2 + x[:, None, :] ** 2
    return (-squared / (2 * sigma**2)).exp()


def _uniform(n: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(n, dtype=torch.float64)


def random_centers(n: int, height: int, width: int, margin: float = 0.0) -> Tensor:  # [N, 2]
    """Draw centers uniformly, at least ``margin`` pixels inside the map (outside if negative)."""
    x = _uniform(n, margin, width - 1 - margin)
    return torch.stack((x, _uniform(n, margin, height - 1 - margin)), 1)


def _anywhere(n: int, height: int, width: int) -> Tensor:
    return gaussians(random_centers(n, height, width, -3.0), height, width, 2.0)


def _noisy(n: int, height: int, width: int) -> Tensor:
    return 0.8 * _anywhere(n, height, width) + 0.05 * torch.rand(n, height, width).double()


def _isolated_spikes(n: int, height: int, width: int) -> Tensor:
    """One positive pixel in a negative map: its blurred maximum is negative."""
    maps = torch.full((n, height, width), -1.0).double()
    maps.view(n, -1).scatter_(1, torch.randint(height * width, (n, 1)), 0.1)
    return maps


def _borders(n: int, height: int, width: int) -> Tensor:
    """Peaks within three pixels of a border."""
    centers = random_centers(n, height, width)
    offset = _uniform(n, -1.0, 3.0)
    side = torch.randint(4, (n,))
    centers[:, 0] = torch.where(side == 0, offset, centers[:, 0])
    centers[:, 0] = torch.where(side == 1, width - 1 - offset, centers[:, 0])
    centers[:, 1] = torch.where(side == 2, offset, centers[:, 1])
    centers[:, 1] = torch.where(side == 3, height - 1 - offset, centers[:, 1])
    return gaussians(centers, height, width, 2.0) + 0.02 * torch.rand(n, height, width)


MADE: dict[str, Callable[[int, int, int], Tensor]] = {
    "clean": _anywhere,
    "noisy": _noisy,
    "noise": lambda *shape: torch.rand(shape).double(),
    "signed_noise": lambda *shape: torch.randn(shape).double(),
    "negative_background": lambda *shape: _noisy(*shape) - 0.1,
    "isolated_spikes": _isolated_spikes,
    # Quantized Gaussians: flat tops, ties, steps.
    "plateaus": lambda *shape: (_anywhere(*shape) * 4).round() / 4,
    "two_peaks": lambda *shape: 0.6 * _anywhere(*shape) + 0.5 * _anywhere(*shape),
    "borders": _borders,
}


def made_maps(kind: str, n: int, height: int, width: int) -> Tensor:
    """Draw [N, H, W] maps of one kind, already rounded to float32, as float64."""
    return MADE[kind](n, height, width).float().double()


def _spoiled(values: dict[tuple[int, int], float]) -> Tensor:
    """Return a Gaussian at (10, 9) of 24 x 20 pixels with other values at some (x, y)."""
    maps = gaussians(torch.tensor([[10.3, 9.2]]), 24, 20, 2.0).float()
    for (x, y), value in values.items():
        maps[0, y, x] = value
    return maps


# [1, 24, 20] each, float32.
STRANGE = {
    "NaN in a corner": _spoiled({(0, 0): math.nan}),
    "NaN at the end": _spoiled({(19, 23): math.nan}),
    "NaN at the peak": _spoiled({(10, 9): math.nan}),
    "NaN alone": torch.full((1, 24, 20), math.nan),
    "NaN and inf": _spoiled({(3, 3): math.nan, (4, 4): math.inf}),
    "inf": _spoiled({(5, 6): math.inf}),
    "two inf": _spoiled({(5, 6): math.inf, (9, 6): math.inf}),
    "-inf alone": torch.full((1, 24, 20), -math.inf),
    "-inf beside the peak": _spoiled({(11, 9): -math.inf}),
    "-inf in the window": _spoiled({(14, 9): -math.inf}),
    "-inf in the window's corner": _spoiled({(17, 16): -math.inf}),
    "-inf on both sides": _spoiled({(9, 9): -math.inf, (11, 9): -math.inf}),
    "all else -inf": torch.full((1, 24, 20), -math.inf).index_fill(1, torch.tensor([0]), 1.0),
    "the first above -inf": torch.where(torch.arange(480).view(1, 24, 20) == 0, 1.0, -math.inf),
    "zero": torch.zeros(1, 24, 20),
    "negative": _spoiled({}) - 2,
    "all alike": torch.ones(1, 24, 20),
    "two tops": _spoiled({(4, 4): 5.0, (12, 12): 5.0}),
    "a flat top": _spoiled({(10, 9): 1.5, (11, 9): 1.5, (10, 10): 1.5}),
    "subnormal": 1e-40 * _spoiled({}),
    "huge": 1e38 * _spoiled({}),
    "steep": _spoiled({}) ** 40,
}


def _channels_last(t: Tensor) -> Tensor:
    """The joints vary fastest in memory, for any number of leading dimensions."""
    return t.movedim(-3, -1).contiguous().movedim(-1, -3)


def _sliced(t: Tensor) -> Tensor:
    """The middle of a larger tensor; what lies round it is NaN and must not be read."""
    *leading, height, width = t.shape
    larger = t.new_full((*leading, height + 3, 2 * width + 5), float("nan"))
    inner = larger[..., 1 : height + 1, 2 : 2 * width + 2 : 2]
    inner.copy_(t)
    return inner


def _apart(t: Tensor) -> Tensor:
    """Every other one of the last leading dimension; what lies between is NaN."""
    if t.dim() == 3:
        return t
    larger = t.new_full((*t.shape[:-4], 2 * t.shape[-4] + 1, *t.shape[-3:]), float("nan"))
    inner = larger[..., 1::2, :, :, :]
    inner.copy_(t)
    return inner


def _unaligned(t: Tensor) -> Tensor:
    """Contiguous, but beginning one element into its storage."""
    storage = t.new_empty(t.numel() + 1)
    return storage[1:].view(t.shape).copy_(t)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda t: t.contiguous(),
    "channels_last": _channels_last,
    "transposed": lambda t: t.mT.contiguous().mT,
    "sliced": _sliced,
    "apart": _apart,
    "unaligned": _unaligned,
}


def _reversed(t: Tensor) -> Tensor:
    """The leading dimensions in the reverse order."""
    return t.permute(*reversed(range(t.dim() - 3)), -3, -2, -1)


STRIDED: dict[str, Callable[[Tensor], Tensor]] = {
    **LAYOUTS,
    # For tests that compare with the maps as they are laid out: these may be other maps.
    # The first one's maps for everyone of the first dimension, at one place in memory.
    "expanded": lambda t: t[:1].contiguous().expand_as(t) if t.dim() > 3 else t,
    "expanded_channels_last": lambda t: _channels_last(t[:1]).expand_as(t) if t.dim() > 3 else t,
    # No one stride walks several leading dimensions.
    "permuted": lambda t: _reversed(_reversed(t).contiguous()),
    "permuted_channels_last": lambda t: _reversed(_channels_last(_reversed(t))),
}

LEADING = ((), (3,), (2, 2), (2, 1, 3))


def people(*people_joints: list[list[int]]) -> tuple[Any, Any, Any]:
    """Return joints [N, K, 3], boxes of longer side 100 and areas of 5000."""
    joints = np.array(people_joints, dtype=float)
    boxes = np.tile([0.0, 0, 50, 100], (len(joints), 1))
    return joints, boxes, np.full(len(joints), 5000.0)
