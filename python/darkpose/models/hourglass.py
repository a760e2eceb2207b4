# SPDX-License-Identifier: Apache-2.0
"""Stacked Hourglass: down to 1/64 of the input and up again, several times.

Newell et al., ECCV 2016, as DarkPose trained it: one residual block per position, and its key
names. Upsampling goes to the size of what is added to it, so that every input size works; where a
size was halved without remainder, that is upsampling by two.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darkpose.models.initial import he_normal, nearly_zero

_DEPTH = 4  # halvings of an hourglass


class Residual(nn.Module):
    """Pre-activation bottleneck, [B, inputs, H, W] -> [B, 2 * planes, H, W]."""

    expansion = 2

    def __init__(self, inputs: int, planes: int) -> None:
        super().__init__()
        outputs = self.expansion * planes
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, planes, 1)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            None if inputs == outputs else nn.Sequential(nn.Conv2d(inputs, outputs, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.conv1(self.relu(self.bn1(x)))
        x = self.conv2(self.relu(self.bn2(x)))
        return self.conv3(self.relu(self.bn3(x))) + shortcut


def _residual(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(Residual(inputs, outputs // Residual.expansion))


class Hourglass(nn.Module):
    """One hourglass, [B, features, H, W] to the same; H and W at least 16."""

    def __init__(self, features: int) -> None:
        super().__init__()
        # From the innermost out; at each depth: beside, before and after what is deeper. The
        # innermost has a fourth in its place.
        self.hg = nn.ModuleList(
            nn.ModuleList(_residual(features, features) for _ in range(4 if i == 0 else 3))
            for i in range(_DEPTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self._from(_DEPTH - 1, x)

    def _from(self, depth: int, x: Tensor) -> Tensor:
        beside, before, after, *innermost = self.hg[depth].children()
        inner = before(F.max_pool2d(x, 2))
        inner = self._from(depth - 1, inner) if depth > 0 else innermost[0](inner)
        x = beside(x)
        return x + F.interpolate(after(inner), size=x.shape[-2:])


class StackedHourglass(nn.Module):
    """Image [B, 3, H, W] -> heatmaps of every stack in training, [S, B, K, H/4, W/4].

    Otherwise those of the last stack, [B, K, H/4, W/4]. H and W divisible by 4 and at least 64.

    With 256 features: 13,020,612 parameters for 4 stacks and 17 joints, 25,598,472 for 8 stacks,
    for which the paper prints 25.1M; its GFLOPs are those of this network.

    Args:
        num_joints: number of heatmaps.
        stacks: number of hourglasses, each with heatmaps of its own.
        features: channels at a quarter of the input and below, divisible by 4.
    """

    stride = 4
    smallest = 64

    def __init__(self, num_joints: int, stacks: int, features: int = 256) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, features // 4, 7, 2, padding=3)
        self.bn1 = nn.BatchNorm2d(features // 4)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _residual(features // 4, features // 2)
        self.maxpool = nn.MaxPool2d(2)
        self.layer2 = _residual(features // 2, features)
        self.layer3 = _residual(features, features)
        self.hg = nn.ModuleList(Hourglass(features) for _ in range(stacks))
        self.res = nn.ModuleList(_residual(features, features) for _ in range(stacks))
        self.fc = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(features, features, 1), nn.BatchNorm2d(features), nn.ReLU(inplace=True)
            )
            for _ in range(stacks)
        )
        self.score = nn.ModuleList(nn.Conv2d(features, num_joints, 1) for _ in range(stacks))
        self.fc_ = nn.ModuleList(nn.Conv2d(features, features, 1) for _ in range(stacks - 1))
        self.score_ = nn.ModuleList(nn.Conv2d(num_joints, features, 1) for _ in range(stacks - 1))
        he_normal(self)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for score in self.score:
            nearly_zero(score)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        x = self.layer1(self.relu(self.bn1(self.conv1(image))))
        x = self.layer3(self.layer2(self.maxpool(x)))
        scores = []
        for i, hourglass in enumerate(self.hg):
            features = self.fc[i](self.res[i](hourglass(x)))
            scores.append(self.score[i](features))
            if i + 1 < len(self.hg):
                x = x + self.fc_[i](features) + self.score_[i](scores[-1])
        return torch.stack(scores) if self.training else scores[-1]
