# SPDX-License-Identifier: Apache-2.0
"""What a hundred tools write in COCO-style files, and what of it training and AP have."""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darkpose.data.annotations import AREA_PER_BOX, Annotations, load_annotations
from darkpose.evaluate.metrics.coco import evaluate_oks

JOINTS = [60, 52, 2, 66, 45, 2, 54, 45, 1]
FILE: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": 160, "height": 120}],
    "categories": [{"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"]}],
    "annotations": [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": [40, 30, 40, 42], "area": 900,
         "keypoints": JOINTS}
        for i in (1, 2)
    ],
}  # fmt: skip
ESTIMATED = AREA_PER_BOX * 40 * 42
SIGMAS = [0.026, 0.025, 0.025]
Read = Callable[..., Annotations]


def changed(**values: Any) -> dict[str, Any]:
    """Return the file with some values of its first annotation changed."""
    content = copy.deepcopy(FILE)
    content["annotations"][0] |= values
    return content


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads content as the file a.json."""

    def loaded(content: Any, **options: Any) -> Annotations:
        path = tmp_path / "a.json"
        path.write_text(json.dumps(content))
        return load_annotations(path, tmp_path, **options)

    return loaded


# ---- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("area", [None, 0, -5, "", math.nan, math.inf, -math.inf, "nan", "0"])
def test_an_area_that_is_no_positive_number_is_estimated_and_counted(
    read: Read, area: object, caplog: pytest.LogCaptureFixture
) -> None:
    people = read(changed(area=area))
    assert [person.area for person in people.records] == [ESTIMATED, 900]
    assert people.content and people.content["annotations"][0]["area"] == ESTIMATED
    said = "missing or not positive, estimated from the boxes: 1, the first: annotation 1"
    assert caplog.text.count(said) == 1


@pytest.mark.parametrize("area", [math.nan, -1.0, math.inf, None, "0"])
def test_figures_are_those_of_the_estimated_area(area: object) -> None:
    """Two pixels off, an untrained network's joints: with NaN for an area AP was 1."""
    off = (np.reshape(JOINTS, (3, 3)) + [2, 2, 0]).ravel().tolist()
    results = [{"image_id": 1, "category_id": 1, "keypoints": off, "score": 0.5}]
    expected = evaluate_oks(changed(area=ESTIMATED), results, SIGMAS)
    assert evaluate_oks(changed(area=area), results, SIGMAS) == pytest.approx(expected, nan_ok=True)
    assert 0 <= expected["AP"] < 1


def test_numbers_may_be_text(read: Read) -> None:
    values = {
        "area": "900",
        "bbox": ["40", "30", "40", "42"],
        "keypoints": [str(value) for value in JOINTS],
        "iscrowd": "0",
        "image_id": "1",
        "category_id": "1",
        "num_keypoints": "3",
    }
    people, plain = read(changed(**values)), read(FILE)
    for one, other in zip(people.records, plain.records, strict=True):
        assert (one.box, one.area, one.image_id) == (other.box, other.area, other.image_id)
        np.testing.assert_array_equal(one.joints, other.joints)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"area": "large"}, "annotation 1: area must be a number, got 'large'"),
        ({"area": [900]}, r"annotation 1: area must be a number, got \[900\]"),
        ({"bbox": ["wide", 1, 2, 3]}, "annotation 1: bbox must be a number, got 'wide'"),
        (
            {"bbox": [1, 2, -3, 4]},
            r"annotation 1: bbox must have a positive .* got \[1, 2, -3, 4\]",
        ),
        ({"bbox": "1,2,3,4"}, "annotation 1: bbox must be a list of numbers, got '1,2,3,4'"),
        ({"keypoints": ["?"] * 9}, "annotation 1: keypoints of 3 joints must be a number, got '?'"),
        ({"keypoints": {"nose": [1, 2, 2]}}, "annotation 1: keypoints .* got {'nose'"),
        ({"keypoints": [1, None, 2] * 3}, "annotation 1 must have finite joints, got"),
        ({"iscrowd": "no"}, "annotation 1: iscrowd must be a number, got 'no'"),
        ({"image_id": [1]}, r"annotation 1: image_id must be that of .* got \[1\]"),
        ({"num_keypoints": "few"}, "annotation 1: num_keypoints must be a number, got 'few'"),
    ],
)
def test_other_text_is_one_sentence_with_file_and_annotation(
    read: Read, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"a\.json: {message}"):
        read(changed(**values))


def test_null_is_what_is_not_there(read: Read) -> None:
    people = read(changed(iscrowd=None, area=None, num_keypoints=None, keypoints=None))
    assert [person.annotation_id for person in people.records] == [2]


def test_an_unlabeled_joint_may_lack_its_coordinates(read: Read) -> None:
    people = read(changed(keypoints=[None, None, 0, 66, 45, 2, 54, 45, None]))
    expected = [[0, 0, 0], [66, 45, 2], [0, 0, 0]]
    np.testing.assert_array_equal(people.records[0].joints, expected)
    assert people.content
    assert people.content["annotations"][0]["keypoints"] == np.ravel(expected).tolist()
    assert people.content["annotations"][0]["num_keypoints"] == 1


