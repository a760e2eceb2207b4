# SPDX-License-Identifier: Apache-2.0
"""Reading people and keypoint sets: what real files give, and what each broken file is told."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darkpose.data.annotations import AREA_PER_BOX, KeypointSpec, load_annotations
from darkpose.data.published import missing

PETS: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "pet.png", "width": 60, "height": 40}],
    "categories": [{"id": 3, "name": "pet", "keypoints": ["left_ear", "right_ear", "nose"]}],
    "annotations": [
        {
            "id": 11,
            "image_id": 7,
            "category_id": 3,
            "iscrowd": 0,
            "bbox": [1, 2, 30, 20],
            "area": 300.0,
            "keypoints": [5, 6, 2, 7, 8, 1, 0, 0, 0],
        }
    ],
}


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes PETS with its one annotation changed, or any other content; returns the file."""

    def written(content: Any = PETS, **changes: Any) -> Path:
        if changes:
            content = {**PETS, "annotations": [{**PETS["annotations"][0], **changes}]}
        path = tmp_path / "pets.json"
        path.write_text(json.dumps(content))
        return path

    return written


def test_record_carries_what_the_file_says(write: Write) -> None:
    annotations = load_annotations(write(), "photos")
    (person,) = annotations.records
    assert person.image_path == Path("photos/pet.png")
    assert (person.image_id, person.annotation_id, annotations.category_id) == (7, 11, 3)
    assert person.image_size == (60, 40)
    assert person.box == (1, 2, 30, 20)
    assert person.area == 300
    np.testing.assert_array_equal(person.joints, [[5, 6, 2], [7, 8, 1], [0, 0, 0]])
    assert (person.crop, person.score, person.head_size) == (None, 1, None)
    assert person.name == "annotation 11"


def test_joints_outside_the_image_are_read_as_they_are(write: Write) -> None:
    (person,) = load_annotations(write(keypoints=[-5, 6.5, 2, 61, 8, 1, 3, 400, 2]), ".").records
    np.testing.assert_array_equal(person.joints, [[-5, 6.5, 2], [61, 8, 1], [3, 400, 2]])


@pytest.mark.parametrize("key", ["images", "annotations"])
def test_an_entry_without_id_is_named(write: Write, key: str) -> None:
    content = copy.deepcopy(PETS)
    del content[key][0]["id"]
    with pytest.raises(ValueError, match=f"'id' to each of its {key}, got none .* position 0"):
        load_annotations(write(content), ".")


def test_missing_area_is_estimated_from_the_box(write: Write) -> None:
    (person,) = load_annotations(write(area=None), ".").records
    assert person.area == AREA_PER_BOX * 30 * 20


