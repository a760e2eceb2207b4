# SPDX-License-Identifier: Apache-2.0
"""Pictures of what a network says and of what the representation does to it.

Every function returns a matplotlib figure; `save` writes it.
"""

import colorsys
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
from darkpose.data.spec import KeypointSpec
from darkpose_ext import decode, encode, gaussian_taps, modulate

_MARKS = {"argmax": ("s", "#e15759"), "standard": ("^", "#f1a340"), "dark": ("o", "#2ca02c")}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def draw_skeleton(
    image: NDArray[np.uint8],  # [H, W, 3] RGB
    points: NDArray[np.float64],  # [K, 2] (x, y) pixels of the image
    spec: KeypointSpec,
    shown: NDArray[np.bool_] | None = None,  # [K]
) -> NDArray[np.uint8]:
    """Return a copy of the image with a skeleton on it, the left side warm, the right side cold."""
    canvas = image.copy()
    shift = 4  # OpenCV's fixed point: positions to 1/16 pixel
    fixed = np.round(np.nan_to_num(points) * 2**shift).astype(int)
    visible = np.ones(len(points), bool) if shown is None else shown
    thickness = max(1, round(max(image.shape) / 200))
    for a, b in spec.skeleton:
        if visible[a] and visible[b]:
            ends = tuple(fixed[a].tolist()), tuple(fixed[b].tolist())
            cv2.line(canvas, *ends, _color(spec, b), thickness, cv2.LINE_AA, shift)
    radius = round(1.4 * thickness * 2**shift)
    for k in np.flatnonzero(visible).tolist():
        center = tuple(fixed[k].tolist())
        cv2.circle(canvas, center, radius, _color(spec, k), -1, cv2.LINE_AA, shift)
    return canvas


def _color(spec: KeypointSpec, joint: int) -> tuple[int, int, int]:
    name = spec.names[joint]
    start = 0.0 if name.startswith("left") else 0.5 if name.startswith("right") else 0.28
    hue = start + 0.16 * joint / max(1, spec.num_joints - 1)
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


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
    sigma: float,
    title: str,
    truth: tuple[float, float] | None = None,  # (x, y) heatmap pixels
) -> Figure:
    """Draw a heatmap before and after modulation and the decoded points (the paper's Fig 3)."""
    maps = heatmap[None]
    taps = gaussian_taps(sigma)
    after = modulate(maps, taps)[0]
    figure = Figure(figsize=(9, 5), layout=ConstrainedLayoutEngine(h_pad=0.06))
    peak = decode(maps, [], method="argmax")[0][0].tolist()
    for i, (name, shown) in enumerate({"predicted": heatmap, "modulated": after}.items()):
        axes = figure.add_subplot(1, 2, i + 1)
        axes.imshow(shown.cpu().numpy(), cmap="viridis", interpolation="nearest")
        for method, (mark, color) in _MARKS.items():
            x, y = decode(maps, taps if method == "dark" else [], method=method)[0][0].tolist()
            label = f"{method} ({x:.2f}, {y:.2f})"
            axes.plot(x, y, mark, mfc="none", mec=color, ms=11, mew=2, label=label)
        if truth is not None:
            label = f"annotated ({truth[0]:.2f}, {truth[1]:.2f})"
            axes.plot(*truth, "+", color="white", ms=13, mew=2, label=label)
        axes.set(
            title=name, xlim=(peak[0] - 7.5, peak[0] + 7.5), ylim=(peak[1] + 7.5, peak[1] - 7.5)
        )
        axes.locator_params(integer=True)
    marks = figure.axes[0].get_legend_handles_labels()
    figure.legend(*marks, loc="outside lower center", ncols=4, facecolor="#dddddd")
    figure.suptitle(f"{title}: heatmap and where each decoder finds it")
    return figure


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
