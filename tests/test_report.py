# SPDX-License-Identifier: Apache-2.0
"""A report says what the evaluation says, of any kind of people, and trusts no text."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from darkpose.cli.main import main
from darkpose.cli.report import ReportCommand, network_maps
from darkpose.codec import HeatmapCodec
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics.pck import THRESHOLDS, error_table
from darkpose.show.report.figures import CURVE
from darkpose.show.report.people import MAX_PEOPLE
from predicting import save, untrained
from reporting import (
    CODEC,
    DECODERS,
    cells_of,
    data_of,
    evaluated,
    evaluated_mpii,
    hostile_page,
    maps_of,
    page_of,
    say,
)

NAN = float("nan")
SHOWN = 5e-6  # of shares that a page's curves hold with five digits


# ---- the same figures ----------------------------------------------------------------------------


def test_the_tables_are_the_evaluations_figures(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    page = page_of(evaluation, tmp_path)
    found = {name: evaluation.figures(name) for name in DECODERS}
    for caption in ("OKS, as COCO", "Labeled joints within a share"):
        head, *rows = cells_of(page, caption)
        assert [row[0] for row in rows] == list(DECODERS)
        for row in rows:
            values = [found[row[0]][name] for name in head[1:]]
            assert row[1:] == ["-" if np.isnan(v) else f"{100 * v:.1f}" for v in values]
    assert 0.1 < found["dark"]["AP"] < 0.95
    _, *rows = cells_of(page, "Mean error in roots")
    assert rows == [[name, f"{found[name]['NME']:.4f}"] for name in DECODERS]
    without_nan = {
        decoder: {name: None if np.isnan(value) else value for name, value in figures.items()}
        for decoder, figures in found.items()
    }
    assert data_of(page)["figures"] == without_nan
    marked = re.findall(r'<td class="best">([\d.]+)</td>', page)
    assert f"{100 * max(one['PCK@0.05'] for one in found.values()):.1f}" in marked


def test_errors_by_joint_are_those_of_the_evaluation(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    _, *rows = cells_of(page_of(evaluation, tmp_path), "By dark: errors")
    found, names = evaluation.predictions("dark"), evaluation.dataset.spec.names
    expected = [
        [
            one.name.replace("_", " "),
            one.visibility,
            f"{one.count}",
            f"{one.median:.3f}",
            f"{one.mean:.3f}",
            *(f"{100 * share:.1f}" for share in one.pck.values()),
        ]
        for one in error_table(found.points, found.joints, found.boxes, names)
        if one.count
    ]
    assert rows == expected and len(rows) > 17


def test_curves_go_through_the_evaluations_pck(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    curve = data_of(page_of(evaluation, tmp_path))["curve"]
    assert curve["at"] == list(CURVE) and set(THRESHOLDS) <= set(CURVE)
    for name in DECODERS:
        together, *joints = curve["values"][name]
        assert len(joints) == 17 and together == sorted(together)
        for threshold in THRESHOLDS:
            share = evaluation.figures(name)[f"PCK@{threshold:g}"]
            assert together[CURVE.index(threshold)] == pytest.approx(share, abs=SHOWN)


def test_the_size_of_a_page_is_bounded(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    for count in (0, 3):
        page = page_of(evaluation, tmp_path, count=count)
        shown = data_of(page)["people"]
        assert len(shown) == page.count("data:image/jpeg") == count
    assert all(max(one["size"]) <= 384 for one in shown)
    for count in (-1, MAX_PEOPLE + 1):
        with pytest.raises(ValueError, match=f"people must be from 0 to {MAX_PEOPLE}, got {count}"):
            page_of(evaluation, tmp_path, count=count)


# ---- other kinds of people -----------------------------------------------------------------------


def test_regression_has_nothing_to_encode(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people, ("expectation",), HeatmapCodec((96, 128), encoding="dsnt"))
    page = page_of(evaluation, tmp_path, maps=maps_of(evaluated(people)))
    assert "regresses coordinates" in page and "Close up" not in page
    assert data_of(page)["decoders"] == ["expectation"]


def test_mpii_has_pckh(tmp_path: Path) -> None:
    page = page_of(evaluated_mpii(tmp_path), tmp_path)
    head, row = cells_of(page, "PCKh@0.5, in percent")
    assert head[:3] == ["decoder", "PCKh@0.5", "Head"] and row[:2] == ["dark", "100.0"]
    assert cells_of(page, "PCKh@0.1, in percent")[1][1] == "0.0"


def test_a_diverged_network_and_unlabeled_people_have_a_report_too(
    people: Path, tmp_path: Path
) -> None:
    evaluation = evaluated(people)
    records = evaluation.dataset.records
    records[0] = replace(records[0], joints=np.zeros_like(records[0].joints))
    shape = (len(records), 17)
    nothing = {name: np.full((*shape, 2), NAN) for name in DECODERS}
    say(evaluation, nothing, {name: np.full(shape, NAN) for name in DECODERS})
    data = data_of(page_of(evaluation, tmp_path, maps=maps_of(evaluation)))
    assert len(data["people"]) == min(40, len(records) - 1)  # the unlabeled one is neither
    assert data["people"][0]["points"]["dark"][0] == [None, None]
    assert data["calibration"]["people"][0]["count"] == len(records) - 1
    assert data["people"][0]["oks"]["dark"] == 0


def test_nobody_to_compare_with_is_said(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    empty = Evaluation(CODEC, evaluation.dataset, None, ["dark"])
    with pytest.raises(ValueError, match="no person's image has been read"):
        page_of(empty, tmp_path)
    records = evaluation.dataset.records
    records[:] = [replace(one, joints=np.zeros_like(one.joints)) for one in records]
    evaluation.annotations = None
    with pytest.raises(ValueError, match="needs annotated people to compare with, got none"):
        page_of(evaluation, tmp_path)
    assert not list(tmp_path.iterdir())


# ---- the page itself -----------------------------------------------------------------------------


def test_a_page_asks_nothing_of_any_network(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    page = page_of(evaluation, tmp_path, maps=maps_of(evaluation))
    addresses = re.findall(r"[a-z]+://[^\s\"'<>)]*", re.sub(r"data:image/[^\"]*", "", page))
    assert set(addresses) == {"http://www.w3.org/2000/svg"}  # a name, which nobody fetches
    sources = re.findall(r"\b(?:src|href|action)=\"([^\"]*)\"", page)
    assert sources and all(one.startswith(("#", "data:image/")) for one in sources)
    assert "@import" not in page and "url(" not in page
    # And the policy allows this script and style alone.
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy


def test_no_text_is_read_as_html(people: Path, tmp_path: Path) -> None:
    """Names of images and joints, the title and facts come from files that others wrote."""
    page, hostile = hostile_page(people, tmp_path)
    assert hostile not in page and "<img" not in page
    assert "<script>alert" not in page.lower() and "</script>" in page
    assert page.count("<script") == 2
    data = data_of(page)
    assert hostile in data["names"] and all(hostile in one["name"] for one in data["people"])


def test_a_name_that_is_no_text_does_no_harm(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    record = evaluation.dataset.records[0]
    path = tmp_path / "caf\udce9.jpg"  # as Python reads a byte that is no UTF-8
    path.write_bytes(record.image_path.read_bytes())
    evaluation.dataset.records[0] = replace(record, image_path=path)
    page = page_of(evaluation, tmp_path, title=str(path), maps=maps_of(evaluation))
    assert path.name in {one["name"] for one in data_of(page)["people"]}


def test_equal_evaluations_have_equal_pages(people: Path, tmp_path: Path) -> None:
    assert page_of(evaluated(people), tmp_path) == page_of(evaluated(people), tmp_path)


# ---- the command ---------------------------------------------------------------------------------


def test_the_command_reports_what_validate_measures(
    people: Path, config: Path, tmp_path: Path
) -> None:
    spec = evaluated(people).dataset.spec
    checkpoint = save(untrained(spec), tmp_path / "a.ckpt")
    options = ["--config", str(config), "--ckpt_path", str(checkpoint)]
    main(["validate", *options, "--out", str(tmp_path / "validate")])
    figures = json.loads((tmp_path / "validate" / "figures.json").read_text())

    command = ReportCommand()
    out = ["--out", str(tmp_path / "report"), "--people", "6", "--title", "Mine"]
    out += ["--model.decoders", "[dark]"]  # as a run may have logged
    command.run(command.parser.parse_args([*options, *out]))
    page = (tmp_path / "report" / "report.html").read_text()
    data = data_of(page)
    assert data["figures"]["dark"] == figures and data["decoders"] == list(DECODERS)
    assert len(data["people"]) == 6
    assert "<title>Mine</title>" in page and str(checkpoint) in page and "Close up" in page
    with pytest.raises(ValueError, match="needs --ckpt_path"):
        command.run(command.parser.parse_args([*options[:2], *out]))


def test_too_many_people_are_refused_before_anything_is_evaluated(config: Path) -> None:
    command = ReportCommand()
    options = ["--config", str(config), "--ckpt_path", "none.ckpt", "--people", str(MAX_PEOPLE + 1)]
    with pytest.raises(ValueError, match=f"people must be from 0 to {MAX_PEOPLE}, got"):
        command.run(command.parser.parse_args(options))


def test_the_maps_of_a_checkpoint_are_what_it_decodes(people: Path) -> None:
    evaluation = evaluated(people, codec=HeatmapCodec((64, 64)))
    model = untrained(evaluation.dataset.spec)
    maps = network_maps(model, True, evaluation.dataset)(3)
    sample = evaluation.dataset[3]
    with torch.inference_mode():
        heatmaps, flipped = model.heatmaps(sample["image"][None], flip_test=True)
        expected, _ = model.codec.decode(heatmaps, flipped=flipped)
    torch.testing.assert_close(model.codec.decode(maps)[0], expected[0], atol=2e-3, rtol=0)
