# SPDX-License-Identifier: Apache-2.0
"""Parameters, multiply-accumulates, and GFLOPs as the paper prints them."""

import functools

import pytest
import torch
from torch import Tensor, nn

from darkpose import models
from darkpose.models.complexity import complexity, models_table

# network, (width, height), joints; GFLOPs as HRNet's and DarkPose's tool counts them; 1e9
# multiply-accumulates.
COUNTED = [
    ("hrnet_w32", (96, 128), 17, 1.780, 1.911),
    ("hrnet_w32", (192, 256), 17, 7.120, 7.645),
    ("hrnet_w32", (288, 384), 17, 16.020, 17.201),
    ("hrnet_w32", (256, 256), 16, 9.493, None),
    ("hrnet_w48", (96, 128), 17, 3.654, 3.923),
    ("hrnet_w48", (192, 256), 17, 14.614, 15.692),
    ("hrnet_w48", (288, 384), 17, 32.882, 35.307),
    ("simple_r50", (96, 128), 17, 2.248, 1.357),
    ("simple_r50", (192, 256), 17, 8.991, 5.426),
    ("simple_r50", (288, 384), 17, 20.230, 12.209),
    ("simple_r101", (96, 128), 17, 3.094, 2.266),
    ("simple_r101", (192, 256), 17, 12.378, 9.063),
    ("simple_r101", (288, 384), 17, 27.850, 20.391),
    ("simple_r152", (96, 128), 17, 3.941, 3.175),
    ("simple_r152", (192, 256), 17, 15.765, 12.699),
    ("simple_r152", (288, 384), 17, 35.470, 28.573),
    ("hourglass_4", (96, 128), 17, 2.681, 2.878),
    ("hourglass_8", (96, 128), 17, 4.904, 5.266),
]
# GFLOPs and millions of parameters as printed in the paper's Table 5, at 128x96. 25.1M, printed
# for hourglass_8, is not what the released network has.
TABLE_5 = {
    "hourglass_4": (2.7, 13.0),
    "hourglass_8": (4.9, 25.6),
    "simple_r50": (2.3, 34.0),
    "simple_r101": (3.1, 53.0),
    "simple_r152": (3.9, 68.6),
    "hrnet_w32": (1.8, 28.5),
    "hrnet_w48": (3.6, 63.6),
}
COUNTED_STEP = 0.001  # of the figures above
PRINTED_TOLERANCE = 0.06  # of the paper's GFLOPs, which it cuts or rounds to 0.1
PRINTED_STEP = 0.1  # of its millions of parameters


@functools.cache
def on_meta(name: str, joints: int) -> nn.Module:
    with torch.device("meta"):
        return models.create(name, joints)


@pytest.mark.parametrize(("name", "size", "joints", "gflops", "gmacs"), COUNTED)
def test_figures_are_those_counted_on_the_released_code(
    name: str, size: tuple[int, int], joints: int, gflops: float, gmacs: float | None
) -> None:
    cost = complexity(on_meta(name, joints), size)
    assert cost.paper_gflops == pytest.approx(gflops, abs=COUNTED_STEP)
    if gmacs is not None:
        assert cost.macs / 1e9 == pytest.approx(gmacs, abs=COUNTED_STEP)


@pytest.mark.parametrize("name", list(TABLE_5))
def test_figures_are_those_printed_in_table_5(name: str) -> None:
    cost = complexity(on_meta(name, 17), (96, 128))
    gflops, millions = TABLE_5[name]
    assert cost.paper_gflops == pytest.approx(gflops, abs=PRINTED_TOLERANCE)
    assert cost.parameters / 1e6 == pytest.approx(millions, abs=PRINTED_STEP / 2)


class Layers(nn.Module):
    """One layer of each kind, small enough to count by hand."""

    stride, smallest = 2, 4

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2, padding=1, groups=3)
        self.norm = nn.BatchNorm2d(6)
        self.deconv = nn.ConvTranspose2d(6, 5, 4, 2, padding=1, bias=False)
        self.linear = nn.Linear(5, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.deconv(self.norm(self.conv(x))).mean((2, 3)))


def test_each_kind_of_layer_is_counted_as_by_hand() -> None:
    cost = complexity(Layers(), (8, 4))
    assert cost.parameters == (6 * 1 * 9 + 6) + 2 * 6 + 6 * 5 * 16 + (5 * 7 + 7)
    # conv: 4 x 2 pixels, 6 channels from 9 values each; deconv: 4 x 2 pixels of input, each of 6
    # values to 5 x 16 others.
    conv, deconv, linear = 8 * 6 * 9, 8 * 6 * 5 * 16, 5 * 7
    assert cost.macs == conv + deconv + linear
    assert cost.paper_gflops * 2**30 == conv + 4 * deconv + linear


def test_counting_leaves_the_network_as_it_was() -> None:
    network = Layers()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    complexity(network, (4, 4))
    assert network.training and isinstance(network.norm, nn.BatchNorm2d)
    assert not any(layer._forward_hooks for layer in network.modules())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("size", [(100, 128), (96, 130), (0, 128), (96, -32)])
def test_a_size_that_the_network_does_not_take_is_refused(size: tuple[int, int]) -> None:
    message = f"divisible by 32 and at least 32 for this network, got {size[0]} x {size[1]}"
    with pytest.raises(ValueError, match=message):
        complexity(on_meta("small", 17), size)


def test_the_table_has_a_row_for_each_network_and_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(models, "MODELS", {name: models.MODELS[name] for name in ("small",)})
    models_table()
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    cells = [[cell.strip() for cell in row[1:-1]] for row in rows]
    assert [row[:3] for row in cells] == [
        ["small", "96 x 128", "983,649"],
        ["small", "192 x 256", "983,649"],
        ["small", "288 x 384", "983,649"],
    ]
    cost = complexity(on_meta("small", 17), (96, 128))
    assert cells[0][3:] == [f"{cost.macs / 1e9:.3f}", f"{cost.paper_gflops:.3f}"]


def test_the_table_shows_what_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    models_table(["simple_small", "hourglass_small"], (64, 64), num_joints=16)
    text = capsys.readouterr().out
    assert text.count("64 x 64") == 2 and "hrnet" not in text
    with torch.device("meta"):
        network = models.create("hourglass_small", 16)
    assert f"{complexity(network, (64, 64)).parameters:,}" in text
    with pytest.raises(ValueError, match="network must be one of"):
        models_table(["vgg"])
