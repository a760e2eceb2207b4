# SPDX-License-Identifier: Apache-2.0
"""transformers' decoding of ViTPose's and Sapiens2's heatmaps and ours: errors against the truth.

Gaussians of the training's sigma and height 0.8 at random places, with white noise; mean and 99th
percentile of the distance from the truth in heatmap pixels. `interop.py` prints the tables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import crops
from benchmarks.what_people_run import box, from_image
from darkpose.evaluate.markdown import table
from darkpose.topdown import decode_topdown
from darkpose_ext import encode

NOISES = (0.0, 0.005, 0.02, 0.05)

Reader = Callable[[Tensor, Tensor | None], Tensor]
"""From heatmaps [N, K, H, W] and, for the flip test, those of the mirrored input, mirrored back, to
places [N, K, 2] in heatmap pixels."""


def scipy_taps(sigma: float = 0.8, radius: int = 5) -> list[float]:
    """Return what ViTPose's image processor smooths with."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (weights / weights.sum()).tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Network:
    """A kind of heatmaps."""

    name: str
    heatmap: tuple[int, int]  # width, height
    sigma: float
    joints: int
    people: int  # a row of the table
    taps: list[float] | int
    """Theirs."""

    @property
    def missing(self) -> str:
        """Why the library's own decoding cannot be called; nothing if it can."""
        needs = ("transformers",) if self.name == "ViTPose" else ("transformers", "torchvision")
        return next((f"{name} is not installed" for name in needs if find_spec(name) is None), "")

    def theirs(self, maps: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """Return what the library's image processor finds."""
        processor, given = crops.processor(self.name), [box(len(maps), self.heatmap)]
        options: dict[str, Any] = {}
        if mirrored is not None and self.name == "ViTPose":  # which leaves the average to others
            maps = (maps + mirrored) / 2
        elif mirrored is not None:
            options["outputs_flipped"] = SimpleNamespace(heatmaps=mirrored)
        outputs = SimpleNamespace(heatmaps=maps)
        (found,) = processor.post_process_pose_estimation(outputs, given, **options)
        return from_image(torch.stack([person["keypoints"] for person in found]), self.heatmap)

    def ours(
        self, maps: Tensor, mirrored: Tensor | None = None, taps: list[float] | int | None = None
    ) -> Tensor:
        """Return what `decode_topdown` finds; with the network's own output for the mirrored input,
        which is `mirrored` the other way round."""
        flip: dict[str, Any] = {}
        if mirrored is not None:
            index = [joint ^ 1 for joint in range(self.joints - self.joints % 2)]
            index += [self.joints - 1] * (self.joints % 2)
            flip = {"flipped": mirrored.flip(-1)[:, index].contiguous(), "flip_pairs": index}
        given = np.array(box(len(maps), self.heatmap))
        coords, _ = decode_topdown(
            maps, given, convention="udp", sigma=self.sigma, taps=taps, **flip
        )
        return from_image(coords, self.heatmap)

    def mirrored_back(self, maps: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """Return `ours` of a model that was given `flip_pairs` and has mirrored its output back."""
        given = np.array(box(len(maps), self.heatmap))
        options: dict[str, Any] = {"convention": "udp", "sigma": self.sigma}
        coords, _ = decode_topdown(maps, given, flipped=mirrored, mirrored_back=True, **options)
        return from_image(coords, self.heatmap)

    def readers(self) -> dict[str, Reader]:
        """Return those that are compared."""
        found: dict[str, Reader] = {} if self.missing else {"transformers": self.theirs}
        found["ours, its taps"] = lambda maps, mirrored: self.ours(maps, mirrored, self.taps)
        found["ours"] = self.ours
        return found

    def people_of(
        self, people: int, noise: float, border: bool = False, seed: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Return places [N, K, 2] at least three sigma inside, or all within two sigma of the
        border, and their heatmaps."""
        random = torch.Generator().manual_seed(0)
        width, height = self.heatmap
        last = torch.tensor([width - 1, height - 1])
        shares = torch.rand(people, self.joints, 2, generator=random)
        if border:
            side = torch.randint(4, shares.shape[:2], generator=random)
            points, near = shares * last, 2 * self.sigma * shares
            points[..., 0] = torch.where(side == 0, near[..., 0], points[..., 0])
            points[..., 0] = torch.where(side == 1, last[0] - near[..., 0], points[..., 0])
            points[..., 1] = torch.where(side == 2, near[..., 1], points[..., 1])
            points[..., 1] = torch.where(side == 3, last[1] - near[..., 1], points[..., 1])
        else:
            points = 3 * self.sigma + shares * (last - 6 * self.sigma)
        maps = 0.8 * encode(points, torch.ones(shares.shape[:2]), height, width, self.sigma)[0]
        random.manual_seed(1 + seed)
        return points, maps + noise * torch.randn(maps.shape, generator=random)


NETWORKS = (
    Network("ViTPose", (48, 64), 2.0, 17, 120, scipy_taps()),
    Network("Sapiens2", (192, 256), 6.0, 308, 2, 11),
)


def errors(network: Network) -> list[dict[str, Any]]:
    """Return a row for each kind of maps: mean and 99th percentile of each reader's error, and how
    far ours is from theirs at most."""
    rows: list[dict[str, Any]] = []

    def add(what: str, noise: float, people: int, **how: Any) -> None:
        dtype, flip = how.pop("dtype", torch.float32), how.pop("flip", False)
        points, maps = network.people_of(people, noise, **how)
        mirrored = network.people_of(people, noise, **how, seed=1)[1] if flip else None
        row: dict[str, Any] = {"maps": what, "noise": noise, "people": people}
        readers = network.readers()
        if flip:
            readers["ours, mirrored back"] = network.mirrored_back
        found = {}
        for name, read in readers.items():
            try:
                found[name] = read(maps.to(dtype), mirrored)
            except RuntimeError as error:  # scipy has no float16
                row[name] = str(error)
                continue
            distance = (found[name] - points).norm(dim=-1).flatten()
            row[name] = [float(distance.mean()), float(distance.quantile(0.99))]
        if "transformers" in found:
            theirs = found.pop("transformers")
            row["apart"] = {n: float((one - theirs).norm(dim=-1).max()) for n, one in found.items()}
        rows.append(row)

    for noise in NOISES:
        add("inside", noise, network.people)
    for noise in (0.0, 0.02):
        add("within two sigma of the border", noise, network.people, border=True)
        add("inside, float16", noise, network.people, dtype=torch.float16)
        add("inside, flip test", noise, network.people, flip=True)
    if network.name == "ViTPose":
        add("inside, one call", 0.0, 640)
    return rows


def tables() -> dict[str, list[dict[str, Any]]]:
    """Print a table for each network and return its rows."""
    found = {}
    for network in NETWORKS:
        if network.missing:
            print(f"{network.name}'s own decoding is left out: {network.missing}", end="\n\n")
        rows = found[network.name] = errors(network)
        names = [*network.readers(), "ours, mirrored back"]
        cells = [
            [
                row["maps"],
                f"{row['noise']:g}",
                f"{row['people']}",
                *(_shown(row.get(name, "")) for name in names),
            ]
            for row in rows
        ]
        head = [f"{network.name}, sigma {network.sigma:g}", "noise", "people", *names]
        print(table(head, cells), end="\n\n")
        for row in rows:
            if row["maps"] == "inside" and row["noise"] == 0 and "apart" in row:
                apart = ", ".join(f"{name} {far:.4f}" for name, far in row["apart"].items())
                print(f"At most so far from transformers without noise: {apart}", end="\n\n")
    return found


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    mean, most = value
    return f"{mean:.4f} ({most:.3f})"
