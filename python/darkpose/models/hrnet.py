# SPDX-License-Identifier: Apache-2.0
"""HRNet: branches at 1/4 to 1/32 of the input side by side, exchanged again and again.

Sun et al., CVPR 2019. Key names are those of the released checkpoints; what passes a branch on
unchanged has no parameters there and none here.
"""

from torch import Tensor, nn

from darkpose.models.initial import he_normal, nearly_zero
from darkpose.models.resnet import BasicBlock, Bottleneck, convolution


def _exchange(channels: list[int], source: int, target: int) -> nn.Module:
    """Return what brings branch `source` to the size and channels of branch `target`."""
    inputs, outputs, steps = channels[source], channels[target], target - source
    if steps == 0:
        return nn.Identity()
    if steps < 0:
        conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.Upsample(scale_factor=2**-steps))
    halvings = [convolution(inputs, inputs, 2) for _ in range(steps - 1)]
    return nn.Sequential(*halvings, convolution(inputs, outputs, 2, relu=False))


def _transition(before: list[int], after: list[int]) -> nn.ModuleList:
    """Return a layer for each branch of the next stage, which has one more, made from the last."""
    layers: list[nn.Module] = [
        nn.Identity() if inputs == outputs else convolution(inputs, outputs)
        for inputs, outputs in zip(before, after, strict=False)
    ]
    return nn.ModuleList([*layers, nn.Sequential(convolution(before[-1], after[-1], 2))])


class Exchange(nn.Module):
    """Residual blocks in every branch, then each of `outputs` branches the sum of them all."""

    def __init__(self, channels: list[int], outputs: int, blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(blocks))) for width in channels
        )
        branches = range(len(channels))
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(channels, source, target) for source in branches)
            for target in range(outputs)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        x = [branch(features) for branch, features in zip(self.branches, x, strict=True)]
        fused = []
        for layers in self.fuse_layers:
            parts = zip(layers.children(), x, strict=True)
            first, *others = [layer(features) for layer, features in parts]
            fused.append(self.relu(sum(others, first)))
        return fused


def _stage(channels: list[int], modules: int, blocks: int, outputs: int) -> nn.Sequential:
    """Return `modules` exchanges, the last of them to the first `outputs` branches only."""
    full = [Exchange(channels, len(channels), blocks) for _ in range(modules - 1)]
    return nn.Sequential(*full, Exchange(channels, outputs, blocks))


class HRNet(nn.Module):
    """Image [B, 3, H, W] -> heatmaps [B, K, H/4, W/4]; H and W divisible by 32.

    The released code starts every convolution from N(0, 0.001) and then overwrites all but the last
    with weights trained on ImageNet. Here, without them, the body starts from He's initialization
    and only the last convolution from N(0, 0.001).

    Args:
        num_joints: number of heatmaps.
        width: channels of the branch at a quarter of the input; each further branch has twice as
            many.
        stem: channels of the two first convolutions; the first stage has four times as many.
        modules: exchanges in the stages of two, three and four branches.
        blocks: residual blocks of each branch before an exchange.
    """

    stride = 32
    smallest = 32

    def __init__(
        self,
        num_joints: int,
        width: int = 32,
        stem: int = 64,
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, 2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        wide = Bottleneck.expansion * stem
        self.layer1 = nn.Sequential(
            Bottleneck(stem, stem), *(Bottleneck(wide, stem) for _ in range(3))
        )
        channels = [width, 2 * width, 4 * width, 8 * width]
        self.transition1 = _transition([wide], channels[:2])
        self.stage2 = _stage(channels[:2], modules[0], blocks, 2)
        self.transition2 = _transition(channels[:2], channels[:3])
        self.stage3 = _stage(channels[:3], modules[1], blocks, 3)
        self.transition3 = _transition(channels[:3], channels)
        self.stage4 = _stage(channels, modules[2], blocks, 1)
        self.final_layer = nn.Conv2d(width, num_joints, 1)
        he_normal(self)
        nearly_zero(self.final_layer)

    def forward(self, image: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(image)))
        x = self.layer1(self.relu(self.bn2(self.conv2(x))))
        branches = self.stage2([layer(x) for layer in self.transition1])
        branches = self.stage3(_next(self.transition2, branches))
        branches = self.stage4(_next(self.transition3, branches))
        return self.final_layer(branches[0])


def _next(transition: nn.ModuleList, x: list[Tensor]) -> list[Tensor]:
    return [layer(features) for layer, features in zip(transition, [*x, x[-1]], strict=True)]
