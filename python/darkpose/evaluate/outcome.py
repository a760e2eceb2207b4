# SPDX-License-Identifier: Apache-2.0
"""What an evaluation leaves in its folder: predictions in customary formats, figures, errors."""

import json
import math
from pathlib import Path

import numpy as np

from darkpose.evaluate import markdown
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics import write_pred_mat, write_results
from darkpose.evaluate.metrics.pck import JointErrors
from darkpose.files import write_text


def write_outcome(evaluation: Evaluation, decoder: str, folder: Path) -> dict[str, float]:
    """Write what one decoder says and scores; return what it scores.

    `results.json` is COCO's format, which its test server takes as it is; MPII's is `pred.mat`,
    with NaN for people who are not scored. `figures.json` has the figures, null for the mean of
    none; `errors.md` has the errors by joint. A test set has neither, and an earlier evaluation's
    are removed.
    """
    found, figures = evaluation.predictions(decoder), evaluation.figures(decoder)
    for name in ("figures.json", "errors.md"):
        (folder / name).unlink(missing_ok=True)
    if any(record.head_size is not None for record in found.records):
        points = np.full((len(evaluation.dataset), *found.points.shape[1:]), np.nan)
        points[evaluation.rows] = found.points  # by place in MPII's list, which must not shift
        write_pred_mat(folder / "pred.mat", points)
    else:
        write_results(folder / "results.json", evaluation.results(decoder))
    if figures:
        known = {name: None if math.isnan(value) else value for name, value in figures.items()}
        write_text(folder / "figures.json", json.dumps(known, indent=2))
    if found.annotated:
        names = evaluation.dataset.spec.names
        write_text(folder / "errors.md", error_table_markdown(found.errors(names)))
    return figures


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
