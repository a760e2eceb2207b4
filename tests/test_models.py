# SPDX-License-Identifier: Apache-2.0
"""The networks: published sizes, output shape, key names, layouts, compilation."""

import pytest
import torch

from darkpose import models

# 17 joints; SimpleBaseline-R50 as published (34.0M).
PARAMETERS = {"simple_r50": 33_999_697, "simple_r18": 15_376_721, "small": 983_649}


@pytest.mark.parametrize("name", list(models.MODELS))
def test_number_of_parameters(name: str) -> None:
    network = models.create(name)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


def test_the_small_network_has_at_most_a_million_parameters() -> None:
    assert PARAMETERS["small"] <= 1_000_000


@pytest.mark.parametrize("name", list(models.MODELS))
def test_heatmaps_are_a_quarter_of_the_input_in_either_layout(name: str) -> None:
    network = models.create(name, 5).eval()
    image = torch.randn(2, 3, 128, 96)
    with torch.inference_mode():
        heatmaps = network(image)
        other = network.to(memory_format=torch.channels_last)(
            image.contiguous(memory_format=torch.channels_last)
        )
    assert heatmaps.shape == (2, 5, 32, 24)
    torch.testing.assert_close(heatmaps, other, atol=1e-4, rtol=1e-3)


def test_simple_baseline_has_the_key_names_of_released_checkpoints() -> None:
    keys = set(models.create("simple_r50").state_dict())
    assert len(keys) == 338  # 282 without num_batches_tracked
    assert len([key for key in keys if "num_batches" not in key]) == 282
    assert {
        "conv1.weight",
        "layer1.0.downsample.1.running_mean",
        "layer4.2.conv3.weight",
        "deconv_layers.0.weight",
        "deconv_layers.7.weight",
        "final_layer.bias",
    } <= keys


def test_the_small_network_compiles_in_one_graph() -> None:
    network = models.create("small", 3).eval()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(compiled(image), network(image))


def test_an_unknown_network_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="model must be one of small, simple_r18, simple_r50"):
        models.create("hrnet")
    with pytest.raises(ValueError, match="num_joints must be at least 1, got 0"):
        models.create("small", 0)
