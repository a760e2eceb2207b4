# SPDX-License-Identifier: Apache-2.0
"""Joint sets as data: read when asked for, told by their joints' names."""

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from darkpose.data import joint_sets
from darkpose.data.annotations import load_annotations
from darkpose.data.drawing import skeleton_colors
from darkpose.data.joint_sets import AIC, COCO, JOINT_SETS, MPII, matching
from darkpose.data.spec import KeypointSpec
from darkpose.models.pose import PoseModel
from predicting import save, untrained

SETS = Path(joint_sets.__file__).with_name("sets")


def test_a_set_is_read_when_it_is_asked_for() -> None:
    program = """
import sys
opened = []
sys.addaudithook(lambda event, found: opened.append(str(found[0])) if event == "open" else None)
import darkpose.data, darkpose.data.batches, darkpose.data.drawing
def sets(): return [name.rpartition("/")[2] for name in opened if name.endswith(".json")]
before = sets()
darkpose.data.COCO, darkpose.data.COCO
print(before, sets())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[] ['coco.json']"


def test_the_sets_that_others_import_are_those_of_the_table() -> None:
    assert (COCO, MPII, AIC) == tuple(JOINT_SETS[name] for name in ("coco", "mpii", "aic"))
    assert [spec.num_joints for spec in (COCO, MPII, AIC)] == [17, 16, 14]
    assert "nowhere" not in JOINT_SETS and len(JOINT_SETS) == len(list(JOINT_SETS))
    assert COCO.oks_sigmas[:2] == (0.026, 0.025) and COCO.flip_pairs[0] == (1, 2)


@pytest.mark.parametrize("name", JOINT_SETS)
def test_a_set_is_told_by_its_joints(name: str) -> None:
    assert matching(JOINT_SETS[name].names) == JOINT_SETS[name]


@pytest.mark.parametrize("name", JOINT_SETS)
def test_a_set_mirrors_onto_itself_and_says_where_its_sigmas_are_from(name: str) -> None:
    spec = JOINT_SETS[name]
    flipped = spec.flip_index
    limbs = {frozenset(limb) for limb in spec.skeleton}
    assert {frozenset(flipped[k] for k in limb) for limb in limbs} == limbs
    assert all(
        spec.oks_sigmas[k] == pytest.approx(spec.oks_sigmas[flipped[k]], abs=0.06)
        for k in range(spec.num_joints)
    )
    content = json.loads((SETS / f"{name}.json").read_text())
    sources = [key for key in content if key.startswith("oks_sigmas_")]
    assert len(sources) == ("oks_sigmas" in content) == (not spec.assumed_sigmas)
    colors = skeleton_colors(spec)
    assert (len(colors.joints), len(colors.limbs)) == (spec.num_joints, len(spec.skeleton))


# Joints, flip pairs and limbs; places with their names, mirror images and sigmas.
FACTS: dict[str, tuple[int, int, int, dict[int, tuple[str, str, float]]]] = {
    "coco": (17, 8, 19, {0: ("nose", "nose", 0.026), 11: ("left_hip", "right_hip", 0.107)}),
    "coco_wholebody": (
        *(133, 61, 65),
        {
            17: ("left_big_toe", "right_big_toe", 0.068),
            22: ("right_heel", "left_heel", 0.094),
            23: ("face-0", "face-16", 0.042),
            90: ("face-67", "face-65", 0.008),
            91: ("left_hand_root", "right_hand_root", 0.029),
            132: ("right_pinky_finger4", "left_pinky_finger4", 0.031),
        },
    ),
    "mpii": (16, 6, 15, {3: ("left_hip", "right_hip", 0.107), 9: ("head_top", "head_top", 0.026)}),
    "aic": (14, 6, 14, {0: ("right_shoulder", "left_shoulder", 0.01388152)}),
    "lsp": (14, 6, 14, {12: ("neck", "neck", 0.079), 0: ("right_ankle", "left_ankle", 0.089)}),
    "ap10k": (17, 7, 17, {4: ("Root of tail",) * 2 + (0.035,), 7: ("L_F_Paw", "R_F_Paw", 0.062)}),
    "halpe26": (26, 11, 27, {17: ("head", "head", 0.026), 25: ("right_heel", "left_heel", 0.079)}),
    "halpe136": (
        *(136, 61, 67),
        {19: ("hip", "hip", 0.08), 94: ("left_hand_root", "right_hand_root", 0.015)},
    ),
    "sapiens308": (
        *(308, 125, 65),
        {
            9: ("left_hip", "right_hip", 0.107),
            24: ("right_thumb_third_joint", "left_thumb_third_joint", 0.022),
            62: ("left_wrist", "right_wrist", 0.062),
            69: ("neck", "neck", 0.079),
            78: ("upper_startpoint_of_r_eyebrow",) * 2 + (0.01,),
            184: ("upper_corner_of_r_nostril", "upper_corner_of_l_nostril", 0.01),
            219: ("midpoint_6_of_lower_inner_lip",) * 2 + (0.01,),
            220: ("l_top_end_of_inferior_crus", "r_top_end_of_inferior_crus", 0.01),
            255: ("r_point_8_of_inner_helix", "l_point_8_of_inner_helix", 0.01),
            307: ("r_border_of_pupil_midpoint_2", "l_border_of_pupil_midpoint_2", 0.01),
        },
    ),
    "crowdpose": (14, 6, 15, {12: ("top_head", "top_head", 0.079)}),
    "animalpose": (20, 8, 20, {6: ("TailBase", "TailBase", 0.1)}),
    "jhmdb": (15, 6, 14, {1: ("belly", "belly", 0.107)}),
    "posetrack18": (17, 7, 16, {1: ("head_bottom", "head_bottom", 0.025)}),
    "freihand": (21, 0, 20, {0: ("wrist", "wrist", 0.05)}),
    "onehand10k": (21, 0, 20, {0: ("wrist", "wrist", 0.05)}),
    "300w": (68, 29, 0, {0: ("kpt-0", "kpt-16", 0.05)}),
    "wflw": (98, 44, 0, {0: ("kpt-0", "kpt-32", 0.05), 97: ("kpt-97", "kpt-96", 0.05)}),
}


@pytest.mark.parametrize("name", JOINT_SETS)
def test_a_set_is_as_its_authors_have_it(name: str) -> None:
    spec = JOINT_SETS[name]
    *counts, places = FACTS[name]
    assert [spec.num_joints, len(spec.flip_pairs), len(spec.skeleton)] == counts
    for k, (joint, mirrored, sigma) in places.items():
        found = spec.names[k], spec.names[spec.flip_index[k]], spec.oks_sigmas[k]
        assert found == (joint, mirrored, sigma)


def test_the_front_of_an_animal_is_its_upper_body() -> None:
    spec = JOINT_SETS["ap10k"]
    lower = [name for k, name in enumerate(spec.names) if k not in spec.upper_body]
    assert lower == [
        *("Root of tail", "L_Hip", "L_Knee", "L_B_Paw", "R_Hip", "R_Knee", "R_B_Paw"),
    ]


def test_a_set_is_told_in_any_order_and_spelling() -> None:
    names = [_others_spelling(name) for name in reversed(COCO.names)]
    found = matching(names)
    assert found is not None and found.names == COCO.names[::-1]
    assert found.flip_index == tuple(16 - COCO.flip_index[16 - k] for k in range(17))
    assert found.oks_sigmas == COCO.oks_sigmas[::-1]
    assert found.upper_body == tuple(sorted(16 - k for k in COCO.upper_body))
    limbs = [(found.names[a], found.names[b]) for a, b in found.skeleton]
    assert limbs == [(COCO.names[a], COCO.names[b]) for a, b in COCO.skeleton]
    pairs = {(found.names[a], found.names[b]) for a, b in found.flip_pairs}
    assert pairs == {(COCO.names[a], COCO.names[b]) for a, b in COCO.flip_pairs}


@pytest.mark.parametrize("joints", [None, "crowdpose"])
def test_crowdpose_is_known_by_its_own_files_names(joints: str | None, tmp_path: Path) -> None:
    spec = JOINT_SETS["crowdpose"]
    names = [*spec.names[:12], "head", "neck"]
    assert matching(names) == spec
    found = load_annotations(file_of(tmp_path, names), tmp_path, spec=joints).spec
    assert found == (spec if joints else replace(spec, names=names))


def _others_spelling(name: str) -> str:
    side, _, joint = name.partition("_")
    return f"{side[0].upper()}_{joint.capitalize()}" if joint else name.capitalize()


@pytest.mark.parametrize(
    "names", [COCO.names[:-1], (*COCO.names, "tail"), (*COCO.names[:-1], "tail"), ("a", "b"), ()]
)
def test_other_joints_are_no_set(names: tuple[str, ...]) -> None:
    assert matching(names) is None


def test_sets_of_the_same_joints_are_told_by_their_order() -> None:
    """LSP's joints are AI Challenger's."""
    lsp = JOINT_SETS["lsp"]
    assert sorted(lsp.names) == sorted(AIC.names) and lsp.names != AIC.names
    shuffled = matching(sorted(lsp.names))
    assert shuffled is not None
    by_name = KeypointSpec.from_names(sorted(lsp.names))
    assert shuffled.oks_sigmas == by_name.oks_sigmas


# ---- where they hold -----------------------------------------------------------------------------


def file_of(tmp_path: Path, names: Sequence[str], **category: Any) -> Path:
    """Write a COCO-style file with one person, all of its joints at (5, 5)."""
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 50}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
        "annotations": [{**person, "keypoints": [5, 5, 2] * len(names)}],
        "categories": [{"id": 1, "name": "one", "keypoints": list(names), **category}],
    }
    file = tmp_path / "people.json"
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize("name", ["ap10k", "wflw", "halpe26", "sapiens308"])
def test_a_file_of_a_sets_joints_needs_nothing(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = JOINT_SETS[name]
    with caplog.at_level(logging.WARNING):
        found = load_annotations(file_of(tmp_path, spec.names), tmp_path).spec
    assert found == spec
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (name == "wflw") and all("no OKS sigma is published" in one for one in said)


def test_what_a_file_or_a_yaml_says_goes_before_the_set(tmp_path: Path) -> None:
    spec = JOINT_SETS["ap10k"]
    names = [name.replace("L_", "Left ").replace("R_", "Right ") for name in spec.names]
    file = file_of(tmp_path, names, skeleton=[[1, 2], [1, 10]])
    found = load_annotations(file, tmp_path).spec
    assert found.names == tuple(names) and found.flip_pairs == spec.flip_pairs
    assert found.oks_sigmas == spec.oks_sigmas and found.upper_body == spec.upper_body
    assert found.skeleton == ((0, 1), (0, 9))
    assert found.limb_colors == (spec.limb_colors[0], spec.joint_colors[9])
    yaml = tmp_path / "joints.yaml"
    yaml.write_text(
        'flip_pairs: []\noks_sigmas: {nose: 0.5}\nlimb_colors: ["#000000", "#ffffff"]\n'
    )
    given = load_annotations(file, tmp_path, spec=yaml).spec
    assert given.flip_pairs == () and given.oks_sigmas[2] == 0.5
    assert given.oks_sigmas[3:] == spec.oks_sigmas[3:] and given.joint_colors == spec.joint_colors
    assert skeleton_colors(given).limbs == ((0, 0, 0), (255, 255, 255))


def test_a_set_is_named_where_a_yaml_file_goes(tmp_path: Path) -> None:
    """Which tells sets of the same joints apart, whatever their order."""
    file = file_of(tmp_path, sorted(AIC.names))
    shuffled = load_annotations(file, tmp_path, spec="aic").spec
    assert dict(zip(shuffled.names, shuffled.oks_sigmas, strict=True)) == dict(
        zip(AIC.names, AIC.oks_sigmas, strict=True)
    )
    assert KeypointSpec.from_yaml("wflw") == JOINT_SETS["wflw"]
    with pytest.raises(ValueError, match="joint set's names must be the annotation file's"):
        load_annotations(file, tmp_path, spec="mpii")
    with pytest.raises(
        FileNotFoundError, match="coco_wholbody must be a YAML file .*, coco, coco_"
    ):
        load_annotations(file, tmp_path, spec="coco_wholbody")


def test_colors_are_given_by_name_or_in_order() -> None:
    spec = JOINT_SETS["ap10k"]
    names, like = list(spec.names), spec
    by_name = KeypointSpec.from_names(names, joint_colors={"R-Eye": "#010203"}, like=like)
    assert by_name.joint_colors == (spec.joint_colors[0], "#010203", *spec.joint_colors[2:])
    drawn = skeleton_colors(by_name)
    assert drawn.joints[1] == (1, 2, 3) and drawn.limbs[0] == (1, 2, 3)  # to the right eye
    in_order = KeypointSpec.from_names(["a", "b"], joint_colors=["#FF0000", "#00ff00"])
    assert skeleton_colors(in_order).joints == ((255, 0, 0), (0, 255, 0))


@pytest.mark.parametrize("name", ["coco", "ap10k"])
def test_a_checkpoint_says_colors_only_where_there_are_some(name: str, tmp_path: Path) -> None:
    spec = JOINT_SETS[name]
    assert ("joint_colors" in spec.to_dict()) == bool(spec.joint_colors) == (name == "ap10k")
    assert PoseModel.load(save(untrained(spec), tmp_path / "a.ckpt")).spec == spec


@pytest.mark.parametrize(
    ("colors", "said"),
    [
        ('["#ff8000"]', 'joint_colors must be 2 colors, each as "#ff8000", got 1 of them'),
        ('["red", "#ff8000"]', "joint_colors must be 2 colors.*'red' in it"),
        ('{a: "#ff8000"}', "joint_colors must be 2 colors.*None in it"),
        ('{c: "#ff8000"}', "joint_colors must use the names a, b"),
    ],
)
def test_colors_that_are_none_are_refused(colors: str, said: str, tmp_path: Path) -> None:
    yaml = tmp_path / "joints.yaml"
    yaml.write_text(f"names: [a, b]\njoint_colors: {colors}\n")
    with pytest.raises(ValueError, match=said):
        KeypointSpec.from_yaml(yaml)
