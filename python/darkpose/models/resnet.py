# SPDX-License-Identifier: Apache-2.0
"""ResNet without its classifier, with torchvision's key names, so that its checkpoints load.

He et al., CVPR 2016; the stride of a bottleneck is in its 3x3 convolution, as in torchvision.
"""

from torch import Tensor, nn

from darkpose.models.initial import he_normal


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def convolution(inputs: int, outputs: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Return a 3x3 convolution, its normalization and, unless a sum follows, its ReLU."""
    layers: list[nn.Module] = [_conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, planes * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones, and a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv(planes, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = _conv(planes, planes * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, planes * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """Image [B, 3, H, W] -> features [B, 8 * width * expansion, H/32, W/32]."""

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], depths: list[int], width: int = 64
    ) -> None:
        super().__init__()
        self.channels = width
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = self._layer(block, width, depths[0], 1)
        self.layer2 = self._layer(block, 2 * width, depths[1], 2)
        self.layer3 = self._layer(block, 4 * width, depths[2], 2)
        self.layer4 = self._layer(block, 8 * width, depths[3], 2)
        he_normal(self)

    def _layer(
        self, block: type[BasicBlock] | type[Bottleneck], planes: int, depth: int, stride: int
    ) -> nn.Sequential:
        blocks: list[nn.Module] = []
        for i in range(depth):
            blocks.append(block(self.channels, planes, stride if i == 0 else 1))
            self.channels = planes * block.expansion
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))
