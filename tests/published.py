# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as other projects publish them: their containers, key names and shapes.

Weights are random. Key names are facts of these projects; where a name is also ours, the state dict
of one of our networks is the source. Princeton's Hourglass is computed here a second time, from its
state dict alone, because it is another function than ours.
"""

import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darkpose import models
from darkpose.models.hrnet import Exchange

State = dict[str, Tensor]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pose.pth"


def save(content: object, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def trained(name: str, num_joints: int, seed: int = 0) -> nn.Module:
    """Return a network in evaluation mode in which every tensor matters and none is another."""
    torch.manual_seed(seed)
    network = models.create(name, num_joints)
    for key, tensor in network.state_dict().items():
        if key.endswith(("weight", "bias", "running_mean")) and tensor.dim() == 1:
            tensor.uniform_(-0.5, 0.5).add_(1 if key.endswith("weight") else 0)
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif key.endswith("num_batches_tracked"):
            tensor.fill_(7)
        else:
            tensor.normal_(std=tensor[0].numel() ** -0.5)
    return network.eval()


def shapes_only(name: str, num_joints: int) -> State:
    """Return a state dict of a network's shapes that takes no memory and next to no file."""
    with torch.device("meta"):
        state = models.create(name, num_joints).state_dict()
    return {
        key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in state.items()
    }


def prefixed(state: State, prefix: str) -> State:
    return OrderedDict((prefix + key, value) for key, value in state.items())


def without_counts(state: State) -> State:
    """Return the state dict as PyTorch 0.4.0 wrote it."""
    return {key: value for key, value in state.items() if "num_batches_tracked" not in key}


# ---- containers ----------------------------------------------------------------------------------


def hrnet_checkpoint(state: State) -> dict[str, Any]:
    """Return `checkpoint.pth` of HRNet, SimpleBaseline and DarkPose."""
    return {
        "epoch": 210,
        "model": "pose_hrnet",
        "state_dict": prefixed(state, "module."),
        "best_state_dict": state,
        "perf": np.float64(0.765),
        "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.zeros(2)}}, "param_groups": []},
    }


def mmpose_keys(state: State, head: str) -> State:
    """Return mmpose's key names; head is "keypoint_head." in 0.x, "head." in 1.x."""
    in_head = ("final_layer.", "deconv_layers.")
    return {
        (head if key.startswith(in_head) else "backbone.") + key: value
        for key, value in state.items()
    }


def mmpose_0(state: State, config: str = "") -> dict[str, Any]:
    meta = {"mmpose_version": "0.29.0+unknown", "config": config, "hook_msgs": {}}
    return {"meta": meta, "state_dict": mmpose_keys(state, "keypoint_head.")}


def mmpose_1(
    state: State, monkeypatch: pytest.MonkeyPatch, config: str = "use_udp = False"
) -> dict[str, Any]:
    """Return a checkpoint of mmengine's runner, whose classes exist until `monkeypatch.undo`."""
    history = ModuleType("mmengine.logging.history_buffer")
    history.HistoryBuffer = type("HistoryBuffer", (), {"__module__": history.__name__})  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, history.__name__, history)
    buffer = history.HistoryBuffer()
    buffer.max_length, buffer._log_history = 1_000_000, np.array([0.5, 0.25])
    buffer._count_history = np.array([1, 1])
    return {
        "meta": {
            "cfg": config,
            "epoch": 210,
            "dataset_meta": {
                "sigmas": np.full(17, 0.05, np.float32),
                "skeleton_link_colors": np.zeros((19, 3), np.uint8),
            },
        },
        "state_dict": mmpose_keys(state, "head."),
        "message_hub": {
            "log_scalars": OrderedDict({"train/loss": buffer}),
            "runtime_info": OrderedDict(best_score=np.float32(0.75), epoch=210),
            "resumed_keys": OrderedDict(),
        },
        "optimizer": {"state": {}, "param_groups": []},
        "param_schedulers": [{"last_step": 3}],
    }


# ---- classification networks ---------------------------------------------------------------------


def resnet_classifier(simple: State) -> State:
    """Return torchvision's and timm's ResNet whose backbone is a SimpleBaseline's."""
    state = {k: v for k, v in simple.items() if not k.startswith(("deconv_layers", "final_layer"))}
    channels = len(state["layer4.0.downsample.1.weight"])
    return {**state, "fc.weight": torch.randn(1000, channels), "fc.bias": torch.randn(1000)}


