# SPDX-License-Identifier: Apache-2.0
"""The tables of a report, as HTML that shows any text as text."""

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics import Difference, error_table
from darkpose.evaluate.metrics.metric import METRICS
from darkpose.evaluate.metrics.pck import THRESHOLDS
from darkpose.show.report.measures import Bin, Measured, calibration_error
from darkpose.show.report.representation import CloseUp, RoundTrip

_MARKS = {  # by decoder: an SVG shape of size 1 round (0, 0), and its color
    "argmax": ("M-.5-.5h1v1h-1z", "#ff6b6b"),
    "standard": ("M0-.55L.5.4H-.5z", "#ffb347"),
    "dark_unmodulated": ("M0-.6L.6 0 0 .6-.6 0z", "#5cc8ff"),
    "dark": ("M-.5 0a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0z", "#54e37b"),
    "annotated": ("M-.6 0H.6M0-.6V.6", "#ffffff"),
}
_PERCENT = 100
_WIDE = ' class="wide"'


def text(value: object) -> str:
    """Return anything as text of a page: what a name holds is never read as HTML."""
    # A file's name may hold bytes that are no text at all.
    return html.escape(str(value).encode("utf-8", "replace").decode())


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    sortable: bool = False,
    best: Sequence[int] = (),
) -> str:
    """Return a table of cells that are plain text; the first of each row is its name.

    The highest numbers of the columns `best` are marked.
    """
    lines = [list(row) for row in rows]
    marked = {column: max((_value(row[column]) for row in lines), default=0.0) for column in best}
    columns = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    body = []
    for row in lines:
        cells = [
            f'<td class="best">{text(cell)}</td>'
            if i in marked and len(lines) > 1 and _value(cell) == marked[i]
            else f"<td>{text(cell)}</td>"
            for i, cell in enumerate(row)
        ]
        body.append(f'<tr><th scope="row">{text(row[0])}</th>{"".join(cells[1:])}</tr>')
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}">'
        f"<table{kind}><caption>{text(caption)}</caption>"
        f"<thead><tr>{columns}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _value(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return -math.inf


def percent(share: float) -> str:
    """Return a share in percent, a dash for the mean of none."""
    return "-" if math.isnan(share) else f"{_PERCENT * share:.1f}"


def number(value: float, digits: int = 3) -> str:
    """Return a number, a dash for the mean of none."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def facts(values: Mapping[str, object]) -> str:
    """Return what is known of an evaluation as a list of names and values."""
    items = (
        f"<div{_WIDE if len(str(v)) > 32 else ''}><dt>{text(k)}</dt><dd>{text(v)}</dd></div>"
        for k, v in values.items()
    )
    return f"<dl>{''.join(items)}</dl>"


# ---- figures and errors --------------------------------------------------------------------------


def figure_tables(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return what each decoder scores by every metric that has figures of these people."""
    known = next(iter(figures.values()))
    tables = []
    for metric in METRICS.values():
        shown = percent if metric.share else partial(number, digits=4)
        for caption, names in metric.tables.items():
            if all(name in known for name in names):
                head = ["decoder", *(name.split("/")[-1] for name in names)]
                rows = [[d, *(shown(found[n]) for n in names)] for d, found in figures.items()]
                best = range(1, len(head)) if metric.share else ()
                tables.append(table(caption, head, rows, best=best))
    return "".join(tables)


def gain_table(gains: Mapping[str, Difference], last: str) -> str:
    """Return how much better the last decoder's mean OKS is, or nothing of a single decoder."""
    if not gains:
        return ""
    rows = [
        [other, f"{100 * g.mean:+.2f}", f"{100 * g.low:+.2f} to {100 * g.high:+.2f}", f"{g.p:.4f}"]
        for other, g in gains.items()
    ]
    caption = f"Gain of {last} in mean OKS over the same people, in points (paired bootstrap)"
    return table(caption, ["over", "gain", "95 % interval", "p"], rows)


def joint_table(evaluation: Evaluation, measured: Measured) -> str:
    """Return the last decoder's errors by joint, visible and occluded ones apart."""
    last = measured.decoders[-1]
    names = evaluation.dataset.spec.names
    errors = error_table(measured.points[last], measured.joints, measured.boxes, names)
    head = ["joint", "label", "labeled", "median", "mean", *(f"PCK@{t:g}" for t in THRESHOLDS)]
    rows = [
        [
            row.name.replace("_", " "),
            row.visibility,
            f"{row.count}",
            number(row.median),
            number(row.mean),
            *(percent(share) for share in row.pck.values()),
        ]
        for row in errors
        if row.count
    ]
    caption = f"By {last}: errors in shares of the box's longer side, PCK in percent"
    return table(caption, head, rows, sortable=True)


# ---- calibration ---------------------------------------------------------------------------------


