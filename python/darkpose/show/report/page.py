# SPDX-License-Identifier: Apache-2.0
"""The report's page: its parts put together into one file that asks nothing of any network."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from darkpose.codec import HeatmapCodec
from darkpose.data.drawing import skeleton_colors
from darkpose.data.sides import listed
from darkpose.data.spec import ASSUMED_SIGMA
from darkpose.evaluate.evaluation import Evaluation
from darkpose.files import replacing
from darkpose.show.report.figures import (
    CURVE,
    ambiguity_table,
    calibration_table,
    calibrations,
    curves,
    figure_tables,
    gain_table,
    joint_table,
)
from darkpose.show.report.markup import facts as fact_list
from darkpose.show.report.markup import text
from darkpose.show.report.matching import Matched, match
from darkpose.show.report.people import check_count, people
from darkpose.show.report.representation import (
    Maps,
    close_up_figures,
    close_ups,
    round_trip_table,
)

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
    matched = match(evaluation)
    codec, spec = evaluation.codec, matched.shown.subjects.spec
    figures = {decoder: evaluation.figures(decoder) for decoder in matched.by_decoder}
    bins, colors = calibrations(matched), skeleton_colors(spec)
    data = {
        "names": spec.names,
        "limbs": spec.skeleton,
        "jointColors": colors.joints,
        "limbColors": colors.limbs,
        "decoders": list(matched.by_decoder),
        "figures": figures,
        "curve": {"at": CURVE, "values": curves(matched)},
        "calibration": bins,
        "people": people(matched, count),
    }
    style = (_PARTS / "page.css").read_text(encoding="utf-8")
    script = "\n".join((_PARTS / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    content = {
        "policy": _policy(style, script),
        "title": text(title),
        "facts": fact_list({**(facts or {}), **_facts(codec, matched)}),
        "figures": figure_tables(figures) + gain_table(matched),
        "joints": joint_table(matched),
        "people_bins": calibration_table(
            bins["people"], f"People by score, {matched.decoder}", "mean OKS"
        ),
        "joint_bins": calibration_table(
            bins["joints"], f"Labeled joints by score, {matched.decoder}", "mean similarity"
        ),
        "ambiguity": ambiguity_table(matched),
        "representation": _representation(codec, matched, maps),
        "footer": "Written by darkpose.",
        "data": _json(data),
        "style": style,
        "script": script,
    }
    template = Template((_PARTS / "page.html").read_text(encoding="utf-8"))
    with replacing(path) as file:
        file.write(template.substitute(content).encode())


def _policy(style: str, script: str) -> str:
    """Return what a browser may do with the page: run this script, and load nothing at all."""
    digests = (hashlib.sha256(one.encode()).digest() for one in (style, script))
    styles, scripts = (f"'sha256-{base64.b64encode(one).decode()}'" for one in digests)
    return (
        f"default-src 'none'; img-src data:; style-src {styles}; "
        f"script-src {scripts}; base-uri 'none'; form-action 'none'"
    )


def _facts(codec: HeatmapCodec, matched: Matched) -> dict[str, object]:
    width, height = codec.input_size
    map_width, map_height = codec.heatmap_size or (0, 0)
    records = matched.shown.records
    assumed = matched.shown.subjects.spec.assumed_names
    sigmas = {"OKS sigmas": f"{ASSUMED_SIGMA:g} assumed for {listed(assumed)}"} if assumed else {}
    return {
        "people": f"{len(records)} in {len({one.image_path for one in records})} images",
        "boxes": "detected" if matched.detected else "annotated",
        "input": f"{width} x {height}, heatmaps {map_width} x {map_height}",
        "encoding": f"{codec.encoding}, sigma {codec.sigma:g}",
        "convention": codec.convention.value,
        **sigmas,
    }


def _representation(codec: HeatmapCodec, matched: Matched, maps: Maps | None) -> str:
    if codec.regresses:
        return "<p>This network regresses coordinates: it has no heatmaps to encode or decode.</p>"
    found = close_ups(codec, matched, maps) if maps is not None else []
    return round_trip_table(codec, matched) + close_up_figures(found, matched)


def _json(value: Any) -> str:
    """Return JSON that ends no script element, whatever its strings hold."""
    content = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        content = content.replace(character, f"\\u{ord(character):04x}")
    return content


def _finite(value: Any) -> Any:
    """Replace NaN and infinity by null, which JSON has."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
