# SPDX-License-Identifier: Apache-2.0
"""What an evaluation leaves in its folder, and that it says what was measured."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from darkpose.cli.main import main
from darkpose.data.annotations import load_annotations
from darkpose.data.spec import ASSUMED_SIGMA, KeypointSpec
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics import error_table, evaluate_oks, pck
from darkpose.evaluate.metrics.pck import THRESHOLDS
from darkpose.evaluate.writing import write_evaluation
from darkpose.show.report import write_report
from reporting import annotated, annotation_file, evaluated, evaluated_mpii
from training_runs import fit, logged

SAME = 1e-12  # of figures computed twice from the same numbers, once by way of JSON


def strict_json(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_the_results_file_scores_what_the_figures_say(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people, ("dark",))
    figures = write_evaluation(evaluation, "dark", tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        *("results.json", "figures.json", "errors.md")
    }
    assert 0.1 < figures["AP"] < 0.9 and 0.1 < figures["PCK@0.02"] < 0.9

    results = strict_json(tmp_path / "results.json")
    names = ["image_id", "category_id", "keypoints", "score"]
    assert all(list(person) == names for person in results)
    again = evaluate_oks(
        annotation_file(people), tmp_path / "results.json", evaluation.dataset.spec.oks_sigmas
    )
    assert again == pytest.approx({name: figures[name] for name in again}, abs=SAME, nan_ok=True)
    without_nan = {name: None if np.isnan(value) else value for name, value in figures.items()}
    assert strict_json(tmp_path / "figures.json") == without_nan


def test_assumed_sigmas_are_said_beside_the_figures(people: Path, tmp_path: Path) -> None:
    content = annotated(people)
    content["categories"][0]["keypoints"][0] = "muzzle"
    evaluation = evaluated(people, ("dark",), content=content)
    assert evaluation.dataset.spec.oks_sigmas[0] == ASSUMED_SIGMA
    write_evaluation(evaluation, "dark", tmp_path)
    assert strict_json(tmp_path / "figures.json")["assumed_sigmas"] == ["muzzle"]
    write_report(evaluation, tmp_path / "page.html")
    assert "0.05 assumed for muzzle" in (tmp_path / "page.html").read_text()


def test_a_mean_of_nothing_is_null_and_a_dash(people: Path, tmp_path: Path) -> None:
    """JSON has no NaN; a joint that nobody has labeled has no error."""
    content = annotated(people)
    for person in content["annotations"]:
        person["area"] = 200.0**2
        person["keypoints"][:3] = [0, 0, 0]
    figures = write_evaluation(evaluated(people, ("dark",), content=content), "dark", tmp_path)
    assert np.isnan(figures["AP_M"])
    assert strict_json(tmp_path / "figures.json")["AP_M"] is None
    table = (tmp_path / "errors.md").read_text().splitlines()
    assert table[2] == "| nose | occluded | 0 | " + " | ".join(6 * ["-"]) + " |"
    assert "nan" not in "\n".join(table)


def test_the_error_table_has_a_row_for_each_joint_and_visibility(
    people: Path, tmp_path: Path
) -> None:
    evaluation = evaluated(people, ("dark",))
    write_evaluation(evaluation, "dark", tmp_path)
    head, ruler, *rows = (tmp_path / "errors.md").read_text().splitlines()
    assert head.endswith(" | PCK@0.02 | PCK@0.05 | PCK@0.1 | PCK@0.2 |")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert {len(row) for row in cells} == {ruler.count("---")} == {head.count("|") - 1}
    assert [row[0] for row in cells[::2]] == [*evaluation.dataset.spec.names, "all"]
    assert [row[1] for row in cells] == 18 * ["occluded", "visible"]
    visible = evaluation.predictions("dark").joints[..., 2] == 2
    assert cells[-1][2] == f"{visible.sum()}"
    found = evaluation.predictions("dark")
    errors = error_table(found.points, found.joints, found.boxes, evaluation.dataset.spec.names)
    assert cells[-1][3:] == [
        f"{value:.3f}" for value in (errors[-1].median, errors[-1].mean, *errors[-1].pck.values())
    ]


def test_mpii_predictions_stay_in_their_place(tmp_path: Path) -> None:
    """Row n of `pred.mat` is person n of MPII's list, also where an image before was not read."""
    whole = evaluated_mpii(tmp_path)
    evaluation = Evaluation(whole.codec, whole.dataset, None, ["dark"])
    points = whole.predictions("dark").points
    found = {"dark": points[:3]}, {"dark": np.ones((3, 16))}
    evaluation.put(np.arange(3), np.array([True, False, True]), *found)
    figures = write_evaluation(evaluation, "dark", tmp_path / "out")
    assert figures["PCKh@0.5"] == 1 and figures["PCKh@0.1"] == 0
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"pred.mat", "figures.json", "errors.md"}
    written = scipy.io.loadmat(tmp_path / "out" / "pred.mat")["preds"]
    assert written.shape == (4, 16, 2)
    np.testing.assert_array_equal(written[[0, 2]], points[[0, 2]] + 1)
    assert np.isnan(written[[1, 3]]).all()


def test_validate_writes_an_outcome_and_test_of_detections_only_results(
    people: Path, config: Path, tmp_path: Path
) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.max_epochs=1")
    options = ["--config", str(config), "--ckpt_path", str(checkpoint)]
    main(["validate", *options, "--out", str(tmp_path / "val")])
    files = {file.name for file in (tmp_path / "val").iterdir() if file.is_file()}
    assert files == {"results.json", "figures.json", "errors.md"}

    content = annotated(people)
    spec = KeypointSpec.from_category(content["categories"][0])
    figures = strict_json(tmp_path / "val" / "figures.json")
    results = strict_json(tmp_path / "val" / "results.json")
    again = evaluate_oks(annotation_file(people), results, spec.oks_sigmas)
    assert {name: figures[name] for name in again} == {
        name: None if np.isnan(value) else value for name, value in again.items()
    }
    last = logged(tmp_path / "val")[-1]
    assert float(last["val/PCK@0.2"]) == pytest.approx(figures["PCK@0.2"])
    truth = load_annotations(annotation_file(people), people, content=content).records
    assert [person["image_id"] for person in results] == [record.image_id for record in truth]
    points = np.array([person["keypoints"] for person in results]).reshape(len(truth), 17, 3)
    joints = np.stack([record.joints for record in truth])
    boxes = np.array([record.box for record in truth])
    measured = pck(points, joints, boxes, THRESHOLDS)
    assert measured == pytest.approx({name: figures[name] for name in measured}, abs=SAME)
    assert measured["PCK@0.2"] > 0

    info, found = tmp_path / "image_info.json", tmp_path / "found.json"
    info.write_text(json.dumps({key: content[key] for key in ("images", "categories")}))
    detections = [
        {"image_id": one["image_id"], "category_id": 1, "bbox": one["bbox"], "score": 0.5}
        for one in content["annotations"][1:]
    ]
    found.write_text(json.dumps(detections))
    test_set = [f"--data.val={info}", f"--data.detections={found}"]
    main(["test", *options, *test_set, "--out", str(tmp_path / "test")])
    files = {file.name for file in (tmp_path / "test").iterdir() if file.is_file()}
    assert files == {"results.json"}
    detected = strict_json(tmp_path / "test" / "results.json")
    assert [person["image_id"] for person in detected] == [one["image_id"] for one in detections]
    # The boxes are those annotated, which are clipped where they reach beyond the image.
    same = [a["keypoints"] == b["keypoints"] for a, b in zip(detected, results[1:], strict=True)]
    assert sum(same) > len(same) / 2
