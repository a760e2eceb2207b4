# SPDX-License-Identifier: Apache-2.0
"""Figures of where a joint and pixels lie: biased and unbiased targets, and the conventions."""

from itertools import combinations
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import darkpose_ext as dark
from darkpose.geometry import Convention, Crop, apply, heatmap_to_image, image_to_input, invert
from docs.drawing import ARGMAX, DARK, GREEN, INK, STANDARD, TRUE, Points, cross, near, pair, plain

CONVENTIONS = tuple(Convention)

# ---- biased and unbiased targets -----------------------------------------------------------------


def encoding() -> Figure:
    """Draw where the target's center goes, the two targets, and what each decoder reads."""
    figure = Figure(figsize=(10, 3.5), layout="constrained")
    joint, sigma = 5.7, 2.0
    place = figure.add_subplot(1, 3, 1)
    place.set_title("the joint among heatmap pixels", color=INK, size=11)
    columns, rows = np.meshgrid(np.arange(4, 8), np.arange(4, 8))
    place.plot(columns.ravel(), rows.ravel(), "o", color=INK, ms=4)
    point = np.array([joint, 5.3])
    for name, center in (("floor", np.floor(point)), ("round", np.floor(point + 0.5))):
        place.annotate("", center, point, arrowprops={"arrowstyle": "->", "color": STANDARD})
        aside = -14 if name == "floor" else 14
        text = f"{name} {pair(center, 0)}"
        place.annotate(text, center, (aside, 9), color=STANDARD, **near())
    cross(place, point)
    place.annotate(f"joint {pair(point)}", point, (0, -20), color=TRUE, **near())
    place.set(xlim=(3.5, 7.5), ylim=(7.2, 3.8), aspect="equal")
    place.set_axis_off()

    maps = figure.add_subplot(1, 3, 2)
    maps.set_title("row of the target heatmap", color=INK, size=11)
    at = torch.tensor([[[joint, 5.0]]])
    for rounding, label, color in (("round", "biased", STANDARD), ("none", "unbiased", DARK)):
        target, _ = dark.encode(
            at, torch.ones(1, 1), 11, 12, sigma, rounding=rounding, truncate=rounding == "round"
        )
        maps.plot(target[0, 0, 5].numpy(), ".-", color=color, ms=9, label=label)
    maps.axvline(joint, 0, 0.86, color=TRUE, lw=1.5, label="the joint")
    maps.set(xlabel="x, heatmap pixels", ylim=(0, 1.28))
    maps.legend(frameon=False, labelcolor=INK, fontsize=9, loc="upper left", ncols=3)
    plain(maps)

    errors = figure.add_subplot(1, 3, 3)
    errors.set_title("error after decoding, heatmap pixels", color=INK, size=11)
    offsets = torch.linspace(-0.5, 0.499, 101)
    for (rounding, method), (label, color, style) in {
        ("round", "dark"): ("biased, any decoder", STANDARD, "-"),
        ("none", "argmax"): ("unbiased, argmax", ARGMAX, "--"),
        ("none", "standard"): ("unbiased, standard", GREEN, "-"),
        ("none", "dark"): ("unbiased, dark", DARK, "-"),
    }.items():
        found = read_back(offsets, sigma, rounding, method)
        errors.plot(offsets, (found - offsets).abs(), style, color=color, label=label, lw=2)
    errors.set(xlabel="the joint's distance from its pixel", ylim=(-0.02, 0.78))
    errors.legend(frameon=False, labelcolor=INK, fontsize=9, loc="upper center", ncols=1)
    plain(errors)
    return figure


def read_back(
    offsets: torch.Tensor,  # [N]
    sigma: float,
    rounding: str,
    method: str,
) -> torch.Tensor:  # [N]
    """Encode joints so far from a pixel, in x, and return how far from it they are decoded."""
    joints = torch.stack([20 + offsets, torch.full_like(offsets, 20)], -1)
    maps, _ = dark.encode(
        joints,
        torch.ones(len(joints)),
        41,
        41,
        sigma,
        rounding=rounding,
        truncate=rounding != "none",
    )
    taps = dark.gaussian_taps(sigma) if method == "dark" else []
    return dark.decode(maps, taps, method=method)[0][:, 0] - 20


# ---- conventions ---------------------------------------------------------------------------------


def conventions() -> Figure:
    """Draw where pixels of input and heatmap lie in the image, and what mixing them costs."""
    figure = Figure(figsize=(10, 3.7), layout="constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=(1.9, 1))
    axes = figure.add_subplot(grid[0])
    marks: tuple[dict[str, Any], ...] = (
        {"marker": "|", "color": INK, "ms": 11, "mew": 1.5, "label": "input pixel"},
        {"marker": "o", "color": DARK, "ms": 9, "label": "heatmap pixel"},
        {"marker": "o", "mec": DARK, "mfc": "none", "ms": 9, "mew": 2, "label": "mirrored input's"},
    )
    for row, convention in enumerate(CONVENTIONS):
        for x, mark, above in zip(lay(convention), marks, (0, -0.22, 0.22), strict=True):
            label = None if row else mark["label"]
            axes.plot(x, np.full(len(x), row + above), ls="", **{**mark, "label": label})
    for edge in (-0.5, 23.5):
        axes.axvline(edge, color=INK, lw=1.5, ls=":")
    names = [convention.value for convention in CONVENTIONS]
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlabel="x in the image; dotted: the crop, 24 pixels")
    plain(axes)
    legend = {"frameon": False, "labelcolor": INK, "fontsize": 9}
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, **legend)

    cost = figure.add_subplot(grid[1])
    cost.set_title("one read as the other: image pixels off", color=INK, size=10)
    pairs = zip(combinations(CONVENTIONS, 2), (DARK, STANDARD, GREEN), strict=True)
    for (one, other), color in pairs:
        label = f"{one.value}, {other.value}"
        cost.plot(*mixing(one, other), color=color, lw=2, label=label)
    cost.set(xlabel="place on the heatmap's diagonal", ylim=(0, None))
    cost.set_xticks([0, 0.5, 1], ["top left", "center", "bottom right"])
    cost.legend(**legend)
    plain(cost)
    return figure


def lay(convention: Convention) -> tuple[Points, Points, Points]:
    """Return the x in the image of input pixels, heatmap pixels and those of the mirrored input.

    Of a crop 24 pixels wide, as many of the input, a quarter of the heatmap; no flip shift.
    """
    crop, size, map_size = Crop((11.5, 15.5), (24.0, 32.0)), (24, 32), (6, 8)
    inputs = _columns(invert(image_to_input(crop, size, convention)), size[0])
    pixels = _columns(heatmap_to_image(crop, size, map_size, convention), map_size[0])
    return inputs, pixels, inputs[0] + inputs[-1] - pixels  # x -> W - 1 - x


def mixing(one: Convention, other: Convention) -> tuple[Points, Points]:
    """Return places on the map's diagonal and how far the conventions' readings of them differ.

    In x or y, whichever is more; for input 96x128 and a crop 240 image pixels wide.
    """
    crop, size, map_size = Crop((200.0, 200.0), (240.0, 320.0)), (96, 128), (24, 32)
    share = np.linspace(0, 1, 50)
    points = share[:, None] * (np.array(map_size) - 1)
    there, here = (
        apply(heatmap_to_image(crop, size, map_size, convention), points)
        for convention in (one, other)
    )
    return share, np.abs(there - here).max(1)


def _columns(to_image: Points, count: int) -> Points:
    """Return the x in the image of a map's columns."""
    return apply(to_image, np.stack([np.arange(count), np.zeros(count)], -1))[:, 0]
