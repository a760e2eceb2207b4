# SPDX-License-Identifier: Apache-2.0
"""Figures: COCO's published ones, closed forms, and what each does at its edges."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from darkpose.data.annotations import PersonRecord, load_annotations
from darkpose.metrics.oks import STATS, coco_results, evaluate_oks, oks, oks_nms, person_scores
from darkpose.metrics.pck import (
    bootstrap_difference,
    error_table,
    normalized_errors,
    pck,
    pck_per_joint,
    pck_per_person,
)

PUBLISHED = 5e-4  # figures given to three decimals
EXACT = 1e-12
COCO_SIGMAS = COCOeval(iouType="keypoints").params.kpt_oks_sigmas


def people(*people_joints: list[list[int]]) -> tuple[Any, Any, Any]:
    """Return joints [N, K, 3], boxes of longer side 100 and areas of 5000."""
    joints = np.array(people_joints, dtype=float)
    boxes = np.tile([0.0, 0, 50, 100], (len(joints), 1))
    return joints, boxes, np.full(len(joints), 5000.0)


# ---- OKS and AP ---------------------------------------------------------------------------------


def test_coco_example_gives_its_ten_published_figures(data: Path) -> None:
    folder = data / "eval_refs" / "coco_fake100"
    figures = evaluate_oks(folder / "person_keypoints.json", folder / "results.json", COCO_SIGMAS)
    published = json.loads((folder / "expected.json").read_text())
    assert tuple(figures) == STATS
    np.testing.assert_allclose(list(figures.values()), list(published.values()), atol=PUBLISHED)


def test_annotated_joints_as_predictions_score_one(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = data / "coco_mini"
    json_path = root / "annotations/person_keypoints_val2017.json"
    annotations = load_annotations(json_path, root)
    joints = np.stack([person.joints for person in annotations.records])
    results = coco_results(annotations.records, joints[..., :2], joints[..., 2] > 0)
    figures = evaluate_oks(json_path, results, annotations.spec.oks_sigmas)
    # No image here has more people than the twenty that COCO looks at.
    assert all(figure == pytest.approx(1) for figure in figures.values())
    assert capsys.readouterr().out == ""


def test_other_keypoint_sets_are_evaluated(data: Path) -> None:
    root = data / "lspet"
    annotations = load_annotations(root / "lspet_val.json", root / "images")
    joints = np.stack([person.joints for person in annotations.records])
    scores = np.ones(joints.shape[:2])
    sigmas = annotations.spec.oks_sigmas
    exact = coco_results(annotations.records, joints[..., :2], scores)
    moved = coco_results(annotations.records, joints[..., :2] + 5, scores)
    assert evaluate_oks(root / "lspet_val.json", exact, sigmas)["AP"] == pytest.approx(1)
    assert 0 < evaluate_oks(root / "lspet_val.json", moved, sigmas)["AP"] < 0.9


def test_oks_is_pycocotools_similarity(data: Path) -> None:
    folder = data / "eval_refs" / "coco_fake100"
    content = json.loads((folder / "person_keypoints.json").read_text())
    results = json.loads((folder / "results.json").read_text())
    truth = COCO()
    truth.dataset = content
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
    evaluation.evaluate()
    compared = 0
    for (image, category), expected in evaluation.ious.items():
        annotated = evaluation._gts[image, category]
        found = sorted(evaluation._dts[image, category], key=lambda d: -d["score"])[:20]
        for i, prediction in enumerate(found):
            for j, annotation in enumerate(annotated):
                joints = np.reshape(annotation["keypoints"], (-1, 3))
                if not joints[:, 2].any():
                    continue
                points = np.reshape(prediction["keypoints"], (-1, 3))
                mine = oks(points, joints, annotation["area"], COCO_SIGMAS)
                assert mine == pytest.approx(expected[i][j], abs=EXACT)
                compared += 1
    assert compared > 100


def test_oks_at_one_sigma_is_a_known_number() -> None:
    joints, _, areas = people([[10, 10, 2], [20, 20, 1], [0, 0, 0]])
    distance = 2 * 0.1 * np.sqrt(areas[0])  # d^2 = area (2 sigma)^2
    pred = joints[..., :2] + [[distance, 0], [0, distance], [1e6, 0]]
    assert oks(pred, joints, areas, [0.1] * 3) == pytest.approx([np.exp(-0.5)])


def test_oks_without_labels_is_nan() -> None:
    assert np.isnan(oks([[1.0, 2]], [[0.0, 0, 0]], 100.0, [0.1]))


@given(st.floats(0, 100), st.floats(0, 100))
def test_oks_falls_with_distance(near: float, far: float) -> None:
    near, far = sorted((near, far))
    values = [oks([[d, 0.0]], [[0.0, 0, 2]], 900.0, [0.1]) for d in (near, far)]
    assert 1 >= values[0] >= values[1] >= 0


def test_person_score_is_the_mean_of_scores_above_the_threshold() -> None:
    scores = [[0.9, 0.5, 0.2, 0.1], [0.1, 0.2, 0.0, -1]]
    np.testing.assert_allclose(person_scores(scores), [0.7, 0])
    np.testing.assert_allclose(person_scores(scores, [0.5, 1]), [0.35, 0])


def test_oks_nms_keeps_the_better_of_two_alike() -> None:
    joints, _, areas = people([[0, 0, 2], [30, 30, 2]], [[1, 0, 2], [30, 31, 2]],
                              [[50, 0, 2], [80, 30, 2]])  # fmt: skip
    kept = oks_nms(joints[..., :2], [0.5, 0.8, 0.6], areas, [0.1, 0.1])
    assert kept == [1, 2]
    assert oks_nms(np.zeros((0, 2, 2)), [], [], [0.1, 0.1]) == []


def test_missing_sizes_give_nan() -> None:
    """No annotated person is of medium size: pycocotools' -1 is not a figure."""
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 200, 200],
                  "keypoints": [50, 60, 2]}  # fmt: skip
    content: dict[str, Any] = {
        "images": [{"id": 1}],
        "annotations": [annotation],
        "categories": [{"id": 1}],
    }
    result = {"image_id": 1, "category_id": 1, "keypoints": [50, 60, 1], "score": 1.0}
    figures = evaluate_oks(content, [result], [0.1])
    assert figures["AP"] == figures["AP_L"] == pytest.approx(1)
    assert np.isnan(figures["AP_M"])
    assert result.keys() == {"image_id", "category_id", "keypoints", "score"}
    annotation["id"] = 0  # which pycocotools would take for no match
    assert evaluate_oks(content, [result], [0.1]) == pytest.approx(figures, nan_ok=True)


