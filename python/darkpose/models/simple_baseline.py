# SPDX-License-Identifier: Apache-2.0
"""SimpleBaseline: a ResNet and three deconvolutions (Xiao et al., ECCV 2018).

Key names are those of the released checkpoints: the ResNet's own, `deconv_layers`, `final_layer`.
"""

from torch import Tensor, nn

from darkpose.models.resnet import BasicBlock, Bottleneck, ResNet

_DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    50: (Bottleneck, [3, 4, 6, 3]),
}


class SimpleBaseline(ResNet):
    """Image [B, 3, H, W] -> heatmaps [B, K, H/4, W/4]; H and W divisible by 32."""

    def __init__(self, depth: int, num_joints: int) -> None:
        super().__init__(*_DEPTHS[depth])
        layers: list[nn.Module] = []
        channels = self.channels
        for _ in range(3):
            deconvolution = nn.ConvTranspose2d(channels, 256, 4, 2, padding=1, bias=False)
            layers += [deconvolution, nn.BatchNorm2d(256), nn.ReLU(inplace=True)]
            channels = 256
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(channels, num_joints, 1)
        for module in (*layers, self.final_layer):
            if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.final_layer(self.deconv_layers(super().forward(x)))
