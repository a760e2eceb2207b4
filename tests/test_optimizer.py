# SPDX-License-Identifier: Apache-2.0
"""AdamW as ViTPose is trained with it, by its formulas; without decay Adam, bit for bit."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from darkpose.codec import HeatmapCodec
from darkpose.data.spec import KeypointSpec
from darkpose.train.optimizer import OptimizerOptions, make_optimizer, set_rate
from darkpose.train.task import ModelOptions, PoseTask
from transformer import Transformer

SPEC = KeypointSpec.from_names(["nose"])
FIXED = {"bias", "in_proj_bias", "positions"}  # besides the weights of norms


def grouped(network: nn.Module, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the optimizer's group of each parameter."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = make_optimizer(network, OptimizerOptions(**options)).param_groups
    return {names[id(p)]: group for group in groups for p in group["params"]}


def test_a_layers_share_of_the_rate_is_vitposes() -> None:
    """13 factors for the patches, 12 to 1 for the layers, none for the last norm and the head."""
    found = grouped(Transformer(3, (64, 64), depth=12), layer_decay=0.75, weight_decay=0.1)
    for name, group in found.items():
        layer = re.match(r"layers\.(\d+)", name)
        power = 13 if name.startswith("embeddings") else 12 - int(layer[1]) if layer else 0
        assert group["share"] == 0.75**power, name


def test_only_what_a_layer_multiplies_by_shrinks() -> None:
    network = Transformer(3, (64, 64))
    found = grouped(network, weight_decay=0.1)
    shrinking = {name for name, group in found.items() if group["weight_decay"] == 0.1}
    norms = {f"{n}.weight" for n, m in network.named_modules() if re.search("Norm", repr(m)[:11])}
    rest = {name for name in found if name.rpartition(".")[2] in FIXED} | norms
    assert found.keys() == dict(network.named_parameters()).keys() == shrinking | rest
    assert shrinking & rest == set() and len(norms) == 6 and "embeddings.positions" in rest
    assert {"embeddings.patches.weight", "layers.1.attention.in_proj_weight"} < shrinking
    assert {group["weight_decay"] for name, group in found.items() if name in rest} == {0.0}


def test_a_step_is_that_of_the_formula() -> None:
    """Loshchilov and Hutter: the first step goes by the gradient's sign, the decay by the rate."""
    network = Transformer(3, (64, 64))
    options = OptimizerOptions(learning_rate=0.01, layer_decay=0.5, weight_decay=0.2)
    optimizer = make_optimizer(network, options)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    set_rate(optimizer.param_groups, 0.01)
    optimizer.step()
    found = dict(network.named_parameters())
    for name, rate, decay in (
        ("embeddings.patches.weight", 0.01 / 8, 0.2),
        ("layers.0.mlp.0.bias", 0.01 / 4, 0.0),
        ("layers.1.mlp.0.weight", 0.01 / 2, 0.2),
        ("head.3.weight", 0.01, 0.2),
        ("embeddings.positions", 0.01 / 8, 0.0),
    ):
        was, gradient = before[name], found[name].grad
        expected = was * (1 - rate * decay) - rate * gradient.sign()
        torch.testing.assert_close(found[name], expected, atol=1e-6, rtol=1e-5)


def test_without_decay_it_is_adam_with_all_parameters_in_one_group() -> None:
    networks = [Transformer(3, (64, 64)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    mine = make_optimizer(networks[0], OptimizerOptions(learning_rate=0.01))
    theirs = torch.optim.Adam(networks[1].parameters(), 0.01)
    assert len(mine.param_groups) == 1
    for seed in range(3):
        for network, optimizer in zip(networks, (mine, theirs), strict=True):
            torch.manual_seed(seed)
            for parameter in network.parameters():
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_schedule_is_vitposes_to_two_thousandths_of_the_rate() -> None:
    """Theirs begins at a thousandth and reaches the rate at step 500, ours one step before."""
    options = OptimizerOptions(learning_rate=5e-4, warmup=500)
    for step in range(1000):
        theirs = 5e-4 * (1 - (1 - min(step / 500, 1)) * (1 - 0.001))
        assert abs(options.rate(0, step) - theirs) <= 0.002 * 5e-4
    found = [options.rate(epoch, 10**6) for epoch in (169, 170, 199, 200)]
    assert found == pytest.approx([5e-4, 5e-5, 5e-5, 5e-6])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_decay": -0.1}, "model.weight_decay must be finite and at least 0, got -0.1"),
        ({"weight_decay": float("nan")}, "model.weight_decay must be finite and at least 0"),
        ({"layer_decay": 0}, "model.layer_decay must be above 0 and at most 1, got 0"),
        ({"drop_path": 1}, "model.drop_path must be at least 0 and below 1, got 1"),
    ],
)
def test_a_number_out_of_its_range_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_decay": 0.75}, "model.layer_decay must be left out for SmallNet: it is for trans"),
        ({"drop_path": 0.1}, "model.drop_path must be left out for SmallNet: it is for trans"),
        ({"network": "test_optimizer:headless", "freeze": "backbone"}, "must be null for Conv2d"),
    ],
)
def test_what_a_network_cannot_have_is_refused_before_training(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        PoseTask(HeatmapCodec((64, 64)), SPEC, ModelOptions(**options))


def headless(joints: int, _size: tuple[int, int]) -> nn.Module:
    """Return a network of one layer, which is called nothing."""
    return nn.Conv2d(3, joints, 7, 4, 3)
