# SPDX-License-Identifier: Apache-2.0
"""The networks: published sizes and key names, outputs, layouts, gradients, compilation."""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from darkpose import models
from darkpose.models.hourglass import StackedHourglass
from darkpose.models.hrnet import HRNet
from darkpose.models.simple_baseline import SimpleBaseline
from darkpose.models.small import SmallNet

# 17 joints. The first seven are the released networks', as their code counts them.
PARAMETERS = {
    "hrnet_w32": 28_536_113,
    "hrnet_w48": 63_595_745,
    "simple_r50": 33_999_697,
    "simple_r101": 52_991_825,
    "simple_r152": 68_635_473,
    "hourglass_4": 13_020_612,
    "hourglass_8": 25_598_472,
    "simple_r18": 15_376_721,
    "small": 983_649,
    "simple_small": 1_506_997,
    "hrnet_small": 1_215_633,
    "hourglass_small": 963_442,
}
# Tensors of released state dicts with and without num_batches_tracked.
TENSORS = {
    "hrnet_w32": (1754, 1462),
    "hrnet_w48": (1754, 1462),
    "hourglass_4": (1298, 1116),
    "simple_r50": (338, 282),
}
# Shapes by the key names of released checkpoints.
RELEASED: dict[str, dict[str, tuple[int, ...]]] = {
    "hrnet_w32": {
        "conv1.weight": (64, 3, 3, 3),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "transition1.1.0.0.weight": (64, 256, 3, 3),
        "transition2.2.0.0.weight": (128, 64, 3, 3),
        "transition3.3.0.1.running_mean": (256,),
        "stage2.0.branches.1.3.conv2.weight": (64, 64, 3, 3),
        "stage2.0.fuse_layers.1.0.0.1.weight": (64,),
        "stage3.3.fuse_layers.2.0.0.0.weight": (32, 32, 3, 3),
        "stage3.3.fuse_layers.2.0.1.0.weight": (128, 32, 3, 3),
        "stage4.1.fuse_layers.3.0.2.0.weight": (256, 32, 3, 3),
        "stage4.2.fuse_layers.0.3.0.weight": (32, 256, 1, 1),
        "final_layer.weight": (17, 32, 1, 1),
        "final_layer.bias": (17,),
    },
    "hourglass_4": {
        "conv1.weight": (64, 3, 7, 7),
        "conv1.bias": (64,),
        "layer1.0.downsample.0.weight": (128, 64, 1, 1),
        "layer2.0.downsample.0.bias": (256,),
        "layer3.0.conv2.weight": (128, 128, 3, 3),
        "hg.0.hg.0.3.0.bn1.weight": (256,),
        "hg.3.hg.3.2.0.conv3.weight": (256, 128, 1, 1),
        "res.3.0.conv1.weight": (128, 256, 1, 1),
        "fc.3.0.weight": (256, 256, 1, 1),
        "fc.3.1.running_var": (256,),
        "score.3.weight": (17, 256, 1, 1),
        "fc_.2.weight": (256, 256, 1, 1),
        "score_.2.weight": (256, 17, 1, 1),
    },
    "simple_r50": {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.downsample.1.running_mean": (256,),
        "layer4.2.conv3.weight": (2048, 512, 1, 1),
        "deconv_layers.0.weight": (2048, 256, 4, 4),
        "deconv_layers.6.weight": (256, 256, 4, 4),
        "deconv_layers.7.weight": (256,),
        "final_layer.weight": (17, 256, 1, 1),
        "final_layer.bias": (17,),
    },
}
# Beginnings of names under which the released checkpoints have nothing.
ABSENT = {
    "hrnet_w32": (
        "conv1.bias",
        "layer1.1.downsample",
        "transition2.0",
        "transition2.1",
        "transition3.2",
        "stage2.0.fuse_layers.0.0",
        "stage2.1",
        "stage3.4",
        "stage4.2.fuse_layers.1",
        "stage4.3",
    ),
    "hourglass_4": ("layer3.0.downsample", "hg.0.hg.1.3", "hg.0.hg.4", "fc_.3", "score_.3", "hg.4"),
    "simple_r50": ("layer1.1.downsample", "deconv_layers.0.bias", "deconv_layers.9", "fc."),
}
# (width, height) of the paper's Table 4, and one that pools to 12 x 16, 6 x 8, 3 x 4 and 1 x 2.
HOURGLASS_SIZES = ((96, 128), (192, 256), (288, 384), (100, 132), (64, 64))

