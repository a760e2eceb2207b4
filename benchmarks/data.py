# SPDX-License-Identifier: Apache-2.0
"""The tensors of a case: made ones, or heatmaps that networks predicted."""

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from darkpose_ext import reference

if TYPE_CHECKING:
    from benchmarks.cases import Case

NOISE = 0.05
REAL = {"hourglass_48x48": 48, "cpm_96x96": 96}  # files of predicted heatmaps: 14 joints, side


@dataclass(frozen=True)
class Inputs:
    """The tensors of a case."""

    maps: Tensor  # [B, K, H, W]
    flipped: Tensor  # [B, K, H, W], of the mirrored images
    joints: Tensor  # [B, K, 2]
    weights: Tensor  # [B, K]
    transform: Tensor  # [B, 2, 3]
    pairs: list[tuple[int, int]]  # joints that change places under a mirror
    flip_index: list[int]


def inputs(case: "Case") -> Inputs:
    """Make the data of a case: the same at every call, and for every op."""
    return _inputs(replace(case, op=""))


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # else they could not be used where gradients are
def _inputs(case: "Case") -> Inputs:
    random = torch.Generator(case.device).manual_seed(0)
    size = torch.tensor((case.width, case.height), device=case.device)
    shape = (case.batch, case.joints)
    joints = torch.rand(*shape, 2, generator=random, device=case.device) * size
    weights = torch.ones(shape, device=case.device)
    if case.data == "noise":
        all_maps = (*shape, case.height, case.width)
        maps = torch.rand(all_maps, generator=random, device=case.device)
    elif case.data in REAL:
        maps = _predicted(case.data, case.batch).to(case.device)
    else:
        maps, _ = reference.encode(joints, weights, case.height, case.width, case.sigma)
        maps += NOISE * torch.randn(maps.shape, generator=random, device=case.device)
    maps = maps.to(getattr(torch, case.dtype))
    pairs = [(k, k + 1) for k in range(1, case.joints - 1, 2)]
    index = list(range(case.joints))
    for left, right in pairs:
        index[left], index[right] = right, left
    flipped = maps[:, index].flip(-1)
    if case.layout == "channels_last":
        maps, flipped = (m.to(memory_format=torch.channels_last) for m in (maps, flipped))
    transform = torch.tensor([[4.0, 0, 11], [0, 4.0, 7]], device=case.device)
    transform = transform.repeat(case.batch, 1, 1)
    return Inputs(maps, flipped, joints, weights, transform, pairs, index)


def _predicted(name: str, batch: int) -> Tensor:
    if not (folder := os.environ.get("DARKPOSE_DATA")):
        raise LookupError("real heatmaps: DARKPOSE_DATA does not name the folder of data")
    with np.load(Path(folder) / "heatmaps" / f"{name}.npz") as file:
        maps = torch.from_numpy(file["heatmaps"]).float()
    return maps.repeat(-(-batch // len(maps)), 1, 1, 1)[:batch].contiguous()
