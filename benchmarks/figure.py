# SPDX-License-Identifier: Apache-2.0
"""Draws the figures of speed from the committed results, to be read on light and dark pages.

    python benchmarks/figure.py [--results benchmarks/results] [--png]

`speed.svg`: each op, its floor and what people would run instead, for 32 people. `scaling.svg`: the
time for a map against people, joints, size and threads.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks.harness import RESULTS  # noqa: E402  from the folder this file is in
from benchmarks.table import time  # noqa: E402

TITLES = {
    "decode": "decode",
    "flip_decode": "decode, flip test\nand transform",
    "modulate": "modulate",
    "encode": "encode",
    "heatmap_mse": "heatmap_mse,\nforward and backward",
}
INK = "#7d8590"  # readable on white and on black
OURS = "#e8590c"
# Peer: label, marker, color. One color for what is alike: loops, the twin, others' ops.
PEERS = {
    "NumPy loop": ("NumPy and OpenCV loop", "s", "#2f9e6e"),
    "OpenCV sepFilter2D": ("OpenCV's separable filter", "P", "#2f9e6e"),
    "torch twin": ("plain torch", "o", "#3b82d6"),
    "compiled twin": ("torch.compile", "D", "#3b82d6"),
    "encode and mse_loss": ("rendered targets, torch's loss", "v", "#9b6bd3"),
    "kornia soft-argmax": ("kornia's soft-argmax", "^", "#9b6bd3"),
}
COLORS = dict(zip(TITLES, (OURS, "#d6a10c", "#2f9e6e", "#3b82d6", "#9b6bd3"), strict=True))

LEVELS = (10, -17, 22, -29)  # of text above and below a line, in points

Rows = list[dict[str, Any]]


def usual(rows: Rows) -> dict[str, dict[str, dict[str, Any]]]:
    """Return rows of 32 people in float32 by op and who."""
    chosen: dict[str, dict[str, dict[str, Any]]] = {op: {} for op in TITLES}
    for row in rows:
        if row["op"] in chosen and row.keys() <= {"op", "median", "low", "high", "floor", "who"}:
            chosen[row["op"]][row["who"]] = row
    return {op: whos for op, whos in chosen.items() if "this" in whos}


def near(a: float, b: float) -> bool:
    """Return whether two times are so alike that texts at them would overlap."""
    return max(a, b) < 1.6 * min(a, b)


def speed(rows: Rows, machine: dict[str, Any]) -> Figure:
    """Draw each op's time beside its peers'."""
    by_op = usual(rows)
    figure = Figure(figsize=(9, 0.75 * len(by_op) + 1.6), layout="constrained")
    axes = figure.add_subplot()
    for y, (_, whos) in enumerate(by_op.items()):
        ours = whos["this"]["median"]
        peers = {who: whos[who]["median"] for who in PEERS if who in whos}
        axes.plot([min(ours, *peers.values()), max(ours, *peers.values())], [y, y], color=INK, lw=1)
        axes.plot(whos["this"]["floor"], y, "|", color=OURS, ms=18, mew=2.5)
        axes.plot(ours, y, "o", color=OURS, ms=13, zorder=3)
        axes.annotate(time(ours), (ours, y), (0, LEVELS[0]), **_text(OURS, weight="bold"))
        taken = {LEVELS[0]: ours}  # how far to the right each level of text is written on
        for who, median in sorted(peers.items(), key=lambda item: item[1]):
            _, marker, color = PEERS[who]
            axes.plot(median, y, marker, color=color, ms=9, zorder=2)
            free = (level for level in LEVELS if not near(taken.get(level, 0.0), median))
            level = next(free, LEVELS[-1])
            taken[level] = median
            axes.annotate(f"{median / ours:.3g}x", (median, y), (0, level), **_text(color))
    for _, (label, marker, color) in PEERS.items():
        axes.plot([], [], marker, color=color, ms=9, label=label)
    axes.plot([], [], "o", color=OURS, ms=11, label="this")
    axes.plot([], [], "|", color=OURS, ms=14, mew=2.5, label="floor of this machine")
    axes.set(xscale="log", ylim=(len(by_op) - 0.45, -0.55), xlabel="time of a call")
    axes.set_yticks(range(len(by_op)), [TITLES[op] for op in by_op])
    axes.xaxis.set_major_formatter(lambda value, _: time(value))
    axes.grid(axis="x", color=INK, alpha=0.25)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, labelcolor=INK)
    figure.supxlabel(
        f"32 people, 17 joints, maps of 64 x 48, float32, one thread of {machine['processor']} "
        f"({machine['instructions']}), torch {machine['torch']}",
        color=INK,
        size=9,
    )
    plain(axes)
    return figure


def scaling(rows: Rows) -> Figure:
    """Draw the time for a map against each thing that varies."""
    varied = ["people", "joints", "map", "threads"]
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for i, name in enumerate(varied):
        axes = figure.add_subplot(1, len(varied), i + 1)
        values = list(dict.fromkeys(row["value"] for row in rows if row["varied"] == name))
        for op, title in TITLES.items():
            chosen = [row for row in rows if row["varied"] == name and row["op"] == op]
            x = [_size(row["value"]) for row in chosen]
            y = [row["median"] / row["maps"] for row in chosen]
            axes.plot(x, y, ".-", color=COLORS[op], label=title.replace("\n", " ") if not i else "")
        axes.set(xscale="log", yscale="log", xlabel="heatmap" if name == "map" else name)
        axes.set_xticks([_size(value) for value in values], values, minor=False)
        axes.tick_params(axis="x", rotation=60)
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda value, _: time(value) if value >= 1 else f"{value:g}")
        axes.grid(color=INK, alpha=0.25)
        plain(axes)
    figure.axes[0].set_ylabel("µs for each map", color=INK)
    figure.legend(loc="outside upper center", ncols=5, frameon=False, labelcolor=INK)
    return figure


def _size(value: str) -> float:
    height, _, width = value.partition("x")
    return float(height) * float(width or 1)


def _text(color: str, **options: Any) -> dict[str, Any]:
    return {"textcoords": "offset points", "ha": "center", "color": color, "size": 9, **options}


def plain(axes: Axes) -> None:
    """Color an axes' frame to be read on light and dark pages."""
    axes.patch.set_alpha(0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    axes.tick_params(which="both", colors=INK)
    axes.xaxis.label.set_color(INK)


def main() -> None:
    """Draw what there are results for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--png", action="store_true", help="PNG in place of SVG")
    options = parser.parse_args()
    matplotlib.rcParams["svg.hashsalt"] = "darkpose"  # the same file from the same figures
    figures = {}
    if (file := options.results / "ops-cpu.json").exists():
        content = json.loads(file.read_text())
        figures["speed"] = speed(content["rows"], content["machine"])
    if (file := options.results / "scaling-cpu.json").exists():
        figures["scaling"] = scaling(json.loads(file.read_text())["rows"])
    if not figures:
        raise SystemExit(f"figure: no ops-cpu.json and no scaling-cpu.json in {options.results}")
    for name, figure in figures.items():
        path = options.results / f"{name}.{'png' if options.png else 'svg'}"
        extra = {} if options.png else {"metadata": {"Date": None}}
        figure.savefig(path, transparent=True, dpi=130, **extra)
        print(path)


if __name__ == "__main__":
    main()
