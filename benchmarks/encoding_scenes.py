# SPDX-License-Identifier: Apache-2.0
"""One textured object in any pose, before a background that is never the same: exact labels.

Everything is drawn as it is asked for, by the op `crop`, from a seed and the number of a batch, so
that runs of one seed see the same images. A pose is a rotation by any angle, a size between half
and the whole of the object's 88 pixels, and any place that keeps the joints two heatmap pixels
inside the map.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

import darkpose_ext

WIDTH, HEIGHT = 96, 128  # of the input
STRIDE = 4  # heatmap pixels are at multiples of it
JOINTS = 8
_TEXTURE = 96  # pixels a side
_MARGIN = 2 * STRIDE  # between joints and border
_SCENERY = 512


def _noise(size: int, sigmas: tuple[float, ...], random: torch.Generator) -> Tensor:
    """Return a colored texture [size, size, 3] in 0 to 255 whose details have these sizes."""
    texture = torch.zeros(3, size, size)
    for sigma in sigmas:
        layer = torch.randn(3, size, size, generator=random)
        layer = darkpose_ext.modulate(layer, darkpose_ext.gaussian_taps(sigma), rescale="none")
        texture += layer / layer.std()
    return (128 + 45 * texture.movedim(0, -1)).clamp(0, 255)


@dataclass
class Scenes:
    """Batches of images and their joints. The object is the same whatever the seed."""

    seed: int

    def __post_init__(self) -> None:
        random = torch.Generator().manual_seed(20)
        axis = torch.arange(_TEXTURE) - (_TEXTURE - 1) / 2
        radius = torch.hypot(axis[:, None], axis[None])
        angle = torch.atan2(axis[:, None].expand_as(radius), axis[None].expand_as(radius))
        outline = 38 + 4 * torch.cos(3 * angle + 1) + 2 * torch.sin(5 * angle)
        opaque = 255 * (outline - radius + 0.5).clamp(0, 1)[..., None]
        colors = _noise(_TEXTURE, (1.5, 4.0, 10.0), random)
        self._object = torch.cat((colors, opaque), -1).round().to(torch.uint8)
        self._scenery = _noise(_SCENERY, (4.0, 12.0), random).round().to(torch.uint8)
        turn = torch.arange(JOINTS) * (2 * math.pi / JOINTS)
        distance = torch.tensor([12.0, 32.0]).repeat(JOINTS // 2)
        self._places = distance[:, None] * torch.stack((turn.cos(), turn.sin()), -1)  # [K, 2]

    def batch(self, number: int, count: int) -> tuple[Tensor, Tensor]:
        """Return normalized images [count, 3, H, W] and joints [count, K, 2] in heatmap pixels."""
        random = torch.Generator().manual_seed(1_000_003 * self.seed + number)
        angle, size, across, down, brightness, contrast = torch.rand(6, count, generator=random)
        scale, turn = 0.5 + 0.5 * size, 2 * math.pi * angle
        cos, sin = scale * turn.cos(), scale * turn.sin()
        forward = torch.stack((cos, -sin, sin, cos), -1).view(-1, 2, 2)
        joints = self._places @ forward.mT  # [count, K, 2], from the object's middle
        least = _MARGIN - joints.amin(1)
        most = torch.tensor([WIDTH, HEIGHT]) - STRIDE - _MARGIN - joints.amax(1)
        middle = least + torch.stack((across, down), -1) * (most - least)
        object_ = self._cut(self._object, forward.inverse(), middle, (_TEXTURE - 1) / 2)
        place = torch.rand(2, count, 2, generator=random)
        spin = 2 * math.pi * place[1, :, 0]
        rotation = torch.stack((spin.cos(), -spin.sin(), spin.sin(), spin.cos()), -1).view(-1, 2, 2)
        anywhere = torch.tensor([WIDTH, HEIGHT]) / 2 + (place[0] - 0.5) * (_SCENERY - 200)
        behind = self._cut(self._scenery, rotation, anywhere, (_SCENERY - 1) / 2)
        opaque = object_[:, 3:] / 255
        images = (behind * (1 - opaque) + object_[:, :3] * opaque) / 255 - 0.5
        gain, offset = 0.7 + 0.6 * contrast, 0.4 * (brightness - 0.5)
        images = images * gain[:, None, None, None] + offset[:, None, None, None]
        images += 0.02 * torch.randn(images.shape, generator=random)
        return 4 * images, (joints + middle[:, None]) / STRIDE

    def _cut(self, image: Tensor, matrix: Tensor, middle: Tensor, center: float) -> Tensor:
        """Return crops [N, C, H, W] in which the image's center is at `middle` [N, 2]."""
        offset = center - (matrix @ middle[..., None])
        transform = torch.cat((matrix, offset), -1).double()
        index = torch.zeros(len(middle), dtype=torch.long)
        crops = darkpose_ext.crop([image], index, transform, HEIGHT, WIDTH)
        return crops.movedim(-1, 1).float()
