# SPDX-License-Identifier: Apache-2.0
"""A report's numbers: figures by decoder, errors by joint, curves, and what scores are worth."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from darkpose.decoders import AMBIGUOUS
from darkpose.evaluate.metrics import (
    Difference,
    bootstrap_difference,
    by_ambiguity,
    error_table,
)
from darkpose.evaluate.metrics.ambiguity import WRONG
from darkpose.evaluate.metrics.metric import METRICS
from darkpose.evaluate.metrics.pck import THRESHOLDS
from darkpose.show.report.markup import number, percent, table
from darkpose.show.report.matching import SAME_PERSON, Matched

CURVE = tuple(step / 200 for step in range(61))
"""Errors, in shares of the box's longer side, at which curves are drawn."""
BINS = 10
"""Of scores from 0 to 1, for calibration."""


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


def gains(matched: Matched) -> dict[str, Difference]:
    """Return by how much the last decoder's mean OKS is above each other's, over the same people.

    People without a labeled joint do not count; of a single person nothing is said.
    """
    known = matched.known
    if known.sum() < 2:
        return {}
    *others, _ = matched.by_decoder
    best = matched.shown.oks[known]
    return {
        other: bootstrap_difference(best, matched.by_decoder[other].oks[known]) for other in others
    }


def gain_table(matched: Matched) -> str:
    """Return `gains` as a table, nothing of a single decoder."""
    rows = [
        [other, f"{100 * g.mean:+.2f}", f"{100 * g.low:+.2f} to {100 * g.high:+.2f}", f"{g.p:.4f}"]
        for other, g in gains(matched).items()
    ]
    caption = (
        f"Gain of {matched.decoder} in mean OKS over the same people, in points (paired bootstrap)"
    )
    return table(caption, ["over", "gain", "95 % interval", "p"], rows) if rows else ""


def joint_table(matched: Matched) -> str:
    """Return the last decoder's errors by joint, visible and occluded ones apart, and before them
    how detected people were matched."""
    shown = matched.shown
    errors = error_table(shown.points, shown.joints, shown.boxes, shown.subjects.spec.names)
    head = ["joint", "label", "labeled", "median", "mean", *(f"PCK@{t:g}" for t in THRESHOLDS)]
    rows = [
        [
            row.name.replace("_", " "),
            row.visibility,
            f"{row.count}",
            number(row.median),
            number(row.mean),
            *map(percent, row.pck.values()),
        ]
        for row in errors
        if row.count
    ]
    caption = f"By {matched.decoder}: errors in shares of the box's longer side, PCK in percent"
    return _note(matched) + table(caption, head, rows, sortable=True)


def _note(matched: Matched) -> str:
    if not matched.detected:
        return ""
    nobody = int((~matched.known).sum())
    return (
        '<p class="note">The boxes are a detector\'s. Each is compared with the annotated person '
        f"whose box it overlaps most, by {SAME_PERSON:g} at least, the surest first. "
        f"Boxes of nobody annotated, whose OKS is 0: {nobody}; annotated people without a box: "
        f"{matched.missed}. Boxes left out, of crowds and of people without labeled joints: "
        f"{matched.ignored}.</p>"
    )


def ambiguity_table(matched: Matched) -> str:
    """Return how often joints are wrong whose map has a high second peak, and how often others;
    nothing where no network's map is known."""
    shown = matched.shown
    if shown.ambiguity is None or not np.isfinite(shown.ambiguity).any():
        return ""
    doubt = by_ambiguity(np.where(shown.labeled, shown.similarity, np.nan), shown.ambiguity)
    kinds = {f"over {AMBIGUOUS:g} of the first": doubt.ambiguous, "lower, or none": doubt.others}
    rows = [
        [name, f"{kind.count}", percent(kind.wrong), number(kind.similarity)]
        for name, kind in kinds.items()
    ]
    caption = f"Labeled joints by the height of their heatmap's second peak, {matched.decoder}"
    head = ["second peak", "count", f"similarity under {WRONG:g}, %", "mean similarity"]
    gap = doubt.difference
    note = ""
    if gap is not None:
        note = (
            f'<p class="note">Difference in wrong ones: {100 * gap.mean:+.1f} points, 95 % '
            f"interval {100 * gap.low:+.1f} to {100 * gap.high:+.1f} (bootstrap over people).</p>"
        )
    return table(caption, head, rows) + note


def error_curve(errors: NDArray[np.float64]) -> list[float]:
    """Return the share of errors of at most each value of `CURVE`, to five digits.

    Args:
        errors: of labeled joints, any shape; NaN is a prediction that is none, a miss.
    """
    ordered = np.sort(errors, axis=None)  # NaN comes last
    if not ordered.size:
        return [float("nan")] * len(CURVE)
    shares = np.searchsorted(ordered, CURVE, side="right") / ordered.size
    return [round(share, 5) for share in shares.tolist()]  # most of a page without people


def curves(matched: Matched) -> dict[str, list[list[float]]]:
    """Return for each decoder `error_curve` of all joints, then of each of the K joints."""
    labeled = matched.shown.labeled
    return {
        decoder: [
            error_curve(found.errors[labeled]),
            *(error_curve(found.errors[labeled[:, k], k]) for k in range(labeled.shape[1])),
        ]
        for decoder, found in matched.by_decoder.items()
    }


def calibration(scores: NDArray[np.float64], oks: NDArray[np.float64]) -> list[dict[str, float]]:
    """Return mean score and mean OKS of whoever has a score from `low` to `high`, in `BINS` bins.

    Scores outside of 0 to 1 are in the outer ones; means of nobody are NaN.

    Args:
        scores, oks: of people, or of joints; equally many.
    """
    scores = np.nan_to_num(scores)
    index = np.clip(np.floor(scores * BINS), 0, BINS - 1)
    bins = []
    for i in range(BINS):
        inside = index == i
        score, mean = (float(a[inside].mean()) if inside.any() else np.nan for a in (scores, oks))
        one = {"low": i / BINS, "high": (i + 1) / BINS, "count": int(inside.sum())}
        bins.append({**one, "score": score, "oks": mean})
    return bins


def calibrations(matched: Matched) -> dict[str, list[dict[str, float]]]:
    """Return `calibration` of people and of labeled joints, by the last decoder."""
    shown, labeled = matched.shown, matched.shown.labeled
    people = matched.known | matched.detected  # a detection of nobody is wrong, not unknown
    return {
        "people": calibration(shown.ranks[people], shown.oks[people]),
        "joints": calibration(shown.scores[labeled], shown.similarity[labeled]),
    }


def calibration_error(bins: Sequence[Mapping[str, float]]) -> float:
    """Return the mean distance of score and OKS over bins, each counting as its people do."""
    total = sum(one["count"] for one in bins)
    distances = (one["count"] * abs(one["score"] - one["oks"]) for one in bins if one["count"])
    return sum(distances) / total if total else float("nan")


def calibration_table(bins: Sequence[Mapping[str, float]], whose: str, what: str) -> str:
    """Return bins with the caption `whose` and the column of means `what`."""
    rows = [
        [
            f"{b['low']:.1f} to {b['high']:.1f}",
            f"{b['count']}",
            *map(number, (b["score"], b["oks"])),
        ]
        for b in bins
    ]
    caption = f"{whose}: off by {number(calibration_error(bins))} on average"
    return table(caption, ["score", "count", "mean score", what], rows)
