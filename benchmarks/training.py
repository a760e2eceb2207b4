# SPDX-License-Identifier: Apache-2.0
"""What training costs besides the network, as Markdown.

    DARKPOSE_DATA=... python benchmarks/training.py [--network hrnet_w32] [--height 256]

Three figures: the loss against rendering targets and subtracting them; people per second that one
process reads and crops, where there are real images; and the share of a training step that is
neither the network nor the optimizer, with the images in memory. On a GPU if there is one, else on
one thread of the CPU. What needs a package or data that are missing is left out, with a line.
"""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import harness, script  # noqa: E402  from the folder this file is in
from darkpose.codec import HeatmapCodec  # noqa: E402

_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call, the first ones left out."""
    times = []
    for i in range(repeats + 2):
        _wait()
        began = time.perf_counter()
        run()
        _wait()
        if i >= 2:
            times.append(time.perf_counter() - began)
    return median(times)


def _wait() -> None:
    if _DEVICE == "cuda":
        torch.cuda.synchronize()


def loss_times(codec: HeatmapCodec, batch: int, repeats: int) -> tuple[float, float]:
    """Return the time of the fused loss with its gradient, and of rendered targets and MSE."""
    width, height = codec.heatmap_size or (0, 0)
    maps = torch.rand(batch, 17, height, width, device=_DEVICE, requires_grad=True)
    joints = torch.rand(batch, 17, 2, device=_DEVICE) * torch.tensor([width, height]).to(_DEVICE)
    weights = torch.ones(batch, 17, device=_DEVICE)

    def fused() -> None:
        maps.grad = None
        codec.loss(maps, joints, weights).mean().backward()

    def rendered() -> None:
        maps.grad = None
        targets, counted = codec.encode(joints, weights)
        counted = counted[..., None, None]
        loss = (counted * (maps - targets)).square().mean((-2, -1)) / 2
        loss.mean().backward()

    return seconds(fused, repeats), seconds(rendered, repeats)


def people_per_second(root: Path, codec: HeatmapCodec, count: int) -> float:
    """Return how many people one process reads, augments, crops and collates in a second."""
    import cv2

    from darkpose.data.annotations import load_annotations
    from darkpose.data.augment import Augmentation
    from darkpose.data.dataset import KeypointDataset
    from darkpose.data.loading import ResumableLoader, SeededSampler

    cv2.setNumThreads(1)
    file = root / "annotations" / "person_keypoints_val2017.json"
    annotations = load_annotations(file, root / "images" / "val2017")
    data = KeypointDataset(annotations, codec.input_size, augmentation=Augmentation())
    loader = ResumableLoader(data, batch_size=16, sampler=SeededSampler(len(data)))
    began, seen = time.perf_counter(), 0
    while seen < count:
        for batch in loader:
            seen += len(batch["index"])
    return seen / (time.perf_counter() - began)


def step_times(network: str, codec: HeatmapCodec, batch: int, repeats: int) -> tuple[float, float]:
    """Return the time of a training step from uint8 crops in main memory, and without its rest.

    The rest is what the second time lacks: copying to the device, normalization, the loss.
    """
    from darkpose.data.joint_sets import COCO
    from darkpose.models.pose import PoseModel

    task = PoseModel(codec, COCO, network).to(_DEVICE).train()
    optimizer = torch.optim.Adam(task.network.parameters(), fused=_DEVICE == "cuda")
    (width, height), (map_width, map_height) = codec.input_size, codec.heatmap_size or (0, 0)
    image = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8)
    sample: dict[str, Tensor] = {
        "image": image.pin_memory() if _DEVICE == "cuda" else image,
        "joints": torch.rand(batch, 17, 2) * torch.tensor([map_width, map_height]),
        "weights": torch.ones(batch, 17),
        "to_heatmap": torch.eye(2, 3).expand(batch, 2, 3).contiguous(),
    }
    x = torch.rand(batch, 3, height, width, device=_DEVICE)
    x = x.to(memory_format=torch.channels_last)
    gradient = torch.rand(batch, 17, map_height, map_width, device=_DEVICE)

    def autocast() -> torch.autocast:
        return torch.autocast(_DEVICE, torch.bfloat16)

    def whole() -> None:
        moved = {name: value.to(_DEVICE, non_blocking=True) for name, value in sample.items()}
        with autocast():
            loss = task.loss(task(moved["image"]), moved)  # type: ignore[arg-type]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def bare() -> None:
        with autocast():
            heatmaps = task.network(x)
        heatmaps.backward(gradient.to(heatmaps.dtype).expand_as(heatmaps))
        optimizer.step()
        optimizer.zero_grad()

    # Alternated, so that a change of the machine's clock meets both.
    pairs = [(seconds(whole, repeats), seconds(bare, repeats)) for _ in range(3)]
    return median(a for a, _ in pairs), median(b for _, b in pairs)


def rows(options: Namespace, codec: HeatmapCodec) -> Iterator[dict[str, Any]]:
    """Measure: yield what, its value and unit, or why there is none."""
    fused, rendered = loss_times(codec, options.batch, options.repeats)
    yield {"what": "loss and its gradient, heatmap_mse", "value": 1e3 * fused, "unit": "ms"}
    yield {"what": "the same, targets rendered by encode", "value": 1e3 * rendered, "unit": "ms"}
    try:
        whole, bare = step_times(options.network, codec, options.batch, options.repeats)
    except ImportError as missing:
        yield {"what": "training step", "left_out": f"no package {missing.name}"}
    else:
        yield {"what": "training step", "value": 1e3 * whole, "unit": "ms"}
        yield {"what": "network and optimizer alone", "value": 1e3 * bare, "unit": "ms"}
        yield {"what": "share of the rest", "value": 100 * (1 - bare / whole), "unit": "%"}
    yield {"what": "COCO people read, augmented, cropped", **_rate(codec)}


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = script.arguments(__doc__, devices=tuple(dict.fromkeys((_DEVICE, "cuda"))))
    parser.add_argument("--network", default="hrnet_w32" if _DEVICE == "cuda" else "small")
    parser.add_argument("--height", type=int, default=256 if _DEVICE == "cuda" else 128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    script.start("training", options)
    if options.rehearse:
        options.batch, options.repeats = script.REHEARSED, 1
    codec = HeatmapCodec((options.height * 3 // 4, options.height))
    where = torch.cuda.get_device_name() if _DEVICE == "cuda" else "CPU, one thread"
    print(f"{where}, torch {torch.__version__}, {options.network} at {options.height}, bfloat16,")
    print(f"{options.batch} people a step\n\n| what | time or rate |\n| --- | --- |")
    for row in script.keep(rows(options, codec), options.json, harness.machine(_DEVICE)):
        left_out = f"left out: {row.get('left_out')}"
        value = f"{row['value']:.4g} {row['unit']}" if "value" in row else left_out
        print(f"| {row['what']} | {value} |", flush=True)


def _rate(codec: HeatmapCodec) -> dict[str, Any]:
    root = Path(os.environ.get("DARKPOSE_DATA", "")) / "coco_mini"
    if not root.is_dir():
        return {"left_out": "no folder coco_mini in DARKPOSE_DATA"}
    try:
        return {"value": people_per_second(root, codec, 300), "unit": "/s"}
    except ImportError as missing:
        return {"left_out": f"no package {missing.name}"}


if __name__ == "__main__":
    main()
