# SPDX-License-Identifier: Apache-2.0
"""Our decoding in place of other libraries' own, as Markdown tables: how near, and how fast.

    python benchmarks/interop.py [--json FILE] [--turns 5]

From heatmaps to keypoints in the image, one thread of a CPU: transformers' ViTPose by
`post_process_pose_estimation` of the image processor, mmpose by its codecs' `decode`, person by
person as its heads call it. A library that is not installed is left out, with a line that says so.

Near: Gaussians of sigma 2 and height 0.8 at random places of 64x48 maps, 2,000 for each row, with
white noise; mean errors in heatmap pixels.

Then transformers' ViTPose and Sapiens2, the latter with torchvision: crops pixel by pixel
(`crops.py`), decoding in all its ways (`huggingface_decoding.py`), and the whole from a photo to
keypoints by one thread and by two, whose calls take most of the time (`pipelines.py`).
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import crops, harness, huggingface_decoding, pipelines  # noqa: E402
from benchmarks.cases import SIGMA, Case, inputs  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402
from darkpose.interop.huggingface import (  # noqa: E402
    decode_vitpose,
    post_process_pose_estimation,
)
from darkpose.interop.mmpose import DarkMSRAHeatmap, DarkUDPHeatmap  # noqa: E402
from darkpose.topdown import heatmaps_to_image  # noqa: E402
from darkpose_ext import encode  # noqa: E402

INPUT, HEATMAP = (192, 256), (48, 64)  # width, height
NOISES = (0.0, 0.02, 0.05)
DISTANCES = ((0, 1), (1, 2), (2, 4), (4, 7), (7, 24))  # of a joint from the border
BATCHES = (1, 32)
SECONDS = 3.0

Decode = Callable[[Tensor], Tensor]  # [N, K, H, W] -> [N, K, 2] in heatmap pixels


def boxes(people: int) -> list[tuple[float, float, float, float]]:
    """Return boxes (x, y, width, height) of some of which the width sets the crop."""
    random = np.random.default_rng(0)
    return [tuple(box) for box in random.uniform((0, 0, 40, 40), (900, 900, 400, 400), (people, 4))]


# ---- how near ------------------------------------------------------------------------------------


def decoders() -> dict[str, Decode]:
    """Return what is compared by name, ours and theirs."""

    def from_image(decode: Callable[[Tensor, Any], Tensor]) -> Decode:
        def in_heatmap(maps: Tensor) -> Tensor:
            given = boxes(len(maps))
            to_image = torch.from_numpy(heatmaps_to_image(np.array(given), HEATMAP, "udp"))
            points = decode(maps, given).double() - to_image[:, None, :, 2]
            return points / to_image[:, :, :2].diagonal(dim1=1, dim2=2)[:, None]

        return in_heatmap

    def codec(made: Any) -> Decode:
        scale = np.array(INPUT) / (np.array(HEATMAP) - ("UDP" in type(made).__name__))
        return lambda maps: torch.from_numpy(
            np.concatenate([made.decode(person.numpy())[0] for person in maps]) / scale
        )

    found: dict[str, Decode] = {}
    try:
        theirs = crops.processor("ViTPose")
    except ImportError as error:
        print(f"transformers is left out: {error}\n")
    else:

        def their_points(maps: Tensor, given: Any) -> Tensor:
            result = theirs.post_process_pose_estimation(SimpleNamespace(heatmaps=maps), [given])
            return torch.stack([person["keypoints"] for person in result[0]])

        found["transformers"] = from_image(their_points)
    found["decode_vitpose"] = from_image(lambda maps, given: decode_vitpose(maps, given)[0])
    for name, made in codecs().items():
        found[name] = codec(made)
    return found


def codecs() -> dict[str, Any]:
    """Return mmpose's codecs and ours in their place."""
    sizes: dict[str, Any] = {"input_size": INPUT, "heatmap_size": HEATMAP, "sigma": SIGMA}
    found: dict[str, Any] = {}
    try:
        from mmpose.codecs import MSRAHeatmap, UDPHeatmap
    except ImportError as error:
        print(f"mmpose is left out: {error}\n")
    else:
        found["mmpose MSRAHeatmap"] = MSRAHeatmap(**sizes, unbiased=True)
        found["mmpose UDPHeatmap"] = UDPHeatmap(**sizes)
    found["DarkMSRAHeatmap"] = DarkMSRAHeatmap(**sizes, unbiased=True)
    found["DarkUDPHeatmap"] = DarkUDPHeatmap(**sizes)
    return found


