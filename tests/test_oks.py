# SPDX-License-Identifier: Apache-2.0
"""OKS and COCO's figures: the published ones, closed forms, and what each does at its edges."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import PersonRecord, load_annotations
from darkpose.evaluate.metrics.coco import (
    STATS,
    coco_results,
    evaluate_oks,
)
from darkpose.evaluate.metrics.oks import oks
from darkpose.evaluate.scores import person_scores, score_threshold
from darkpose.evaluate.writing import write_results
from darkpose.files import replacing
from samples import people

PUBLISHED = 5e-4  # figures given to three decimals
EXACT = 1e-12
COCO_SIGMAS = COCOeval(iouType="keypoints").params.kpt_oks_sigmas


def test_coco_example_gives_its_ten_published_figures(data: Path) -> None:
    folder = data / "eval_refs" / "coco_fake100"
    figures = evaluate_oks(folder / "person_keypoints.json", folder / "results.json", COCO_SIGMAS)
    published = json.loads((folder / "expected.json").read_text())
    assert tuple(figures) == STATS
    np.testing.assert_allclose(list(figures.values()), list(published.values()), atol=PUBLISHED)


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("coco_mini/annotations/person_keypoints_val2017.json", "coco_mini"),
        ("lspet/lspet_val.json", "lspet/images"),
    ],
    ids=["coco", "lspet"],
)
def test_annotated_joints_as_predictions_score_one(
    file: str, images: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = load_annotations(data / file, data / images)
    joints = np.stack([person.joints for person in annotations.records])
    found = []
    for error in (0, 5):
        points, scores = joints[..., :2] + error, joints[..., 2] > 0
        results = coco_results(annotations.records, points, scores)
        found.append(evaluate_oks(data / file, results, annotations.spec.oks_sigmas))
    # No image here has more people than the twenty that COCO looks at.
    assert all(value == pytest.approx(1) for value in found[0].values() if not np.isnan(value))
    assert 0 < found[1]["AP"] < 0.9
    assert capsys.readouterr().out == ""


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


def test_coordinate_regression_has_no_threshold_of_a_peak() -> None:
    assert score_threshold(HeatmapCodec((64, 64))) == 0.2
    assert score_threshold(HeatmapCodec((64, 64), encoding="dsnt")) == 0


def test_only_computing_ap_loads_pycocotools() -> None:
    code = (
        "import sys; from darkpose.evaluate import metrics, scores; "
        "sys.exit(bool({'pycocotools', 'scipy', 'matplotlib'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def same_person_twice() -> tuple[list[PersonRecord], Any, Any]:
    """Return four records of two images, points [4, 3, 2] and scores [4, 3].

    In image 1 the second is the first one moved by a pixel and surer of itself, and the third is
    somebody else; in image 2 is the first one's pose.
    """
    joints = np.array([[10.0, 10, 2], [30, 40, 2], [20, 80, 2]])
    record = PersonRecord(Path("x"), 1, 1, (99, 99), (0, 0, 50, 100), 2500.0, joints)
    records = [record, record, record, replace(record, image_id=2)]
    points = joints[None, :, :2] + np.array([0, 1, 25, 0.0])[:, None, None]
    return records, points, np.array([[0.5] * 3, [0.9, 0.9, 0.1], [0.7] * 3, [0.4] * 3])


def test_results_are_rescored_and_suppressed_within_their_image() -> None:
    records, points, scores = same_person_twice()
    records[2] = replace(records[2], score=0.5)
    every = coco_results(records, points, scores)
    assert [person["score"] for person in every] == pytest.approx([0.5, 0.9, 0.35, 0.4])
    crops: dict[str, Any] = {"areas": np.full(4, 5000.0), "sigmas": [0.1] * 3}
    hard = coco_results(records, points, scores, nms="hard", **crops)
    assert hard == every[1:]
    # The released soft variant drops only what is beyond 20 people of an image.
    assert coco_results(records, points, scores, nms="soft", **crops) == every
    assert coco_results(records, points, scores, nms="hard", nms_threshold=1, **crops) == every


def test_soft_suppression_keeps_twenty_people_of_an_image() -> None:
    records, points, scores = same_person_twice()
    points = np.repeat(points, [10, 10, 10, 1], axis=0) + np.arange(31)[:, None, None]
    records = [records[0]] * 30 + [records[3]]
    results = coco_results(
        records,
        points,
        np.repeat(scores, [10, 10, 10, 1], axis=0),
        nms="soft",
        areas=np.full(31, 5000.0),
        sigmas=[0.1] * 3,
    )
    assert [person["image_id"] for person in results] == [1] * 20 + [2]


def test_suppression_names_what_it_lacks() -> None:
    records, points, scores = same_person_twice()
    with pytest.raises(ValueError, match="'hard' needs the areas"):
        coco_results(records, points, scores, nms="hard", sigmas=[0.1] * 3)
    with pytest.raises(ValueError, match="areas must be 4, one per person"):
        coco_results(records, points, scores, nms="hard", areas=[1.0], sigmas=[0.1] * 3)
    with pytest.raises(ValueError, match="one of none, hard, soft, got harsh"):
        coco_results(records, points, scores, nms="harsh")  # type: ignore[arg-type]


def test_written_results_are_read_back(data: Path, tmp_path: Path) -> None:
    folder = data / "eval_refs" / "coco_fake100"
    results = json.loads((folder / "results.json").read_text())
    path = tmp_path / "made" / "results.json"
    write_results(path, results)
    assert json.loads(path.read_text()) == results
    truth = folder / "person_keypoints.json"
    assert evaluate_oks(truth, path, COCO_SIGMAS) == evaluate_oks(truth, results, COCO_SIGMAS)


def test_failed_writing_leaves_the_older_results(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, [{"score": 1.0}])
    with pytest.raises(ValueError, match="results must be finite"):
        write_results(path, [{"score": float("nan")}])
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"[{")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
    assert json.loads(path.read_text()) == [{"score": 1.0}]


def one_person(size: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of a file with one person of one joint, and that person alone."""
    person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [50, 60, 2]}
    person["bbox"] = [0, 0, size, size]
    content = {"images": [{"id": 1}], "annotations": [person], "categories": [{"id": 1}]}
    return content, person


