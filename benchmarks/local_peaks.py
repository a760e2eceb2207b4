# SPDX-License-Identifier: Apache-2.0
"""Several peaks of a map by `decode_peaks`, sleap-nn and kornia, as Markdown: time and error.

    python benchmarks/local_peaks.py [--json FILE] [--seconds 2]

Time: 32 people, 17 joints, maps of 64x48 in memory, one thread, by the processor's time.
"predicted": two Gaussians of sigma 2 in every map, 0.8 and 0.5 high, with noise of 0.01; peaks
above a tenth of the maximum, the best 2 within a radius of 2. "noise": uniform, the best 10 within
a radius of 3.
Error: mean distance of the predicted maps' Gaussians, which are 7 pixels or more inside and 12 or
more apart, from the nearest point that was found, in heatmap pixels.

sleap-nn is called as its bottom-up inference does (`find_local_peaks`, integral refinement of 5x5
pixels): every peak of 3x3 pixels above the threshold, of all maps in one list; neither number nor
radius can be chosen. kornia has the two halves, a strict `nms2d` and soft-argmax of windows
(`conv_soft_argmax2d`, temperature 0.05); the highest k are torch's `topk`. As that reads windows
round every pixel, a third way gives only those round the peaks to `spatial_soft_argmax2d`. Both
libraries are timed without refinement too.

kornia with kornia-rs and sleap-nn with sleap-io, torchvision, loguru, lazy_loader, h5py, imageio,
simplejson, skia-python, psutil, omegaconf, attrs and networkx can be installed beside torch by `pip
install --no-deps --target FOLDER`, with FOLDER in PYTHONPATH. What is missing is left out.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import harness  # noqa: E402  from the folder this file is in
from benchmarks.peers import define_torchvision_ops  # noqa: E402
from benchmarks.what_people_run import duration  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402
from darkpose_ext import encode, gaussian_taps  # noqa: E402

SHAPE, SIGMA = (32, 17, 64, 48), 2.0
OURS = "darkpose `decode_peaks`"
GOAL = 30.0  # times as fast as others with their refinement, at least
INSIDE, APART = 7.0, 12.0  # pixels
TEMPERATURE = 0.05


class Search(NamedTuple):
    """Maps, and which of their peaks are wanted."""

    maps: Tensor  # [B, K, H, W]
    k: int
    radius: int
    threshold: float


class Way(NamedTuple):
    """Finds peaks: a call, and its points [N, 2] with the map [N] that each is of."""

    call: harness.Call
    points: Callable[[Any], tuple[Tensor, Tensor]]
    refines: bool = True


def centers() -> Tensor:  # [B * K, 2, 2]
    """Draw two places in every map."""
    random = torch.Generator().manual_seed(0)
    last = torch.tensor([SHAPE[3] - 1, SHAPE[2] - 1])
    drawn = INSIDE + torch.rand(20_000, 2, 2, generator=random) * (last - 2 * INSIDE)
    apart = (drawn[:, 0] - drawn[:, 1]).norm(dim=-1) >= APART
    return drawn[apart][: SHAPE[0] * SHAPE[1]]


def predicted() -> Search:
    """Return maps of two Gaussians each."""
    random = torch.Generator().manual_seed(1)
    height, width = SHAPE[2:]
    both, _ = encode(centers(), torch.ones(len(centers()), 2), height, width, SIGMA)
    maps = (both * torch.tensor([0.8, 0.5])[:, None, None]).sum(1).view(SHAPE)
    return Search(maps + 0.01 * torch.randn(SHAPE, generator=random), 2, 2, 0.08)


def noise() -> Search:
    """Return maps of nothing but local maxima."""
    return Search(torch.rand(SHAPE, generator=torch.Generator().manual_seed(2)), 10, 3, 0.0)


SEARCHES = {"predicted": predicted, "noise": noise}


# ---- the ways ------------------------------------------------------------------------------------


def ours(search: Search) -> Way:
    maps, k, radius, threshold = search
    taps = gaussian_taps(SIGMA)
    return Way(
        lambda: torch.ops.dark.decode_peaks(maps, taps, k, radius=radius, threshold=threshold),
        lambda found: _listed(found[0].flatten(0, 1)),
    )


def sleap(refinement: str | None) -> Callable[[Search], Way]:
    """Return sleap-nn's local peaks, with "integral" refinement or without."""

    def way(search: Search) -> Way:
        declared = define_torchvision_ops()
        from sleap_nn.inference.ops.peaks import find_local_peaks

        del declared
        joints = search.maps.shape[1]
        return Way(
            lambda: find_local_peaks(search.maps, search.threshold, refinement),
            lambda found: (found[0], found[2] * joints + found[3]),
            refinement is not None,
        )

    return way


