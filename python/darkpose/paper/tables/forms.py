# SPDX-License-Identifier: Apache-2.0
"""A table of the paper as Markdown, CSV and a figure, our rows beside the paper's."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from darkpose import models
from darkpose.evaluate import markdown
from darkpose.evaluate.metrics.pck import THRESHOLDS
from darkpose.models.complexity import complexity
from darkpose.paper.runs import Reading, one_decimal
from darkpose.paper.tables.rows import Row

Readings = Mapping[Row, Reading]
"""A table's rows with the runs that measure them."""
Columns = Mapping[str, str]
"""The name of a run's figure, by what its column is called."""


def figures_table(found: Readings, title: str, columns: Columns) -> str:
    """Return rows as Markdown, each followed by the paper's where there is one."""
    lines = []
    for row, reading in found.items():
        what = [row.network, f"{row.height}", row.words, row.decoder]
        lines.append([*what, f"{len(reading.runs)}", *map(reading.cell, columns.values())])
        if title in row.printed:
            lines.append(["", "", "", "*the paper*", "", *map(one_decimal, row.printed[title])])
    head = ["network", "input", "representation", "decoding", "seeds", *columns]
    return markdown.table(head, lines)


def costs_table(rows: Iterable[Row], square: bool) -> str:
    """Return, as Markdown, what each network costs, in the paper's way of counting and truly."""
    lines = []
    for name, height in dict.fromkeys((one.network, one.height) for one in rows):
        size = (height if square else height * 3 // 4, height)
        with torch.device("meta"):
            cost = complexity(models.create(name), size)
        what = [name, f"{size[1]}x{size[0]}", f"{cost.parameters / 1e6:.1f}M"]
        lines.append([*what, f"{cost.paper_gflops:.1f}", f"{cost.macs / 1e9:.2f}"])
    head = ["network", "input", "params", "GFLOPs as in the paper", "true GMACs"]
    return markdown.table(head, lines)


def gains_table(number: int, found: Readings) -> str:
    """Return, as Markdown, what each row gains in PCK over the one it is compared with."""
    lines = []
    for before, after in compared(number, list(found)):
        gains = [found[after].gain(found[before], threshold) for threshold in THRESHOLDS]
        cells = [f"{100 * d.mean:+.2f} ({100 * d.low:+.2f} to {100 * d.high:+.2f})" for d in gains]
        lines.append([before.label, after.label, *cells])
    columns = [f"gain in PCK@{threshold:g} (95 % interval)" for threshold in THRESHOLDS]
    return markdown.table(["from", "to", *columns], lines)


def compared(number: int, rows: list[Row]) -> list[tuple[Row, Row]]:
    """Return which rows are compared: those that differ in what the table is about."""
    if number in (4, 5, 8):  # each baseline with its DARK
        return list(zip(rows[::2], rows[1::2], strict=True))
    if number in (1, 2):  # each decoder with the next one
        return [(a, b) for a, b in zip(rows, rows[1:], strict=False) if a.training == b.training]
    best = next(row for row in rows if row.representation == row.decoder == "dark")
    return [(row, best) for row in rows if row is not best]


def csv_text(number: int, found: Readings, sections: Mapping[str, Columns]) -> str:
    """Return one line per row: what it is, then each figure's mean, deviation and the paper's.

    A cell is empty where there is no such figure.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["table", "network", "height", "representation", "decoder", "seeds"]
    figures = [figure for columns in sections.values() for figure in columns.values()]
    kinds = ("", " s.d.", " paper")
    writer.writerow([*head, *(figure + kind for figure in figures for kind in kinds)])
    for row, reading in found.items():
        cells: list[object] = [number, row.network, row.height, row.representation, row.decoder]
        cells.append(len(reading.runs))
        for title, columns in sections.items():
            printed = row.printed.get(title, [np.nan] * len(columns))
            for figure, paper in zip(columns.values(), printed, strict=True):
                ours = [f"{value:.3f}" for value in reading.mean_and_spread(figure)]
                cells += ["" if text == "nan" else text for text in (*ours, f"{paper}")]
        writer.writerow(cells)
    return text.getvalue()


def draw_column(path: Path, title: str, found: Readings, section: str, columns: Columns) -> None:
    """Draw a table's mean, or else its first column: mean and runs of each row, the paper's."""
    column = "Mean" if "Mean" in columns else next(iter(columns))
    drawn = Figure(figsize=(8, 1.2 + 0.32 * len(found)), layout="constrained")
    axes = drawn.subplots()
    for place, (row, reading) in enumerate(found.items()):
        values = reading.percent(columns[column])
        axes.barh(place, np.mean(values), color="#9db8d2", height=0.7)
        axes.plot(values, [place] * len(values), "o", color="#1f4e79", ms=3)
        paper = dict(zip(columns, row.printed.get(section, ()), strict=False)).get(column, np.nan)
        if not np.isnan(paper):
            axes.plot(paper, place, "D", mfc="none", color="#b5482a", label="the paper")
        right = np.nanmax([*values, paper])
        axes.text(right, place, f"  {reading.cell(columns[column])}", va="center", fontsize=8)
    axes.set_yticks(range(len(found)), [row.label for row in found], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"{section}: {column}, percent; a dot per seed")
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles[:1], labels[:1], fontsize=8)
    drawn.savefig(path, dpi=150)
