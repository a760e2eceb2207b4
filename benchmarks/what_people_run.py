# SPDX-License-Identifier: Apache-2.0
"""What people read heatmaps with, on the same maps in one run, as a Markdown table: error and time.

    python benchmarks/what_people_run.py [--json FILE] [--seconds 2]

Error: Gaussians of sigma 2 and height 0.8 at random places at least 7 pixels inside maps of 64x48,
2,000 of them, without noise and with white noise of 0.02; mean distance from the truth in heatmap
pixels. Time: a call for 1 and for 32 people of 17 joints, one thread of a CPU, median of turns,
from maps in memory to what the library returns, coordinates in the image where it goes that far;
libraries that take one person at a time are called so. Each is called as its own pipeline calls it.
A library that is not installed, or does not work with this torch (heatmaps-to-keypoints 0.0.4 takes
every tensor of 2.13 for one of other dimensions), is left out, with a line that says so.

torchvision, mmpose with mmengine and mmcv-lite, rtmlib, kornia with kornia-rs and
heatmaps-to-keypoints can be installed beside torch by `pip install --no-deps --target FOLDER`, with
FOLDER in PYTHONPATH.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import crops, harness  # noqa: E402  from the folder this file is in
from darkpose.evaluate.markdown import table  # noqa: E402
from darkpose.topdown import decode_topdown, heatmaps_to_image  # noqa: E402
from darkpose_ext import decode, encode, gaussian_taps  # noqa: E402

HEATMAP, SIGMA = (48, 64), 2.0  # width, height
INSIDE = 7.0  # pixels from the border
NOISES, PEOPLE = (0.0, 0.02), (1, 32)
SECONDS = 2.0
PATCH = 5  # pixels, of sleap-nn's centroid


class Peer(NamedTuple):
    """A reader of some maps."""

    call: harness.Call
    points: Callable[[Any], Tensor]
    """From what the call returns to coordinates [N, K, 2] in heatmap pixels."""


def box(people: int, heatmap: tuple[int, int] = HEATMAP) -> list[tuple[float, float, float, float]]:
    """Return one box for everybody; the crop, 1.25 times as large, is 4 pixels to a heatmap's."""
    width, height = 4 * (heatmap[0] - 1) / 1.25, 4 * (heatmap[1] - 1) / 1.25
    return people * [(30.0, 20.0, width, height)]


def from_image(coords: Tensor, heatmap: tuple[int, int] = HEATMAP) -> Tensor:
    """Take points [N, K, 2] of everybody's box back to the heatmap."""
    to_image = torch.from_numpy(heatmaps_to_image(np.array(box(1, heatmap)), heatmap, "udp")[0])
    return (coords.double() - to_image[:, 2]) / to_image[:, :2].diagonal()


# ---- the peers -----------------------------------------------------------------------------------


def ours(maps: Tensor) -> Peer:
    taps = gaussian_taps(SIGMA)
    return Peer(lambda: decode(maps, taps), lambda found: found[0])


def ours_topdown(maps: Tensor) -> Peer:
    boxes = np.array(box(len(maps)))
    call = lambda: decode_topdown(maps, boxes, convention="udp", sigma=SIGMA)  # noqa: E731
    return Peer(call, lambda found: from_image(found[0]))


def transformers(name: str) -> Callable[[Tensor], Peer]:
    """Return post-processing by the image processor of "ViTPose" or "Sapiens2"."""

    def peer(maps: Tensor) -> Peer:
        processor, outputs = crops.processor(name), SimpleNamespace(heatmaps=maps)
        call = lambda: processor.post_process_pose_estimation(outputs, [box(len(maps))])  # noqa: E731
        return Peer(
            call, lambda found: from_image(torch.stack([one["keypoints"] for one in found[0]]))
        )

    return peer


def mmpose(maps: Tensor) -> Peer:
    from mmpose.codecs import UDPHeatmap

    size = (4 * HEATMAP[0], 4 * HEATMAP[1])
    codec = UDPHeatmap(input_size=size, heatmap_size=HEATMAP, sigma=SIGMA)
    arrays, last = list(maps.numpy()), np.array(HEATMAP) - 1
    call = lambda: np.concatenate([codec.decode(person)[0] for person in arrays])  # noqa: E731
    return Peer(call, lambda found: torch.from_numpy(found / size * last))


def rtmlib(maps: Tensor) -> Peer:
    from rtmlib.tools.pose_estimation.vitpose import ViTPose

    arrays = list(maps.numpy()[:, None])
    x, y, width, height = box(1)[0]
    center, scale = np.array([x + width / 2, y + height / 2]), 1.25 * np.array([width, height])
    model = ViTPose.__new__(ViTPose)  # its post-processing reads nothing of the session
    # Of copies: it blurs what it is given in place.
    call = lambda: [model.postprocess([one.copy()], center, scale)[0] for one in arrays]  # noqa: E731
    return Peer(call, lambda found: from_image(torch.from_numpy(np.concatenate(found))))


