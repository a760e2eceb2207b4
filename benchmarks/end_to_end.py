# SPDX-License-Identifier: Apache-2.0
"""People per second of HRNet-W32 alone, with decoding by the op, and by released-style NumPy code.

    python benchmarks/end_to_end.py [--device cuda] [--json FILE]

Three columns, each on the same crops, which are in the device's memory:

- bare: the network on the crops and, with flip test, on mirrored crops made beforehand;
- ours: mirrors the crops, the same network, then one op for flip test, decoding and recovery;
- released: the same with flip test, decoding and recovery in NumPy and OpenCV, joint by joint.

A batch is done when its results are there: coordinates in main memory, or the device idle. Settings
are torch's own (on a GPU, float32 convolutions in TF32), cuDNN picks algorithms by trial. An
untrained network answers noise, so what is decoded are Gaussians with noise, of the output's size,
type and layout; they lie in memory, the output in a cache. The columns take turns, forwards and
backwards, and a ratio is the median over turns with its 95 % interval.
"""

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import harness, script  # noqa: E402  from the folder this file is in
from benchmarks.cases import Case, inputs  # noqa: E402
from benchmarks.peers import absent  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402
from darkpose.models import create  # noqa: E402
from darkpose_ext import gaussian_taps  # noqa: E402

NETWORK = "hrnet_w32"
SIZES = ((128, 96), (256, 192))  # of the crops: height, width
SIGMA = {128: 1.0, 256: 2.0}
BATCHES = {"cpu": (1, 8), "cuda": (32,)}
PRECISIONS = {"cpu": ("float32",), "cuda": ("float32", "bfloat16")}
GOAL = {"cpu": 0.97, "cuda": 0.99}


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    height: int
    width: int
    batch: int
    precision: str
    flip: bool
    device: str

    def __str__(self) -> str:
        flip = "flip test" if self.flip else "no flip test"
        return f"{self.height}x{self.width}, {self.batch} people, {self.precision}, {flip}"


def turns(setting: Setting) -> int:
    """Return how often the columns take turns: enough for 1 %, in minutes."""
    return 21 if setting.device == "cuda" or setting.batch == 1 else 9


def columns(setting: Setting, network: torch.nn.Module) -> Mapping[str, harness.Call]:
    """Return what each column does with a batch."""
    device = setting.device
    maps = Case(
        "flip_decode",
        setting.batch,
        height=setting.height // 4,
        width=setting.width // 4,
        dtype=setting.precision,
        layout="channels_last",
        device=device,
    )
    given = inputs(maps)
    crops = torch.rand(setting.batch, 3, setting.height, setting.width, device=device)
    crops = crops.to(memory_format=torch.channels_last)
    mirrored = crops.flip(-1)
    taps = gaussian_taps(SIGMA[setting.height])
    low = setting.precision != "float32"
    autocast = torch.autocast(device, getattr(torch, setting.precision), enabled=low)
    flipped, index = (given.flipped, given.flip_index) if setting.flip else (None, None)

    def answer(mirror: torch.Tensor | None) -> None:
        with autocast:
            network(crops)
            if mirror is not None:
                network(mirror)

    def bare() -> None:
        answer(mirrored if setting.flip else None)
        if device == "cuda":
            torch.cuda.synchronize()

    def ours() -> None:
        answer(crops.flip(-1) if setting.flip else None)
        coords, scores = torch.ops.dark.decode(
            given.maps, taps, flipped, given.transform, flip_index=index
        )
        coords.cpu(), scores.cpu()

    def released() -> None:
        from benchmarks import released

        answer(crops.flip(-1) if setting.flip else None)
        transform = given.transform
        if setting.flip:
            released.evaluate(given.maps, given.flipped, given.pairs, len(taps), transform)
        else:
            array = given.maps.float().cpu().contiguous().numpy()
            released.decode(array, len(taps), transform.double().cpu().numpy())

    made = {"bare": bare, "ours": ours}
    return made if absent("NumPy loop") else made | {"released": released}


def measure(setting: Setting, network: torch.nn.Module, count: int) -> dict[str, Any]:
    """Return a row: people per second by column, and their ratios with intervals."""
    with torch.inference_mode():
        samples = harness.take_turns(columns(setting, network), turns=count)
    row: dict[str, Any] = {**vars(setting), "turns": count}
    for name, microseconds in samples.items():
        row[name] = setting.batch * 1e6 / median(microseconds)
    for name in samples:
        if name == "bare":
            continue
        ratios = [b / a for a, b in zip(samples[name], samples["bare"], strict=True)]
        row[f"{name} of bare"] = median(ratios)
        row[f"{name} of bare, interval"] = harness.interval(ratios)
    return row


def settings(device: str, rehearse: bool = False) -> Iterator[Setting]:
    """Yield every row's setting; in a rehearsal one of a GPU's smallest."""
    if rehearse:
        yield Setting(*SIZES[0], script.REHEARSED, "bfloat16", True, "cpu")
        return
    for height, width in SIZES:
        for precision in PRECISIONS[device]:
            for batch in BATCHES[device]:
                for flip in (True, False):
                    yield Setting(height, width, batch, precision, flip, device)


HEAD = ["crops", "bare", "ours", "released", "ours of bare (95 %)", "released of bare", "goal"]


def line(setting: Setting, row: dict[str, Any]) -> list[str]:
    """Return a row's cells."""
    low, high = row["ours of bare, interval"]
    return [
        str(setting),
        *(f"{row[name]:.4g} /s" if name in row else "" for name in ("bare", "ours", "released")),
        f"{row['ours of bare']:.4f} ({low:.4f} to {high:.4f})",
        f"{row['released of bare']:.3f}" if "released" in row else "",
        f"{GOAL[setting.device]}: {'met' if row['met'] else 'MISSED'}",
    ]


def measured(options: Namespace, device: str) -> Iterator[dict[str, Any]]:
    """Measure and yield each row, and print it."""
    network = create(NETWORK).eval().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    print(table(HEAD, []), flush=True)
    for setting in settings(device, options.rehearse):
        count = 2 if options.rehearse else options.turns or turns(setting)
        row = measure(setting, network, count)
        row["met"] = row["ours of bare"] >= GOAL[device]
        print(f"| {' | '.join(line(setting, row))} |", flush=True)
        yield row


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = script.arguments(__doc__)
    parser.add_argument("--turns", type=int, default=0, help="of the columns, for each row")
    parser.add_argument("--batch", type=int, nargs="+", help="people in a batch")
    options = parser.parse_args()
    device = script.start("end_to_end", options)
    torch.backends.cudnn.benchmark = True
    if options.batch:
        BATCHES[device] = tuple(options.batch)
    about = harness.machine(device)
    print(*(f"{key} {value}" for key, value in about.items()), sep=" | ", end="\n\n")
    if lacks := absent("NumPy loop"):
        print(f"released is left out: no {lacks}\n")
    for _ in script.keep(measured(options, device), options.json, about):
        pass


if __name__ == "__main__":
    main()
