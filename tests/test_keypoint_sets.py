# SPDX-License-Identifier: Apache-2.0
"""Keypoint sets as files have them: skeletons, sigmas, names, and YAML of any content."""

import copy
import logging
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from darkpose.data.spec import KeypointSpec, read_spec_yaml
from darkpose.models.pose import PoseModel
from predicting import save, untrained

NAMES = ["nose", "left_eye", "right_eye"]
GOOD = {
    "names": ["left_ear", "right_ear", "muzzle"],
    "flip_pairs": [["left_ear", "right_ear"]],
    "skeleton": [["left_ear", "muzzle"]],
    "oks_sigmas": {"muzzle": 0.03, "left_ear": "0.04"},
    "upper_body": ["left_ear", "right_ear", "muzzle"],
}


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


def category(limbs: Any, **extra: Any) -> KeypointSpec:
    return KeypointSpec.from_category({"keypoints": NAMES, "skeleton": limbs}, extra, file="a")


# ---- skeletons -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skeleton", "limbs", "left_out"),
    [
        ([[1, 2], [1, 3]], ((0, 1), (0, 2)), None),
        ([[0, 1], [0, 2]], ((0, 1), (0, 2)), None),  # counted from 0
        ([[4, 3], [1, 2]], ((0, 1),), "1 of 2 limbs .* of the 3 joints, the first one \\[4, 3\\]"),
        ([[0, 3], [0, 2]], ((0, 2),), "1 of 2"),
        ([[1.0, "2"], ["1", "3.0"]], ((0, 1), (0, 2)), None),
        ([["nose", "left_eye"], ["Eye-R", "Nose"]], ((0, 1), (2, 0)), None),
        ([[1, 2, 3]], (), "first one \\[1, 2, 3\\]"),
        ([1, 2, 3], (), "3 of 3"),
        ([[1.5, 2], [1, None], [True, 2], [[1], 2], [1, "tail"], [1e400, 2], []], (), "7 of 7"),
        ("nose", (), "1 of 1"),
        (5, (), "1 of 1"),
        ({"1": 2}, (), "1 of 1"),
        (None, (), None),
        ([], (), None),
    ],
)
def test_a_skeleton_has_the_limbs_that_are_there(
    skeleton: Any, limbs: Any, left_out: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert category(skeleton).skeleton == limbs
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (left_out is not None)
    assert all(re.match(f"a: .*{left_out}", one) for one in said)


def test_a_skeleton_that_is_given_wins_unseen(caplog: pytest.LogCaptureFixture) -> None:
    assert category([[7, 8]], skeleton=[]).skeleton == ()
    assert category("?", skeleton=[["nose", "left eye"]]).skeleton == ((0, 1),)
    assert not caplog.records
    assert category([[1, 2]], skeleton=None).skeleton == ((0, 1),)


def test_numbers_that_are_names_are_names() -> None:
    spec = KeypointSpec.from_category({"keypoints": [2, 1, 0], "skeleton": [["2", "0"], [1, 2]]})
    assert spec.names == ("2", "1", "0") and spec.skeleton == ((0, 2), (0, 1))


# ---- sigmas --------------------------------------------------------------------------------------


def test_sigmas_that_nobody_published_are_assumed_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = ["L_Eye", "R_Eye", *(f"part {k}" for k in range(7))]
    spec = KeypointSpec.from_names(names, oks_sigmas={"part 6": "0.1"}, file="a.json")
    assert spec.oks_sigmas == (0.025, 0.025, *6 * [0.05], 0.1)
    assert spec.assumed_sigmas == (2, 3, 4, 5, 6, 7)
    (record,) = caplog.records
    assert record.getMessage() == (
        "a.json: no OKS sigma is published for part 0, part 1, part 2, part 3, part 4 and 1 more: "
        "0.05 is assumed, unless oks_sigmas in the file of data.joints says another"
    )


@pytest.mark.parametrize("given", [0.05, "0.05", [0.05, "0.05", 5e-2], dict.fromkeys(NAMES, 0.05)])
def test_sigmas_that_are_given_are_not_assumed(given: Any) -> None:
    spec = KeypointSpec.from_names(NAMES, oks_sigmas=given)
    assert spec.oks_sigmas == (0.05, 0.05, 0.05) and spec.assumed_sigmas == ()


def test_null_among_sigmas_is_not_given() -> None:
    assert KeypointSpec.from_names(NAMES, oks_sigmas=[0.1, None, None]).oks_sigmas == (
        0.1,
        0.025,
        0.025,
    )
    spec = KeypointSpec.from_names(["nose", "tail"], oks_sigmas={"tail": None, "Nose": 1})
    assert spec.oks_sigmas == (1, 0.05) and spec.assumed_sigmas == (1,)


def test_checkpoints_of_before_say_nothing_of_assumed_sigmas() -> None:
    spec = KeypointSpec.from_names(NAMES)
    before = asdict(spec)
    del before["assumed_sigmas"]
    assert KeypointSpec(**before) == spec


def test_a_checkpoint_keeps_the_pairs_and_sigmas_it_has(tmp_path: Path) -> None:
    """Those of before found no pairs in such names."""
    spec = KeypointSpec(("L_eye", "R_eye", "tail"), (), (0.1, 0.2, 0.05), assumed_sigmas=(2,))
    assert KeypointSpec.from_names(spec.names).flip_pairs == ((0, 1),)
    found = PoseModel.load(save(untrained(spec), tmp_path / "a.ckpt"))
    assert found.spec == spec and found.codec.flip_index == (0, 1, 2)


# ---- names ---------------------------------------------------------------------------------------


def test_a_file_says_the_order_of_the_joints_and_the_yaml_their_spelling() -> None:
    found = KeypointSpec.from_category(
        {"keypoints": ["Right Ear", "muzzle", "Left Ear"]},
        {"names": ["left_ear", "right_ear", "Muzzle"], "upper_body": ["Left Ear", "muzzle"]},
    )
    assert found.names == ("right_ear", "Muzzle", "left_ear")
    assert found.flip_pairs == ((2, 0),) and found.upper_body == (2, 1)


@pytest.mark.parametrize("names", [["nose", "left_eye"], ["nose", "left_eye", "tail"]])
def test_a_yaml_of_other_joints_is_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match=f"annotation file's, nose, .* got {len(names)} for 3"):
        category([], names=names)


