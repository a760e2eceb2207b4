# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of networks that were never trained, but whose maps have clear maxima."""

from pathlib import Path
from typing import Any

import torch

from darkpose.codec import HeatmapCodec
from darkpose.data.joint_sets import COCO
from darkpose.data.spec import KeypointSpec
from darkpose.models.pose import PoseModel


def write_checkpoint(
    path: Path,
    network: str = "small",
    *,
    input_size: tuple[int, int] = (96, 128),
    spec: KeypointSpec = COCO,
    task: dict[str, Any] | None = None,
    **codec: Any,
) -> Path:
    """Write a checkpoint of a new network; `task` and `codec` are options of theirs."""
    torch.manual_seed(0)
    made = PoseModel(HeatmapCodec(input_size, **codec), spec, network, **(task or {}))  # type: ignore[arg-type]
    with torch.no_grad():
        for layer in made.network.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.out_channels == spec.num_joints:
                layer.weight.normal_(0, 0.2)
    made.save(path)
    return path
