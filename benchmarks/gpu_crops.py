# SPDX-License-Identifier: Apache-2.0
"""How fast a GPU cuts people out of images, as a share of the bandwidth of a copy.

    python benchmarks/gpu_crops.py [--json FILE]

Crops of 256 x 192 in three colors at other places of frames of 1920 x 1080, as large there as in
the crop: each reads as many pixels as it writes. The goal is a part of the share that the kernel's
warp instructions allow, as `instructions.py` recorded them.
"""

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import harness, script, shares  # noqa: E402  from the folder this file is in
from darkpose.evaluate.markdown import table  # noqa: E402
from darkpose_ext import reference  # noqa: E402

HEIGHT, WIDTH, COLORS = 256, 192, 3
FRAME = (1080, 1920, COLORS)
FRAMES, CROPS = 16, 1024  # 100 MB of frames, 151 MB of uint8 crops: more than any cache holds
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SECONDS = 0.4  # for each case


@dataclass(frozen=True)
class Crops:
    """What people are cut into."""

    dtype: torch.dtype  # uint8, or normalized
    interpolation: str = "bilinear"

    @property
    def name(self) -> str:
        """Return the name under which `instructions.py` records it."""
        kind = "" if self.interpolation == "bilinear" else f"{self.interpolation} "
        return f"crop {kind}{str(self.dtype).removeprefix('torch.')}"

    @property
    def size(self) -> int:
        """Return the bytes read and written for a crop."""
        return HEIGHT * WIDTH * COLORS * (1 + self.dtype.itemsize)

    def call(self, op: Callable[..., Tensor], people: tuple[Any, ...]) -> harness.Call:
        """Return a call of the op on these people."""
        options: dict[str, Any] = {"interpolation": self.interpolation}
        if self.dtype != torch.uint8:
            options |= {"mean": MEAN, "std": STD, "dtype": self.dtype}
        return lambda: op(*people, HEIGHT, WIDTH, **options)


CASES = (
    Crops(torch.uint8),
    Crops(torch.bfloat16),
    Crops(torch.float32),
    Crops(torch.float32, "bicubic"),
)


def made(crops: int, frames: int, device: str) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return frames, and of each crop the frame's number and the way there: all of it inside."""
    random = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, FRAME, dtype=torch.uint8, device=device) for _ in range(frames)]
    index = torch.arange(crops) % frames
    room = torch.tensor([FRAME[1] - WIDTH - 4, FRAME[0] - HEIGHT - 4])
    corners = 1 + torch.rand(crops, 2, generator=random, dtype=torch.float64) * room
    matrices = torch.cat((torch.eye(2).double().expand(crops, 2, 2), corners[..., None]), 2)
    return images, index.to(device), matrices.to(device)


def awkward(device: str) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return more images than a launch holds, every other one planar, and turned crops of them.

    Of many a part lies outside. A pixel, a row and a column are among the images.
    """
    sizes = [(1, 1), (1, 30), (30, 1), *((20 + i % 7, 24) for i in range(197))]
    planes = [torch.randint(0, 256, (COLORS, *size), dtype=torch.uint8) for size in sizes]
    images = [plane.to(device).permute(1, 2, 0) for plane in planes]
    images[::2] = [image.contiguous() for image in images[::2]]
    index, angle = torch.randperm(len(sizes)), torch.rand(len(sizes), dtype=torch.float64) * 6.3
    x, y = (
        torch.stack(pair, 1) for pair in ((angle.cos(), angle.sin()), (-angle.sin(), angle.cos()))
    )
    corner = torch.tensor([12.0, 10.0]) - 7 * x - 4 * y
    return images, index.to(device), torch.stack((x, y, corner), 2).to(device)


def with_twins(
    op: Callable[..., Tensor], device: str
) -> Iterator[tuple[str, Callable[[], Tensor], Callable[[], Tensor]]]:
    """Yield calls of the op and of its twin, of each type, in rows that are whole packs and not."""
    people = awkward(device)
    there = [image.cpu() for image in people[0]], *(t.cpu() for t in people[1:])
    for kind, dtype, width in itertools.product(("bilinear", "bicubic"), (None, *DTYPES), (16, 13)):
        options = {"interpolation": kind, "dtype": dtype}
        ours = partial(op, *people, 9, width, **options)
        yield f"crop {kind} {dtype}", ours, partial(reference.crop, *there, 9, width, **options)


def copying(size: int, device: str) -> harness.Call:
    """Return a copy that reads and writes so many bytes, both together."""
    values = torch.zeros(size // 2, dtype=torch.uint8, device=device)
    return lambda: torch.empty_like(values).copy_(values)


def measure(device: str, crops: int, frames: int, turns: int) -> Iterator[script.Row]:
    """Yield a row for each case, measured in so many turns if given."""
    people, counts = made(crops, frames, device), shares.recorded()
    for case in CASES:
        size = crops * case.size
        calls = {"this": case.call(torch.ops.dark.crop, people), "copy": copying(size, device)}
        samples = harness.take_turns(calls, SECONDS, device, turns)
        faster = [b / a for a, b in zip(samples["this"], samples["copy"], strict=True)]
        ours, share = harness.Figure.of(samples["this"]), harness.Figure.of(faster)
        rate = 1e6 * size / harness.Figure.of(samples["copy"]).median
        known = counts.get(case.name)
        goal = None if known is None else shares.OF_ALLOWED * shares.allowed(known, case.size, rate)
        yield {
            "case": case.name,
            "crops": crops,
            "microseconds": ours.median,
            "share": share.median,
            "low": share.low,
            "high": share.high,
            "goal": goal,
            "met": goal is not None and share.median >= goal,
        }


HEAD = ["case", "crops", "µs a crop", "share of a copy", "quartiles", "goal"]


def cells(row: script.Row) -> list[str]:
    """Return a row of the table."""
    goal = "not counted"
    if row["goal"] is not None:
        goal = f"{row['goal']:.0%}: {'met' if row['met'] else 'MISSED'}"
    return [
        row["case"],
        str(row["crops"]),
        f"{row['microseconds'] / row['crops']:.3f}",
        f"{row['share']:.0%}",
        f"{row['low']:.0%} to {row['high']:.0%}",
        goal,
    ]


def main() -> None:
    """Measure, print, and write the figures if asked."""
    options = script.arguments(__doc__, devices=("cuda",)).parse_args()
    device = script.start("gpu_crops", options)
    sizes = (script.REHEARSED, 1, 2) if options.rehearse else (CROPS, FRAMES, 0)
    print(table(HEAD, []), flush=True)
    with torch.inference_mode():
        rows = measure(device, *sizes)
        for row in script.keep(rows, options.json, harness.machine(device)):
            print(f"| {' | '.join(cells(row))} |", flush=True)


if __name__ == "__main__":
    main()
