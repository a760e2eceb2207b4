# SPDX-License-Identifier: Apache-2.0
"""Files of networks that darkpose has not are called what they are, by their keys."""

import json
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from darkpose import models
from darkpose.models.weights import load_backbone
from darkpose.models.weights.convert import convert
from published import save


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "converted.ckpt"


KEYS = {
    "a ViTPose: use huggingface:": [
        "backbone.embeddings.position_embeddings",
        "backbone.encoder.layer.0.attention.attention.query.weight",
        "head.conv.weight",
    ],
    "a Sapiens2: use huggingface:": [
        "model.embeddings.patch_embeddings.projection.weight",
        "model.model.layers.0.attention.q_proj.weight",
        "decode_head.predictor.weight",
    ],
    "a ViTPose by its authors' or mmpose's keys: use huggingface:": [
        "backbone.pos_embed",
        "backbone.blocks.0.attn.qkv.weight",
        "keypoint_head.deconv_layers.0.weight",
        "keypoint_head.final_layer.weight",
        "associate_keypoint_heads.0.final_layer.weight",
    ],
    "a Sapiens by its authors' keys: use huggingface:": [
        "backbone.layers.0.attn.qkv.weight",
        "head.deconv_layers.0.weight",
        "head.conv_layers.0.weight",
    ],
    "a SimCC network such as RTMPose, whose output is two rows": [
        "backbone.stem.0.conv.weight",
        "head.final_layer.weight",
        "head.cls_x.weight",
    ],
    "a Keypoint R-CNN, which finds people and joints": [
        "backbone.body.conv1.weight",
        "roi_heads.keypoint_predictor.kps_score_lowres.weight",
    ],
    "a YOLO, which finds people and joints": [
        "model.0.conv.weight",
        "model.22.cv4.0.0.conv.weight",
    ],
}


@pytest.mark.parametrize("what", KEYS)
def test_a_network_of_another_kind_is_called_what_it_is(
    what: str, tmp_path: Path, out: Path
) -> None:
    state = {key: torch.zeros(1) for key in KEYS[what]}
    path = save({"state_dict": state}, tmp_path / "p_256x192.pth")
    network = models.create("small", 2)
    for read in (lambda: convert(path, out), lambda: load_backbone(network, path)):
        with pytest.raises(
            ValueError, match=f"^{path} must be of a network .*, got {what}"
        ) as error:
            read()
        assert str(error.value).isprintable() and not out.exists()


def test_a_file_of_safetensors_is_told_by_its_keys_too(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "model.safetensors"
    vitpose = next(iter(KEYS))
    for keys, what in ((KEYS[vitpose], vitpose), (["a"], "a file of safetensors, which is not")):
        header = json.dumps({key: {"dtype": "F32"} for key in keys}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(ValueError, match=f"must be what torch.save wrote, got {what}"):
            convert(path, out)
    path.write_bytes(b"?")
    with pytest.raises(ValueError, match="got a file of safetensors, which is not converted"):
        convert(path, out)


def test_a_pickled_yolo_is_called_what_it_is(tmp_path: Path, out: Path) -> None:
    path = save({"model": SimpleNamespace()}, tmp_path / "yolo11n-pose.pt")
    pickled = pickle.dumps({"model": None}, 2)[:-1] + b"cultralytics.nn.tasks\nPoseModel\n0."
    with zipfile.ZipFile(path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else content)
    with pytest.raises(ValueError, match=f"^{path} must be of a network .*, got a YOLO, which"):
        convert(path, out)
