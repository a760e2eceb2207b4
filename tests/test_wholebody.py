# SPDX-License-Identifier: Apache-2.0
"""COCO-WholeBody's files: read as 133 joints where asked for, scored by part as its authors do."""

import contextlib
import copy
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darkpose.data.annotations import Annotations, load_annotations
from darkpose.data.joint_sets import COCO
from darkpose.data.wholebody import FIELDS, parts
from darkpose.evaluate.metrics.coco import evaluate_oks
from wholebody import IMAGES, PEOPLE, SPEC, annotations, evaluated, loaded, results

KINDS = {
    "body": "keypoints",
    "foot": "keypoints_foot",
    "face": "keypoints_face",
    "left hand": "keypoints_lefthand",
    "right hand": "keypoints_righthand",
    "whole": "keypoints_wholebody",
}
# AP of the people and results below by xtcocotools 1.14.3.
XTCOCOTOOLS = {
    "body": 0.3020427939718013,
    "foot": 0.3810453407367998,
    "face": 0.3174528036528669,
    "left hand": 0.30733832695331226,
    "right hand": 0.2974606651279149,
    "whole": 0.29113308524808296,
}


@pytest.fixture
def file(people: Annotations, tmp_path: Path) -> Path:
    return tmp_path / "wholebody.json"


@pytest.fixture
def people(tmp_path: Path) -> Annotations:
    return loaded(tmp_path)


def test_five_fields_are_133_joints_where_that_is_asked_for(people: Annotations) -> None:
    assert people.spec == SPEC and len(people) == IMAGES * PEOPLE
    for record, one in zip(people.records, annotations()["annotations"], strict=True):
        flat = [value for field in FIELDS for value in one[field]]
        np.testing.assert_array_equal(record.joints.ravel(), flat)


def test_what_is_not_valid_is_not_labeled_and_any_positive_v_is(file: Path) -> None:
    content = annotations()
    person = content["annotations"][0]
    person |= {"face_kpts": [7, 8, 0.3] * 68, "face_valid": True}
    person |= {"foot_kpts": [7, 8, 2] * 6, "foot_valid": False}
    del person["lefthand_kpts"]
    file.write_text(json.dumps(content))
    joints = load_annotations(file, file.parent, spec="coco_wholebody").records[0].joints
    places = parts(SPEC.names)
    assert (joints[places["face"]] == (7, 8, 2)).all()
    assert not joints[places["foot"]].any() and not joints[places["left hand"]].any()


def test_a_person_without_a_body_is_one(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = annotations()
    content["annotations"][0] |= {"keypoints": [0] * 51, "num_keypoints": 0}
    content["annotations"][0] |= {"face_kpts": [7, 8, 1] * 68, "face_valid": True}
    file.write_text(json.dumps(content))
    with caplog.at_level(logging.INFO):
        found = load_annotations(file, file.parent, spec="coco_wholebody")
    assert len(found) == IMAGES * PEOPLE and not caplog.records


def test_without_it_they_are_cocos_and_the_option_is_named(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found = load_annotations(file, file.parent)
    assert found.spec == COCO
    assert found.records[0].joints.ravel().tolist() == annotations()["annotations"][0]["keypoints"]
    assert "only the 17 keypoints are, unless data.joints is coco_wholebody" in caplog.text


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("righthand_kpts", [1, 2, 2] * 20, "righthand_kpts of 21 joints.* got 60"),
        ("face_kpts", ["a"] * 204, "face_kpts of 68 joints"),
        ("foot_kpts", [1e400, 1, 2] * 6, "must have finite joints"),
        ("foot_valid", "maybe", "foot_valid must"),
    ],
)
def test_a_field_that_is_no_joints_is_refused(
    field: str, value: Any, said: str, file: Path
) -> None:
    content = annotations()
    content["annotations"][3] |= {"foot_valid": True, field: value}
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"wholebody.json: annotation 4:? {said}"):
        load_annotations(file, file.parent, spec="coco_wholebody")


# ---- figures -------------------------------------------------------------------------------------


def test_parts_are_scored_as_xtcocotools_does(file: Path, people: Annotations) -> None:
    places = {**parts(SPEC.names), "whole": range(133)}
    found = {
        part: evaluate_oks(file, results(people), SPEC.oks_sigmas, joints=joints)["AP"]
        for part, joints in places.items()
    }
    assert found == pytest.approx(XTCOCOTOOLS, abs=1e-12)
    assert len(set(found.values())) == 6 and 0.2 < min(found.values())


@pytest.mark.filterwarnings("ignore:.*use 'score' instead")
def test_the_figures_that_are_compared_with_are_xtcocotools(people: Annotations) -> None:
    pytest.importorskip("xtcocotools", reason="xtcocotools is not installed: build it, for NumPy 2")
    from xtcocotools.coco import COCO as Content
    from xtcocotools.cocoeval import COCOeval

    split = []
    for one in results(people):
        joints = np.array(one["keypoints"]).reshape(133, 3)
        fields = np.split(joints, np.cumsum(list(FIELDS.values()))[:-1])
        split.append(
            {**one, **{f: part.ravel().tolist() for f, part in zip(FIELDS, fields, strict=True)}}
        )
    for part, kind in KINDS.items():
        places = parts(SPEC.names).get(part, range(133))
        with contextlib.redirect_stdout(io.StringIO()):
            truth = Content()
            truth.dataset = copy.deepcopy(annotations())
            truth.createIndex()
            sigmas = np.array(SPEC.oks_sigmas)[list(places)]
            scored = COCOeval(truth, truth.loadRes(copy.deepcopy(split)), kind, sigmas)
            scored.evaluate()
            scored.accumulate()
            scored.summarize()
        assert scored.stats[0] == pytest.approx(XTCOCOTOOLS[part], abs=1e-12), part


def test_an_evaluation_has_ap_by_part(people: Annotations) -> None:
    figures = evaluated(people).figures("dark")
    assert figures["AP/whole"] == figures["AP"]
    hands = (figures["AP/left hand"] + figures["AP/right hand"]) / 2
    assert figures["AP/hands"] == pytest.approx(hands) and 0 < figures["AP/foot"] < 1
