# SPDX-License-Identifier: Apache-2.0
"""What an evaluation leaves in its folder: predictions in customary formats, figures, errors."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from darkpose.evaluate import markdown
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics.pck import JointErrors, error_table
from darkpose.files import replacing, write_text


def write_evaluation(evaluation: Evaluation, decoder: str, folder: Path) -> dict[str, float]:
    """Write what one decoder says and scores; return what it scores.

    `results.json` is COCO's format, which its test server takes as it is; MPII's is `pred.mat`,
    with NaN for people who are not scored. `figures.json` has the figures, null for the mean of
    none, and the names of joints whose OKS sigma was assumed, if there are any; `errors.md` has the
    errors by joint. A test set has neither, and an earlier evaluation's are removed.
    """
    found, figures = evaluation.predictions(decoder), evaluation.figures(decoder)
    for name in ("figures.json", "errors.md"):
        (folder / name).unlink(missing_ok=True)
    if np.isfinite(found.head_sizes).any():
        points = np.full((len(evaluation.dataset), *found.points.shape[1:]), np.nan)
        points[evaluation.rows] = found.points  # by place in MPII's list, which must not shift
        write_pred_mat(folder / "pred.mat", points)
    else:
        write_results(folder / "results.json", found.results())
    if figures:
        known: dict[str, Any] = {
            name: None if math.isnan(value) else value for name, value in figures.items()
        }
        if assumed := evaluation.dataset.spec.assumed_names:
            known["assumed_sigmas"] = assumed
        write_text(folder / "figures.json", json.dumps(known, indent=2))
    if found.labeled.any():
        names = evaluation.dataset.spec.names
        errors = error_table(found.points, found.joints, found.boxes, names)
        write_text(folder / "errors.md", error_table_markdown(errors))
    return figures


def write_results(path: str | Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Write people of `coco_results` to a JSON file, as COCO's test server takes them.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not have.
    """
    try:
        text = json.dumps([dict(person) for person in results], allow_nan=False)
    except ValueError as error:
        raise ValueError(f"results must be finite numbers, got an error at {error}") from error
    with replacing(path) as file:
        file.write(text.encode())


def write_pred_mat(path: str | Path, points: ArrayLike) -> None:
    """Write predictions [N, 16, 2] as the customary `pred.mat`: `preds`, with 1-based pixels.

    `points` are 0-based, as everywhere in darkpose, and in the order of MPII's list of people.

    Raises:
        ImportError: there is no scipy to write it with.
        ValueError: the shape is another.
    """
    try:
        from scipy.io import savemat
    except ImportError:
        raise ImportError(f"writing {path} needs scipy: pip install 'darkpose[train]'") from None
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 3 or points.shape[1:] != (16, 2):
        raise ValueError(f"points must be [N, 16, 2], got {list(points.shape)}")
    with replacing(path) as file:
        savemat(file, {"preds": points + 1})


def error_table_markdown(errors: list[JointErrors]) -> str:
    """Return errors by joint and visibility as Markdown; errors are shares of the box's side."""
    thresholds = list(errors[0].pck)
    head = ["joint", "visibility", "labeled", "median", "mean", *(f"PCK@{t:g}" for t in thresholds)]
    rows = []
    for row in errors:
        figures = (row.median, row.mean, *(row.pck[t] for t in thresholds))
        shown = ["-" if math.isnan(figure) else f"{figure:.3f}" for figure in figures]
        rows.append([row.name, row.visibility, f"{row.count}", *shown])
    return markdown.table(head, rows)


def figures_table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return what decoders score as a Markdown table, a column for each; empty if they score
    nothing, as on a test set.

    Args:
        figures: by decoder and by name; NaN, the mean of none, is shown as -.
    """
    names = list(next(iter(figures.values())))
    if not names:
        return ""
    head = [f"{'figure':{max(map(len, names))}}", *(f"{name:>6}" for name in figures)]
    rows = []
    for name in names:
        values = [one[name] for one in figures.values()]
        shown = ["-" if math.isnan(value) else f"{value:.4f}" for value in values]
        cells = [f"{cell:>{len(title)}}" for cell, title in zip(shown, head[1:], strict=True)]
        rows.append([f"{name:{len(head[0])}}", *cells])
    return markdown.table(head, rows)
