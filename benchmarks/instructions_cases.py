# SPDX-License-Identifier: Apache-2.0
"""What `instructions.py` counts, and the data on which the emulated kernels run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from benchmarks import gpu_crops

PERSONS, JOINTS, HEIGHT, WIDTH, TAPS, SIGMA = 2048, 17, 64, 48, 11, 2.0
MAPS, PIXELS = PERSONS * JOINTS, HEIGHT * WIDTH


@dataclass(frozen=True)
class Case:
    """What is counted: the kernels of some ops on maps of one kind."""

    name: str
    source: str  # csrc/cuda/<source>.cu
    ops: tuple[str, ...]
    dtype: torch.dtype
    passes: int  # how often the bytes of a map are read or written, all ops together
    hand: tuple[int, int] | None = None  # counted by hand, from .. to
    goal: int | None = None

    @property
    def size(self) -> int:
        """Return the bytes read and written for a map."""
        return self.passes * PIXELS * self.dtype.itemsize

    @property
    def maps(self) -> int:
        """Return how many maps the instructions of a launch are divided by."""
        return MAPS


@dataclass(frozen=True)
class CropCase(Case):
    """The same of crops, each of which counts as a map."""

    crops: gpu_crops.Crops = gpu_crops.CASES[0]

    @property
    def size(self) -> int:
        """Return the bytes read and written for a crop."""
        return self.crops.size

    @property
    def maps(self) -> int:
        """Return the number of crops of a launch."""
        return gpu_crops.CROPS


F32, BF16 = torch.float32, torch.bfloat16
BOTH = ("heatmap_mse", "heatmap_mse_backward")
CASES = (
    Case("decode float32", "decode", ("decode",), F32, 1, (1630, 1630), 1000),
    Case("decode bfloat16", "decode", ("decode",), BF16, 1, (1700, 1700), 1000),
    Case("decode with flip test float32", "decode", ("flip",), F32, 2, (2640, 2640), 1700),
    Case("decode with flip test bfloat16", "decode", ("flip",), BF16, 2, (2640, 2640)),
    Case("modulate float32", "modulate", ("modulate",), F32, 2, (13600, 16000), 6500),
    # Its result is float32.
    Case("modulate bfloat16", "modulate", ("modulate",), BF16, 3),
    Case("encode float32", "encode", ("encode",), F32, 1, (1700, 1700)),
    Case("encode bfloat16", "encode", ("encode",), BF16, 1, (1120, 1120), 1000),
    Case("heatmap_mse float32", "heatmap_mse", BOTH, F32, 3, (4790, 4790)),
    Case("heatmap_mse bfloat16", "heatmap_mse", BOTH, BF16, 3, (3860, 3860), 3000),
    Case("decode float32 channels-last", "decode", ("decode",), F32, 1),
    Case("decode bfloat16 channels-last", "decode", ("decode",), BF16, 1),
    Case("decode with flip test float32 channels-last", "decode", ("flip",), F32, 2),
    Case("decode with flip test bfloat16 channels-last", "decode", ("flip",), BF16, 2),
    Case("modulate float32 channels-last", "modulate", ("modulate",), F32, 2),
    Case("modulate bfloat16 channels-last", "modulate", ("modulate",), BF16, 3),
    Case("heatmap_mse float32 channels-last", "heatmap_mse", BOTH, F32, 3),
    Case("heatmap_mse bfloat16 channels-last", "heatmap_mse", BOTH, BF16, 3),
    *(CropCase(c.name, "crop", ("crop",), c.dtype, 1, crops=c) for c in gpu_crops.CASES),
)


@cache
def people() -> tuple[Tensor, Tensor]:
    """Make joints [B, K, 2] inside the maps, and Gaussians there with noise [B, K, H, W]."""
    random = torch.Generator().manual_seed(0)
    size = torch.tensor((WIDTH, HEIGHT))
    some = 64
    joints = 8 + torch.rand(some, JOINTS, 2, generator=random) * (size - 16)
    x, y = torch.arange(WIDTH), torch.arange(HEIGHT)[:, None]
    squares = (x - joints[..., :1, None]) ** 2 + (y - joints[..., 1:, None]) ** 2
    maps = torch.exp(-squares / (2 * SIGMA**2))
    maps += 0.05 * torch.randn(maps.shape, generator=random)
    return tuple(t.repeat(PERSONS // some, *[1] * (t.dim() - 1)) for t in (joints, maps))


@cache
def cut_people() -> tuple[list[Tensor], Tensor, Tensor]:
    """Make one frame, and where its crops are."""
    return gpu_crops.made(gpu_crops.CROPS, 1, "cpu")


def call(case: Case, op: str) -> Callable[[], object]:
    """Return a call of the emulated op on the case's data."""
    if isinstance(case, CropCase):
        return case.crops.call(lambda *a, **k: torch.ops.dark_emulated.crop(*a, **k), cut_people())
    joints, maps = people()
    maps = maps.to(case.dtype)
    if "channels-last" in case.name:
        maps = maps.to(memory_format=torch.channels_last)
    return calls(joints, maps, TAPS, SIGMA)[op]


def calls(
    joints: Tensor, maps: Tensor, taps_count: int, sigma: float
) -> dict[str, Callable[[], object]]:
    """Return calls of the emulated ops by name, for joints [B, K, 2] and maps [B, K, H, W]."""
    *_, height, width = maps.shape
    weights = torch.ones(joints.shape[:-1])
    at = torch.arange(taps_count) - taps_count // 2
    taps = torch.exp(-(at**2) / (2 * sigma**2))
    taps = (taps / taps.sum()).tolist()
    ops = torch.ops.dark_emulated
    target = (joints, weights)
    return {
        "decode": lambda: ops.decode(maps, taps),
        "flip": lambda: ops.decode(maps, taps, maps.flip(-1)),
        "peaks": lambda: ops.decode_peaks(maps, taps, 2, radius=2, threshold=0.1),
        "modulate": lambda: ops.modulate(maps, taps),
        "encode": lambda: ops.encode(*target, height, width, sigma, dtype=maps.dtype),
        "heatmap_mse": lambda: ops.heatmap_mse(maps, *target, sigma),
        "heatmap_mse_backward": lambda: ops.heatmap_mse_backward(weights, maps, *target, sigma),
    }
