# SPDX-License-Identifier: Apache-2.0
"""The decoders on heatmaps that networks trained by others predicted, as Markdown tables.

    DARKPOSE_DATA=... python benchmarks/real_heatmaps.py

Two small networks, people of COCO train2017, 12 joints that both know (the data's README.md). Each
file stands by itself, since both may show the same people. Then what `border="fit"` changes: of all
joints' maps those with their maximum near the border, and those that the fit moves; of the labeled
ones among the former how many are right, within three pixels of the truth, and their mean OKS.
Intervals are over people.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from darkpose.evaluate.markdown import table
from darkpose.evaluate.metrics import bootstrap_difference, oks
from darkpose_ext import decode, opencv_taps
from darkpose_ext.taps import fit_rule

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
    maps = torch.from_numpy(real.heatmaps[:, list(COCO)]).to(device)

    def read(taps: list[float], method: str) -> NDArray[np.float64]:
        coords, _ = decode(maps, taps, method=method)
        return similarity(real, coords.double().cpu().numpy())

    return {
        "argmax": read([], "argmax"),
        "standard": read([], "standard"),
        "dark without modulation": read([], "dark"),
        "dark": read(opencv_taps(SIZE[name]), "dark"),
    }


def similarity(real: Real, coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return joints' OKS [N, 12], NaN where not labeled, of coords [N, 12, 2] in heatmap pixels."""
    width = real.heatmaps.shape[-1]
    center, side = real.center_scale[:, None, :2], real.center_scale[:, None, 2:]
    image = (coords - width / 2) * side / width + center
    columns = []
    for number, joint in enumerate(COCO.values()):
        sigma = SIGMAS.get(joint, SIGMAS.get(joint - 1, 0.0))
        columns.append(oks(image[:, [number]], real.keypoints[:, [joint]], real.area, [sigma]))
    return np.stack(columns, axis=1)


def per_person(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean [M] over the labeled joints of the people who have any."""
    labeled = np.isfinite(similarity)
    seen = labeled.any(1)
    return np.where(labeled, similarity, 0)[seen].sum(1) / labeled[seen].sum(1)


def at_the_border(data: Path, name: str) -> list[str]:
    """Return a row of the table on what `border="fit"` changes."""
    real, taps = load(data, name), opencv_taps(SIZE[name])
    maps = torch.from_numpy(real.heatmaps[:, list(COCO)]).float()
    width, (peaks, _) = maps.shape[-1], decode(maps, [], method="argmax")
    from_border = torch.minimum(peaks, width - 1 - peaks).amin(-1).numpy()
    stay, fit = (decode(maps, taps, border=b)[0].double().numpy() for b in ("stay", "fit"))
    near, moved = from_border < fit_rule(taps).margin, (stay != fit).any(-1)
    before, after = similarity(real, stay), similarity(real, fit)
    truth = real.keypoints[:, list(COCO.values()), :2] - real.center_scale[:, None, :2]
    truth = truth / real.center_scale[:, None, 2:] * width + width / 2
    labeled = near & ~np.isnan(before)
    right = labeled & (np.linalg.norm(stay - truth, axis=-1) < 3)
    gains = []
    for among in (labeled, np.ones_like(labeled)):
        of = (per_person(np.where(among, values, np.nan)) for values in (after, before))
        gain = bootstrap_difference(*of)
        gains.append(f"{gain.mean:+.5f} ({gain.low:+.5f} to {gain.high:+.5f}), p {gain.p:.2f}")
    return [
        name,
        f"{near.sum()} of {near.size}",
        f"{moved.sum()}, by {np.median(np.linalg.norm(fit - stay, axis=-1)[moved]):.2f} px",
        f"{labeled.sum()}, {right.sum()}",
        *(f"{values[labeled].mean():.4f}" for values in (before, after)),
        *gains,
    ]


def main() -> None:
    """Print a table for each file, and one of both."""
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
    heads = [
        "near the border",
        "moved by the fit, median",
        "labeled, right",
        "OKS, stay",
        "OKS, fit",
    ]
    heads += ["gain there", "gain of all joints"]
    print("\n" + table(["maps", *heads], [at_the_border(data, name) for name in FILES]))


if __name__ == "__main__":
    main()
