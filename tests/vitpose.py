# SPDX-License-Identifier: Apache-2.0
"""ViTPose as transformers has it, and made heatmaps for it. Its weights are random: nothing is
downloaded."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import crops
from darkpose.geometry import apply, box_to_crop, image_to_heatmap
from samples import gaussians

INPUT, HEATMAP = (192, 256), (48, 64)  # width, height
SIGMA, TAPS = 2.0, 11  # of ViTPose's training, and OpenCV's kernel for it
BOXES = [(31.0, 17.5, 80.0, 210.25), (120.0, 4.0, 143.0, 60.0), (-20.0, 90.0, 61.0, 61.0)]

DARK = 1e-3  # heatmap pixels, from a clean implementation of DARK inside the map
ALIKE = 0.05  # heatmap pixels, within which theirs counts as DARK
IMAGE = 1e-2  # image pixels: their boxes and coordinates are float32


def in_heatmap(coords: Tensor, boxes: Any) -> Tensor:
    """Take each person's joints [N, K, 2] from the image back to its heatmap."""
    back = [
        apply(image_to_heatmap(box_to_crop(box, INPUT, "udp"), INPUT, HEATMAP, "udp"), points)
        for box, points in zip(boxes, coords.double().numpy(), strict=True)
    ]
    return torch.from_numpy(np.stack(back))


def people_of(points: Tensor, noise: float, count: int = 20) -> tuple[Tensor, Tensor, Any]:
    """Return the points [N, K, 2], heatmaps with their Gaussians, and N boxes."""
    width, height = HEATMAP
    points = points[: len(points) // count * count].view(count, -1, 2)
    maps = 0.8 * gaussians(points.flatten(0, 1), height, width, SIGMA)
    maps += noise * torch.randn_like(maps)
    return points, maps.view(*points.shape[:2], height, width).float(), (BOXES * count)[:count]


def from_border(points: Tensor) -> Tensor:
    """Return how far points [..., 2] in heatmap pixels are inside the map."""
    last = torch.tensor(HEATMAP) - 1
    return torch.minimum(points, last - points).amin(-1)


def processor() -> Any:
    """Return the library's image processor, or skip the running test."""
    reason = "transformers is not installed: pip install 'darkpose[huggingface]'"
    pytest.importorskip("transformers", reason=reason)
    return crops.processor("ViTPose")


def theirs(maps: Tensor, boxes: Any) -> Tensor:
    """Return the library's own coordinates [N, K, 2] in the image of people in one image."""
    result = processor().post_process_pose_estimation(SimpleNamespace(heatmaps=maps), [boxes])
    return torch.stack([person["keypoints"] for person in result[0]])


def model(joints: int) -> Any:
    """Return a small ViTPose of so many joints, with random weights."""
    processor()
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

    torch.manual_seed(0)
    backbone = VitPoseBackboneConfig(
        image_size=[256, 192],
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        out_features=["stage2"],
    )
    config = VitPoseConfig(backbone_config=backbone, num_labels=joints)
    return VitPoseForPoseEstimation(config).eval()
