# SPDX-License-Identifier: Apache-2.0
"""What decode(encode(x)) becomes near the border, as a Markdown table: heatmap pixels of error.

    python benchmarks/roundtrip.py

Joints stand at every distance from the left border, sub-pixel positions drawn at random, in the
middle of the other axis; full-map unbiased targets, `gaussian_taps(sigma)`, float32.
"""

import torch

from darkpose.codec import HeatmapCodec, released_sigma
from darkpose_ext import gaussian_taps

SIZES = ((96, 128), (192, 256), (288, 384))
DISTANCES = ((-1, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 6), (6, 8), (8, 10), (10, 12))


def errors(size: tuple[int, int], low: float, high: float, decoder: str) -> torch.Tensor:
    """Return the errors of 4,000 joints whose x lies from `low` to `high` heatmap pixels."""
    codec = HeatmapCodec(size)
    generator = torch.Generator().manual_seed(0)
    x = low + (high - low) * torch.rand(4000, 1, generator=generator)
    y = size[1] / 8 + torch.rand(4000, 1, generator=generator)
    joints = torch.stack((x, y), -1)
    heatmaps, weights = codec.encode(joints, torch.ones(4000, 1))
    assert (weights == 1).all()
    return (codec.decode(heatmaps, decoder=decoder)[0] - joints).norm(dim=-1)


def main() -> None:
    """Print the table."""
    radii = [len(gaussian_taps(released_sigma(size))) // 2 for size in SIZES]
    heads = [
        f"{w}x{h}, sigma {released_sigma((w, h)):g}, radius {radius}: mean (max) {decoder}"
        for (w, h), radius in zip(SIZES, radii, strict=True)
        for decoder in ("dark", "argmax")
    ]
    print("| distance from the border | " + " | ".join(heads) + " |")
    print("| --- " * (len(heads) + 1) + "|")
    for low, high in DISTANCES:
        cells = []
        for size in SIZES:
            for decoder in ("dark", "argmax"):
                e = errors(size, low, high, decoder)
                cells.append(f"{e.mean():.4f} ({e.max():.4f})")
        print(f"| {low} to {high} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
