# SPDX-License-Identifier: Apache-2.0
"""How networks start without weights from elsewhere."""

from torch import nn


def he_normal(network: nn.Module) -> None:
    """Give every convolution's weights He's initialization, leaving biases as they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def nearly_zero(layer: nn.Conv2d) -> None:
    """Let a last layer begin with nearly empty heatmaps, as HRNet's and SimpleBaseline's do."""
    nn.init.normal_(layer.weight, std=0.001)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