def test_crowds_and_unlabeled_people_are_skipped(write: Write) -> None:
    (first,) = PETS["annotations"]
    people = [
        first,
        {**first, "id": 12, "iscrowd": 1, "keypoints": [0] * 9},
        {**first, "id": 13, "keypoints": [0] * 9, "bbox": [0, 0, 0, 0]},
        {**first, "id": 14, "keypoints": [5, 6, 2] + [0] * 6},
    ]
    path = write({**PETS, "annotations": people})
    assert [p.annotation_id for p in load_annotations(path, ".").records] == [11, 14]
    assert [p.annotation_id for p in load_annotations(path, ".", min_joints=2).records] == [11]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"keypoints": [1, 2, 2] * 2},
            "annotation 11: keypoints of 3 joints must be 9 numbers, got 6",
        ),
        ({"keypoints": [1, 2, 3] * 3}, "annotation 11 must have visibilities 0, 1 or 2"),
        ({"keypoints": [1, float("nan"), 2] * 3}, "annotation 11 must have finite joints"),
        ({"bbox": [1, 2, 30, 0]}, "annotation 11 must have a box of positive width and height"),
        ({"bbox": None}, "annotation 11 must have a box of positive width and height, got None"),
        ({"bbox": [1, None, 30, 20]}, "annotation 11 must have a box of positive width and height"),
        ({"bbox": [1, 2, float("nan"), 20]}, "annotation 11 must have a box of positive width"),
        ({"image_id": 8}, "annotation 11: image_id must be that of an image of the file, got 8"),
        ({"keypoints": [0] * 9}, "must hold people with at least 1 labeled"),
    ],
)
def test_a_bad_annotation_is_named(write: Write, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_annotations(write(**changes), ".")


def test_truncated_json_is_named(write: Write) -> None:
    path = write()
    path.write_text(path.read_text()[:-30])
    with pytest.raises(ValueError, match=r"pets\.json must be complete JSON"):
        load_annotations(path, ".")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "list 'images'"),
        ({**PETS, "annotations": None}, "list 'annotations'"),
        (
            {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]},
            "at least one category with keypoints, got 0",
        ),
        (
            {**PETS, "categories": [PETS["categories"][0]] * 2 + [{"id": 3, "name": "cat"}]},
            "each of its categories an id of its own",
        ),
    ],
)
def test_json_without_keypoints_is_named(write: Write, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_annotations(write(content), ".")


# ---- absent files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("coco/person_keypoints_val2017.json", "COCO's keypoint annotations.*cocodataset.org"),
        ("coco/image_info_test-dev2017.json", "COCO's image information.*cocodataset.org"),
        ("COCO_val2017_detections_AP_H_56_person.json", "HRNet's authors.*Data preparation"),
        ("MPII/annot/valid.json", "MPII's annotations.*Data preparation"),
        ("mpii/annot/gt_valid.mat", "MPII's annotations.*Data preparation"),
        ("keypoint_train_annotations_20170909.json", "AI Challenger's.*AI_Challenger_2017"),
        ("lspet_train.json", "Leeds.*sam.johnson.io"),
    ],
)
def test_who_publishes_an_absent_file_is_said(path: str, says: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"{path} must be .*{says}"):
        load_annotations(path, ".")


def test_of_an_unknown_absent_file_only_the_name_is_said() -> None:
    for path in ("pets.json", "pets/valid.json"):
        assert missing(path) == f"{Path(path).absolute()} must be a file, got no such file"


@pytest.mark.parametrize(
    ("file", "data_format", "source"),
    [
        ("person_keypoints_train2017.json", "coco", "cocodataset.org"),
        ("mine.json", "mpii", "human-pose.mpi-inf.mpg.de"),
        ("mine.json", "aic", "AI_Challenger_2017"),
        ("lspet_val.json", "coco", "sam.johnson.io"),
    ],
)
def test_who_publishes_absent_images_is_said(file: str, data_format: Any, source: str) -> None:
    sentence = missing("photos", images_of=file, data_format=data_format)
    photos = Path("photos").absolute()
    assert sentence.startswith(f"{photos} must be the folder of the images of {file}, got no such")
    assert source in sentence
    plain = missing("photos", images_of="pets.json")
    assert plain == f"{photos} must be the folder of the images of pets.json, got no such folder"


# ---- keypoint sets ------------------------------------------------------------------------------


def test_names_tell_pairs_sigmas_and_halves() -> None:
    spec = KeypointSpec.from_names(["nose", "left_hip", "right_hip", "right_knee", "left_knee"])
    assert spec.flip_pairs == ((1, 2), (4, 3))
    assert spec.flip_index == (0, 2, 1, 4, 3)
    assert spec.oks_sigmas == (0.026, 0.107, 0.107, 0.087, 0.087)
    assert spec.upper_body == (0,)
    assert spec.num_joints == 5


def test_flip_index_is_its_own_inverse() -> None:
    spec = KeypointSpec.from_names(["left_eye", "neck", "right_eye", "left_toe", "right_toe"],
                                   oks_sigmas={"left_toe": 0.1, "right_toe": 0.1})  # fmt: skip
    assert [spec.flip_index[k] for k in spec.flip_index] == list(range(5))


