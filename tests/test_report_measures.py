# SPDX-License-Identifier: Apache-2.0
"""What a report measures beyond the figures: curves, calibration, what the representation costs."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from darkpose.codec import HEATMAP_ENCODINGS as ENCODINGS
from darkpose.decoders import decoder_names
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics import oks
from darkpose.evaluate.scores import person_scores
from darkpose.show.report import write_report
from darkpose.show.report.measures import (
    BINS,
    CURVE,
    calibration,
    calibration_error,
    curves,
    error_curve,
    measure,
)
from darkpose.show.report.representation import close_ups, gains, round_trips
from reporting import (
    cells_of,
    data_of,
    evaluated,
    maps_of,
)

DECODERS = decoder_names()

NAN = float("nan")
TENTH = 0.1  # heatmap pixels


@pytest.fixture(scope="module")
def evaluation(people: Path) -> Evaluation:
    return evaluated(people)


@pytest.fixture(scope="module")
def page(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(evaluation, path, title="A title", maps=maps_of(evaluation), count=9)
    return path.read_text()


def test_a_curve_by_hand() -> None:
    found = error_curve(np.array([0.0, 0.1, 0.1, NAN, 0.5]))
    assert [found[CURVE.index(at)] for at in (0.0, 0.095, 0.1, 0.3)] == [0.2, 0.2, 0.6, 0.6]
    assert all(np.isnan(error_curve(np.empty(0))))


def test_each_joint_has_its_own_curve(evaluation: Evaluation) -> None:
    measured = measure(evaluation)
    found = curves(measured)["dark"]
    wrist = evaluation.dataset.spec.names.index("left_wrist")
    errors = measured.errors["dark"][:, wrist]
    labeled = measured.joints[:, wrist, 2] > 0
    assert found[wrist + 1][CURVE.index(0.05)] == (errors[labeled] <= 0.05).mean()


def test_bins_by_hand() -> None:
    scores = np.array([0.0, 0.05, 0.1, 0.19, 0.95, 1.0, 1.7, -0.2, NAN])
    similarity = np.array([0.2, 0.4, 0.5, 0.7, 1.0, 0.6, 0.8, 0.0, 0.0])
    bins = calibration(scores, similarity)
    assert [one.count for one in bins] == [4, 2, 0, 0, 0, 0, 0, 0, 0, 3]
    assert bins[1].score == pytest.approx(0.145) and bins[1].oks == pytest.approx(0.6)
    assert bins[9].oks == pytest.approx(0.8) and np.isnan(bins[2].oks)
    by_hand = (4 * abs(-0.15 / 4 - 0.15) + 2 * abs(0.145 - 0.6) + 3 * abs(3.65 / 3 - 0.8)) / 9
    assert calibration_error(bins) == pytest.approx(by_hand)
    assert np.isnan(calibration_error(calibration(np.empty(0), np.empty(0))))


def test_calibration_sets_the_scores_of_ap_beside_oks(evaluation: Evaluation, page: str) -> None:
    found = evaluation.predictions("dark")
    scores = person_scores(found.scores)
    likeness = oks(
        found.points,
        found.joints,
        [record.area for record in found.records],
        evaluation.dataset.spec.oks_sigmas,
    )
    bins = data_of(page)["calibration"]["people"]
    assert sum(one["count"] for one in bins) == len(scores)
    full = max(bins, key=lambda one: one["count"])
    inside = (scores >= full["low"]) & (scores < full["high"])
    assert full["count"] == inside.sum()
    assert full["score"] == pytest.approx(scores[inside].mean())
    assert full["oks"] == pytest.approx(likeness[inside].mean())
    joints = data_of(page)["calibration"]["joints"]
    assert sum(one["count"] for one in joints) == (found.joints[..., 2] > 0).sum()
    _, *rows = cells_of(page, "People by score, dark")
    assert [int(row[1]) for row in rows] == [one["count"] for one in bins] and len(rows) == BINS


def test_what_encoding_and_decoding_alone_cost(evaluation: Evaluation) -> None:
    rows, count = round_trips(evaluation, measure(evaluation))
    assert count == len(evaluation.rows)
    assert [(row.encoding, row.decoder) for row in rows] == [
        (encoding, decoder) for encoding in ENCODINGS for decoder in DECODERS
    ]
    by_name = {(row.encoding, row.decoder): row for row in rows}
    exact, rounded = by_name["unbiased", "dark"], by_name["biased", "dark"]
    assert exact.median < 0.01 and exact.within > 0.9 and exact.oks > 0.98
    assert 0.3 < rounded.median < 0.45 and rounded.within < TENTH and rounded.oks < exact.oks
    assert by_name["unbiased", "argmax"].median > by_name["unbiased", "standard"].median


def test_gains_are_paired_differences_of_oks(evaluation: Evaluation, page: str) -> None:
    measured = measure(evaluation)
    found = gains(measured)
    assert list(found) == list(DECODERS[:-1])
    mean = (measured.oks["dark"] - measured.oks["argmax"]).mean()
    assert found["argmax"].mean == pytest.approx(mean) and mean > 0
    _, first, *_ = cells_of(page, "Gain of dark")
    assert first[:2] == ["argmax", f"{100 * mean:+.2f}"]
    assert gains(measure(first_alone(evaluation))) == {}


def first_alone(evaluation: Evaluation) -> Evaluation:
    """Return the same of its first person alone."""
    one = Evaluation(evaluation.codec, evaluation.dataset, None, evaluation.decoders)
    found = {name: evaluation.predictions(name) for name in evaluation.decoders}
    one.put(
        np.array([0]),
        np.array([True]),
        {name: values.points[:1] for name, values in found.items()},
        {name: values.scores[:1] for name, values in found.items()},
    )
    return one


def test_close_ups_go_from_the_greatest_gain_to_the_greatest_loss(
    evaluation: Evaluation, page: str
) -> None:
    measured = measure(evaluation)
    found = close_ups(evaluation, measured, maps_of(evaluation), 6)
    gain = [one.gain for one in found]
    assert len(found) == 6 and gain == sorted(gain, reverse=True) and gain[0] > 0 > gain[-1]
    for one in found:
        joint = measured.joints[one.row, one.joint, :2]
        far, near = (
            np.linalg.norm(measured.points[name][one.row, one.joint] - joint)
            for name in ("argmax", "dark")
        )
        assert (one.gain > 0) == (far > near)
        names = list(one.pictures)
        assert names == ["target, unbiased", "predicted", "modulated"]
        for png in one.pictures.values():
            pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
            assert (pixels.shape[1], pixels.shape[0]) == one.size
        assert list(one.marks) == list(DECODERS)
        # These maps are targets: argmax is a whole pixel, and dark is where the joint is.
        assert one.marks["argmax"] == pytest.approx(np.round(one.marks["argmax"]))
        np.testing.assert_allclose(one.marks["dark"], one.truth, atol=0.5)
    assert page.count('class="close-ups"') == 1 and "heatmap pixels nearer" in page