def calibration_section(people: Sequence[Bin], joints: Sequence[Bin], decoder: str) -> str:
    """Return the places of both charts and their tables."""
    parts = []
    for bins, id_, caption, what in (
        (people, "people-calibration", "People", "mean OKS"),
        (joints, "joint-calibration", "Labeled joints", "mean similarity"),
    ):
        rows = [
            [f"{b.low:.1f} to {b.high:.1f}", f"{b.count}", number(b.score), number(b.oks)]
            for b in bins
        ]
        error = number(calibration_error(bins))
        shown = table(
            f"{caption} by score, {decoder}: off by {error} on average",
            ["score", "count", "mean score", what],
            rows,
        )
        parts.append(
            f'<figure><figcaption>{caption}: {what} by score</figcaption><div id="{id_}"></div>'
            f"{shown}</figure>"
        )
    return (
        "<p>Does a score say how good a person, or a joint, is? On the dashed line it does. Disks "
        "are as large as there are many; bars count them. A joint's similarity is its share in "
        f'OKS.</p><div class="charts">{"".join(parts)}</div>'
    )


# ---- encode and decode ---------------------------------------------------------------------------


def round_trip_table(
    rows: Sequence[RoundTrip], people: int, encoding: str, found: Mapping[str, float]
) -> str:
    """Return what the representation alone costs, beside what the network reaches."""
    head = [
        "encoding, decoder",
        "mean OKS",
        "median error",
        "within 0.1",
        "this network's mean OKS",
    ]
    cells = [
        [
            f"{row.encoding}, {row.decoder}",
            number(row.oks, 4),
            number(row.median),
            percent(row.within),
            number(found[row.decoder], 4)
            if row.encoding == encoding and row.decoder in found
            else "-",
        ]
        for row in rows
    ]
    caption = (
        f"{people} people's annotated joints encoded and decoded, with no network between; errors "
        "in heatmap pixels, joints within 0.1 of one in percent"
    )
    return table(caption, head, cells)


def close_up_figures(found: Sequence[CloseUp], names: Sequence[str], who: Sequence[str]) -> str:
    """Return each close-up as a picture of its three maps with the decoders' marks."""
    if not found:
        return ""
    keys = [key for key in _MARKS if key == "annotated" or key in found[0].marks]
    legend = "".join(
        f'<span class="key"><svg viewBox="-1 -1 2 2" aria-hidden="true">'
        f'<rect x="-1" y="-1" width="2" height="2" fill="#30435c"/>{_mark(key, 0, 0, 1.3)}</svg>'
        f"{text(key.replace('_', ' '))}</span>"
        for key in keys
    )
    figures = "".join(
        _close_up(one, names[one.joint], name) for one, name in zip(found, who, strict=True)
    )
    return (
        "<h3>Close up</h3><p>From the joint that the last decoder helps most to the one that it "
        "harms most, among those whose highest value is near the joint: what the network was to "
        "say, what it says, and that modulated, a heatmap pixel for a square. The marks are where "
        f'each decoder finds the joint.</p><p>{legend}</p><div class="close-ups">{figures}</div>'
    )


def _close_up(one: CloseUp, joint: str, person: str) -> str:
    width, height = one.size
    gap, label = 0.06 * width, 0.12 * width
    parts = []
    for i, (name, png) in enumerate(one.pictures.items()):
        left = i * (width + gap)
        uri = "data:image/png;base64," + base64.b64encode(png).decode()
        marks = {**one.marks, "annotated": one.truth}
        inside = {k: p for k, p in marks.items() if -0.5 <= p[0] < width and -0.5 <= p[1] < height}
        parts.append(
            f'<text class="label" x="{left:.2f}" y="{0.75 * label:.2f}" '
            f'font-size="{0.075 * width:.2f}">{text(name)}</text>'
            f'<image href="{uri}" x="{left:.2f}" y="{label:.2f}" '
            f'width="{width}" height="{height}"/>'
            + "".join(
                _mark(key, left + x + 0.5, label + y + 0.5, 0.9)
                for key, (x, y) in inside.items()
                if key in _MARKS
            )
        )
    joint = joint.replace("_", " ")
    caption = f"{joint}, {person}: {one.gain:+.2f} heatmap pixels nearer"
    box = f"0 0 {3 * width + 2 * gap:.2f} {height + label:.2f}"
    return (
        f'<figure><svg viewBox="{box}" role="img" aria-label="{text(caption)}">{"".join(parts)}'
        f"</svg><figcaption>{text(caption)}</figcaption></figure>"
    )


def _mark(key: str, x: float, y: float, size: float) -> str:
    path, color = _MARKS[key]
    return (
        f'<path d="{path}" transform="translate({x:.3f} {y:.3f}) scale({size})" fill="none" '
        f'stroke="{color}" stroke-width="2" vector-effect="non-scaling-stroke"/>'
    )
