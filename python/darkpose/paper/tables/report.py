# SPDX-License-Identifier: Apache-2.0
"""A table of the paper as Markdown, CSV and a figure, our rows beside the paper's."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from darkpose import models
from darkpose.evaluate.markdown import table
from darkpose.evaluate.metrics import bootstrap_difference
from darkpose.evaluate.metrics.pck import THRESHOLDS
from darkpose.models.complexity import complexity
from darkpose.paper.runs import Run, mean_and_spread
from darkpose.paper.tables.paper import COCO_COLUMNS, TEST_DEV, WORDS
from darkpose.paper.tables.rows import Row


@dataclass(frozen=True)
class Measured:
    """A row with the runs that measure it, one per seed."""

    row: Row
    runs: Sequence[Run]

    def cell(self, column: str) -> str:
        """Return a figure's mean over seeds in percent, and its standard deviation."""
        mean, spread = mean_and_spread(self.runs, self.row.decoder, column)
        return _printed(mean) if spread is None or np.isnan(mean) else f"{mean:.1f} ±{spread:.1f}"

    def per_person(self, threshold: float) -> dict[int, float]:
        """Return the share of a person's joints nearer than `threshold`, mean over seeds.

        By annotation; of those with labeled joints, whom detected people are not among.
        """
        found = [run.predictions[self.row.decoder] for run in self.runs]
        shares = np.mean([one.pck_per_person(threshold) for one in found], axis=0)
        labeled = np.flatnonzero(np.isfinite(shares)).tolist()
        return {found[0].records[i].annotation_id: float(shares[i]) for i in labeled}

    @property
    def label(self) -> str:
        """All that tells the row from others of its table."""
        training = self.row.training
        said = f"{training.network} {training.height}, {WORDS[training.representation]}"
        return said if self.row.decoder == "expectation" else f"{said}, {self.row.decoder}"


@dataclass(frozen=True)
class Section:
    """Some columns of a table."""

    title: str
    columns: Mapping[str, str]
    """The name of a run's figure, by what the column is called."""
    paper: Mapping[Row, Sequence[float]] = field(default_factory=dict)
    """The paper's figures in these columns, for the rows that it has."""


def markdown(measured: Sequence[Measured], section: Section) -> str:
    """Return rows as Markdown, each followed by the paper's where there is one."""
    names = ["network", "input", "representation", "decoding", "seeds"]
    rows = []
    for one in measured:
        training = one.row.training
        what = [training.network, f"{training.height}", WORDS[training.representation]]
        cells = [one.cell(figure) for figure in section.columns.values()]
        rows.append([*what, one.row.decoder, f"{len(one.runs)}", *cells])
        if one.row in section.paper:
            printed = [_printed(value) for value in section.paper[one.row]]
            rows.append(["", "", "", "*the paper*", "", *printed])
    return table([*names, *section.columns], rows)


