# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as other projects publish them: their containers, key names and shapes.

Weights are random. Key names are facts of these projects; where a name is also ours, the state dict
of one of our networks is the source.
"""

import re
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
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
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    config: str = "use_udp = False",
    told: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a checkpoint of mmengine's runner, whose classes exist until `monkeypatch.undo`.

    `told` is more of its `dataset_meta`.
    """
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
                **(told or {}),
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
