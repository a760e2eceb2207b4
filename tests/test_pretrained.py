# SPDX-License-Identifier: Apache-2.0
"""Models of transformers, by `huggingface:MODEL`: everything their heatmaps mean is found."""

import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pretrained
from darkpose import PoseModel, Predictor
from darkpose.data.images import crop_image
from darkpose.data.joint_sets import COCO, JOINT_SETS
from darkpose.geometry import Convention
from darkpose.models.families import EXPERTS
from darkpose.models.torch_files import read_torch_file
from predicting import rgb_photo

MEAN, STD = torch.tensor(pretrained.MEAN), torch.tensor(pretrained.STD)


def crops(width: int = 192, height: int = 256) -> Tensor:
    return torch.randint(
        256, (2, height, width, 3), generator=torch.Generator().manual_seed(0)
    ).byte()


def normalized(images: Tensor) -> Tensor:
    return ((images / 255 - MEAN) / STD).permute(0, 3, 1, 2)


def edited(folder: Path, file: str, **changes: Any) -> Path:
    """Change values of a JSON file, or take away those that are None."""
    path = folder / file
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
    return folder


# ---- what is read --------------------------------------------------------------------------------


def test_a_vitpose_is_read_with_all_that_it_means(tmp_path: Path) -> None:
    theirs = pretrained.vitpose(tmp_path)
    model = PoseModel.from_pretrained(str(tmp_path))
    assert model.spec.names == COCO.names and model.spec.flip_pairs == COCO.flip_pairs
    assert model.spec.oks_sigmas == COCO.oks_sigmas
    assert model.spec.skeleton == ((15, 13), (13, 11), (0, 1))
    codec = model.codec
    assert (codec.input_size, codec.heatmap_size, codec.sigma) == ((192, 256), (48, 64), 2.0)
    assert (codec.convention, codec.padding, codec.encoding) == (Convention.udp, 1.25, "unbiased")
    images = crops()
    with torch.inference_mode():
        expected = theirs(normalized(images)).heatmaps
        assert (model(images) - expected).abs().max() < 1e-5 * expected.abs().max()
        for name in (tmp_path, f"huggingface:{tmp_path}", Path(f"huggingface:{tmp_path}")):
            again = PoseModel.load(name) if "huggingface" in str(name) else model
            assert torch.equal(again(images), model(images))


def test_the_predictor_gives_the_network_what_the_processor_gives_it(tmp_path: Path) -> None:
    theirs = pretrained.vitpose(tmp_path)
    processor = pytest.importorskip("transformers").VitPoseImageProcessorPil.from_pretrained(
        tmp_path
    )
    image = rgb_photo((320, 240))
    boxes = [[60.0, 70.0, 50.0, 90.0], [150.5, 60.25, 80.0, 60.0]]
    predictor = Predictor.from_pretrained(str(tmp_path), device="cpu")
    assert predictor(image, boxes).keypoints.shape == (2, 17, 3)
    to_input = [predictor.codec.image_to_input(predictor.codec.crop(box)) for box in boxes]
    cut = [crop_image(image, matrix, (192, 256)) for matrix in to_input]
    ours, _ = predictor.heatmaps(torch.from_numpy(np.stack(cut)))
    with torch.inference_mode():
        expected = theirs(**processor(image, boxes=[boxes], return_tensors="pt")).heatmaps
    assert (ours - expected).abs().max() < 0.02 * expected.abs().max()  # of a gray level


