# SPDX-License-Identifier: Apache-2.0
"""A network of under a million parameters that learns poses in minutes on a CPU.

Narrow at a quarter of the input, where convolutions are dear, wide at a thirty-second, where they
are cheap and see the whole person; then back up by adding. Most of what large networks know at
128x96 comes from seeing the whole person and answering at a quarter of the resolution.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from darkpose.models.initial import he_normal, nearly_zero
from darkpose.models.resnet import BasicBlock, convolution

_CHANNELS = (24, 48, 96, 104)  # at 1/4, 1/8, 1/16 and 1/32 of the input


class SmallNet(nn.Module):
    """Image [B, 3, H, W] -> heatmaps [B, K, H/4, W/4]; H and W divisible by 32."""

    stride = 32
    smallest = 32

    def __init__(self, num_joints: int) -> None:
        super().__init__()
        c4, c8, c16, c32 = _CHANNELS
        self.stem = nn.Sequential(convolution(3, 16, 2), convolution(16, c4, 2))
        self.down4 = BasicBlock(c4, c4)
        self.down8 = BasicBlock(c4, c8, 2)
        self.down16 = nn.Sequential(BasicBlock(c8, c16, 2), BasicBlock(c16, c16))
        self.down32 = nn.Sequential(BasicBlock(c16, c32, 2), BasicBlock(c32, c32))
        self.lift16, self.up16 = nn.Conv2d(c32, c16, 1), BasicBlock(c16, c16)
        self.lift8, self.up8 = nn.Conv2d(c16, c8, 1), BasicBlock(c8, c8)
        self.lift4, self.skip4 = nn.Conv2d(c8, c8, 1), nn.Conv2d(c4, c8, 1)
        self.up4 = convolution(c8, c8)
        self.final_layer = nn.Conv2d(c8, num_joints, 1)
        he_normal(self)
        nearly_zero(self.final_layer)

    def forward(self, x: Tensor) -> Tensor:
        x4 = self.down4(self.stem(x))
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        x = self.down32(x16)
        x = self.up16(F.interpolate(self.lift16(x), scale_factor=2) + x16)
        x = self.up8(F.interpolate(self.lift8(x), scale_factor=2) + x8)
        x = self.up4(F.interpolate(self.lift4(x), scale_factor=2) + self.skip4(x4))
        return self.final_layer(x)