def hrnet_classifier(hrnet: State, release: str = "hrnetv2") -> State:
    """Return HRNet's classification network, as "hrnetv2" and timm name it, or as "hrnet_w32".

    Its last exchange has all four outputs; each of its branches widens to 128, 256, 512 or 1024
    channels, which are added up at 1/32 of the input and read by a classifier.
    """
    state = {k: v for k, v in hrnet.items() if not k.startswith("final_layer")}
    last = max(int(k.split(".")[1]) for k in state if k.startswith("stage4."))
    width = len(hrnet[f"stage4.{last}.branches.0.0.bn1.weight"])
    channels = [width, 2 * width, 4 * width, 8 * width]
    for key, value in Exchange(channels, 4, 1).state_dict().items():
        if re.match(r"fuse_layers\.[123]\.", key):
            state[f"stage4.{last}.{key}"] = value
    names = ("incre_modules", "downsamp_modules", "final_layer", "classifier")
    if release == "hrnet_w32":
        names = ("head.0", "head.1", "head.2", "fc")
    incre, downsamp, final, classifier = names
    for i, inputs in enumerate(channels):
        state[f"{incre}.{i}.0.conv1.weight"] = torch.randn(32 * 2**i, inputs, 1, 1)
        state[f"{incre}.{i}.0.bn1.running_var"] = torch.rand(32 * 2**i)
        state[f"{incre}.{i}.0.downsample.0.weight"] = torch.randn(128 * 2**i, inputs, 1, 1)
    for i in range(3):
        state[f"{downsamp}.{i}.0.weight"] = torch.randn(2, 2, 3, 3)
        state[f"{downsamp}.{i}.0.bias"] = torch.randn(2)
        state[f"{downsamp}.{i}.1.weight"] = torch.randn(2)
    state[f"{final}.0.weight"], state[f"{final}.0.bias"] = torch.randn(9, 4, 1, 1), torch.randn(9)
    state[f"{final}.1.running_mean"] = torch.randn(9)
    return {
        **state,
        f"{classifier}.weight": torch.randn(5, 9),
        f"{classifier}.bias": torch.randn(5),
    }


# ---- princeton's Hourglass -----------------------------------------------------------------------


def princeton_state(stacks: int, num_joints: int, features: int = 256) -> State:
    """Return a state dict of princeton's network, without the prefix of its trainer."""
    state: State = {}

    def convolution(key: str, inputs: int, outputs: int, size: int = 1) -> None:
        scale = (inputs * size * size) ** -0.5
        state[f"{key}.weight"] = scale * torch.randn(outputs, inputs, size, size)
        state[f"{key}.bias"] = 0.1 * torch.randn(outputs)

    def norm(key: str, channels: int) -> None:
        state[f"{key}.weight"], state[f"{key}.bias"] = torch.rand(channels), torch.rand(channels)
        state[f"{key}.running_mean"] = torch.randn(channels)
        state[f"{key}.running_var"] = 0.5 + torch.rand(channels)
        state[f"{key}.num_batches_tracked"] = torch.tensor(9)

    def residual(key: str, inputs: int, outputs: int) -> None:
        half = outputs // 2
        for i, (before, after, size) in enumerate(
            [(inputs, half, 1), (half, half, 3), (half, outputs, 1)], start=1
        ):
            norm(f"{key}.bn{i}", before)
            convolution(f"{key}.conv{i}.conv", before, after, size)
        convolution(f"{key}.skip_layer.conv", inputs, outputs)

    convolution("pre.0.conv", 3, features // 4, 7)
    norm("pre.0.bn", features // 4)
    residual("pre.1", features // 4, features // 2)
    residual("pre.3", features // 2, features // 2)
    residual("pre.4", features // 2, features)
    for stack in range(stacks):
        for depth in range(4):
            place = f"hgs.{stack}.0." + depth * "low2."
            for block in ("up1", "low1", "low3") + (("low2",) if depth == 3 else ()):
                residual(place + block, features, features)
        residual(f"features.{stack}.0", features, features)
        convolution(f"features.{stack}.1.conv", features, features)
        norm(f"features.{stack}.1.bn", features)
        convolution(f"outs.{stack}.conv", features, num_joints)
        if stack + 1 < stacks:
            convolution(f"merge_features.{stack}.conv.conv", features, features)
            convolution(f"merge_preds.{stack}.conv.conv", num_joints, features)
    return state


def princeton_heatmaps(state: State, image: Tensor, stacks: int) -> Tensor:
    """Return what princeton's network makes of images [B, 3, H, W], of its last stack."""

    def convolution(key: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{key}.weight"]
        return F.conv2d(x, weight, state[f"{key}.bias"], stride, weight.shape[-1] // 2)

    def norm(key: str, x: Tensor) -> Tensor:
        parts = ("running_mean", "running_var", "weight", "bias")
        return F.relu(F.batch_norm(x, *(state[f"{key}.{part}"] for part in parts)))

    def residual(key: str, x: Tensor) -> Tensor:
        y = x
        for i in (1, 2, 3):
            y = convolution(f"{key}.conv{i}.conv", norm(f"{key}.bn{i}", y))
        return y + (x if x.shape == y.shape else convolution(f"{key}.skip_layer.conv", x))

    def hourglass(key: str, x: Tensor, depth: int) -> Tensor:
        inner: Callable[[Tensor], Tensor] = (
            (lambda low: hourglass(f"{key}low2.", low, depth - 1))
            if depth > 1
            else (lambda low: residual(f"{key}low2", low))
        )
        low = residual(f"{key}low3", inner(residual(f"{key}low1", F.max_pool2d(x, 2))))
        return residual(f"{key}up1", x) + F.interpolate(low, scale_factor=2)

    x = norm("pre.0.bn", convolution("pre.0.conv", image, 2))
    x = F.max_pool2d(residual("pre.1", x), 2)
    x = residual("pre.4", residual("pre.3", x))
    for stack in range(stacks):
        y = residual(f"features.{stack}.0", hourglass(f"hgs.{stack}.0.", x, 4))
        y = norm(f"features.{stack}.1.bn", convolution(f"features.{stack}.1.conv", y))
        heatmaps = convolution(f"outs.{stack}.conv", y)
        if stack + 1 < stacks:
            x = x + convolution(f"merge_preds.{stack}.conv.conv", heatmaps)
            x = x + convolution(f"merge_features.{stack}.conv.conv", y)
    return heatmaps
