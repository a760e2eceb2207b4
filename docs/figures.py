# SPDX-License-Identifier: Apache-2.0
"""Draws the documentation's figures with the real ops, to be read on light and dark pages.

    python docs/figures.py [--out docs/figures]

`pipeline.svg`: from the image to a heatmap and back (the paper's Fig 1). `taylor.svg`: modulation
and the Taylor step (Fig 2). `encoding.svg`: where biased and unbiased targets are centered, and
what can be read from either (Fig 4). `conventions.svg`: where heatmap pixels lie in each
convention. Nothing in them is drawn by hand: positions and errors are what the code returns.
"""

import argparse
import sys
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]
import darkpose_ext as dark  # noqa: E402  from the folder this file is in
from darkpose.codec import HeatmapCodec  # noqa: E402
from darkpose.data.joint_sets import COCO  # noqa: E402
from darkpose.geometry import Crop, apply  # noqa: E402
from darkpose.paper.synthetic import Scene, draw_scene  # noqa: E402
from docs.drawing import (  # noqa: E402
    ARGMAX,
    DARK,
    GREEN,
    INK,
    TRUE,
    Points,
    arrow,
    centered,
    cross,
    edges,
    pair,
    plain,
    rectangle,
    show,
    span,
)
from docs.pixels import conventions, encoding  # noqa: E402

OUT = Path(__file__).with_name("figures")
SCENE = (0, "train", 22)  # a drawn person, upright and alone
JOINT = COCO.names.index("left_wrist")


# ---- the pipeline --------------------------------------------------------------------------------


def pipeline() -> Figure:
    """Draw one joint's way from image to input to heatmap, and back."""
    scene, codec = draw_scene(*SCENE), HeatmapCodec((192, 256))
    person = scene.people[0]
    joint = person.keypoints[JOINT, :2]
    crop = codec.crop(person.box)
    to_input, to_heatmap = codec.image_to_input(crop), codec.image_to_heatmap(crop)
    target, _ = codec.encode(
        torch.tensor(joint[None], dtype=torch.float32),
        torch.ones(1),
        torch.tensor(to_heatmap, dtype=torch.float32),
    )
    to_image = torch.tensor(codec.heatmap_to_image(crop), dtype=torch.float32)
    found = {
        name: codec.decode(target, to_image, decoder=name)[0][0].double().numpy()
        for name in ("argmax", "dark")
    }

    figure = Figure(figsize=(10, 4.1))
    height, width = scene.image.shape[:2]
    places = ((0.01, 0.27), (0.365, 0.16), (0.59, 0.16), (0.82, 0.16))
    panels = [figure.add_axes((left, 0.22, width, 0.68)) for left, width in places]
    for axes, title in zip(
        panels,
        (f"image, {width} x {height}", "input, 192 x 256", "heatmap, 48 x 64", "image, enlarged"),
        strict=True,
    ):
        axes.set_title(title, color=INK, size=11)
    show(panels[0], scene.image)
    rectangle(panels[0], person.box, ls="--")
    rectangle(panels[0], edges(crop))
    panels[0].set(xlim=span(crop, 0, width), ylim=span(crop, 1, height)[::-1])
    show(panels[1], cv2.warpAffine(scene.image, to_input, codec.input_size))
    show(panels[2], target[0].numpy(), cmap="viridis")
    for axes, matrix in zip(panels[:3], (None, to_input, to_heatmap), strict=True):
        cross(axes, joint if matrix is None else apply(matrix, joint[None])[0])
    _nearby(panels[3], scene, joint, found, codec, crop)

    on_map = apply(to_heatmap, joint[None])[0]
    texts = (pair(joint), pair(apply(to_input, joint[None])[0]), pair(on_map))
    for axes, text in zip(panels, texts, strict=False):
        axes.text(0.5, -0.05, text, color=TRUE, **centered(axes), va="top", size=11)
    back = f"dark {pair(found['dark'])}"
    panels[3].text(0.5, -0.05, back, color=DARK, **centered(panels[3]), va="top", size=11)
    far = f"argmax {pair(found['argmax'])}"
    panels[3].text(0.5, -0.16, far, color=ARGMAX, **centered(panels[3]), va="top", size=11)
    steps = ("crop\nand warp", "network", "decode,\nrecover")
    for text, left, right in zip(steps, (0.29, 0.533, 0.758), (0.355, 0.583, 0.813), strict=True):
        arrow(figure, (left, 0.56), (right, 0.56))
        figure.text((left + right) / 2, 0.6, text, color=INK, ha="center", size=10)
    arrow(figure, (0.145, 0.11), (0.67, 0.11), bend=0.05)
    text = "training: the joint goes to heatmap pixels (Eq 12), a Gaussian is put there (Eq 14)"
    figure.text(0.41, 0.015, text, color=INK, ha="center", size=10)
    return figure