# ---- joints ------------------------------------------------------------------------------------


def test_nested_joints_are_read(read: Read) -> None:
    people = read(changed(keypoints=[[60, 52, 2], [66, 45, 2], [54, 45, 1]]))
    np.testing.assert_array_equal(people.records[0].joints, people.records[1].joints)
    assert people.content and people.content["annotations"][0]["keypoints"] == JOINTS


def test_joints_are_read_from_the_field_that_fits_the_category(
    read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    content = copy.deepcopy(FILE)
    for annotation in content["annotations"]:
        annotation["keypoints_3"] = annotation["keypoints"]
        annotation["keypoints"] = [0, 0, 0]
    people = read(content)
    assert people.records[0].joints.ravel().tolist() == JOINTS
    assert "joints are read from keypoints_3, which has the category's 3" in caplog.text
    assert evaluate_oks(people.content or {}, results(), SIGMAS)["AP"] == 1


def test_further_joints_are_named(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    read(changed(foot_kpts=[0] * 18, face_kpts=[0] * 204))
    assert "foot_kpts, face_kpts are not trained: only the 3 keypoints are" in caplog.text


def results(**values: Any) -> list[dict[str, Any]]:
    one = {"image_id": 1, "category_id": 1, "keypoints": JOINTS, "score": 0.5}
    return [one | values, one | {"score": 0.4}]


@pytest.mark.parametrize("said", [0, "0", 3])
def test_keypoints_are_counted_whatever_num_keypoints_says(
    read: Read, said: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(read(changed(num_keypoints=said))) == 2
    contradicts = "contradict num_keypoints, which pycocotools would trust" in caplog.text
    assert contradicts == (said != 3)
    assert evaluate_oks(changed(num_keypoints=said), results(), SIGMAS)["AR"] == 1


# ---- ids ---------------------------------------------------------------------------------------


def test_two_images_of_one_id_are_refused_unless_they_are_equal(read: Read) -> None:
    content = copy.deepcopy(FILE)
    content["images"] *= 2
    assert len(read(content).content["images"]) == 1
    content["images"][1] = {**content["images"][0], "file_name": "b.png"}
    with pytest.raises(ValueError, match=r"a\.json must give each of its images an id of its own"):
        read(content)


def test_annotations_of_one_id_are_numbered_anew(
    read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    people = read(changed(id=2))
    assert [person.annotation_id for person in people.records] == [1, 2]
    assert "annotations with the id of another, all numbered anew: 1" in caplog.text


def test_ids_may_be_text(read: Read) -> None:
    content = copy.deepcopy(FILE)
    content["images"][0]["id"] = "0001.jpg"
    for annotation in content["annotations"]:
        annotation |= {"id": f"n{annotation['id']}", "image_id": "0001.jpg"}
    people = read(content)
    assert {person.image_id for person in people.records} == {"0001.jpg"}
    assert evaluate_oks(people.content or {}, results(image_id="0001.jpg")[:1], SIGMAS)["AP50"] > 0


# ---- categories --------------------------------------------------------------------------------

SKI = {"id": 17, "name": "ski", "keypoints": ["neck", "nose"]}
ON_SKI = {**FILE["annotations"][0], "id": 9, "category_id": 17, "keypoints": [1, 2, 2, 3, 4, 2]}


def test_categories_with_the_same_joints_are_one(read: Read) -> None:
    content = changed(category_id=2)
    content["categories"] += [{**FILE["categories"][0], "id": 2, "name": "child"}]
    people = read(content)
    assert len(people) == 2 and people.category_id == 1
    both = [*results()[:1], *results(category_id=2)[:1]]
    assert evaluate_oks(content, both, SIGMAS)["AR"] == 1
    for category in ("child", 2, "2"):
        chosen = read(content, category=category)
        assert [person.annotation_id for person in chosen.records] == [1]
        assert chosen.category_id == 2


def test_of_different_joints_one_is_chosen(read: Read) -> None:
    content = copy.deepcopy(FILE)
    content["categories"].append(SKI)
    assert len(read(content)) == 2  # nobody is a ski
    content["annotations"].append(ON_SKI)
    with pytest.raises(ValueError, match=r"different ones for \['person', 'ski'\]: choose one"):
        read(content)
    assert read(content, category="ski").spec.names == ("neck", "nose")
    assert len(read(content, category=1)) == 2
    with pytest.raises(ValueError, match="must have a category 'dog' with keypoints"):
        read(content, category="dog")


def test_the_only_category_need_not_be_named(read: Read) -> None:
    content = copy.deepcopy(FILE)
    for annotation in content["annotations"]:
        del annotation["category_id"]
    people = read(content)
    assert len(people) == 2
    assert evaluate_oks(content, results(), SIGMAS)["AR"] == 1
    content["categories"].append({"id": 5, "name": "dog"})
    with pytest.raises(ValueError, match=r"annotation 1 must name one of 2 categories as cat"):
        read(content)


def test_a_category_that_is_not_listed_is_counted(
    read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(read(changed(category_id=7))) == 1
    assert "of a category that is not listed, left out: 1, the first: annotation 1" in caplog.text