LAYOUT_TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}  # float64, summed in another order
RELEASED_TOLERANCE = 1e-6  # of the heatmaps' root mean square, in float64
SEED_TOLERANCE = 1e-6  # relative: random numbers differ in the last bits between CPUs
INIT_TOLERANCE = 0.1  # relative, of a standard deviation estimated from the weights

NARROW: dict[str, Callable[[], nn.Module]] = {
    "small": lambda: SmallNet(5),
    "simple": lambda: SimpleBaseline(18, 5, width=8),
    "hrnet": lambda: HRNet(5, width=8, stem=8, modules=(1, 1, 2), blocks=1),
    "hourglass": lambda: StackedHourglass(5, stacks=2, features=16),
}


@functools.cache
def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return models.create(name)


@pytest.mark.parametrize("name", list(models.MODELS))
def test_number_of_parameters(name: str) -> None:
    assert sum(p.numel() for p in on_meta(name).parameters()) == PARAMETERS[name]


def test_a_network_of_other_joints_differs_in_the_last_layer_only() -> None:
    with torch.device("meta"):
        network = models.create("hrnet_w32", 16)
    assert sum(p.numel() for p in network.parameters()) == 28_536_080


@pytest.mark.parametrize("name", ["small", "simple_small", "hrnet_small", "hourglass_small"])
def test_the_networks_for_a_cpu_have_one_to_two_million_parameters(name: str) -> None:
    assert 0.95e6 <= PARAMETERS[name] <= 2e6


@pytest.mark.parametrize("name", list(TENSORS))
def test_state_dicts_have_as_many_tensors_as_released_ones(name: str) -> None:
    keys = list(on_meta(name).state_dict())
    assert (len(keys), sum("num_batches" not in key for key in keys)) == TENSORS[name]


@pytest.mark.parametrize("name", list(RELEASED))
def test_key_names_and_shapes_are_those_of_released_checkpoints(name: str) -> None:
    state = {key: tuple(value.shape) for key, value in on_meta(name).state_dict().items()}
    assert {key: state.get(key) for key in RELEASED[name]} == RELEASED[name]
    assert [key for key in state if key.startswith(ABSENT[name])] == []


def fill(network: nn.Module) -> None:
    """Give every parameter and statistic values that anyone can compute again."""
    state = network.double().eval().state_dict()
    for i, key in enumerate(sorted(key for key in state if "num_batches" not in key)):
        value = state[key]
        count = torch.arange(value.numel(), dtype=torch.float64)
        wave = torch.sin(count**1.5 + i).view(value.shape)
        if value.dim() > 1:
            value.copy_((3 / value[0].numel()) ** 0.5 * wave)
        elif key.endswith(("running_mean", "bias")):
            value.copy_(0.1 * wave)
        else:
            value.copy_(1 + 0.3 * wave)


def figures(heatmaps: Tensor) -> list[float]:
    """Return three values of heatmaps [1, 17, H, W], their mean and their root mean square."""
    values = [heatmaps[0, 0, 0, 0], heatmaps[0, 3, -1, -1], heatmaps[0, 16, -16, 2]]
    return [float(v) for v in (*values, heatmaps.mean(), heatmaps.square().mean().sqrt())]


# What the released code (HRNet's pose_hrnet.py, DarkPose's hourglass.py; in a narrow configuration)
# computes in float64 from `fill`'s weights and this image.
GOLDEN = {
    "hrnet": [
        [-37734.258277, -76806.043791, -39121.221095, 50750.860791, 160277.533748],
    ],
    "hourglass": [
        [6.317274, -51.393527, 90.888665, -11.821786, 48.996874],
        [1383.575412, 983.959637, -2220.310204, 610.696167, 1802.643318],
    ],
}


@pytest.mark.parametrize("name", list(GOLDEN))
def test_the_same_weights_give_the_heatmaps_of_the_released_code(name: str) -> None:
    network = HRNet(17, width=8) if name == "hrnet" else StackedHourglass(17, 2, features=32)
    width, height = (32, 64) if name == "hrnet" else (96, 128)
    fill(network)
    image = torch.cos(torch.arange(3 * height * width, dtype=torch.float64) ** 1.2)
    if name == "hourglass":
        for module in network.modules():  # all stacks, but with the statistics from `fill`
            module.training = not isinstance(module, nn.BatchNorm2d)
    with torch.inference_mode():
        heatmaps = network(image.view(1, 3, height, width))
    for stack, expected in zip(
        heatmaps.view(-1, 1, *heatmaps.shape[-3:]), GOLDEN[name], strict=True
    ):
        assert figures(stack) == pytest.approx(expected, abs=RELEASED_TOLERANCE * expected[-1])