def test_missing_sizes_give_nan() -> None:
    """No annotated person is of medium size: pycocotools' -1 is not a figure."""
    content, person = one_person(200)
    result = {"image_id": 1, "category_id": 1, "keypoints": [50, 60, 1], "score": 1.0}
    figures = evaluate_oks(content, [result], [0.1])
    assert figures["AP"] == figures["AP_L"] == pytest.approx(1)
    assert np.isnan(figures["AP_M"])
    assert result.keys() == {"image_id", "category_id", "keypoints", "score"}
    person["id"] = 0  # which pycocotools would take for no match
    assert evaluate_oks(content, [result], [0.1]) == pytest.approx(figures, nan_ok=True)


def test_nan_is_no_match_and_no_number() -> None:
    content, _ = one_person(50)
    record = PersonRecord(Path("x"), 1, 1, (60, 60), (0, 0, 50, 50), 9.0, np.array([[1, 2, 2]]))
    results = coco_results([record], np.full((1, 1, 2), np.nan), np.full((1, 1), np.nan))
    assert results[0]["score"] == 0 and np.isfinite(results[0]["keypoints"]).all()
    assert evaluate_oks(content, results, [0.1])["AP"] == 0


FEW = {
    "images": [{"id": 1}, {"id": 2}],
    "categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}],
    "annotations": [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 9, 9], "keypoints": [5, 5, 2]}
        for i in (1, 2)
    ],
}


def found(image: object = 1, **values: object) -> dict[str, object]:
    return {"image_id": image, "category_id": 1, "keypoints": [5, 5, 1], "score": 0.5} | values


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (found(3), "position 1 must be of an annotated image, got image_id 3"),
        (found("1"), "position 1 must be of an annotated image, got image_id '1'"),
        (found(score=None), "position 1 must have 'score', got none"),
        (found(score=float("nan")), "position 1 must have a finite score, got nan"),
        ("person", "position 1 must have 'image_id', got none"),
    ],
)
def test_results_that_do_not_belong_are_named(result: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_oks(FEW, [found(), result], [0.1])


def test_results_of_images_that_are_not_evaluated_are_no_fault() -> None:
    both = [found(1), found(2, keypoints=[90, 90, 1])]
    assert evaluate_oks(FEW, both, [0.1], image_ids=[1])["AP"] == pytest.approx(1)
    assert evaluate_oks(FEW, both, [0.1])["AP"] < 0.6


def test_results_of_other_categories_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    same = pytest.approx(evaluate_oks(FEW, [found(1), found(2)], [0.1]), nan_ok=True)
    assert evaluate_oks(FEW, [found(1), found(2), found(2, category_id=7)], [0.1]) == same
    said = "results of other categories, left out: 1, the first: the results: the result at pos"
    assert said in caplog.text
    with pytest.raises(ValueError, match="must have results of category 1, got none of 2"):
        evaluate_oks(FEW, 2 * [found(category_id=7)], [0.1])


def test_the_limit_of_twenty_people_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    crowd = [found(2, score=i / 30) for i in range(21)]
    for _ in range(2):  # as after each epoch
        evaluate_oks(FEW, crowd, [0.1])
    said = "images with more than 20 results, the best of which count: 1, the first: 2"
    assert caplog.text.count(said) == 1


def test_bad_results_are_named(data: Path) -> None:
    folder = data / "eval_refs" / "coco_fake100"
    with pytest.raises(ValueError, match="at least one result"):
        evaluate_oks(folder / "person_keypoints.json", [], COCO_SIGMAS)
    with pytest.raises(ValueError, match="keypoints of 14 joints must be 42 numbers, got 51"):
        evaluate_oks(folder / "person_keypoints.json", folder / "results.json", [0.1] * 14)
    with pytest.raises(ValueError, match="equally many, got 0, 1, 1"):
        coco_results([], np.zeros((1, 17, 2)), np.zeros((1, 17)))
