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
from darkpose.models.weights import load_backbone
from darkpose.models.weights.convert import convert
from darkpose.models.weights.formats import complete, read_weights, recognize
from published import State, save, trained

file = published.file


# ---- formats -------------------------------------------------------------------------------------


def wrapped(state: State, wrapper: str, monkeypatch: pytest.MonkeyPatch) -> object:
    if wrapper == "mmpose 1.x":
        return published.mmpose_1(state, monkeypatch)
    if wrapper == "mmpose 0.x, a list of layers":
        listed = {k.replace("final_layer.", "final_layer.0."): v for k, v in state.items()}
        return published.mmpose_0(listed)
    return {
        "plain": lambda: state,
        "PyTorch 0.4.0": lambda: published.without_counts(state),
        "DataParallel": lambda: published.prefixed(state, "module."),
        "model.module.": lambda: {"state_dict": published.prefixed(state, "model.module.")},
        "checkpoint.pth": lambda: published.hrnet_checkpoint(state),
        "mmpose 0.x": lambda: published.mmpose_0(state),
        "half": lambda: {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
    }[wrapper]()


WRAPPERS = [
    *("plain", "PyTorch 0.4.0", "DataParallel", "model.module.", "checkpoint.pth", "half"),
    *("mmpose 0.x", "mmpose 0.x, a list of layers", "mmpose 1.x"),
]


@pytest.mark.parametrize(
    ("name", "wrapper"),
    [("simple_small", wrapper) for wrapper in WRAPPERS]
    + [("hrnet_small", wrapper) for wrapper in ("PyTorch 0.4.0", "mmpose 1.x")],
)
def test_every_published_container_gives_the_same_network(
    file: Path, name: str, wrapper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, other = trained(name, 17), models.create(name, 17)
    save(wrapped(network.state_dict(), wrapper, monkeypatch), file)
    monkeypatch.undo()
    weights = read_weights(file)
    assert recognize(weights) == name and weights.num_joints == 17
    assert weights.code_base == ("mmpose" if "mmpose" in wrapper else "released")
    other.load_state_dict(complete(weights.tensors, other.state_dict()))
    for key, tensor in other.state_dict().items():
        if "num_batches_tracked" in key:
            assert int(tensor) == (0 if wrapper == "PyTorch 0.4.0" else 7)
        else:
            expected = network.state_dict()[key]
            expected = expected.half().float() if wrapper == "half" else expected
            assert torch.equal(tensor, expected), key


@pytest.mark.parametrize("name", [name for name in models.MODELS if name != "small"])
def test_every_network_is_recognized_by_keys_and_shapes(file: Path, name: str) -> None:
    weights = read_weights(save(published.shapes_only(name, 17), file))
    assert recognize(weights) == name and weights.num_joints == 17


def test_the_released_hrnet_has_its_published_tensors(file: Path) -> None:
    state = published.without_counts(published.shapes_only("hrnet_w32", 17))
    assert len(state) == 1462  # as HRNet's own code has without counts of batches
    shapes = {
        "conv2.weight": (64, 64, 3, 3),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "transition1.1.0.0.weight": (64, 256, 3, 3),
        "transition3.3.0.1.running_var": (256,),
        "stage2.0.fuse_layers.1.0.0.0.weight": (64, 32, 3, 3),
        "stage3.3.branches.2.3.bn2.bias": (128,),
        "stage4.1.fuse_layers.3.0.2.0.weight": (256, 32, 3, 3),
        "stage4.2.fuse_layers.0.3.0.weight": (32, 256, 1, 1),
        "final_layer.weight": (17, 32, 1, 1),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    assert recognize(read_weights(save(state, file))) == "hrnet_w32"


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
    classifier = published.resnet_classifier(trained("simple_small", 1).state_dict())
    hrnet = published.hrnet_classifier(trained("hrnet_small", 1).state_dict())
    hourglass52 = {"backbone.stem.0.conv.weight": torch.zeros(1), "head.x": torch.zeros(1)}
    for state, reason in (
        (classifier, "must be a pose network, got a backbone without heatmaps"),
        (hrnet, "must be a pose network, got a backbone without heatmaps"),
        (
            hourglass52,
            "must be an HRNet, SimpleBaseline or Hourglass network, got tensors named st",
        ),
        ({"blocks.0.attn.qkv.weight": torch.zeros(1)}, "got tensors named blocks.0"),
    ):
        with pytest.raises(ValueError, match=reason):
            recognize(read_weights(save(state, file)))


def test_a_tensor_under_two_names_is_refused(file: Path) -> None:
    value = torch.zeros(2)
    state = {"backbone.final_layer.bias": value, "head.final_layer.bias": value}
    with pytest.raises(ValueError, match="must hold every tensor once, got one under two"):
        read_weights(save(state, file))


def test_a_caffe_style_resnet_is_refused_by_its_name(tmp_path: Path) -> None:
    state = trained("simple_small", 2).state_dict()
    path = save(state, tmp_path / "pose_resnet_50_caffe_256x192.pth.tar")
    with pytest.raises(ValueError, match="got a Caffe-style one by its name"):
        read_weights(path)
    with pytest.raises(ValueError, match="got a Caffe-style one by its name"):
        load_backbone(models.create("simple_small", 2), path)


def test_princetons_hourglass_is_refused_by_its_keys(file: Path) -> None:
    keys = ("pre.0.conv.weight", "hgs.0.0.low2.up1.conv1.conv.weight", "outs.0.conv.weight")
    state = {f"model.module.{key}": torch.zeros(1) for key in keys}
    save({"state_dict": state, "epoch": 4}, file)
    network = models.create("hourglass_small", 2)
    for read in (
        lambda: convert(file, file.with_suffix(".ckpt")),
        lambda: load_backbone(network, file),
    ):
        with pytest.raises(ValueError, match="got princeton's Stacked Hourglass, which is another"):
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
