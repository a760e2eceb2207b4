# SPDX-License-Identifier: Apache-2.0
"""`darkpose convert`: what a code base trained with comes along, and nothing is guessed."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import published
from darkpose import models
from darkpose.cli.main import main
from darkpose.data.joint_sets import COCO, MPII
from darkpose.geometry import Convention
from darkpose.models.checkpoints import METADATA
from darkpose.models.hourglass import StackedHourglass
from darkpose.models.pose import PoseModel
from darkpose.models.weights.convert import convert
from darkpose.train.task import MEAN, STD
from published import save, trained

# Heatmaps of order one in float32, convolved in another memory layout and order.
HEATMAPS = 1e-4


def normalized(image: Tensor, color: str) -> Tensor:
    """Return what a released network is given, [B, 3, H, W], of RGB crops [B, H, W, 3]."""
    channels = image if color == "rgb" else image.flip(-1)
    return ((channels / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)


def refused(reason: str, out: Path, **arguments: Any) -> None:
    """Check that conversion ends with one sentence and leaves nothing beside or in its place."""
    before = sorted(out.parent.iterdir())
    with pytest.raises((ValueError, OSError), match=reason) as caught:
        convert(out=out, **arguments)
    assert "\n" not in str(caught.value)
    assert sorted(out.parent.iterdir()) == before


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "converted.ckpt"


# ---- what comes along ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "network", "convention", "encoding", "color"),
    [
        ("hrnet", "hrnet_small", "hrnet", "biased", "rgb"),
        ("hrnet", "simple_small", "hrnet", "biased", "bgr"),
        ("simplebaseline", "simple_small", "hrnet", "biased", "bgr"),
        ("darkpose", "hrnet_small", "darkpose", "unbiased", "rgb"),
        ("darkpose", "simple_small", "darkpose", "unbiased", "bgr"),
        ("darkpose", "hourglass_small", "darkpose", "unbiased", "bgr"),
        ("mmpose", "hrnet_small", "hrnet", "biased", "rgb"),
        ("mmpose", "simple_small", "hrnet", "biased", "rgb"),
    ],
)
def test_a_converted_network_makes_the_same_heatmaps_of_the_same_crops(
    tmp_path: Path,
    out: Path,
    source: Any,
    network: str,
    convention: str,
    encoding: str,
    color: str,
) -> None:
    original = trained(network, 17)
    state = original.state_dict()
    content = published.mmpose_0(state) if source == "mmpose" else published.hrnet_checkpoint(state)
    convert(save(content, tmp_path / "pose_128x96.pth"), out, source, joints="coco")
    task = PoseModel.load(out)
    assert task.codec.convention is Convention(convention) and task.codec.encoding == encoding
    assert (task.color, task.codec.sigma, task.codec.input_size) == (color, 1.0, (96, 128))
    assert task.spec == COCO and task.codec.flip_index == COCO.flip_index
    image = torch.randint(256, (2, 128, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        heatmaps, expected = task(image), original(normalized(image, color))
    assert expected.std() > 0.01
    torch.testing.assert_close(heatmaps, expected, rtol=0, atol=HEATMAPS * float(expected.std()))


@pytest.mark.parametrize(
    ("name", "size", "sigma"),
    [
        ("pose_resnet_50_256x192.pth.tar", (192, 256), 2.0),
        ("384x288_d256x3_adam_lr1e-3.pth", (288, 384), 3.0),
        ("td-hm_res50_8xb64-210e_mpii-256x256-6c4f923f.pth", (256, 256), 2.0),
    ],
)
def test_the_files_name_says_the_input_size_and_that_the_sigma(
    tmp_path: Path, out: Path, name: str, size: tuple[int, int], sigma: float
) -> None:
    path = save(trained("simple_small", 16).state_dict(), tmp_path / name)
    convert(path, out, "darkpose", joints="mpii")
    task = PoseModel.load(out)
    assert (task.codec.input_size, task.codec.sigma, task.spec) == (size, sigma, MPII)


def test_eight_stacks_at_the_smallest_size_were_released_with_twice_the_sigma(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models.MODELS, "hourglass_8", lambda k, _: StackedHourglass(k, 2, 8))
    monkeypatch.setitem(models.MODELS, "hourglass_4", lambda k, _: StackedHourglass(k, 1, 8))
    for name, sigma in (("hourglass_8", 2.0), ("hourglass_4", 1.0)):
        path = save(trained(name, 17).state_dict(), tmp_path / f"{name}_128x96.pth")
        convert(path, out, joints="coco")
        assert PoseModel.load(out).codec.sigma == sigma
        out.unlink()


def test_what_the_user_says_replaces_what_the_code_base_has(tmp_path: Path, out: Path) -> None:
    joints = tmp_path / "joints.yaml"
    joints.write_text("names: [left_ear, right_ear, nose]\n")
    path = save(trained("simple_small", 3).state_dict(), tmp_path / "mine.pth")
    convert(
        path,
        out,
        "simplebaseline",
        (64, 96),
        convention=Convention.udp,
        encoding="unbiased",
        sigma=1.5,
        color="rgb",
        joints=joints,
    )
    task = PoseModel.load(out)
    assert (task.codec.input_size, task.codec.sigma) == ((64, 96), 1.5)
    assert (task.codec.convention, task.codec.encoding) == (Convention.udp, "unbiased")
    assert task.color == "rgb" and task.spec.names == ("left_ear", "right_ear", "nose")
    content = torch.load(out, weights_only=True)
    assert content["converted_from"] == {"file": "mine.pth", "source": "simplebaseline"}


def test_half_precision_weights_become_single_ones(tmp_path: Path, out: Path) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        original = trained("simple_small", 17).to(dtype)
        path = save(original.state_dict(), tmp_path / "x_128x96.pth")
        convert(path, out, "darkpose", joints="coco")
        for key, value in PoseModel.load(out).network.state_dict().items():
            assert torch.equal(value, original.float().state_dict()[key]), key
        out.unlink()


def test_a_converted_checkpoint_is_evaluated_like_one_of_ours(
    config: Path, tmp_path: Path, out: Path
) -> None:
    path = save(trained("simple_small", 17).state_dict(), tmp_path / "p.pth")
    convert(path, out, "simplebaseline", (64, 64), joints="coco")
    options = ["--config", str(config), "--ckpt_path", str(out), "--out", str(tmp_path / "run")]
    options += ["--model.network=simple_small", "--model.color=bgr", "--codec.convention=hrnet"]
    main(["validate", *options])
    with pytest.raises(SystemExit, match="the checkpoint was trained with color bgr"):
        main(["validate", *options, "--model.color=rgb"])


def test_convert_is_a_command_with_typed_options(
    tmp_path: Path, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(trained("simple_small", 17).state_dict(), tmp_path / "p.pth")
    options = ["--source=hrnet", "--input_size=[96,128]", "--convention=udp", "--joints=coco"]
    with caplog.at_level(logging.INFO):
        main(["convert", str(path), str(out), *options])
    assert PoseModel.load(out).codec.convention is Convention.udp
    assert re.search(r"simple_small of hrnet, 17 joints beginning with nose, .* udp", caplog.text)


# ---- nothing is guessed, and nothing written on failure ------------------------------------------


def test_what_cannot_be_told_must_be_given(tmp_path: Path, out: Path) -> None:
    state, five = (trained("simple_small", joints).state_dict() for joints in (17, 5))
    broken = {key: value for key, value in state.items() if key != "layer3.0.conv1.weight"}
    joints = tmp_path / "joints.yaml"
    joints.write_text("names: [left_ear, right_ear]\n")
    sources = "source must be hrnet or simplebaseline or darkpose for .*, got "
    sizes = "input_size must be 192 wide and 256 high as .* got 256 wide and 192 high"
    hrnet: dict[str, Any] = {"source": "hrnet"}
    for content, name, given, reason in [
        (state, "p_256x192.pth", {}, f"{sources}none"),
        (state, "p_256x192.pth", {"source": "mmpose"}, f"{sources}mmpose"),
        (state, "p.pth", hrnet, "input_size .* must be given for"),
        (state, "256x192_to_384x288.pth", hrnet, "input_size .* must be given for"),
        (state, "p_256x192.pth", {**hrnet, "input_size": (256, 192)}, sizes),
        (
            state,
            "p.pth",
            {**hrnet, "joints": "coco", "input_size": (48, 64)},
            "input_size must be divisible by 32",
        ),
        (five, "p_256x192.pth", hrnet, "must name the 5 joints of"),
        (
            state,
            "p_256x192.pth",
            {**hrnet, "joints": joints},
            "joints.yaml must name the 17 joints of .*, got 2",
        ),
        (broken, "p.pth", hrnet, "1 missing: layer3.0.conv1.weight"),
    ]:
        refused(reason, out, checkpoint=save(content, tmp_path / name), **given)
    refused("got no such file", out, checkpoint=tmp_path / "none.pth")
    joints.write_text("<html>")
    refused("got text that begins with '<html>'", out, checkpoint=joints)


def test_mmposes_udp_must_be_named_where_its_configuration_says_udp(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = trained("simple_small", 17).state_dict()
    zero = published.mmpose_0(state, "dict(type='TopDownAffine', use_udp=True)")
    one = published.mmpose_1(state, monkeypatch, "codec = dict(type='UDPHeatmap', sigma=2)")
    for content in (zero, one):
        path = save(content, tmp_path / "udp_256x192.pth")
        refused("convention must be udp for .*, got hrnet", out, checkpoint=path)
        convert(path, out, convention=Convention.udp, joints="coco")
        assert PoseModel.load(out).codec.convention is Convention.udp
        out.unlink()


def test_no_file_is_written_over_and_none_of_ours_is_converted(tmp_path: Path, out: Path) -> None:
    path = save(trained("simple_small", 17).state_dict(), tmp_path / "p_256x192.pth")
    convert(path, out, "hrnet", joints="coco")
    content = out.read_bytes()
    refused("must not exist yet", out, checkpoint=path, source="darkpose")
    assert out.read_bytes() == content and METADATA.encode() in content
    refused("got one that darkpose wrote", tmp_path / "again.ckpt", checkpoint=out)