def test_a_sapiens2_is_read_with_all_that_it_means(tmp_path: Path) -> None:
    theirs = pretrained.sapiens2(tmp_path, joints=6)
    names = {str(k): name for k, name in enumerate(("nose", "L_eye", "R_eye", "a", "b", "c"))}
    edited(tmp_path, "config.json", id2label=names, flip_pairs=[[1, 2], [3, 4]])
    edited(tmp_path, "preprocessor_config.json", keypoint_heatmap_sigma=3.5)
    model = PoseModel.from_pretrained(str(tmp_path))
    assert model.spec.flip_pairs == ((1, 2), (3, 4))
    codec = model.codec
    assert (codec.input_size, codec.heatmap_size, codec.sigma) == ((192, 256), (48, 64), 3.5)
    images = crops()
    with torch.inference_mode():
        expected = theirs(normalized(images)).heatmaps
        assert (model(images) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_names_of_a_joint_set_bring_all_that_it_knows(tmp_path: Path) -> None:
    known = JOINT_SETS["ap10k"]
    pretrained.vitpose(tmp_path, labels=[name.upper().replace(" ", "-") for name in known.names])
    spec = PoseModel.from_pretrained(str(tmp_path)).spec
    assert (spec.names, spec.flip_pairs, spec.oks_sigmas) == (
        known.names,
        known.flip_pairs,
        known.oks_sigmas,
    )
    assert spec.skeleton == ((15, 13), (13, 11), (0, 1)) and len(spec.limb_colors) == 3


def test_a_sapiens2_of_the_published_flip_pairs_has_the_published_joints(tmp_path: Path) -> None:
    pretrained.sapiens2(tmp_path)
    model = PoseModel.from_pretrained(str(tmp_path))
    assert model.spec == JOINT_SETS["sapiens308"] and model.codec.sigma == 6.0
    assert model.codec.enlarging == "bicubic"
    with torch.inference_mode():
        assert model(crops()).shape == (2, 308, 64, 48)
    pairs = [list(pair) for pair in model.spec.flip_pairs]
    single = [k for k, other in enumerate(model.spec.flip_index) if k == other]
    edited(tmp_path, "config.json", flip_pairs=[*pairs[1:], single[1:3]])  # their own then hold
    spec = PoseModel.from_pretrained(str(tmp_path)).spec
    assert spec.names == model.spec.names and tuple(single[1:3]) in spec.flip_pairs
    edited(tmp_path, "config.json", flip_pairs=[*pairs[1:], [pairs[0][0], pairs[1][1]]])
    with pytest.raises(ValueError, match="must name its 308 joints in id2label, got LABEL_0"):
        PoseModel.from_pretrained(str(tmp_path))
    given = JOINT_SETS["sapiens308"]
    for joints in (given, "sapiens308"):
        assert PoseModel.from_pretrained(str(tmp_path), joints=joints).spec == given
    with pytest.raises(ValueError, match="joints must name the 308 joints of .*, got 17"):
        PoseModel.from_pretrained(str(tmp_path), joints=COCO)


def test_a_checkpoint_of_one_needs_no_files_of_it(tmp_path: Path) -> None:
    pretrained.vitpose(tmp_path / "model", experts=6)
    model = PoseModel.from_pretrained(str(tmp_path / "model"))
    model.save(tmp_path / "model.ckpt")
    metadata = read_torch_file(tmp_path / "model.ckpt")["darkpose"]
    assert metadata["network"] == "vitpose" and str(tmp_path) not in json.dumps(metadata)
    (tmp_path / "model").rename(tmp_path / "gone")
    again = PoseModel.load(tmp_path / "model.ckpt")
    assert again.codec == model.codec and again.spec == model.spec
    assert again.metadata() == model.metadata()
    with torch.inference_mode():
        assert torch.equal(again(crops()), model(crops()))


# ---- experts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("expert", [None, "coco", "mpii"])
def test_a_vitpose_plus_asks_one_expert_as_transformers_does(
    tmp_path: Path, expert: str | None
) -> None:
    labels: Any = [f"corner {k}" for k in range(7)] if expert is None else pretrained.COCO_LABELS
    labels = PREDICTED["mpii"] if expert == "mpii" else labels
    theirs = pretrained.vitpose(tmp_path, experts=6, labels=labels)
    model = PoseModel.from_pretrained(str(tmp_path), expert=expert)
    images, index = crops(), EXPERTS.index(expert or "coco")
    with torch.inference_mode():
        expected, other = (
            theirs(normalized(images), dataset_index=torch.full((2,), k)).heatmaps
            for k in (index, index + 1)
        )
        assert (model(images) - expected).abs().max() < 1e-5 * expected.abs().max()
        assert (model(images) - other).abs().max() > 1e-3 * expected.abs().max()
    assert model.metadata()["configuration"]["expert"] == EXPERTS[index]


PREDICTED = {
    "mpii": (
        *("r_ankle", "r_knee", "r_hip", "l_hip", "l_knee", "l_ankle", "pelvis", "thorax"),
        *("upper_neck", "head_top", "r_wrist", "r_elbow", "r_shoulder", "l_shoulder", "l_elbow"),
        "l_wrist",
    )
}
"""Joints of an expert's data set, by its name."""


@pytest.mark.parametrize(
    ("experts", "expert", "message"),
    [
        (6, "mpii", "expert mpii has other joints than the last layer of huggingface:"),
        (6, "dog", "expert must be one of coco, aic, mpii, .*, got 'dog'"),
        (1, "coco", "expert must be none: this is no ViTPose.*, got 'coco'"),
    ],
)
def test_an_expert_that_cannot_be_is_refused(
    tmp_path: Path, experts: int, expert: str, message: str
) -> None:
    pretrained.vitpose(tmp_path, experts=experts)
    with pytest.raises(ValueError, match=message):
        PoseModel.from_pretrained(str(tmp_path), expert=expert)


# ---- what is missing -----------------------------------------------------------------------------


def test_without_transformers_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrained.vitpose(tmp_path / "model")
    PoseModel.from_pretrained(str(tmp_path / "model")).save(tmp_path / "model.ckpt")
    monkeypatch.setitem(sys.modules, "transformers", None)
    for name in (f"huggingface:{tmp_path / 'model'}", tmp_path / "model.ckpt"):
        with pytest.raises(ImportError, match=r"pip install 'darkpose\[huggingface\]'") as caught:
            PoseModel.load(name)
        assert "\n" not in str(caught.value)


# ---- what is wrong -------------------------------------------------------------------------------


class _Hostile:
    def __reduce__(self) -> Any:
        return os.mkdir, (f"{os.environ['HOSTILE_MARK']}",)


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"head.conv.bias": _Hostile()}, file)