@pytest.mark.parametrize("name", list(models.MODELS))
def test_heatmaps_are_a_quarter_of_the_smallest_input(name: str) -> None:
    network = on_meta(name).eval()
    stride, smallest = network.stride, network.smallest
    assert (stride, smallest) == ((4, 64) if "hourglass" in name else (32, 32))
    image = torch.empty(1, 3, smallest + stride, smallest, device="meta")
    with torch.inference_mode():
        assert network(image).shape == (1, 17, (smallest + stride) // 4, smallest // 4)


@pytest.mark.parametrize("size", HOURGLASS_SIZES)
def test_the_hourglass_runs_at_every_size(size: tuple[int, int]) -> None:
    network, (width, height) = NARROW["hourglass"](), size
    image = torch.randn(2, 3, height, width)
    assert network(image).shape == (2, 2, 5, height // 4, width // 4)
    with torch.inference_mode():
        assert network.eval()(image).shape == (2, 5, height // 4, width // 4)


def test_outside_training_the_hourglass_returns_the_last_stack() -> None:
    network = NARROW["hourglass"]().eval()
    image = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        last = network(image)
        network.training = True  # of the network alone: the normalization keeps its statistics
        stacks = network(image)
    assert torch.equal(stacks[-1], last)
    assert not torch.equal(stacks[0], last)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", list(NARROW))
def test_channels_last_gives_the_same_heatmaps(name: str, training: bool) -> None:
    network = NARROW[name]().double().train(training)
    image = torch.randn(2, 3, 96, 64, dtype=torch.float64)
    with torch.no_grad():
        heatmaps = network(image)
        network.to(memory_format=torch.channels_last)
        other = network(image.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(heatmaps, other, **LAYOUT_TOLERANCE)


@pytest.mark.parametrize("name", list(NARROW))
def test_gradients_reach_every_parameter(name: str) -> None:
    network = NARROW[name]()
    network(torch.randn(2, 3, 96, 64)).square().sum().backward()
    gradients = {key: value.grad for key, value in network.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None] == []
    # A bias before batch normalization has gradient 0, convolutions have not.
    kernels = {key: value for key, value in gradients.items() if value.dim() == 4}
    assert [key for key, gradient in kernels.items() if not gradient.abs().sum() > 0] == []


@pytest.mark.parametrize("stack", [0, 1])
def test_a_stacks_heatmaps_train_it_and_those_before_it(stack: int) -> None:
    network = NARROW["hourglass"]()
    network(torch.randn(2, 3, 64, 64))[stack].square().sum().backward()
    reached = {key for key, value in network.named_parameters() if value.grad.any()}
    assert {"conv1.weight", "hg.0.hg.0.3.0.conv1.weight", "score.0.weight"} <= reached
    later = {"hg.1.hg.0.3.0.conv1.weight", "res.1.0.conv1.weight", "score.1.weight"}
    later |= {"fc_.0.weight", "score_.0.weight"}
    assert later & reached == (later if stack == 1 else set())


@pytest.mark.parametrize("name", list(NARROW))
def test_networks_compile_in_one_graph(name: str) -> None:
    network = NARROW[name]()  # in training, where all stacks are returned
    image = torch.randn(2, 3, 96, 64).contiguous(memory_format=torch.channels_last)
    network.to(memory_format=torch.channels_last)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert torch.equal(compiled(image), network(image))


# The last layer's first weight after torch.manual_seed(7), with 17 joints.
@pytest.mark.parametrize(
    ("name", "expected"), [("small", -7.0233946e-4), ("simple_r18", 4.8631139e-4)]
)
def test_a_seed_gives_the_weights_that_it_always_gave(name: str, expected: float) -> None:
    torch.manual_seed(7)
    weight = models.create(name).get_parameter("final_layer.weight")
    assert weight[0, 0].item() == pytest.approx(expected, rel=SEED_TOLERANCE)


def test_hrnet_starts_as_its_docstring_says() -> None:
    network = models.create("hrnet_small")
    state = network.state_dict()
    body = state["stage4.0.branches.3.0.conv1.weight"]
    expected = (2 / (9 * len(body))) ** 0.5
    assert float(body.std()) == pytest.approx(expected, rel=INIT_TOLERANCE)
    last = state["final_layer.weight"]
    assert float(last.std()) == pytest.approx(0.001, rel=INIT_TOLERANCE)
    assert not state["final_layer.bias"].any()


def test_an_unknown_network_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="network must be one of small, simple_r18, simple_r50"):
        models.create("hrnet")
    with pytest.raises(ValueError, match="num_joints must be at least 1, got 0"):
        models.create("small", 0)
