# SPDX-License-Identifier: Apache-2.0
"""Small likenesses of forty keypoint files as people have them: what trains as it is, and what the
others are told. Nothing but the annotations is given, as README and docs show."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import torch

from darkpose.codec import HeatmapCodec
from darkpose.data.batches import Batches
from darkpose.data.joint_sets import COCO
from darkpose.data.options import DataOptions
from darkpose.models.pose import PoseModel

BODY = list(COCO.names)
CODEC = HeatmapCodec((64, 64))


class Form(NamedTuple):
    """How a file differs from COCO's."""

    joints: int = 17
    names: Any = None
    """Of the joints in the category; None: `joint0`, ...; []: none, as some files have it."""
    skeleton: Any = ()
    person: Any = {}
    """Of each annotation, in place of the usual values or beside them."""
    without: tuple[str, ...] = ()
    """What annotations lack."""
    categories: Any = None
    folder: str = ""
    options: Any = {}
    """Of `DataOptions`, which docs/training.md tells of."""


def names(count: int, *pairs: str) -> list[str]:
    """Return names of joints that tell sides by the given forms, `{}_eye` for both eyes."""
    sided = [pair.format(side) for pair in pairs for side in ("left", "right")]
    return [*sided, *(f"point {i}" for i in range(count - len(sided)))]


FROM_ZERO = [[0, 1], [1, 2]]
BEYOND = [[16, 14], [14, 18]]
CROWDPOSE = ["left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
             "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
             "right_ankle", "head", "neck"]  # fmt: skip