def centroid(maps: Tensor) -> Peer:
    """Center of mass of 5x5 pixels round the maximum, which sleap-nn calls integral refinement."""
    width, height = HEATMAP
    around = torch.arange(PATCH) - PATCH // 2

    def call() -> Tensor:
        at = maps.flatten(2).argmax(-1)
        x, y = at % width, at // width
        padded = torch.nn.functional.pad(maps, 4 * [PATCH // 2])
        rows, columns = (v[..., None] + torch.arange(PATCH) for v in (y, x))
        row = padded.gather(2, rows[..., None].expand(*rows.shape, padded.shape[3]))
        patch = row.gather(3, columns[:, :, None].expand(*rows.shape, PATCH))
        mass = patch.sum((-2, -1))
        dx, dy = (patch.sum(axis) @ around.float() / mass for axis in (-2, -1))
        return torch.stack([x + dx, y + dy], -1)

    return Peer(call, lambda found: found)


def kornia(temperature: float) -> Callable[[Tensor], Peer]:
    """Return the expectation of the softmax of heatmap / temperature."""

    def peer(maps: Tensor) -> Peer:
        from kornia.geometry.subpix import spatial_soft_argmax2d

        factor = torch.tensor(temperature)
        return Peer(lambda: spatial_soft_argmax2d(maps, factor, False), lambda found: found)

    return peer


def dsnt(maps: Tensor) -> Peer:
    """The expectation of the heatmap itself, made to sum to 1."""
    from kornia.geometry.subpix.dsnt import spatial_expectation2d

    def call() -> Tensor:
        weights = maps.clamp(min=0)
        return spatial_expectation2d(weights / weights.sum((-2, -1), keepdim=True), False)

    return Peer(call, lambda found: found)


def heatmaps_to_keypoints(**options: Any) -> Callable[[Tensor], Peer]:
    """Return its decoding, into heatmap pixels by a crop of the map's size."""

    def peer(maps: Tensor) -> Peer:
        from heatmaps_to_keypoints import keypoints_from_heatmaps

        size = torch.tensor(HEATMAP, dtype=torch.float32) - int("use_udp" in options)
        center, scale = ((size / by).repeat(len(maps), 1) for by in (2, 200))
        maps = maps.contiguous()
        call = lambda: keypoints_from_heatmaps(maps, center, scale, **options)  # noqa: E731
        return Peer(call, lambda found: found[0])

    return peer


PEERS: dict[str, Callable[[Tensor], Peer]] = {
    "darkpose `decode`": ours,
    "darkpose `decode_topdown`, to the image": ours_topdown,
    "transformers, ViTPose": transformers("ViTPose"),
    "transformers, Sapiens2": transformers("Sapiens2"),
    "mmpose `UDPHeatmap`": mmpose,
    "rtmlib, ViTPose": rtmlib,
    "5x5 centroid, as sleap-nn": centroid,
    "kornia `spatial_soft_argmax2d`": kornia(1.0),
    "kornia, temperature 0.05": kornia(0.05),
    "kornia `spatial_expectation2d`": dsnt,
    "heatmaps-to-keypoints, unbiased": heatmaps_to_keypoints(post_process="unbiased"),
    "heatmaps-to-keypoints, UDP": heatmaps_to_keypoints(use_udp=True),
}


# ---- what is measured ----------------------------------------------------------------------------


def people_of(count: int, noise: float) -> tuple[Tensor, Tensor]:
    """Return places [N, 17, 2] and their heatmaps."""
    random = torch.Generator().manual_seed(0)
    width, height = HEATMAP
    room = torch.tensor([width - 1, height - 1]) - 2 * INSIDE
    points = INSIDE + torch.rand(count, 17, 2, generator=random) * room
    maps = 0.8 * encode(points, torch.ones(count, 17), height, width, SIGMA)[0]
    return points, maps + noise * torch.randn(maps.shape, generator=random)


def present() -> list[str]:
    """Return the peers that work here; of others say why not."""
    found = []
    for name, peer in PEERS.items():
        try:
            peer(people_of(1, 0.0)[1]).call()
        except (ImportError, OSError, RuntimeError) as error:
            print(f"{name} is left out: {str(error).splitlines()[0]}", end="\n\n")
        else:
            found.append(name)
    return found


def errors(name: str) -> list[float]:
    """Return the mean error for each noise."""
    found = []
    for noise in NOISES:
        points, maps = people_of(118, noise)
        reader = PEERS[name](maps)
        found.append(float((reader.points(reader.call()) - points).norm(dim=-1).mean()))
    return found


def times(names: list[str], people: int, seconds: float) -> dict[str, harness.Figure]:
    """Return each one's time for so many people."""
    maps = people_of(people, NOISES[-1])[1]
    calls = {name: PEERS[name](maps).call for name in names}
    samples = harness.take_turns(calls, seconds)
    return {name: harness.Figure.of(own) for name, own in samples.items()}


def duration(microseconds: float) -> str:
    """Return it in µs or ms, three digits."""
    if microseconds < 1000:
        return f"{microseconds:.3g} µs"
    return f"{microseconds / 1000:.3g} ms"


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each call and size")
    options = parser.parse_args()
    harness.prepare()
    about = harness.machine()
    names = present()
    packages = ("transformers", "mmpose", "rtmlib", "kornia", "heatmaps-to-keypoints")
    about |= {name: version for name in packages if (version := harness._version(name))}
    print(*(f"{key} {value}" for key, value in about.items()), sep=" | ", end="\n\n")
    with torch.inference_mode():
        near = {name: errors(name) for name in names}
        fast = {people: times(names, people, options.seconds) for people in PEOPLE}
    head = ["", *(f"error, noise {noise:g}" for noise in NOISES)]
    head += [f"{people} person" if people == 1 else f"{people} people" for people in PEOPLE]
    cells = [
        [
            name,
            *(f"{error:.4f}" for error in near[name]),
            *(duration(fast[people][name].median) for people in PEOPLE),
        ]
        for name in names
    ]
    print(table(head, cells))
    if options.json:
        rows = [
            {"name": name, "errors": near[name]}
            | {f"{people} people": vars(fast[people][name]) for people in PEOPLE}
            for name in names
        ]
        harness.write(options.json, {"machine": about, "rows": rows})


if __name__ == "__main__":
    main()
