# SPDX-License-Identifier: Apache-2.0
"""The ways to cut people out of an image whose times are compared give the same crops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.cropping_cases import KINDS, Case, given
from benchmarks.cropping_ways import (
    BEFORE,
    KORNIA,
    OPENCV,
    PEERS,
    SAPIENS2,
    TORCHVISION,
    VITPOSE,
    calls,
    lacks,
)
from darkpose.models.pose import MEAN, STD

SMALL = {"people": 3, "image": (160, 120), "size": (24, 32)}
LEVELS = {KORNIA: 0.6, VITPOSE: 1.1, SAPIENS2: 0.6, TORCHVISION: 0.6}  # the op rounds, two do not


def gray_levels(crop: Tensor) -> Tensor:  # [N, C, H, W]
    std, mean = (torch.tensor(values).view(3, 1, 1) for values in (STD, MEAN))
    return 255 * (crop.double() * std + mean)


@pytest.mark.parametrize("kind", KINDS)
def test_opencv_cuts_what_the_op_cuts(kind: str) -> None:
    case = Case(kind=kind, **SMALL)  # type: ignore[arg-type]
    ours, theirs, before = (
        np.asarray(call()).reshape(3, 32, 24, -1).astype(int)
        for call in calls(case, ["op", OPENCV, BEFORE]).values()
    )
    assert ours.any() == (kind != "outside")
    assert abs(ours - theirs).max() <= 1
    assert abs(ours - before).max() <= 1


@pytest.mark.parametrize("name", PEERS["float32"])
def test_peers_normalize_what_the_op_cuts(name: str) -> None:
    if reason := lacks(name):
        pytest.skip(reason)
    case = Case(dtype="float32", **SMALL)  # type: ignore[arg-type]
    ours, theirs = (gray_levels(call()) for call in calls(case, ["op", name]).values())
    maps = given(replace(case, dtype="uint8")).to_image
    x, y = (maps[:, i, i, None] * np.arange(case.size[i]) + maps[:, i, 2, None] for i in (0, 1))
    inside = (x >= 0)[:, None] & (x <= 159)[:, None] & (y >= 0)[..., None] & (y <= 119)[..., None]
    apart = (ours - theirs).abs().amax(1)[torch.from_numpy(inside)]
    assert len(apart) > 1000
    assert apart.max() < LEVELS.get(name, 1.001)
