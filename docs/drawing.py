# SPDX-License-Identifier: Apache-2.0
"""What the documentation's figures have in common: colors that show on white and on black."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from numpy.typing import NDArray

from darkpose.geometry import Crop

INK = "#7d8590"
TRUE, ARGMAX, STANDARD, DARK = "#d6409f", "#9b6bd3", "#3b82d6", "#e8590c"
GREEN = "#2f9e6e"

Points = NDArray[np.float64]


def show(axes: Axes, image: NDArray[Any], **options: Any) -> None:
    axes.imshow(image, interpolation="nearest", **options)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def cross(axes: Axes, point: Points) -> None:
    axes.plot(*point, "+", color=TRUE, ms=13, mew=2.5)


def rectangle(axes: Axes, box: tuple[float, float, float, float], ls: str = "-") -> None:
    x, y, width, height = box
    axes.add_patch(Rectangle((x, y), width, height, fill=False, ec=STANDARD, lw=2, ls=ls))


def edges(crop: Crop) -> tuple[float, float, float, float]:
    (x, y), (width, height) = crop.center, crop.size
    return x - width / 2, y - height / 2, width, height


def span(crop: Crop, axis: int, size: int) -> tuple[float, float]:
    """Return what of the image to show: all of it and of the crop."""
    middle, half = crop.center[axis], crop.size[axis] / 2 + 2
    return min(-0.5, middle - half), max(size - 0.5, middle + half)


def pair(point: Points, digits: int = 2) -> str:
    return f"({point[0]:.{digits}f}, {point[1]:.{digits}f})"


def centered(axes: Axes) -> dict[str, Any]:
    return {"transform": axes.transAxes, "ha": "center"}


def near() -> dict[str, Any]:
    return {"textcoords": "offset points", "ha": "center", "size": 10}


def arrow(
    figure: Figure, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0
) -> None:
    arrow = FancyArrowPatch(
        start,
        end,
        transform=figure.transFigure,
        arrowstyle="-|>",
        mutation_scale=16,
        color=INK,
        lw=1.8,
        connectionstyle=f"arc3,rad={bend}",
    )
    figure.add_artist(arrow)


def plain(axes: Axes) -> None:
    axes.patch.set_alpha(0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    axes.tick_params(colors=INK)
    axes.xaxis.label.set_color(INK)
