# SPDX-License-Identifier: Apache-2.0
"""The decoders on heatmaps that networks trained by others predicted, as Markdown tables.

    DARKPOSE_DATA=... python benchmarks/real_heatmaps.py

Two small networks, people of COCO train2017, 12 joints that both know (the data's README.md). Each
file stands by itself, since both may show the same people.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from darkpose.evaluate.metrics import bootstrap_difference, oks
from darkpose_ext import decode, opencv_taps

FILES = ("hourglass_48x48", "cpm_96x96")
SIZE = {"hourglass_48x48": 11, "cpm_96x96": 17}  # of the modulation that suits each
# Channel -> COCO joint; the channels of head top and neck have none.
COCO = {2: 6, 3: 8, 4: 10, 5: 5, 6: 7, 7: 9, 8: 12, 9: 14, 10: 16, 11: 11, 12: 13, 13: 15}
SIGMAS = {5: 0.079, 7: 0.072, 9: 0.062, 11: 0.107, 13: 0.087, 15: 0.089}  # left; right is alike


@dataclass(frozen=True)
class Real:
    """One of the files, as it is."""

    heatmaps: NDArray[np.float16]  # [N, 14, H, W]
    center_scale: NDArray[np.float64]  # [N, 3]
    keypoints: NDArray[np.float64]  # [N, 17, 3]
    area: NDArray[np.float64]  # [N]

    def maps(self) -> NDArray[np.float32]:
        """Every map by itself, [N * 14, H, W]."""
        return self.heatmaps.reshape(-1, *self.heatmaps.shape[2:]).astype(np.float32)


@cache
def load(data: Path, name: str) -> Real:
    """Return one of `FILES`."""
    with np.load(data / "heatmaps" / f"{name}.npz") as file:
        fields = ("heatmaps", "center_scale", "keypoints", "area")
        return Real(**{field: file[field] for field in fields})


@cache
def oks_by_decoder(data: Path, name: str, device: str = "cpu") -> dict[str, NDArray[np.float64]]:
    """Return joints' similarities [N, 12] by decoder, worst first; NaN where not labeled."""
    real = load(data, name)
    maps = torch.from_numpy(real.heatmaps).to(device)
    width = real.heatmaps.shape[-1]
    center, side = real.center_scale[:, None, :2], real.center_scale[:, None, 2:]

    def similarity(taps: list[float], method: str) -> NDArray[np.float64]:
        coords, _ = decode(maps, taps, method=method)
        image = (coords.double().cpu().numpy() - width / 2) * side / width + center
        return np.stack(
            [
                oks(
                    image[:, [channel]],
                    real.keypoints[:, [joint]],
                    real.area,
                    [SIGMAS.get(joint, SIGMAS.get(joint - 1, 0.0))],
                )
                for channel, joint in COCO.items()
            ],
            axis=1,
        )

    return {
        "argmax": similarity([], "argmax"),
        "standard": similarity([], "standard"),
        "dark without modulation": similarity([], "dark"),
        "dark": similarity(opencv_taps(SIZE[name]), "dark"),
    }


def per_person(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean [M] over the labeled joints of the people who have any."""
    labeled = np.isfinite(similarity)
    seen = labeled.any(1)
    return np.where(labeled, similarity, 0)[seen].sum(1) / labeled[seen].sum(1)


def main() -> None:
    """Print a table for each file."""
    data = Path(os.environ["DARKPOSE_DATA"])
    for name in FILES:
        similarity = oks_by_decoder(data, name)
        people, joints = len(load(data, name).area), int(np.isfinite(similarity["dark"]).sum())
        print(f"\n**{name}**: {people} people, {joints} joints, taps of size {SIZE[name]}\n")
        print("| decoder | mean OKS | OKS > 0.9 | gain over the row above, 95 % interval | p |")
        print("| --- | --- | --- | --- | --- |")
        before = None
        for decoder, values in similarity.items():
            known = values[np.isfinite(values)]
            row = f"| {decoder} | {known.mean():.4f} | {100 * (known > 0.9).mean():.1f} % |"
            now = per_person(values)
            if before is None:
                print(row, "| |")
            else:
                d = bootstrap_difference(now, before)
                print(row, f"{d.mean:+.4f} ({d.low:+.4f} to {d.high:+.4f}) | {d.p:.3f} |")
            before = now


if __name__ == "__main__":
    main()
