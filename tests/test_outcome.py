# SPDX-License-Identifier: Apache-2.0
"""What an evaluation leaves in its folder, and that it says what was measured."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from darkpose.cli.main import main
from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import Annotations, PersonRecord, load_annotations
from darkpose.data.dataset import KeypointDataset
from darkpose.data.mpii import MPII
from darkpose.data.spec import KeypointSpec
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics import evaluate_oks, pck
from darkpose.evaluate.metrics.pck import THRESHOLDS
from darkpose.evaluate.outcome import write_outcome
from darkpose.geometry import Crop
from training_runs import fit, logged

CODEC = HeatmapCodec((64, 64))
ERROR = 6.0  # pixels: mean error of the predictions below, at which AP is neither 0 nor 1
SAME = 1e-12  # of figures computed twice from the same numbers, once by way of JSON


def annotation_file(people: Path) -> Path:
    return people / "annotations" / "person_keypoints_val.json"


def people_file(people: Path) -> dict[str, Any]:
    return json.loads(annotation_file(people).read_text())


def evaluated(people: Path, content: dict[str, Any], seed: int = 0) -> Evaluation:
    """Return what a network says that knows everybody, but for an error, less of those it is sure
    of."""
    file = annotation_file(people)
    found = load_annotations(file, people / "images" / "val", content=content)
    dataset = KeypointDataset(found, CODEC.input_size)
    rng = np.random.default_rng(seed)
    joints = np.stack([record.joints for record in dataset.records])
    scores = rng.uniform(0.1, 0.9, joints.shape[:2])
    points = joints[..., :2] + (1 - scores[..., None]) * rng.normal(0, ERROR, (*scores.shape, 2))
    evaluation = Evaluation(CODEC, dataset, content, ["dark"])
    rows = np.arange(len(dataset))
    evaluation.put(rows, np.ones(len(rows), bool), {"dark": points}, {"dark": scores})
    return evaluation


def strict_json(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_the_results_file_scores_what_the_figures_say(people: Path, tmp_path: Path) -> None:
    content = people_file(people)
    evaluation = evaluated(people, content)
    figures = write_outcome(evaluation, "dark", tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        *("results.json", "figures.json", "errors.md")
    }
    assert 0.1 < figures["AP"] < 0.9 and 0.1 < figures["PCK@0.05"] < 0.9

    results = strict_json(tmp_path / "results.json")
    assert [list(person) for person in results] == len(results) * [
        ["image_id", "category_id", "keypoints", "score"]
    ]
    again = evaluate_oks(
        annotation_file(people), tmp_path / "results.json", evaluation.dataset.spec.oks_sigmas
    )
    assert again == pytest.approx({name: figures[name] for name in again}, abs=SAME, nan_ok=True)
    written = strict_json(tmp_path / "figures.json")
    assert written.keys() == figures.keys()
    known = {name: value for name, value in written.items() if value is not None}
    assert known == {name: figures[name] for name in known}


def test_a_mean_of_nothing_is_null_and_a_dash(people: Path, tmp_path: Path) -> None:
    """JSON has no NaN; a joint that nobody has labeled has no error."""
    content = copy.deepcopy(people_file(people))
    for person in content["annotations"]:
        person["area"] = 200.0**2
        person["keypoints"][:3] = [0, 0, 0]
    figures = write_outcome(evaluated(people, content), "dark", tmp_path)
    assert np.isnan(figures["AP_M"])
    assert strict_json(tmp_path / "figures.json")["AP_M"] is None
    table = (tmp_path / "errors.md").read_text().splitlines()
    assert table[2] == "| nose | occluded | 0 | " + " | ".join(6 * ["-"]) + " |"
    assert "nan" not in "\n".join(table)


def test_the_error_table_has_a_row_for_each_joint_and_visibility(
    people: Path, tmp_path: Path
) -> None:
    evaluation = evaluated(people, people_file(people))
    write_outcome(evaluation, "dark", tmp_path)
    head, ruler, *rows = (tmp_path / "errors.md").read_text().splitlines()
    assert head.endswith(" | PCK@0.02 | PCK@0.05 | PCK@0.1 | PCK@0.2 |")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert {len(row) for row in cells} == {ruler.count("---")} == {head.count("|") - 1}
    assert [row[0] for row in cells[::2]] == [*evaluation.dataset.spec.names, "all"]
    assert [row[1] for row in cells] == 18 * ["occluded", "visible"]
    visible = evaluation.predictions("dark").joints[..., 2] == 2
    assert cells[-1][2] == f"{visible.sum()}"
    errors = evaluation.predictions("dark").errors(evaluation.dataset.spec.names)
    assert cells[-1][3:] == [
        f"{value:.3f}" for value in (errors[-1].median, errors[-1].mean, *errors[-1].pck.values())
    ]


def test_mpii_predictions_stay_in_their_place(tmp_path: Path) -> None:
    """Row n of `pred.mat` is person n of MPII's list, also where an image before was not read."""
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(10, 90, (4, 16, 2)), np.full((4, 16, 1), 2.0)], -1)
    records = tuple(
        PersonRecord(
            image_path=Path("a.jpg"),
            image_id=0,
            annotation_id=row,
            image_size=None,
            box=(0, 0, 100, 100),
            area=5300,
            joints=joints[row],
            crop=Crop((50, 50), (125, 125)),
            head_size=20,
        )
        for row in range(4)
    )
    dataset = KeypointDataset(Annotations(records, MPII, 1), CODEC.input_size)
    evaluation = Evaluation(CODEC, dataset, None, ["dark"])
    readable = np.array([True, False, True])
    points = joints[:3, :, :2] + 5
    evaluation.put(np.arange(3), readable, {"dark": points}, {"dark": np.ones((3, 16))})
    figures = write_outcome(evaluation, "dark", tmp_path)
    assert figures["PCKh@0.5"] == 1 and figures["PCKh@0.1"] == 0
    assert {file.name for file in tmp_path.iterdir()} == {"pred.mat", "figures.json", "errors.md"}
    written = scipy.io.loadmat(tmp_path / "pred.mat")["preds"]
    assert written.shape == (4, 16, 2)
    np.testing.assert_array_equal(written[[0, 2]], joints[[0, 2], :, :2] + 5 + 1)
    assert np.isnan(written[[1, 3]]).all()


def test_validate_writes_an_outcome_and_test_of_detections_only_results(
    people: Path, config: Path, tmp_path: Path
) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.max_epochs=1")
    options = ["--config", str(config), "--ckpt_path", str(checkpoint)]
    main(["validate", *options, "--out", str(tmp_path / "val")])
    files = {file.name for file in (tmp_path / "val").iterdir() if file.is_file()}
    assert files == {"results.json", "figures.json", "errors.md"}

    content = people_file(people)
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
