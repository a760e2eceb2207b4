# SPDX-License-Identifier: Apache-2.0
"""What a report measures beyond the figures: curves, calibration, what the representation costs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from darkpose.codec import HEATMAP_ENCODINGS
from darkpose.evaluate.metrics import oks
from darkpose.evaluate.scores import person_scores
from darkpose.show.report.figures import (
    BINS,
    CURVE,
    calibration,
    calibration_error,
    curves,
    error_curve,
    gains,
)
from darkpose.show.report.matching import match
from darkpose.show.report.representation import close_ups, round_trips
from reporting import CODEC, DECODERS, cells_of, data_of, evaluated, maps_of, page_of

NAN = float("nan")
SHOWN = 5e-6  # of shares that a page's curves hold with five digits
TENTH = 0.1  # heatmap pixels


def test_a_curve_by_hand() -> None:
    found = error_curve(np.array([0.0, 0.1, 0.1, NAN, 0.5]))
    assert [found[CURVE.index(at)] for at in (0.0, 0.095, 0.1, 0.3)] == [0.2, 0.2, 0.6, 0.6]
    assert all(np.isnan(error_curve(np.empty(0))))


def test_each_joint_has_its_own_curve(people: Path) -> None:
    matched = match(evaluated(people))
    wrist = matched.shown.subjects.spec.names.index("left_wrist")
    errors = matched.shown.errors[matched.shown.labeled[:, wrist], wrist]
    share = curves(matched)["dark"][wrist + 1][CURVE.index(0.05)]
    assert share == pytest.approx((errors <= 0.05).mean(), abs=SHOWN)


def test_bins_by_hand() -> None:
    scores = np.array([0.0, 0.05, 0.1, 0.19, 0.95, 1.0, 1.7, -0.2, NAN])
    similarity = np.array([0.2, 0.4, 0.5, 0.7, 1.0, 0.6, 0.8, 0.0, 0.0])
    bins = calibration(scores, similarity)
    assert [one["count"] for one in bins] == [4, 2, 0, 0, 0, 0, 0, 0, 0, 3]
    assert bins[1]["score"] == pytest.approx(0.145) and bins[1]["oks"] == pytest.approx(0.6)
    assert bins[9]["oks"] == pytest.approx(0.8) and np.isnan(bins[2]["oks"])
    by_hand = (4 * abs(-0.15 / 4 - 0.15) + 2 * abs(0.145 - 0.6) + 3 * abs(3.65 / 3 - 0.8)) / 9
    assert calibration_error(bins) == pytest.approx(by_hand)
    assert np.isnan(calibration_error(calibration(np.empty(0), np.empty(0))))


def test_calibration_sets_the_scores_of_ap_beside_oks(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    page, found = page_of(evaluation, tmp_path), evaluation.predictions("dark")
    scores = person_scores(found.scores)
    likeness = oks(found.points, found.joints, found.areas, evaluation.dataset.spec.oks_sigmas)
    bins = data_of(page)["calibration"]["people"]
    assert sum(one["count"] for one in bins) == len(scores)
    full = max(bins, key=lambda one: one["count"])
    inside = (scores >= full["low"]) & (scores < full["high"])
    assert full["count"] == inside.sum()
    assert full["score"] == pytest.approx(scores[inside].mean())
    assert full["oks"] == pytest.approx(likeness[inside].mean())
    joints = data_of(page)["calibration"]["joints"]
    assert sum(one["count"] for one in joints) == found.labeled.sum()
    _, *rows = cells_of(page, "People by score, dark")
    assert [int(row[1]) for row in rows] == [one["count"] for one in bins] and len(rows) == BINS


def test_what_encoding_and_decoding_alone_cost(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    rows = round_trips(CODEC, match(evaluation))
    assert list(rows) == [(encoding, name) for encoding in HEATMAP_ENCODINGS for name in DECODERS]
    likeness, median, within = rows["unbiased", "dark"]
    assert median < 0.01 and within > 0.9 and likeness > 0.98
    rounded_likeness, rounded, within = rows["biased", "dark"]
    assert 0.3 < rounded < 0.45 and within < TENTH and rounded_likeness < likeness
    assert rows["unbiased", "argmax"][1] > rows["unbiased", "standard"][1]
    page = page_of(evaluation, tmp_path)
    head, *shown = cells_of(page, f"{len(evaluation.rows)} people&#x27;s annotated joints")
    assert [row[1] for row in shown] == [f"{one[0]:.4f}" for one in rows.values()]
    reached = evaluation.predictions("dark").oks.mean()
    assert [row[-1] for row in shown][3:] == [f"{reached:.4f}", *4 * ["-"]]


def test_gains_are_paired_differences_of_oks(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    matched = match(evaluation)
    found = gains(matched)
    assert list(found) == list(DECODERS[:-1])
    mean = (matched.shown.oks - matched.by_decoder["argmax"].oks).mean()
    assert found["argmax"].mean == pytest.approx(mean) and mean > 0
    _, first, *_ = cells_of(page_of(evaluation, tmp_path), "Gain of dark")
    assert first[:2] == ["argmax", f"{100 * mean:+.2f}"]
    one = evaluated(people)
    for i, record in enumerate(one.dataset.records[1:], start=1):
        one.dataset.records[i] = replace(record, joints=np.zeros_like(record.joints))
    assert gains(match(one)) == {}  # of a single person


def test_close_ups_go_from_the_greatest_gain_to_the_greatest_loss(
    people: Path, tmp_path: Path
) -> None:
    evaluation = evaluated(people)
    matched, maps = match(evaluation), maps_of(evaluation)
    found = close_ups(CODEC, matched, maps, 6)
    gain = [one.gain for one in found]
    assert len(found) == 6 and gain == sorted(gain, reverse=True) and gain[0] > 0 > gain[-1]
    for one in found:
        far, near = (
            np.linalg.norm(said.points[one.row, one.joint] - said.joints[one.row, one.joint, :2])
            for said in (matched.by_decoder["argmax"], matched.shown)
        )
        assert (one.gain > 0) == (far > near)
        assert list(one.maps) == ["target, unbiased", "predicted", "modulated"]
        assert len({values.shape for values in one.maps.values()}) == 1
        assert list(one.marks) == [*DECODERS, "annotated"]
        # These maps are targets: argmax is a whole pixel, and dark is where the joint is.
        assert one.marks["argmax"] == pytest.approx(np.round(one.marks["argmax"]))
        np.testing.assert_allclose(one.marks["dark"], one.marks["annotated"], atol=0.5)
    page = page_of(evaluation, tmp_path, maps=maps)
    assert page.count('class="close-ups"') == 1 and "heatmap pixels nearer" in page
