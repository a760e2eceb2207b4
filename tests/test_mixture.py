# SPDX-License-Identifier: Apache-2.0
"""Data sets as one: joints by name, people one after the other, steps the same on any machine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from darkpose.data.annotations import Annotations, KeypointSpec, PersonRecord, load_annotations
from darkpose.data.augment import Augmentation
from darkpose.data.dataset import KeypointDataset
from darkpose.data.joint_sets import COCO
from darkpose.data.mixture import concatenate, remap
from darkpose.data.options import Extra
from training_runs import run_data

FACE = KeypointSpec.from_names(["nose", "left_eye", "right_eye"])
HEAD = KeypointSpec.from_names(["right_eye", "head_top", "nose", "left_eye"])
INPUT_SIZE = (64, 64)


def person(annotation_id: int, spec: KeypointSpec, visible: list[int]) -> PersonRecord:
    places = np.arange(2 * spec.num_joints).reshape(-1, 2) + 100 * annotation_id
    joints = np.column_stack([places, visible]).astype(float)
    return PersonRecord(Path("a.png"), 1, annotation_id, (64, 48), (1, 2, 30, 40), 636.0, joints)


FACES = Annotations((person(1, FACE, [2, 1, 0]), person(2, FACE, [0, 0, 2])), FACE, 3)
HEADS = Annotations((person(3, HEAD, [2, 2, 1, 0]), person(4, HEAD, [0, 2, 0, 0])), HEAD, 1)


def test_joints_are_mapped_by_name() -> None:
    first, second = remap(FACES, HEAD).records
    np.testing.assert_array_equal(
        first.joints, [[104, 105, 0], [0, 0, 0], [100, 101, 2], [102, 103, 1]]
    )
    rest = {"joints": None}
    assert vars(first) | rest == vars(FACES.records[0]) | rest
    assert second.joints[:, 2].tolist() == [2, 0, 0, 0]


def test_joints_are_mapped_by_what_their_names_mean() -> None:
    spelled = replace(FACE, names=("Nose", "eye-L", "Eye R"))
    first = remap(replace(FACES, spec=spelled), HEAD).records[0]
    np.testing.assert_array_equal(first.joints, remap(FACES, HEAD).records[0].joints)


def test_people_without_a_shared_joint_labeled_are_left_out() -> None:
    mapped = remap(HEADS, FACE)
    assert [record.annotation_id for record in mapped.records] == [3]
    assert mapped.spec is FACE
    with pytest.raises(ValueError, match="one of the joints .*nose.* labeled, got 1 without"):
        remap(replace(HEADS, records=HEADS.records[1:]), FACE)


def test_keypoint_sets_without_a_shared_name_are_refused() -> None:
    with pytest.raises(ValueError, match="share a name to be mapped, got nose, .* for pelvis"):
        remap(FACES, KeypointSpec.from_names(["pelvis", "neck"]))


def test_mapping_onto_the_same_joints_changes_nothing() -> None:
    for before, after in zip(FACES.records, remap(FACES, FACE).records, strict=True):
        np.testing.assert_array_equal(before.joints, after.joints)


def test_parts_follow_one_another_as_the_first_ones_category() -> None:
    both = concatenate([FACES, remap(HEADS, FACE)])
    assert [record.annotation_id for record in both.records] == [1, 2, 3]
    assert both.spec is FACE and both.category_id == 3


def test_parts_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        concatenate([])
    with pytest.raises(ValueError, match=r"joints of the first, \['nose', .* got \['right_eye'"):
        concatenate([FACES, HEADS])


def test_leeds_people_train_coco_joints(data: Path) -> None:
    root = data / "lspet"
    leeds = load_annotations(root / "lspet_val.json", root / "images")
    people = remap(leeds, COCO)
    assert len(people) == len(leeds)
    sample = KeypointDataset(people, INPUT_SIZE)[0]
    assert not sample["weights"][:5].any() and sample["weights"][5:].sum() > 8
    for name in ("left_wrist", "right_knee"):
        np.testing.assert_array_equal(
            people.records[7].joints[COCO.names.index(name)],
            leeds.records[7].joints[leeds.spec.names.index(name)],
        )


# ---- of a run -----------------------------------------------------------------------------------


def test_extra_people_are_mapped_and_repeated(people: Path, data: Path) -> None:
    root = data / "lspet"
    extra = Extra(root / "lspet_val.json", root / "images", repeat=2)
    plain, mixed = run_data(people), run_data(people, extra=(extra,))
    own, all_ = len(plain.train_set), len(mixed.train_set)
    assert all_ == own + 2 * 300
    assert mixed.train_set.records[0].image_path == plain.train_set.records[0].image_path
    first, again = mixed.train_set.records[own], mixed.train_set.records[own + 300]
    np.testing.assert_array_equal(first.joints, again.joints)
    assert first.joints.shape == (mixed.spec.num_joints, 3)
    assert len(mixed.val_set) == len(plain.val_set)


def test_a_repeated_person_is_augmented_anew(people: Path) -> None:
    extra = Extra(people / "annotations/person_keypoints_train.json", people / "images/train")
    mixed = run_data(people, extra=(extra,), augmentation=Augmentation()).train_set
    assert mixed.records[0].box == mixed.records[len(mixed) // 2].box
    assert not torch.equal(mixed[0]["to_heatmap"], mixed[len(mixed) // 2]["to_heatmap"])


def test_extra_data_that_is_wrong_is_named(people: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"repeat must be at least 1, got 0 for a\.json"):
        Extra(Path("a.json"), Path("images"), repeat=0)
    absent = tmp_path / "keypoint_train_annotations_20170909.json"
    mixed = run_data(people, extra=(Extra(absent, tmp_path, "aic"),))
    with pytest.raises(FileNotFoundError, match="AI Challenger's keypoint annotations"):
        _ = mixed.train_set
    train = people / "annotations/person_keypoints_train.json"
    mixed = run_data(people, extra=(Extra(train, tmp_path / "nowhere"),))
    with pytest.raises(FileNotFoundError, match="nowhere must be the folder of the images"):
        _ = mixed.train_set


def test_absent_training_images_are_named_before_training(people: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere must be the folder of the images"):
        _ = run_data(people, train_images=tmp_path / "nowhere").train_set


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_format": "mpii", "detections": Path("a.json")}, "are for COCO-style files, got mp"),
        ({"data_format": "mpii", "joints": Path("a.yaml")}, "are for COCO-style files, got mpii"),
        ({"val_mat": Path("gt_valid.mat")}, "val_mat is for MPII, got data_format coco"),
        ({"batch_size": 0}, "batch_size must be positive, got 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    people: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_data(people, **options)


@pytest.mark.parametrize("group_images", [1, 4])
@pytest.mark.parametrize(("world_size", "accumulated"), [(2, 1), (1, 4), (2, 2), (8, 1)])
def test_a_step_has_the_same_people_on_any_number_of_processes(
    people: Path, world_size: int, accumulated: int, group_images: int
) -> None:
    """However the batch is shared out, each optimizer step learns from the same eight people."""
    data = run_data(people, batch_size=8, group_images=group_images)
    steps = [batch["index"].tolist() for batch in data.train_batches()]
    assert len(steps) == len(data.train_set) // 8 and all(len(set(step)) == 8 for step in steps)
    shares = [
        [batch["index"].tolist() for batch in data.train_batches(rank, world_size, accumulated)]
        for rank in range(world_size)
    ]
    for number, step in enumerate(steps):
        own = slice(number * accumulated, (number + 1) * accumulated)
        assert sorted(i for share in shares for batch in share[own] for i in batch) == sorted(step)
    assert {len(share) for share in shares} == {len(steps) * accumulated}


def test_a_batch_that_cannot_be_shared_out_is_refused_before_training(people: Path) -> None:
    data = run_data(people, batch_size=8)
    with pytest.raises(ValueError, match="3 process.* 2 accumulated .* divisible by 6, got 8"):
        data.train_batches(0, 3, 2)
    batches = data.val_batches(0, 3, 2)
    assert sum(len(batch["index"]) for batch in batches) == -(-len(data.val_set) // 3)


def test_fewer_people_than_a_batch_are_one_smaller_batch(people: Path) -> None:
    data = run_data(people, batch_size=1000)
    (batch,) = data.train_batches()
    assert sorted(batch["index"].tolist()) == list(range(len(data.train_set)))