WRONG: dict[str, tuple[Any, str]] = {
    "no such folder": (
        lambda folder: [path.unlink() for path in folder.iterdir()] and folder.rmdir(),
        "must be a name of the hub, such as owner/model, or a folder: there is no /",
    ),
    "another model": (
        lambda folder: edited(folder, "config.json", model_type="bert"),
        r"must be a ViTPose \(vitpose\) or a Sapiens2 \(sapiens2\), got 'bert'",
    ),
    "another backbone": (
        lambda folder: edited(folder, "config.json", backbone_config={"model_type": "resnet"}),
        "backbone_config of a ViTPose must be a vitpose_backbone, got 'resnet'",
    ),
    "no processor": (
        lambda folder: (folder / "preprocessor_config.json").unlink(),
        "must have a preprocessor_config.json, by which its input is made, got: ",
    ),
    "another input size": (
        lambda folder: edited(
            folder, "preprocessor_config.json", size={"width": 288, "height": 384}
        ),
        "must be 192 wide and 256 high as its configuration says, got .*288",
    ),
    "another scale": (
        lambda folder: edited(folder, "preprocessor_config.json", rescale_factor=1.0),
        "such a preprocessor_config.json .*: rescale_factor must be 0.00392157, got 1.0",
    ),
    "text for a number": (
        lambda folder: edited(folder, "preprocessor_config.json", normalize_factor="large"),
        "must have such a preprocessor_config.json .*: normalize_factor must be",
    ),
    "no mean": (
        lambda folder: edited(folder, "preprocessor_config.json", image_mean=None),
        "image_mean must be",
    ),
    "another number of joints": (
        lambda folder: edited(
            folder, "config.json", id2label={str(k): f"joint {k}" for k in range(20)}
        ),
        "must have the tensors of its configuration, got 2 of another shape: head.conv.",
    ),
    "no names": (
        lambda folder: edited(folder, "config.json", id2label=None, num_labels=17),
        "must name its 17 joints in id2label, got LABEL_0: .* --joints",
    ),
    "a hostile pickle": (_pickled, "must have weights that can be read, got: "),
    "half the weights": (
        lambda folder: (folder / "model.safetensors").write_bytes(
            (folder / "model.safetensors").read_bytes()[:5000]
        ),
        "must have weights that can be read, got: ",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HOSTILE_MARK", str(tmp_path / "ran"))
    folder = tmp_path / "model"
    pretrained.vitpose(folder)
    change, message = WRONG[case]
    change(folder)
    with pytest.raises((ValueError, OSError), match=message) as caught:
        PoseModel.load(f"huggingface:{folder}")
    assert "\n" not in str(caught.value) and "huggingface:" in str(caught.value)
    assert not (tmp_path / "ran").exists()