def costs(measured: Sequence[Measured], square: bool) -> str:
    """Return, as Markdown, what each network costs, in the paper's way of counting and truly."""
    rows = []
    trained = [one.row.training for one in measured]
    for name, height in dict.fromkeys((one.network, one.height) for one in trained):
        size = (height if square else height * 3 // 4, height)
        with torch.device("meta"):
            cost = complexity(models.create(name), size)
        rows.append(
            [name, f"{size[1]}x{size[0]}", f"{cost.parameters / 1e6:.1f}M"]
            + [f"{cost.paper_gflops:.1f}", f"{cost.macs / 1e9:.2f}"]
        )
    return table(["network", "input", "params", "GFLOPs as in the paper", "true GMACs"], rows)


def gains(pairs: Sequence[tuple[Measured, Measured]]) -> str:
    """Return, as Markdown, what each pair's second row gains over its first in PCK.

    Paired over people, a person's figure being the mean over seeds; the interval is a bootstrap's
    over people, and knows nothing of how much another seed would change.
    Conventions may drop different people by their boxes: those whom both rows have are compared.
    """
    rows = []
    for before, after in pairs:
        cells = []
        for threshold in THRESHOLDS:
            d = bootstrap_difference(*_paired(after, before, threshold))
            cells.append(f"{100 * d.mean:+.2f} ({100 * d.low:+.2f} to {100 * d.high:+.2f})")
        rows.append([before.label, after.label, *cells])
    return table(["from", "to", *(f"gain in PCK@{t:g} (95 % interval)" for t in THRESHOLDS)], rows)


def _paired(
    after: Measured, before: Measured, threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = after.per_person(threshold), before.per_person(threshold)
    both = [person for person in a if person in b]
    return np.array([a[person] for person in both]), np.array([b[person] for person in both])


def pairs(number: int, measured: Sequence[Measured]) -> list[tuple[Measured, Measured]]:
    """Return which rows of a table are compared: those that differ in what the table is about."""
    if number in (4, 5, 8):  # each baseline with its DARK
        return list(zip(measured[::2], measured[1::2], strict=True))
    if number in (1, 2):  # each decoder with the next one
        steps = zip(measured, measured[1:], strict=False)
        return [(a, b) for a, b in steps if a.row.training == b.row.training]
    best = next(one for one in measured if _is_dark(one.row))
    return [(one, best) for one in measured if one is not best]


def csv_text(number: int, measured: Sequence[Measured], sections: Sequence[Section]) -> str:
    """Return one line per row: what it is, then each figure's mean, deviation and the paper's.

    A cell is empty where there is no such figure.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    figures = [figure for one in sections for figure in one.columns.values()]
    kinds = ("", " s.d.", " paper")
    head = ["table", "network", "height", "representation", "decoder", "seeds"]
    writer.writerow([*head, *(figure + kind for figure in figures for kind in kinds)])
    for one in measured:
        training = one.row.training
        what = [number, training.network, training.height, training.representation]
        cells: list[str] = []
        for section in sections:
            printed = section.paper.get(one.row, [float("nan")] * len(section.columns))
            for figure, paper in zip(section.columns.values(), printed, strict=True):
                mean, spread = mean_and_spread(one.runs, one.row.decoder, figure)
                cells += [_exact(mean), _exact(spread), "" if np.isnan(paper) else f"{paper}"]
        writer.writerow([*what, one.row.decoder, len(one.runs), *cells])
    return text.getvalue()


def figure(
    path: Path, title: str, measured: Sequence[Measured], section: Section, column: str
) -> None:
    """Draw one column of a table: mean and runs of each row, and the paper's figure."""
    drawn = Figure(figsize=(8, 1.2 + 0.32 * len(measured)), layout="constrained")
    axes = drawn.subplots()
    figure_name, place_of = section.columns[column], list(section.columns).index(column)
    for place, one in enumerate(measured):
        values = [100 * run.figures[one.row.decoder][figure_name] for run in one.runs]
        axes.barh(place, np.mean(values), color="#9db8d2", height=0.7)
        axes.plot(values, [place] * len(values), "o", color="#1f4e79", ms=3)
        paper = section.paper[one.row][place_of] if one.row in section.paper else np.nan
        if not np.isnan(paper):
            axes.plot(paper, place, "D", mfc="none", color="#b5482a", label="the paper")
        right = np.nanmax([*values, paper])
        axes.text(right, place, f"  {one.cell(figure_name)}", va="center", fontsize=8)
    axes.set_yticks(range(len(measured)), [one.label for one in measured], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"{section.title}: {column}, percent; a dot per seed")
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles[:1], labels[:1], fontsize=8)
    drawn.savefig(path, dpi=150)


def test_dev_table() -> str:
    """Return Table 7, the systems that the paper cites on COCO test-dev."""
    rows = []
    for cited in TEST_DEV:
        method = f"{cited.method}, extra data" if cited.extra_data else cited.method
        names = [method, cited.backbone, cited.input_size, cited.params, cited.gflops]
        rows.append([*names, *(_printed(value) for value in cited.figures)])
    return table(["method", "backbone", "input", "params", "GFLOPs", *COCO_COLUMNS], rows)


def _is_dark(row: Row) -> bool:
    return row.training.representation == "dark" and row.decoder == "dark"


def _exact(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.3f}"


def _printed(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1f}"