def kornia(refinement: str) -> Callable[[Search], Way]:
    """Return kornia's strict maxima, refined in "dense" windows, "patches" or not at all ("")."""

    def way(search: Search) -> Way:
        from kornia.geometry.subpix import conv_soft_argmax2d, nms2d, spatial_soft_argmax2d

        maps, k, radius, threshold = search
        side, width, factor = 2 * radius + 1, maps.shape[-1], torch.tensor(TEMPERATURE)
        offset = torch.arange(side) - radius

        def call() -> tuple[Tensor, Tensor]:
            kept = nms2d(maps, (side, side))
            heights, at = kept.flatten(2).topk(k)
            x, y = at % width, at // width
            if refinement == "dense":
                windows = conv_soft_argmax2d(
                    maps, (side, side), (1, 1), (radius, radius), TEMPERATURE, False
                )
                each = at[:, :, None].expand(-1, -1, 2, -1)
                points = windows.flatten(3).gather(3, each).mT
            elif refinement == "patches":
                rows, columns = y[..., None] + offset, x[..., None] + offset
                flat = (rows[..., None] * width + columns[..., None, :]).flatten(2)
                # Strict maxima have whole windows; what stands for a missing one may have not.
                flat = flat.clamp(0, maps[0, 0].numel() - 1)
                patches = maps.flatten(2).gather(2, flat).view(-1, k, side, side)
                steps = spatial_soft_argmax2d(patches, factor, False) - radius
                points = torch.stack([x, y], -1) + steps.view(*x.shape, 2)
            else:
                points = torch.stack([x, y], -1).float()
            return torch.where((heights > threshold)[..., None], points, torch.nan), heights

        return Way(call, lambda found: _listed(found[0].flatten(0, 1)), refinement != "")

    return way


def _listed(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return of [M, k, 2] those that are there, and their map."""
    there = ~points.isnan().any(-1)
    return points[there], there.nonzero()[:, 0]


WAYS: dict[str, Callable[[Search], Way]] = {
    OURS: ours,
    "sleap-nn `find_local_peaks`, integral": sleap("integral"),
    "kornia `nms2d`, `conv_soft_argmax2d`": kornia("dense"),
    "kornia `nms2d`, `spatial_soft_argmax2d` of patches": kornia("patches"),
    "sleap-nn, not refined": sleap(None),
    "kornia, not refined": kornia(""),
}


# ---- what is measured ----------------------------------------------------------------------------


def present() -> list[str]:
    """Return the ways that work here; of others say why not."""
    found = []
    for name, way in WAYS.items():
        try:
            way(predicted())
        except (ImportError, OSError, RuntimeError) as error:
            print(f"{name} is left out: {str(error).splitlines()[0]}", end="\n\n")
        else:
            found.append(name)
    return found


def error(way: Way) -> float:
    """Return the mean distance of the predicted maps' Gaussians from the nearest point found."""
    points, of = way.points(way.call())
    truth = centers()
    nearest = torch.full(truth.shape[:2], torch.inf)
    for i in range(2):
        distance = (points - truth[of.long(), i]).norm(dim=-1)
        nearest[:, i] = nearest[:, i].scatter_reduce(0, of.long(), distance, "amin")
    return float(nearest.mean())


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each call")
    options = parser.parse_args()
    harness.prepare()
    warnings.simplefilter("ignore")  # kornia's of a rank that it takes, and what torchvision lacks
    about = harness.machine()
    with torch.inference_mode():
        names = present()
        about |= {name: v for name in ("sleap-nn",) if (v := harness._version(name))}
        print(*(f"{key} {value}" for key, value in about.items()), sep=" | ", end="\n\n")
        errors = {name: error(WAYS[name](predicted())) for name in names}
        times = {
            kind: harness.take_turns(
                {name: WAYS[name](make()).call for name in names},
                options.seconds,
                processor_time=True,
            )
            for kind, make in SEARCHES.items()
        }
    rows, cells, goals = [], [], []
    for name in names:
        row: dict[str, Any] = {"name": name, "error": errors[name]}
        cell = [name, f"{errors[name]:.4f}"]
        for kind, samples in times.items():
            figure = harness.Figure.of(samples[name])
            ratio = harness.Figure.of(
                [theirs / own for theirs, own in zip(samples[name], samples[OURS], strict=True)]
            )
            row[kind] = {"time": vars(figure), "ratio": vars(ratio)}
            cell += [duration(figure.median), f"{ratio.median:.3g}"]
            if name != OURS and WAYS[name](SEARCHES[kind]()).refines:
                met = "met" if ratio.median >= GOAL else "MISSED"
                goals.append(f"{kind}: {ratio.median:.3g} times {name}, goal {GOAL:g}: {met}")
        rows.append(row)
        cells.append(cell)
    print(table(["", "error", *(h for kind in SEARCHES for h in (kind, "over ours"))], cells))
    print("", *goals, sep="\n")
    if options.json:
        harness.write(options.json, {"machine": about, "rows": rows})


if __name__ == "__main__":
    main()