def test_yaml_completes_the_json(write: Write, tmp_path: Path) -> None:
    yaml_path = tmp_path / "pets.yaml"
    yaml_path.write_text(
        "names: [ear_l, ear_r, muzzle]\n"
        "flip_pairs: [[ear_l, ear_r]]\n"
        "skeleton: [[ear_l, muzzle], [ear_r, muzzle]]\n"
        "oks_sigmas: {ear_l: 0.03, ear_r: 0.03, muzzle: 0.02}\n"
        "upper_body: [ear_l, ear_r]\n"
    )
    unnamed = {**PETS, "categories": [{"id": 3, "name": "pet"}]}
    spec = load_annotations(write(unnamed), ".", spec=yaml_path).spec
    assert spec == KeypointSpec.from_yaml(yaml_path)
    assert spec == KeypointSpec(
        names=("ear_l", "ear_r", "muzzle"),
        flip_pairs=((0, 1),),
        oks_sigmas=(0.03, 0.03, 0.02),
        skeleton=((0, 2), (1, 2)),
        upper_body=(0, 1),
    )


def from_names(names: list[str], options: dict[str, Any] | None = None) -> KeypointSpec:
    return KeypointSpec.from_names(names, **options or {})


from_category = KeypointSpec.from_category


def test_a_given_spec_is_used_as_it_is(write: Write) -> None:
    spec = KeypointSpec(("a", "b", "c"), flip_pairs=(), oks_sigmas=(0.1, 0.1, 0.1))
    assert load_annotations(write(), ".", spec=spec).spec is spec


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (from_names, (["nose", "nose"],), "differ"),
        (from_names, ([],), "must be given"),
        (from_names, (["nose"], {"oks_sigmas": [0.1, 0.2]}), "1 positive numbers"),
        (from_names, (["nose"], {"oks_sigmas": [0.0]}), "1 positive numbers"),
        (from_names, (["nose"], {"oks_sigmas": {"tail": 1}}), "got 'tail'"),
        (from_names, (["nose"], {"skeleton": [["nose", "tail"]]}), "got 'tail'"),
        (from_names, (["nose"], {"flip_pairs": ["ab"]}), "pairs of names, got 'ab'"),
        (KeypointSpec, (("a", "b"), ((0, 2),), (1, 1)), "must index 2 joints, got 2"),
        (KeypointSpec, (("a", "b"), ((0, 1), (1, 0)), (1, 1)), "each joint once"),
        (from_category, ({},), "got neither"),
        (from_category, ({"keypoints": ["nose"]}, {"names": ["eye"]}), "must be the annotation fi"),
    ],
)
def test_a_bad_keypoint_set_is_named(
    make: Callable[..., object], arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(*arguments)


def test_yaml_with_unknown_keys_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pets.yaml"
    path.write_text("sigmas: [1]\n")
    with pytest.raises(ValueError, match=r"keys of .*oks_sigmas.* got \['sigmas'\]"):
        KeypointSpec.from_yaml(path)


# ---- real files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "people"), [("val", 179), ("train", 65)])
def test_coco_people_and_spec(data: Path, split: str, people: int) -> None:
    root = data / "coco_mini"
    annotations = load_annotations(
        root / f"annotations/person_keypoints_{split}2017.json", root / f"images/{split}2017"
    )
    assert len(annotations) == people
    assert all(person.image_path.exists() for person in annotations.records)
    spec = annotations.spec
    assert spec.flip_index == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert spec.skeleton[0] == (15, 13)
    assert spec.upper_body == tuple(range(11))
    tenths = [.26, .25, .25, .35, .35, .79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87,
              .89, .89]  # fmt: skip
    np.testing.assert_allclose(np.multiply(spec.oks_sigmas, 10), tenths)


def test_leeds_people_and_spec(data: Path) -> None:
    root = data / "lspet"
    annotations = load_annotations(root / "lspet_val.json", root / "images")
    assert len(annotations) == 300
    assert annotations.spec.flip_index == (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13)
    assert annotations.spec.upper_body == tuple(range(6, 14))
