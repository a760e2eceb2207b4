# SPDX-License-Identifier: Apache-2.0
"""SimpleBaseline: a ResNet and three deconvolutions (Xiao et al., ECCV 2018).

Key names are those of the released checkpoints: the ResNet's own, `deconv_layers`, `final_layer`.
"""

from torch import Tensor, nn

from darkpose.models.initial import nearly_zero
from darkpose.models.resnet import BasicBlock, Bottleneck, ResNet

_DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 8, 36, 3]),
}


class SimpleBaseline(ResNet):
    """Image [B, 3, H, W] -> heatmaps [B, K, H/4, W/4]; H and W divisible by 32.

    Args:
        depth: of the ResNet: 18, 50, 101 or 152.
        num_joints: number of heatmaps.
        width: channels of the first convolution; the deconvolutions have four times as many.
    """

    stride = 32
    smallest = 32

    def __init__(self, depth: int, num_joints: int, width: int = 64) -> None:
        super().__init__(*_DEPTHS[depth], width)
        layers: list[nn.Module] = []
        channels, outputs = self.channels, 4 * width
        for _ in range(3):
            deconvolution = nn.ConvTranspose2d(channels, outputs, 4, 2, padding=1, bias=False)
            layers += [deconvolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            channels = outputs
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(channels, num_joints, 1)
        for layer in layers:
            if isinstance(layer, nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=0.001)
        nearly_zero(self.final_layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.final_layer(self.deconv_layers(super().forward(x)))
