# SPDX-License-Identifier: Apache-2.0
"""The report's page: its parts put together into one file that asks nothing of any network."""

import base64
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from darkpose.data.drawing import skeleton_colors
from darkpose.evaluate.evaluation import Evaluation
from darkpose.files import replacing
from darkpose.show.report import tables
from darkpose.show.report.measures import (
    CURVE,
    SAME_PERSON,
    Bin,
    Measured,
    calibration,
    curves,
    measure,
)
from darkpose.show.report.people import check_count, people
from darkpose.show.report.representation import Maps, close_ups, gains, round_trips

_PARTS = Path(__file__).parent
_SCRIPTS = ("charts.js", "people.js")


def write_report(
    evaluation: Evaluation,
    path: str | Path,
    *,
    title: str = "Evaluation",
    facts: Mapping[str, object] | None = None,
    maps: Maps | None = None,
    count: int = 40,
) -> None:
    """Write an evaluation as one HTML file: tables, curves, calibration, people, all inside.

    Args:
        evaluation: with the figures; the last of its decoders is the one that most is shown of.
        path: of the file.
        title: of the page.
        facts: shown above all else, such as the checkpoint's name.
        maps: returns the maps [K, h, w] of the person at a position of the data set's records, for
            the close-ups of single joints; without it there are none.
        count: of people shown as pictures, at most `people.MAX_PEOPLE`: half of them the worst.

    Raises:
        ValueError: nobody is scored, nobody is annotated, or there are to be too many pictures; an
            image can no longer be read.
    """
    check_count(count)
    measured = measure(evaluation)
    last = measured.decoders[-1]
    style = (_PARTS / "page.css").read_text(encoding="utf-8")
    script = "\n".join((_PARTS / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    counted = measured.known | measured.detected  # a detection of nobody is wrong, not unknown
    bins = {
        "people": calibration(measured.scores[last][counted], measured.oks[last][counted]),
        "joints": calibration(
            measured.joint_scores[last][measured.labeled],
            measured.similarity[last][measured.labeled],
        ),
    }
    figures = {decoder: evaluation.figures(decoder) for decoder in measured.decoders}
    content = {
        "policy": _policy(style, script),
        "title": tables.text(title),
        "facts": tables.facts({**(facts or {}), **_facts(evaluation, measured)}),
        "figures": tables.figure_tables(figures) + tables.gain_table(gains(measured), last),
        "joints": _note(measured) + tables.joint_table(evaluation, measured),
        "calibration": tables.calibration_section(bins["people"], bins["joints"], last),
        "representation": _representation(evaluation, measured, maps),
        "footer": "Written by darkpose.",
        "data": _json(_data(evaluation, measured, figures, bins, count)),
        "style": style,
        "script": script,
    }
    template = Template((_PARTS / "page.html").read_text(encoding="utf-8"))
    with replacing(path) as file:
        file.write(template.substitute(content).encode())


def _policy(style: str, script: str) -> str:
    """Return what a browser may do with the page: run this script, and load nothing at all."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _facts(evaluation: Evaluation, measured: Measured) -> dict[str, object]:
    codec = evaluation.codec
    width, height = codec.input_size
    map_width, map_height = codec.heatmap_size or (0, 0)
    images = len({record.image_path for record in measured.records})
    return {
        "people": f"{len(measured.records)} in {images} images",
        "boxes": "detected" if measured.detected else "annotated",
        "input": f"{width} x {height}, heatmaps {map_width} x {map_height}",
        "encoding": f"{codec.encoding}, sigma {codec.sigma:g}",
        "convention": codec.convention.value,
    }


def _note(measured: Measured) -> str:
    if not measured.detected:
        return ""
    nobody = int((~measured.known).sum())
    return (
        '<p class="note">The boxes are a detector\'s. Each is compared with the annotated person '
        f"whose box it overlaps most, by {SAME_PERSON:g} at least, the surest first. "
        f"Boxes of nobody annotated, whose OKS is 0: {nobody}; annotated people without a box: "
        f"{measured.missed}. Boxes left out, of crowds and of people without labeled joints: "
        f"{measured.ignored}.</p>"
    )


def _representation(evaluation: Evaluation, measured: Measured, maps: Maps | None) -> str:
    codec = evaluation.codec
    if codec.regresses:
        return "<p>This network regresses coordinates: it has no heatmaps to encode or decode.</p>"
    rows, count = round_trips(evaluation, measured)
    reached = {d: float(measured.oks[d][measured.known].mean()) for d in measured.decoders}
    found = close_ups(evaluation, measured, maps) if maps is not None else []
    who = [
        f"{record.image_path.name}, {record.name}"
        for record in (measured.records[one.row] for one in found)
    ]
    names = evaluation.dataset.spec.names
    return tables.round_trip_table(rows, count, codec.encoding, reached) + tables.close_up_figures(
        found, names, who
    )


# ---- what the scripts read -----------------------------------------------------------------------


def _data(
    evaluation: Evaluation,
    measured: Measured,
    figures: Mapping[str, Mapping[str, float]],
    bins: Mapping[str, list[Bin]],
    count: int,
) -> dict[str, Any]:
    spec = evaluation.dataset.spec
    colors = skeleton_colors(spec)
    return {
        "names": spec.names,
        "limbs": spec.skeleton,
        "jointColors": colors.joints,
        "limbColors": colors.limbs,
        "decoders": measured.decoders,
        "figures": figures,
        "curve": {"at": CURVE, "values": _rounded_curves(measured)},
        "calibration": {
            name: [dataclasses.asdict(one) for one in found] for name, found in bins.items()
        },
        "people": people(evaluation, measured, count),
    }


def _rounded_curves(measured: Measured) -> dict[str, list[list[float]]]:
    """Return `curves` with the digits that can be seen: they are most of a page without people."""
    return {
        decoder: [[round(share, 5) for share in curve] for curve in found]
        for decoder, found in curves(measured).items()
    }


def _json(value: Any) -> str:
    """Return JSON that ends no script element, whatever its strings hold."""
    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _finite(value: Any) -> Any:
    """Replace NaN and infinity by null, which JSON has."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