def test_nan_is_no_match_and_no_number() -> None:
    content: dict[str, Any] = {
        "images": [{"id": 1}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [0, 0, 50, 50],
                "keypoints": [1, 2, 2],
            }
        ],
        "categories": [{"id": 1}],
    }
    record = PersonRecord(Path("x"), 1, 1, (60, 60), (0, 0, 50, 50), 9.0, np.array([[1, 2, 2]]))
    results = coco_results([record], np.full((1, 1, 2), np.nan), np.full((1, 1), np.nan))
    assert results[0]["score"] == 0 and np.isfinite(results[0]["keypoints"]).all()
    assert evaluate_oks(content, results, [0.1])["AP"] == 0


def test_bad_results_are_named(data: Path) -> None:
    folder = data / "eval_refs" / "coco_fake100"
    with pytest.raises(ValueError, match="at least one result"):
        evaluate_oks(folder / "person_keypoints.json", [], COCO_SIGMAS)
    with pytest.raises(ValueError, match="must have 14 joints, 42 numbers, got 51"):
        evaluate_oks(folder / "person_keypoints.json", folder / "results.json", [0.1] * 14)
    with pytest.raises(ValueError, match="equally many, got 0, 1, 1"):
        coco_results([], np.zeros((1, 17, 2)), np.zeros((1, 17)))


# ---- PCK ----------------------------------------------------------------------------------------


def test_errors_are_shares_of_the_longer_side() -> None:
    joints, boxes, _ = people([[10, 10, 2], [20, 20, 0]])
    errors = normalized_errors(joints[..., :2] + [3, 4], joints, boxes)
    assert errors[0, 0] == pytest.approx(0.05) and np.isnan(errors[0, 1])


def test_pck_counts_labeled_joints_up_to_and_including_the_threshold() -> None:
    joints, boxes, _ = people([[0, 0, 2], [0, 0, 1], [0, 0, 0]], [[0, 0, 2], [0, 0, 2], [0, 0, 0]])
    pred = np.zeros((2, 3, 2))
    pred[:, :, 0] = np.array([[5, 6, 0], [0, np.nan, 0]])
    assert pck(pred, joints, boxes, [0.05, 0.1]) == {"PCK@0.05": 0.5, "PCK@0.1": 0.75}
    np.testing.assert_array_equal(pck_per_joint(pred, joints, boxes, 0.05), [1, 0, np.nan])
    np.testing.assert_array_equal(pck_per_person(pred, joints, boxes, 0.1), [1, 0.5])


def test_error_table_tells_visible_from_occluded() -> None:
    joints, boxes, _ = people(
        [[0, 0, 2], [0, 0, 1]], [[0, 0, 2], [0, 0, 2]], [[0, 0, 0], [0, 0, 1]]
    )
    pred = np.zeros((3, 2, 2))
    pred[:, :, 1] = [[1, 10], [3, 4], [9, 30]]
    rows = {(r.name, r.visibility): r for r in error_table(pred, joints, boxes, ["nose", "tail"])}
    assert [rows[key].count for key in rows] == [0, 2, 2, 1, 2, 3]
    assert rows["nose", "visible"].mean == pytest.approx(0.02)
    assert rows["tail", "occluded"].median == pytest.approx(0.2)
    assert rows["tail", "occluded"].pck == {0.02: 0, 0.05: 0, 0.1: 0.5, 0.2: 0.5}
    assert np.isnan(rows["nose", "occluded"].mean)
    assert rows["all", "visible"].mean == pytest.approx(0.08 / 3)
    with pytest.raises(ValueError, match="names must be 2"):
        error_table(pred, joints, boxes, ["nose"])


# ---- differences --------------------------------------------------------------------------------


def test_bootstrap_finds_a_difference_that_pairing_reveals() -> None:
    rng = np.random.default_rng(0)
    person = rng.uniform(0, 1, 300)
    better = person + rng.normal(0.01, 0.03, 300)
    difference = bootstrap_difference(better, person)
    assert difference.mean == pytest.approx((better - person).mean())
    assert 0 < difference.low < difference.mean < difference.high
    assert difference.p < 0.01
    assert difference == bootstrap_difference(better, person)


def test_bootstrap_of_equal_methods_is_no_difference() -> None:
    values = np.linspace(0, 1, 50)
    assert bootstrap_difference(values, values, samples=100) == (0, 0, 0, 1)


def test_bootstrap_is_antisymmetric() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.uniform(size=(2, 40))
    forward, backward = bootstrap_difference(a, b, 200), bootstrap_difference(b, a, 200)
    assert forward.p == backward.p
    assert forward.low == pytest.approx(-backward.high)


def test_bootstrap_names_bad_figures() -> None:
    with pytest.raises(ValueError, match="one figure per person"):
        bootstrap_difference([1, 2], [1])
    with pytest.raises(ValueError, match="finite"):
        bootstrap_difference([1, np.nan], [1, 2])
