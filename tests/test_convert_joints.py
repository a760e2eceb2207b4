# SPDX-License-Identifier: Apache-2.0
"""`darkpose convert` reads what a file says of its joints, or asks for them: it guesses none."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import published
from darkpose.data.joint_sets import JOINT_SETS
from darkpose.data.spec import KeypointSpec
from darkpose.models.pose import PoseModel
from darkpose.models.torch_files import floats, read_torch_file
from darkpose.models.weights.convert import convert
from darkpose.models.weights.formats import Weights
from darkpose.models.weights.joints import joints_of
from published import save, trained


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "converted.ckpt"


def told(spec: KeypointSpec, **more: Any) -> dict[str, Any]:
    """Return what mmpose 1.x writes of a joint set."""
    return {
        "dataset_name": "any",
        "keypoint_id2name": dict(enumerate(spec.names)),
        "flip_indices": list(spec.flip_index),
        "skeleton_links": list(spec.skeleton),
        "sigmas": np.array(spec.oks_sigmas, np.float32),
        **more,
    }


def read(told: dict[str, Any], count: int) -> KeypointSpec:
    """Return the joints of a network for so many, of whose file mmpose says that."""
    tensors = {"final_layer.weight": torch.zeros(count, 1)}
    return joints_of(Weights(Path("a.pth"), tensors, (), {"meta": {"dataset_meta": told}}), None)


@pytest.mark.parametrize("name", JOINT_SETS)
def test_mmposes_own_words_are_a_joint_set(name: str) -> None:
    spec = JOINT_SETS[name]
    assert read(told(spec, sigmas=list(spec.oks_sigmas)), spec.num_joints).names == spec.names
    assert read(told(spec, sigmas=None), spec.num_joints) == spec


def test_a_horse_is_converted_as_a_horse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    """Of its 17 joints none is COCO's left ear, nor mirrored like it."""
    spec = JOINT_SETS["ap10k"]
    state = trained("simple_small", 17).state_dict()
    content = published.mmpose_1(state, monkeypatch, told=told(spec))
    path = save(content, tmp_path / "res_256x192.pth")
    monkeypatch.undo()
    convert(path, out)
    found = PoseModel.load(out)
    assert found.spec == spec and found.codec.flip_index == spec.flip_index


def test_joints_of_ones_own_keep_what_mmpose_knew_of_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = KeypointSpec.from_names(
        ["hub", "rim 1", "rim 2", "valve"],
        flip_pairs=[("rim 1", "rim 2")],
        skeleton=[("hub", "rim 1"), ("rim 2", "hub")],
        oks_sigmas=[0.026, 0.1, 0.2, 0.3],
    )
    with caplog.at_level(logging.WARNING):
        assert read(told(own, sigmas=list(own.oks_sigmas)), 4) == own
    assert not caplog.records


def test_what_mmpose_says_goes_before_the_set() -> None:
    coco = JOINT_SETS["coco"]
    given = told(coco, sigmas=[0.05] * 17, flip_indices=[*range(17)], skeleton_links=[(0, 16)])
    spec = read(given, 17)
    assert spec.oks_sigmas == (0.05,) * 17 and spec.flip_pairs == ()
    assert spec.skeleton == ((0, 16),) and spec.upper_body == coco.upper_body


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"keypoint_id2name": {0: "nose"}}, "must name the network's 17 joints, got .'nose'."),
        ({"keypoint_id2name": dict.fromkeys(range(17), 5)}, "must name the network's 17 joints"),
        ({"keypoint_id2name": dict.fromkeys(range(17), "a")}, "keypoint names must differ"),
        ({"flip_indices": [1] * 17}, "flip_indices must mirror 17 joints, each to one that"),
        ({"flip_indices": [99] * 17}, "flip_indices must index 17 joints, got 99"),
        ({"flip_indices": [0]}, "flip_indices must mirror 17 joints"),
        ({"flip_indices": 5}, "flip_indices must be a list, got 5"),
        ({"skeleton_links": [(0, "a")]}, "skeleton_links must be indices of joints, got 'a'"),
        ({"skeleton_links": [(0,)]}, "skeleton_links must be pairs"),
        ({"skeleton_links": [3]}, "skeleton_links must be pairs"),
        ({"sigmas": [-1.0] * 17}, "oks_sigmas must be 17 positive numbers"),
    ],
)
def test_words_that_make_no_joints_are_one_sentence(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^a.pth: its dataset_meta: .*{said}") as e:
        read(told(JOINT_SETS["coco"], **more), 17)
    assert str(e.value).isprintable()


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (17, r"--joints coco \(there are ap10k, coco, posetrack18\), or a YAML file"),
        (14, r"--joints aic \(there are aic, crowdpose, lsp\), or a YAML file"),
        (5, "nothing of them: a YAML file with their names"),
    ],
)
def test_a_file_that_says_nothing_is_asked_of(count: int, said: str) -> None:
    with pytest.raises(ValueError, match=f"--joints must name the {count} joints of .*{said}"):
        read({}, count)


def test_a_set_is_named_and_must_have_as_many_joints(tmp_path: Path, out: Path) -> None:
    path = save(trained("simple_small", 17).state_dict(), tmp_path / "p_256x192.pth")
    with pytest.raises(ValueError, match="mpii must name the 17 joints of .*, got 16"):
        convert(path, out, "hrnet", joints="mpii")
    with pytest.raises(FileNotFoundError, match="cocos must be a YAML file of joints, or one of"):
        convert(path, out, "hrnet", joints="cocos")
    convert(path, out, "hrnet", joints="ap10k")
    assert PoseModel.load(out).spec == JOINT_SETS["ap10k"]


# ---- what a file's arrays say --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_numbers_of_numpy_are_read_without_numpys_code(
    dtype: str, options: dict[str, bool], tmp_path: Path
) -> None:
    path = save({"a": np.array([0.026, 0.5], dtype)}, tmp_path / "a.pth", **options)
    found = read_torch_file(path)["a"]
    assert floats(found, 2) == [0.026, 0.5] and floats(found, 3) is None


@pytest.mark.parametrize("value", [None, "ab", [1.0], [1.0, "x"], [True, 1], np.zeros((1, 2)), 3])
def test_what_is_no_list_of_numbers_is_none(value: Any, tmp_path: Path) -> None:
    path = save({"a": value}, tmp_path / "a.pth")
    assert floats(read_torch_file(path)["a"], 2) is None
