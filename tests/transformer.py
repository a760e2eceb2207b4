# SPDX-License-Identifier: Apache-2.0
"""A very small transformer with the attributes that those of Hugging Face have here."""

import torch
from torch import Tensor, nn


class Attention(nn.MultiheadAttention):
    """Of tokens among themselves; as Sapiens2's it returns its weights too."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:  # type: ignore[override]
        return super().forward(x, x, x, need_weights=False)


class Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = Attention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))[0]
        return x + self.mlp(self.norm2(x))


class Embeddings(nn.Module):
    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.positions = nn.Parameter(torch.zeros(1, tokens, width))

    def forward(self, image: Tensor) -> Tensor:
        return self.patches(image).flatten(2).transpose(1, 2) + self.positions


class Transformer(nn.Module):
    """[B, 3, H, W] to [B, K, H / 4, W / 4]."""

    def __init__(self, joints: int, size: tuple[int, int], depth: int = 2, width: int = 8) -> None:
        super().__init__()
        self.grid = (size[1] // 8, size[0] // 8)
        self.embeddings = Embeddings(width, self.grid[0] * self.grid[1])
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))
        self.dropout, self.norm = nn.Dropout(0.1), nn.LayerNorm(width)
        self.head = nn.Sequential(
            nn.ConvTranspose2d(width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, joints, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.dropout(self.embeddings(image))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).transpose(1, 2).unflatten(2, self.grid))


def make(joints: int, size: tuple[int, int]) -> nn.Module:
    """See `model.network`."""
    return Transformer(joints, size)