def errors(found: dict[str, Decode], noise: float, low: float, high: float) -> dict[str, float]:
    """Return each one's mean error for joints from `low` to `high` pixels from the border."""
    random = torch.Generator().manual_seed(0)
    width, height = HEATMAP
    last = torch.tensor([width - 1, height - 1])
    points = torch.rand(100_000, 2, generator=random) * last
    distance = torch.minimum(points, last - points).amin(-1)
    points = points[(distance >= low) & (distance < high)][:2000].view(100, 20, 2)
    maps = 0.8 * encode(points, torch.ones(100, 20), height, width, SIGMA)[0]
    maps += noise * torch.randn(maps.shape, generator=random)
    return {name: float((of(maps) - points).norm(dim=-1).mean()) for name, of in found.items()}


# ---- how fast ------------------------------------------------------------------------------------


def calls(people: int) -> dict[str, harness.Call]:
    """Return what is timed by name, theirs before ours."""
    maps, given = inputs(Case("decode", people)).maps, boxes(people)
    outputs, found = SimpleNamespace(heatmaps=maps), {}
    try:
        theirs = crops.processor("ViTPose")
    except ImportError:
        pass
    else:
        found["transformers"] = lambda: theirs.post_process_pose_estimation(outputs, [given])
    found["post_process_pose_estimation"] = lambda: post_process_pose_estimation(outputs, [given])
    found["decode_vitpose"] = lambda: decode_vitpose(maps, given)
    for name, codec in codecs().items():
        if name.startswith("mmpose"):
            found[name] = lambda codec=codec: [codec.decode(person) for person in maps.numpy()]
        else:
            found[name] = lambda codec=codec: codec.batch_decode(maps)
    return found


PEERS = {
    "post_process_pose_estimation": "transformers",
    "decode_vitpose": "transformers",
    "DarkMSRAHeatmap": "mmpose MSRAHeatmap",
    "DarkUDPHeatmap": "mmpose UDPHeatmap",
}


def timed(people: int) -> list[dict[str, Any]]:
    """Return a row for each call: microseconds with quartiles, and how much faster it is."""
    with torch.inference_mode():
        samples = harness.take_turns(calls(people), SECONDS)
    rows = []
    for name, own in samples.items():
        row: dict[str, Any] = {"call": name, "people": people, **vars(harness.Figure.of(own))}
        if (peer := PEERS.get(name, "")) in samples:
            ratios = [b / a for a, b in zip(own, samples[peer], strict=True)]
            row |= {"than": peer, "times as fast": median(ratios)}
            row["interval"] = harness.interval(ratios)
        rows.append(row)
    return rows


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--turns", type=int, default=pipelines.TURNS, help="of the whole pipelines")
    options = parser.parse_args()
    harness.prepare()
    about = harness.machine()
    for package in ("transformers", "mmpose"):
        if version := harness._version(package):
            about[package] = version
    print(*(f"{key} {value}" for key, value in about.items()), sep=" | ", end="\n\n")

    known = decoders()
    near = [
        {"noise": noise, "from": low, "to": high, **errors(known, noise, low, high)}
        for noise in NOISES
        for low, high in DISTANCES
    ]
    cells = [
        [f"{row['noise']:g}", f"{row['from']} to {row['to']}", *(f"{row[n]:.4f}" for n in known)]
        for row in near
    ]
    print(table(["noise", "distance from the border", *known], cells), end="\n\n")

    fast = [row for people in BATCHES for row in timed(people)]
    cells = [
        [
            row["call"],
            f"{row['people']}",
            f"{row['median']:.0f} ({row['low']:.0f} to {row['high']:.0f}) µs",
            f"{row['times as fast']:.3g} {row['than']}" if "than" in row else "",
        ]
        for row in fast
    ]
    print(table(["call", "people", "time", "times as fast as"], cells))
    print()
    found = {"machine": about, "near": near, "fast": fast, "crops": crops.tables()}
    found |= {f"decoding, {n}": rows for n, rows in huggingface_decoding.tables().items()}
    found["pipelines"] = pipelines.tables(options.turns)
    if options.json:
        harness.write(options.json, found)


if __name__ == "__main__":
    main()
