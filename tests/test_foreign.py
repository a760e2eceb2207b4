# SPDX-License-Identifier: Apache-2.0
"""Other projects' networks: formats are told apart, and every tensor must match."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import published
from darkpose import models
from darkpose.models.matching import complete
from darkpose.models.weights import load_backbone
from darkpose.models.weights.convert import convert
from darkpose.models.weights.formats import read_weights, recognize
from published import State, save, trained

file = published.file


# ---- formats -------------------------------------------------------------------------------------


def listed(state: State) -> State:
    return {k.replace("final_layer.", "final_layer.0."): v for k, v in state.items()}


WRAPPERS: dict[str, Callable[[State, pytest.MonkeyPatch], object]] = {
    "plain": lambda state, _: state,
    "PyTorch 0.4.0": lambda state, _: published.without_counts(state),
    "DataParallel": lambda state, _: published.prefixed(state, "module."),
    "model.module.": lambda state, _: {"state_dict": published.prefixed(state, "model.module.")},
    "checkpoint.pth": lambda state, _: published.hrnet_checkpoint(state),
    "half": lambda state, _: {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    },
    "mmpose 0.x": lambda state, _: published.mmpose_0(state),
    "mmpose 0.x, a list of layers": lambda state, _: published.mmpose_0(listed(state)),
    "mmpose 1.x": published.mmpose_1,
}


@pytest.mark.parametrize(
    ("name", "wrapper"),
    [("simple_small", wrapper) for wrapper in WRAPPERS]
    + [("hrnet_small", wrapper) for wrapper in ("PyTorch 0.4.0", "mmpose 1.x")],
)
def test_every_published_container_gives_the_same_network(
    file: Path, name: str, wrapper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, other = trained(name, 17).state_dict(), models.create(name, 17)
    save(WRAPPERS[wrapper](state, monkeypatch), file)
    monkeypatch.undo()
    weights = read_weights(file)
    assert recognize(weights) == name and weights.num_joints == 17
    assert (weights.sources == ["mmpose"]) == ("mmpose" in wrapper)
    other.load_state_dict(complete(weights.tensors, other.state_dict()))
    for key, tensor in other.state_dict().items():
        expected = state[key].half().float() if wrapper == "half" else state[key]
        if wrapper == "PyTorch 0.4.0" and "num_batches_tracked" in key:
            expected = torch.tensor(0)
        assert torch.equal(tensor, expected.to(tensor.dtype)), key


@pytest.mark.parametrize("name", [name for name in models.MODELS if name != "small"])
def test_every_network_is_recognized_by_keys_and_shapes(file: Path, name: str) -> None:
    weights = read_weights(save(published.shapes_only(name, 17), file))
    assert recognize(weights) == name and weights.num_joints == 17


def test_what_does_not_match_is_listed_and_counted(file: Path) -> None:
    state = trained("hrnet_small", 17).state_dict()
    for key in [key for key in state if key.startswith("layer1.2.")]:
        del state[key]
    state["neck.weight"] = torch.zeros(3)
    state["conv1.weight"] = torch.zeros(16, 3, 7, 7)
    with pytest.raises(ValueError) as caught:
        recognize(read_weights(save(state, file)))
    assert str(caught.value) == (
        f"{file} must hold exactly the tensors of hrnet_small with 17 joints, got 15 missing: "
        "layer1.2.conv1.weight, layer1.2.bn1.weight, layer1.2.bn1.bias, "
        "layer1.2.bn1.running_mean, layer1.2.bn1.running_var and 10 more; "
        "1 unexpected: neck.weight; "
        "1 of another shape: conv1.weight [16, 3, 7, 7] for [16, 3, 3, 3]"
    )


def without(state: State, prefix: str) -> State:
    return {key: value for key, value in state.items() if not key.startswith(prefix)}


def test_other_networks_are_refused(file: Path) -> None:
    backbone = "must be a pose network, got a backbone without heatmaps"
    one = torch.zeros(1)
    for state, reason in (
        (published.resnet_classifier(trained("simple_small", 1).state_dict()), backbone),
        (published.hrnet_classifier(trained("hrnet_small", 1).state_dict()), backbone),
        (
            {"backbone.stem.0.conv.weight": one, "head.x": one},
            "must be an HRNet, SimpleBaseline or Hourglass network, got tensors named stem",
        ),
        ({"blocks.0.attn.qkv.weight": one}, "got tensors named blocks.0"),
        (
            {"backbone.final_layer.bias": one, "head.final_layer.bias": one},
            "must hold every tensor once, got one under two",
        ),
    ):
        with pytest.raises(ValueError, match=reason):
            recognize(read_weights(save(state, file)))


PRINCETON = ("pre.0.conv.weight", "hgs.0.0.low2.up1.conv1.conv.weight", "outs.0.conv.weight")


@pytest.mark.parametrize(
    ("name", "keys", "reason"),
    [
        ("pose_resnet_50_caffe_256x192.pth", ["conv1.weight"], "a Caffe-style one by its name"),
        ("p.pt", PRINCETON, "got princeton's Stacked Hourglass, which is another"),
    ],
)
def test_what_would_compute_something_else_is_refused(
    tmp_path: Path, name: str, keys: list[str], reason: str
) -> None:
    state = {f"model.module.{key}": torch.zeros(1) for key in keys}
    path = save({"state_dict": state, "epoch": 4}, tmp_path / name)
    network = models.create("small", 2)
    for read in (lambda: convert(path, tmp_path / "x"), lambda: load_backbone(network, path)):
        with pytest.raises(ValueError, match=reason):
            read()


# ---- initialization ------------------------------------------------------------------------------


def mmpretrain(state: State) -> dict[str, Any]:
    backbone = published.prefixed(without(state, "fc."), "backbone.")
    return {"state_dict": {**backbone, "head.fc.weight": state["fc.weight"]}, "meta": {}}


resnet = published.resnet_classifier
CLASSIFIERS: dict[str, tuple[str, Callable[[State], object]]] = {
    "torchvision": ("simple_small", resnet),
    "mmpretrain": ("simple_small", lambda s: mmpretrain(resnet(s))),
    "hrnetv2 and timm": ("hrnet_small", published.hrnet_classifier),
    "hrnet_w32": ("hrnet_small", lambda s: published.hrnet_classifier(s, "hrnet_w32")),
    "DataParallel": ("simple_small", lambda s: published.prefixed(resnet(s), "module.")),
    "no classifier": ("hrnet_small", lambda s: without(s, "final_layer.")),
}


def snapshot(network: nn.Module) -> State:
    return {key: value.clone() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifiers_backbone_is_loaded_and_the_head_stays(file: Path, kind: str) -> None:
    name, publish = CLASSIFIERS[kind]
    source, network = trained(name, 1, seed=1).state_dict(), trained(name, 6, seed=2)
    before = snapshot(network)
    save(publish(source), file)
    load_backbone(network, file)
    head = ("deconv_layers.", "final_layer.")
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key] if key.startswith(head) else source[key]), key


def test_a_classifier_must_be_of_the_same_backbone(file: Path) -> None:
    network = trained("hrnet_small", 2)
    before = snapshot(network)
    classifier = published.resnet_classifier(trained("simple_small", 1).state_dict())
    wide = published.hrnet_classifier(published.shapes_only("hrnet_w32", 1))
    short = without(published.hrnet_classifier(before), "stage3.")
    for state, reason in (
        (classifier, r"this backbone, got \d+ missing: conv2.weight"),
        (wide, r"of another shape: conv1.weight \[64, 3, 3, 3\] for \[16, 3, 3, 3\]"),
        (short, r"got \d+ missing: stage3.0.branches.0.0.conv1.weight"),
        ({**before, "final_layer.0.weight": torch.zeros(1)}, "network, got 1 unexpected"),
    ):
        with pytest.raises(ValueError, match=reason):
            load_backbone(network, save(state, file))
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_an_hourglass_has_no_classifiers_backbone(file: Path) -> None:
    classifier = published.resnet_classifier(trained("simple_small", 1).state_dict())
    with pytest.raises(ValueError, match=r"must hold exactly the tensors of this backbone"):
        load_backbone(models.create("hourglass_small", 2), save(classifier, file))


@pytest.mark.parametrize("name", ["simple_small", "hrnet_small", "hourglass_small", "small"])
def test_a_pose_network_is_loaded_whole_or_without_its_joints(file: Path, name: str) -> None:
    source = trained(name, 3, seed=1).state_dict()
    save({"state_dict": published.prefixed(source, "network."), "darkpose": {}}, file)
    same_joints = trained(name, 3, seed=2)
    load_backbone(same_joints, file)
    assert all(torch.equal(value, source[key]) for key, value in same_joints.state_dict().items())

    network = trained(name, 4, seed=2)
    before = snapshot(network)
    with pytest.raises(ValueError, match="for the 4 joints of the network, got one for 3"):
        load_backbone(network, file)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    load_backbone(network, file, backbone_only=True)
    for key, value in network.state_dict().items():
        kept = key.startswith(("final_layer.", "score"))
        assert torch.equal(value, before[key] if kept else source[key]), key