AIC_NAMES = [f"{side} {joint}" for side in ("Right", "Left")
             for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")]  # fmt: skip
ANIMALS = [{"id": i, "name": f"animal {i}", "keypoints": names(17, "{}_eye")} for i in range(1, 55)]
CVAT = [
    {"id": 1, "name": "person", "keypoints": names(15, "{} foot"), "skeleton": BEYOND},
    {"id": 2, "name": "rollerskis", "keypoints": names(4)},
    {"id": 3, "name": "poles", "keypoints": names(4)},
]
FLOATS = {"area": 1200.5, "iscrowd": False, "id": "a7", "num_keypoints": None}

TRAIN = {
    "coco": Form(names=BODY, skeleton=[[16, 14]]),
    "coco_wholebody": Form(names=BODY, person={"foot_kpts": [0] * 18, "foot_valid": False}),
    "ochuman": Form(names=BODY, person={"segms": None}),
    "macaque": Form(names=BODY),
    "posetrack18": Form(names=["nose", "head_bottom", "head_top", *BODY[3:]], folder="val/0001"),
    "crowdpose": Form(14, CROWDPOSE, [[16, 14], [0, 17]]),
    "h36m": Form(names=names(17, "{}_hip", "{}_knee"), skeleton=FROM_ZERO),
    "exlpose": Form(14, CROWDPOSE, FROM_ZERO),
    "atrw": Form(15, names(15, "{}_ear", "{}_front_paw"), FROM_ZERO),
    "ap10k": Form(categories=ANIMALS),
    "animalkingdom": Form(23, categories=[
        {"id": 1, "name": "Amphibian", "keypoints": names(23)},
        {"id": 2, "name": "Bird", "keypoints": names(23)},
    ]),
    "animalpose": Form(20, ["L_Eye", "R_Eye", "L_EarBase", "R_EarBase", *names(16)]),
    "horse10": Form(22, names(22)),
    "zebra": Form(9, names(9)),
    "fly": Form(32, names(32, "wing{}", "leg{}")),
    "locust": Form(35, names(35)),
    "freihand": Form(21, names(21)),
    "onehand10k": Form(21, names(21)),
    "panoptic_hand": Form(21, names(21)),
    "rhd": Form(21, names(21), person={"nested": True}),
    "deepfashion2": Form(294, names(294)),
    "fld": Form(8, ["left collar", "right collar", *names(6)]),
    "aic": Form(14, [*AIC_NAMES, "Head Top", "Neck"]),
    "mhp": Form(16, ["Left-ankle", "Right-ankle", *names(14)]),
    "jhmdb": Form(15, ["belly", "head", *names(13)], without=("area", "iscrowd"), folder="a/b"),
    "humanart": Form(21, names(21),
                     person={"field": "keypoints_21", "keypoints": [10, 10, 2] * 17}),
    "cvat_person": Form(15, categories=CVAT),
    "cvat_two_skeletons": Form(4, categories=CVAT, person={"category_id": 2},
                               options={"category": "rollerskis"}),
    "cvat_unlabeled": Form(names=BODY, person={"unlabeled": True}),
    "roboflow": Form(18, ["RHip", "LHip", *names(16)], without=("num_keypoints", "area")),
    "labeler": Form(29, names(29), [[0, 1], [5, 28]]),
    "sleap": Form(13, names(13), person={"v": 1}, folder="videos/minimal"),
    "text": Form(names=BODY, person={"text": True}),
    "floats": Form(names=BODY, person=FLOATS),
    "one_category": Form(names=BODY, without=("category_id",)),
}  # fmt: skip
REFUSED = {
    "no_names": (Form(68, []), "must list its keypoints"),
    "no_boxes": (Form(68, names(68), without=("bbox",)), "annotation 1 must have a box of pos"),
    "other_joints": (Form(133, BODY), "keypoints of 17 joints must be 51 numbers, got 399"),
    "points": (Form(categories=[{"id": 1, "name": "a point"}], without=("keypoints",)),
               "at least one category with keypoints, got 0"),
    "two_skeletons": (Form(15, categories=CVAT, person={"second": True}), "choose one with cat"),
}  # fmt: skip


def write(folder: Path, form: Form) -> DataOptions:
    """Write two people of a form, and return the options of a run on them."""
    (folder / form.folder).mkdir(parents=True, exist_ok=True)
    file_name = str(Path(form.folder, "a.png"))
    cv2.imwrite(str(folder / file_name), np.full((120, 160, 3), 99, np.uint8))
    joints = np.random.default_rng(0).uniform(42, 66, (form.joints, 2)).round(1)
    rows = [[x, y, form.person.get("v", 2)] for x, y in joints.tolist()]
    if form.person.get("unlabeled"):
        rows[0] = [12.5, 13.5, 0]
    flat: list[Any] = rows if form.person.get("nested") else [v for row in rows for v in row]
    if form.person.get("text"):
        flat = [str(value) for value in flat]
    usual = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [40, 30, 40, 42], "area": 900.0,
             "iscrowd": 0, "num_keypoints": form.joints, "keypoints": flat}  # fmt: skip
    if "field" in form.person:
        usual[form.person["field"]] = flat
    person = {**usual, **form.person}
    person = {key: value for key, value in person.items() if key not in form.without}
    named = names(form.joints) if form.names is None else form.names
    category = {"id": 1, "name": "person", "keypoints": named, "skeleton": list(form.skeleton)}
    people = [person, {**person, "id": 2}]
    if form.person.get("second"):
        people.append({**person, "id": 3, "category_id": 2, "keypoints": [50, 50, 2] * 4})
    content = {
        "images": [{"id": 1, "file_name": file_name, "width": 160, "height": 120}],
        "categories": form.categories or [category],
        "annotations": people,
    }
    file = folder / "people.json"
    file.write_text(json.dumps(content))
    files = {"val": file, "val_images": folder, "train": file, "train_images": folder}
    return DataOptions(**files, batch_size=2, workers=0, **form.options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TRAIN)
def test_a_file_of_this_form_trains(tmp_path: Path, name: str) -> None:
    form = TRAIN[name]
    people = Batches(CODEC, write(tmp_path, form))
    assert people.spec.num_joints == form.joints
    (batch,) = people.train_batches()
    labeled = form.joints - bool(form.person.get("unlabeled"))
    assert batch["weights"].sum(1).tolist() == [labeled, labeled]
    torch.testing.assert_close(batch["joints"][0], batch["joints"][1])
    model = PoseModel(CODEC, people.spec)
    loss = model.loss(model(batch["image"]), batch)
    loss.backward()
    assert loss.isfinite() and loss > 0


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_of_this_form_is_told_what_it_lacks(tmp_path: Path, name: str) -> None:
    form, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as refused:
        _ = Batches(CODEC, write(tmp_path, form)).train_set
    assert "people.json" in str(refused.value)


def test_sides_are_understood(tmp_path: Path) -> None:
    pairs = {
        name: Batches(CODEC, write(tmp_path / name, TRAIN[name])).spec.flip_pairs
        for name in ("aic", "mhp", "animalpose", "roboflow", "fld")
    }
    assert len(pairs["aic"]) == 6
    assert {name: found[0] for name, found in pairs.items() if name != "aic"} == {
        **dict.fromkeys(("mhp", "animalpose", "fld"), (0, 1)),
        "roboflow": (1, 0),
    }