# ---- YAML ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"oks_sigmas: [0.05", "must be YAML, got an error in line 1"),
        (b"names: \xff", "must be YAML"),
        (b"a\x00b", "must be YAML"),
        (b"names: 2020-13-45", "must be YAML"),
        (b"names: !!bool maybe", "must be YAML"),
        (b"names: !!timestamp x", "must be YAML"),
        (b"names: !!python/object/apply:os.getcwd []", "must be YAML"),
        (b"? [a]\n: 1", "must be YAML"),
        (b"[" * 1000, "must be YAML"),
        (b"names: &a [*a]", "does an alias name itself"),
        (b"oks_sigmas: &a {nose: *a}", "does an alias name itself"),
        (b"", "got 'NoneType'"),
        (b"- names", "got 'list'"),
        (b"sigmas: 1", "got \\['sigmas'\\]"),
        (b'"\\u202e": 1', "u202e"),
    ],
)
def test_broken_yaml_is_one_sentence(text: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "joints.yaml"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=f"^{path} .*{said}") as caught:
        KeypointSpec.from_yaml(path)
    assert str(caught.value).isprintable()


def test_an_alias_of_aliases_is_refused_in_no_time(tmp_path: Path) -> None:
    lines = ["names:", "- &a0 [nose]"]
    lines += [f"- &a{k} [{', '.join(9 * [f'*a{k - 1}'])}]" for k in range(1, 12)]
    path = tmp_path / "joints.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="at most 100000 values"):
        read_spec_yaml(path)


def _changed() -> Iterator[Any]:
    """Yield the good content with one value changed, at every place and in many ways."""
    itself: list[Any] = []
    itself.append(itself)
    others = [None, True, -1, 0, 1e400, float("nan"), 10**400, "", "?", "\x1b[31m", [], [[]], {}]
    others += [{"nose": 1}, ["muzzle"], [None], b"x", itself, {1}, "0.05", yaml.safe_load("1-1-1")]

    def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        yield path
        if isinstance(value, dict | list):
            for key, each in value.items() if isinstance(value, dict) else enumerate(value):
                yield from places(each, (*path, key))

    for path in list(places(GOOD))[1:]:
        for other in others:
            content = copy.deepcopy(GOOD)
            inside: Any = content
            for key in path[:-1]:
                inside = inside[key]
            inside[path[-1]] = other
            yield content


def test_any_value_of_any_field_is_understood_or_one_sentence_with_the_file(
    tmp_path: Path,
) -> None:
    path, outcomes = tmp_path / "joints.yaml", {True: 0, False: 0}
    for content in _changed():
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        try:
            spec = KeypointSpec.from_yaml(path)
        except ValueError as error:
            assert str(error).startswith(str(path)) and str(error).isprintable()
            outcomes[False] += 1
        else:
            assert spec.num_joints == 3 and all(0 < sigma for sigma in spec.oks_sigmas)
            outcomes[True] += 1
    assert min(outcomes.values()) > 10


@pytest.mark.parametrize("other", [None, 5, "ab", b"ab", [None], [[1, 2, 3]], {"a": 1}, [1.5, "x"]])
@pytest.mark.parametrize("field", list(asdict(KeypointSpec.from_names(NAMES))))
def test_any_value_in_a_checkpoint_is_a_keypoint_set_or_one_sentence(
    field: str, other: Any
) -> None:
    with pytest.raises(ValueError, match=field.removeprefix("assumed_")):
        KeypointSpec(**{**asdict(KeypointSpec.from_names(NAMES)), field: other})
