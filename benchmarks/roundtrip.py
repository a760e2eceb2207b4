# SPDX-License-Identifier: Apache-2.0
"""What decode(encode(x)) becomes near the border, as Markdown tables: heatmap pixels of error.

    python benchmarks/roundtrip.py

Joints stand at every distance from the left border, sub-pixel positions drawn at random, in the
middle of the other axis; full-map unbiased targets, `gaussian_taps(sigma)`, float32. One table is
of the maps as they are, one with white noise of 2 % of a peak.
"""

from typing import get_args

import torch

from darkpose.codec import HeatmapCodec, released_sigma
from darkpose.decoders import Border
from darkpose.evaluate.markdown import table
from darkpose_ext import gaussian_taps

SIZES = ((96, 128), (192, 256), (288, 384))
DISTANCES = ((-1, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 6), (6, 8), (8, 10), (10, 12))
NOISES = (0.0, 0.02)


def errors(size: tuple[int, int], low: float, high: float, noise: float) -> list[torch.Tensor]:
    """Return the errors of 4,000 joints whose x lies from `low` to `high` heatmap pixels: of dark
    with every border, and of argmax."""
    codecs = [HeatmapCodec(size, border=border) for border in get_args(Border)]
    generator = torch.Generator().manual_seed(0)
    x = low + (high - low) * torch.rand(4000, 1, generator=generator)
    y = size[1] / 8 + torch.rand(4000, 1, generator=generator)
    joints = torch.stack((x, y), -1)
    heatmaps, weights = codecs[0].encode(joints, torch.ones(4000, 1))
    assert (weights == 1).all()
    heatmaps += noise * torch.randn(heatmaps.shape, generator=generator)
    found = [codec.decode(heatmaps)[0] for codec in codecs]
    found.append(codecs[0].decode(heatmaps, decoder="argmax")[0])
    return [(points - joints).norm(dim=-1) for points in found]


def main() -> None:
    """Print the tables."""
    heads = ["distance from the border"]
    for size in SIZES:
        sigma = released_sigma(size)
        about = f"{size[0]}x{size[1]}, sigma {sigma:g}, radius {len(gaussian_taps(sigma)) // 2}"
        for name in (*(f"dark, {border}" for border in get_args(Border)), "argmax"):
            heads.append(f"{about}: mean (max) {name}")
    for noise in NOISES:
        rows = []
        for low, high in DISTANCES:
            found = [one for size in SIZES for one in errors(size, low, high, noise)]
            rows.append([f"{low} to {high}", *(f"{e.mean():.4f} ({e.max():.4f})" for e in found)])
        print(f"Noise {noise:g}:\n\n{table(heads, rows)}\n")


if __name__ == "__main__":
    main()