def _nearby(
    axes: Axes,
    scene: Scene,
    joint: Points,
    found: dict[str, Points],
    codec: HeatmapCodec,
    crop: Crop,
) -> None:
    """Draw where the joint is found in the image, with the heatmap's pixels for a scale."""
    show(axes, scene.image)
    reach = np.array([7.5, 10.0])
    grid = np.stack(np.meshgrid(np.arange(48.0), np.arange(64.0)), -1).reshape(-1, 2)
    pixels = apply(codec.heatmap_to_image(crop), grid)
    near = (np.abs(pixels - joint) < reach).all(1)
    axes.plot(*pixels[near].T, ".", color="white", ms=3)
    for name, color, mark in (("argmax", ARGMAX, "s"), ("dark", DARK, "o")):
        axes.plot(*found[name], mark, mfc="none", mec=color, ms=13, mew=2.2)
    cross(axes, joint)
    (left, top), (right, bottom) = joint - reach, joint + reach
    axes.set(xlim=(left, right), ylim=(bottom, top))


# ---- the Taylor step -----------------------------------------------------------------------------


def taylor() -> Figure:
    """Draw a noisy map, the modulated one, and the parabola whose maximum is the answer."""
    sigma, truth = 2.0, np.array([10.37, 8.72])
    generator = torch.Generator().manual_seed(2)
    clean, _ = dark.encode(torch.tensor(truth[None]).float(), torch.ones(1), 18, 22, sigma)
    noise = 0.11 * torch.randn(clean.shape, generator=generator)
    raw = (0.8 * clean + noise).clamp(min=0)
    taps = dark.gaussian_taps(sigma)
    smooth = dark.modulate(raw, taps)
    peak = dark.decode(raw, [], method="argmax")[0][0].double().numpy()
    found = dark.decode(raw, taps)[0][0].double().numpy()
    unsmoothed = dark.decode(raw, [])[0][0].double().numpy()

    figure = Figure(figsize=(10, 3.5), layout="constrained")
    grid = figure.add_gridspec(1, 3, width_ratios=(1, 1, 1.5))
    for i, (title, shown) in enumerate({"predicted": raw, "modulated (Eq 10, 11)": smooth}.items()):
        axes = figure.add_subplot(grid[i])
        show(axes, shown[0].numpy(), cmap="viridis")
        axes.set_title(title, color=INK, size=11)
        axes.plot(*peak, "s", mfc="none", mec="white", ms=12, mew=2)
        axes.plot(*(found if i else unsmoothed), "o", mfc="none", mec=DARK, ms=12, mew=2)
        cross(axes, truth)
        error = np.linalg.norm((found if i else unsmoothed) - truth)
        axes.set_xlabel(f"step ends {error:.2f} pixels from the joint", color=DARK, size=10)

    axes = figure.add_subplot(grid[2])
    length = float(np.linalg.norm(found - peak))
    along = (found - peak) / length
    t = np.linspace(-2.6, 3.6, 300)
    line = (peak[:, None] + along[:, None] * t)[::-1]  # rows, columns
    # Without Eq 11's rescaling, whose minimum is 0 and has no logarithm; the step is the same.
    log = dark.modulate(raw, taps, rescale="none")[0].double().log().numpy()
    gradient, hessian = _derivatives(log, peak.astype(int))
    assert np.allclose(-np.linalg.solve(hessian, gradient), found - peak, atol=1e-4)
    start = log[tuple(peak.astype(int)[::-1])]
    parabola = start + gradient @ along * t + along @ hessian @ along * t**2 / 2
    axes.plot(t, map_coordinates(log, line, order=3), color=GREEN, lw=2, label="ln of the map")
    axes.plot(t, parabola, "--", color=DARK, lw=2, label="Taylor series at m (Eq 7)")
    axes.plot(0, start, "s", color=INK, ms=9, mfc="none", mew=2, label="m, the highest pixel")
    top = start + gradient @ along * length + along @ hessian @ along * length**2 / 2
    axes.plot(length, top, "o", color=DARK, ms=9, mfc="none", mew=2, label="its maximum (Eq 9)")
    axes.axvline(float((truth - peak) @ along), 0.55, 1, color=TRUE, lw=1.5, label="the joint")
    axes.set(ylim=(start - 1.1, start + 0.15), xlabel="pixels from m, along the step")
    axes.set_title("the logarithm, along the step", color=INK, size=11)
    axes.legend(frameon=False, labelcolor=INK, loc="lower center", fontsize=9)
    plain(axes)
    return figure


def _derivatives(log: Points, peak: NDArray[np.int64]) -> tuple[Points, Points]:
    """Return gradient and Hessian by the stencils of `darkpose_ext.reference`."""
    x, y = peak
    window = log[y - 2 : y + 3, x - 2 : x + 3]
    gradient = np.array([window[2, 3] - window[2, 1], window[3, 2] - window[1, 2]]) / 2
    mixed = (window[3, 3] + window[1, 1] - window[1, 3] - window[3, 1]) / 4
    xx = (window[2, 4] - 2 * window[2, 2] + window[2, 0]) / 4
    yy = (window[4, 2] - 2 * window[2, 2] + window[0, 2]) / 4
    return gradient, np.array([[xx, mixed], [mixed, yy]])


# ---- all of them ---------------------------------------------------------------------------------

FIGURES = {
    "pipeline": pipeline,
    "taylor": taylor,
    "encoding": encoding,
    "conventions": conventions,
}


def main(arguments: list[str] | None = None) -> None:
    """Draw all figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    matplotlib.rcParams["svg.hashsalt"] = "darkpose"  # the same file from the same figures
    for name, draw in FIGURES.items():
        path = options.out / f"{name}.svg"
        draw().savefig(path, transparent=True, metadata={"Date": None})
        print(path)


if __name__ == "__main__":
    main()
