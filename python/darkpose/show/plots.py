# SPDX-License-Identifier: Apache-2.0
"""Pictures of what a network says and of what the representation does to it.

Every function returns a matplotlib figure; `save` writes it.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.drawing import draw_skeleton
from darkpose.data.spec import KeypointSpec
from darkpose.files import replacing
from darkpose.geometry import Matrix, apply, compose, invert
from darkpose.show.maps import PersonMaps
from darkpose.show.pictures import Panel
from darkpose_ext import encode, modulate

_MARKS = {"argmax": ("s", "#e15759"), "standard": ("^", "#f1a340"), "dark": ("o", "#2ca02c")}
_CLOSE = 7.5  # heatmap pixels on each side of a peak


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120, bbox_inches="tight")


def skeletons(
    crops: Sequence[NDArray[np.uint8]],  # [H, W, 3] RGB
    points: NDArray[np.float64],  # [N, K, 2] (x, y) pixels of the crops
    scores: NDArray[np.float64],  # [N, K]
    spec: KeypointSpec,
    columns: int = 8,
    threshold: float = 0.2,
    enlarge: int = 3,
) -> Figure:
    """Draw predicted skeletons on crops; joints with a score below the threshold are left out."""
    rows = -(-len(crops) // columns)
    height, width = crops[0].shape[:2]
    figure = Figure(figsize=(1.5 * columns, 1.5 * rows * height / width))
    for i, (crop, person, score) in enumerate(zip(crops, points, scores, strict=True)):
        axes = figure.add_subplot(rows, columns, i + 1)
        large = cv2.resize(crop, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC)
        position = (person + 0.5) * enlarge - 0.5
        axes.imshow(draw_skeleton(np.asarray(large, np.uint8), position, spec, score > threshold))
        axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1, 0.02, 0.02)
    return figure


def modulation(
    heatmap: Tensor,  # [H, W]
    codec: HeatmapCodec,
    title: str,
    truth: tuple[float, float] | None = None,  # (x, y) heatmap pixels
    *,
    crop: NDArray[np.uint8] | None = None,  # [h, w, 3] RGB
    to_crop: Matrix | None = None,  # [2, 3]
) -> Figure:
    """Draw a heatmap before and after modulation and the decoded points (the paper's Fig 3).

    Args:
        heatmap: what a network says of one joint.
        codec: reads it, and modulates with its taps.
        title: what is seen.
        truth: where the joint is annotated.
        crop: what the network has seen, drawn beside the map with the part of it that is shown.
        to_crop: from heatmap to crop pixels; needed with `crop`.

    Raises:
        ValueError: the network regresses coordinates, its maps are no Gaussians; a crop without its
            map.
    """
    if codec.regresses:
        raise ValueError(f"encoding {codec.encoding} regresses coordinates: nothing is modulated")
    if crop is not None and to_crop is None:
        raise ValueError("a crop needs to_crop, the map from heatmap to crop pixels, got none")
    maps = heatmap[None, None].cpu()
    found = {name: codec.decode(maps, decoder=name)[0][0, 0].tolist() for name in _MARKS}
    peak = found["argmax"]
    figure = Figure(
        figsize=(9 if crop is None else 12, 5), layout=ConstrainedLayoutEngine(h_pad=0.06)
    )
    columns = 2 if crop is None else 3
    after = modulate(maps, codec.taps)
    for i, (name, shown) in enumerate({"predicted": maps, "modulated": after}.items()):
        axes = figure.add_subplot(1, columns, columns - 1 + i)
        axes.imshow(shown[0, 0].numpy(), cmap="viridis", interpolation="nearest")
        for decoder, (mark, color) in _MARKS.items():
            x, y = found[decoder]
            label = f"{decoder} ({x:.2f}, {y:.2f})"
            axes.plot(x, y, mark, mfc="none", mec=color, ms=11, mew=2, label=label)
        if truth is not None:
            label = f"annotated ({truth[0]:.2f}, {truth[1]:.2f})"
            axes.plot(*truth, "+", color="white", ms=13, mew=2, label=label)
        axes.set(
            title=name,
            xlim=(peak[0] - _CLOSE, peak[0] + _CLOSE),
            ylim=(peak[1] + _CLOSE, peak[1] - _CLOSE),
        )
        axes.locator_params(integer=True)
    marks = figure.axes[0].get_legend_handles_labels()
    if crop is not None and to_crop is not None:
        axes = figure.add_subplot(1, columns, 1)
        axes.imshow(crop)
        signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
        axes.plot(*apply(to_crop, np.asarray(peak) + _CLOSE * signs).T, "-", color="white", lw=2)
        axes.set(title="input", xlim=(-0.5, crop.shape[1] - 0.5), ylim=(crop.shape[0] - 0.5, -0.5))
        axes.axis("off")
    figure.legend(*marks, loc="outside lower center", ncols=4, facecolor="#dddddd")
    figure.suptitle(f"{title}: heatmap and where each decoder finds it")
    return figure


def person_modulation(
    seen: PersonMaps,
    codec: HeatmapCodec,
    joint: int,
    name: str,
    truth: tuple[float, float] | None = None,  # (x, y) pixels of the image
) -> Figure:
    """Draw `modulation` of what a network says of one joint, called `name`, of a person."""
    if truth is not None:
        x, y = apply(invert(seen.to_image), truth).tolist()
        truth = (x, y)
    return modulation(
        seen.heatmaps[joint],
        codec,
        name.replace("_", " "),
        truth,
        crop=seen.crop,
        to_crop=compose(seen.to_crop, seen.to_image),
    )


def side_by_side(rows: Sequence[Sequence[Panel]], height: float = 4.0) -> Figure:
    """Draw rows of pictures with their titles, each `height` inches high (the paper's Fig 5)."""
    columns = max(len(row) for row in rows)
    widths = [max(_aspect(row[i].picture) for row in rows if i < len(row)) for i in range(columns)]
    size = (height * sum(widths) + 0.2, (height + 0.35) * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(len(rows), columns, width_ratios=widths)
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            axes = figure.add_subplot(grid[i, j])
            axes.imshow(panel.picture)
            # Names of files and joints are no formulas.
            axes.set_title(panel.title.replace("$", r"\$"), fontsize=10)
            axes.axis("off")
    return figure


def _aspect(picture: NDArray[np.uint8]) -> float:
    return picture.shape[1] / picture.shape[0]


def quantization(
    joints: NDArray[np.float64],  # [N, 2] (x, y) heatmap pixels
    example: tuple[float, float],  # (x, y) heatmap pixels
    codec: HeatmapCodec,
    enlarge: int = 9,
) -> Figure:
    """Draw what the biased encoding does to a joint, and to many (the paper's Fig 4)."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    local = torch.tensor([[example[0] % 1 + enlarge // 2, example[1] % 1 + enlarge // 2]])
    for i, rounding in enumerate(("none", "round")):
        sigma = codec.sigma or 1.0
        target, _ = encode(local, torch.ones(1), enlarge, enlarge, sigma, rounding=rounding)
        axes = figure.add_subplot(1, 3, i + 1)
        axes.imshow(target[0].numpy(), cmap="viridis", vmin=0, vmax=1)
        x, y = local[0].tolist()
        axes.plot(x, y, "+", color="#e15759", ms=16, mew=2.5, label=f"joint ({x:.2f}, {y:.2f})")
        if rounding == "round":
            center = np.floor(np.array([x, y]) + 0.5)
            label = f"encoded ({center[0]:.0f}, {center[1]:.0f})"
            axes.plot(*center, "o", mfc="none", mec="white", ms=12, mew=2, label=label)
        axes.set_title("unbiased: at the joint" if rounding == "none" else "biased: at a pixel")
        axes.legend(loc="lower right", fontsize=8, facecolor="#dddddd")
    errors = np.linalg.norm(joints - np.floor(joints + 0.5), axis=1)
    axes = figure.add_subplot(1, 3, 3)
    axes.hist(errors, bins=40, color="#4e79a7")
    axes.axvline(errors.mean(), color="#e15759", label=f"mean {errors.mean():.3f}")
    axes.set(title="error of the biased encoding", xlabel="heatmap pixels", ylabel="joints")
    axes.legend()
    return figure


def newest_log(folder: Path) -> Path:
    """Return the `metrics.csv` of the newest run in a folder that `make_trainer` was given."""
    versions = (folder / "logs").glob("version_*/metrics.csv")
    return max(versions, key=lambda path: int(path.parent.name.removeprefix("version_")))


def training_curves(logs: Mapping[str, Path]) -> Figure:
    """Draw training loss and validation AP by epoch from each label's `metrics.csv`.

    An evaluation after training, which is logged as one epoch more, belongs to the last one.
    """
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    loss, precision = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    for label, path in logs.items():
        trained = max(_column(path, "train/loss_epoch")[0], default=0)
        for axes, column in ((loss, "train/loss_epoch"), (precision, "val/AP")):
            epochs, values = _column(path, column)
            axes.plot([min(epoch, trained) for epoch in epochs], values, ".-", label=label)
    loss.set(title="training loss", xlabel="epoch", ylim=(0, None))
    precision.set(title="AP on validation, dark", xlabel="epoch", ylim=(0, None))
    for axes in (loss, precision):
        axes.grid(alpha=0.3)
        axes.legend()
        axes.locator_params(axis="x", integer=True)
    return figure


def _column(path: Path, name: str) -> tuple[list[int], list[float]]:
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row.get(name)]
    return [int(row["epoch"]) + 1 for row in rows], [float(row[name]) for row in rows]
