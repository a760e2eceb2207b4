# SPDX-License-Identifier: Apache-2.0
"""What joints' names say: their sides, their partners, and which are the same joint."""

import logging

import pytest

from darkpose.data.sides import finder, flip_pairs, same_joints, sides
from darkpose.data.spec import KeypointSpec

WHOLE_BODY = [
    *("nose", "left_eye", "right_eye", "left_big_toe", "right_big_toe", "face-0", "face-1"),
    *("left_hand_root", "left_thumb1", "right_hand_root", "right_thumb1"),
]


def pairs(names: list[str]) -> list[tuple[str, str]]:
    return [(names[a], names[b]) for a, b in flip_pairs(names)[0]]


@pytest.mark.parametrize(
    ("left", "right", "joint"),
    [
        ("left_eye", "right_eye", "eye"),
        ("left knee", "Right Knee", "knee"),
        ("ear_left", "ear_right", "ear"),
        ("Left-ankle", "Right-ankle", "ankle"),
        ("L_EarBase", "R_EarBase", "ear_base"),
        ("big_toe_l", "big_toe_r", "big_toe"),
        ("hip.L", "hip.R", "hip"),
        ("LHip", "RHip", "hip"),
        ("lShldr", "rShldr", "shldr"),
        ("eyeL", "eyeR", "eye"),
        ("lefteye", "righteye", "eye"),
        ("Lank", "Rank", "ank"),
        ("LEFT_EYE", "RIGHT_EYE", "eye"),
        ("upper_left_lip", "upper_right_lip", "upper_lip"),
        ("forelegL1", "forelegR1", "foreleg_1"),
        ("rig:LeftUpLeg", "rig:RightUpLeg", "rig_up_leg"),
        ("L1", "R1", "1"),
        ("left", "right", ""),
        ("rear_l", "rear_r", "rear"),
        ("rl", "rr", "r"),
        ("left_eye_left_corner", "right_eye_right_corner", "eye_same_corner"),
        ("left_eye_right_corner", "right_eye_left_corner", "eye_other_corner"),
    ],
)
def test_a_side_is_seen_however_it_is_spelled(left: str, right: str, joint: str) -> None:
    names = ["nose", right, "tail", left, "collar"]
    found = sides(names)
    assert [one[:2] for one in found[1:4:2]] == [("right", joint), ("left", joint)]
    assert flip_pairs(names) == ([(3, 1)], [])
    assert not found[0].side and not found[4].side


@pytest.mark.parametrize(
    "names",
    [
        ["lip", "collar", "bright", "root", "tail", "cleft", "light", "heel", "rear", "lower_leg"],
        ["L1", "L2", "L5", "R"],  # vertebrae
        ["lower_lip", "upper_lip", "roof", "leg", "shoulder", "nostril"],
        ["\u5de6\u76ee", "\u53f3\u76ee"],
        ["+", "-"],
    ],
)
def test_letters_within_words_are_no_sides(names: list[str]) -> None:
    assert {one.side for one in sides(names)} == {""}
    assert flip_pairs(names) == (
        [],
        ["no joint's name has a side: a mirror exchanges none of them"],
    )


def test_pairs_of_one_set_may_be_spelled_differently() -> None:
    assert pairs(WHOLE_BODY) == [
        ("left_eye", "right_eye"),
        ("left_big_toe", "right_big_toe"),
        ("left_hand_root", "right_hand_root"),
        ("left_thumb1", "right_thumb1"),
    ]
    assert pairs(["nose", "Ear-R", "left_ear"]) == [("left_ear", "Ear-R")]
    assert pairs(["left", "light", "right"]) == [("left", "right")]
    assert pairs(["fl", "fr", "rl", "rr"]) == [("fl", "fr"), ("rl", "rr")]
    wheels = ["R_R_wheel", "F_L_wheel", "R_L_wheel", "F_R_wheel"]
    assert pairs(wheels) == [("F_L_wheel", "F_R_wheel"), ("R_L_wheel", "R_R_wheel")]


def test_a_side_without_a_partner_or_with_two_is_named() -> None:
    names = ["left_ear", "Ear R", "R ear", "tail_l", "lefteye", "left_hip", "right_hip"]
    found, notes = flip_pairs(names)
    assert found == [(5, 6)]
    assert notes == [
        "no joint is the mirror image of tail_l, lefteye: a mirror leaves it alone",
        "left_ear may be the mirror image of Ear R and R ear: a mirror leaves them alone",
    ]
    assert flip_pairs(["left_eye", "right_eye", "Right Eye"])[0] == []


def test_pairs_that_are_given_win(caplog: pytest.LogCaptureFixture) -> None:
    names = ["left_eye", "right_eye", "left_ear"]
    assert KeypointSpec.from_names(names, flip_pairs=[]).flip_pairs == ()
    odd = KeypointSpec.from_names(names, flip_pairs=[["Left Eye", "left_ear"]])
    assert odd.flip_pairs == ((0, 2),)
    assert not caplog.records


def test_warnings_name_the_file_and_no_control_characters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        KeypointSpec.from_category({"keypoints": ["left_\x1b[31mear", "nose"]}, file="a.json")
    first = caplog.records[0].getMessage()
    assert first.startswith("a.json: no joint is the mirror image of left_\\x1b[31mear")


def test_joints_of_two_sets_are_the_same_by_side_and_name() -> None:
    ours = ["left_shoulder", "head_top", "right_hip", "left_toe", "nose"]
    theirs = ["RHip", "LHip", "Head Top", "Left Shoulder", "Right Shoulder", "nose", "Nose"]
    assert same_joints(ours, theirs) == [(0, 3), (1, 2), (2, 0), (4, 5)]
    assert same_joints(["lefteye", "righteye"], ["eye_r", "eye_l"]) == [(0, 1), (1, 0)]
    assert same_joints(["left_eye"], ["Left Eye", "eye left"]) == []  # which of the two?


def test_a_name_is_found_however_it_is_spelled() -> None:
    find = finder(["lefteye", "righteye", "Head Top", "head-top", "nose"])
    assert [find(name) for name in ("left_eye", "R eye", "NOSE", "tail")] == [0, 1, 4, None]
    assert [find(name) for name in ("Head Top", "head_top")] == [2, None]
