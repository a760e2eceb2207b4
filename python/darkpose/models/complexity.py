# SPDX-License-Identifier: Apache-2.0
"""What a network costs: parameters, multiply-accumulates, and GFLOPs as the paper counts them.

The paper's GFLOPs are not operations: they are multiply-adds over 2**30, with four times too many
for the deconvolutions. Both are here, so that its tables can be checked and networks compared.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from darkpose import models
from darkpose.models.huggingface import Pretrained
from darkpose.models.model_files import is_model

_INPUT_SIZES = ((96, 128), (192, 256), (288, 384))  # of the paper's Table 4


@dataclass(frozen=True)
class Complexity:
    """Cost of one image.

    Args:
        parameters: number of trained values.
        macs: multiply-accumulates of convolutions, deconvolutions and linear layers; biases,
            normalization, activation, attention, pooling, upsampling and sums are not counted.
        paper_gflops: the same in units of 2**30 as HRNet's code, and so the paper, counts it: a
            deconvolution's weights once per pixel of its output, not of its input.
    """

    parameters: int
    macs: int
    paper_gflops: float


def complexity(network: nn.Module, input_size: tuple[int, int]) -> Complexity:
    """Return the cost of a network for one image of `input_size` = (width, height) pixels.

    Nothing is computed: a copy without values (on the meta device) is asked for its layers' shapes.

    Raises ValueError for an input size that the network does not take.
    """
    if hasattr(network, "stride"):
        models.check_input_size(network, input_size)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    network = copy.deepcopy(network).to("meta").eval()
    macs = published = 0

    def count(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal macs, published
        weight: Tensor = layer.weight  # type: ignore[assignment]
        # Every value of a deconvolution's input, of the others' output, meets weight[0] once.
        deconvolution = isinstance(layer, nn.ConvTranspose2d)
        macs += (inputs[0] if deconvolution else output).numel() * weight[0].numel()
        published += output[0, 0].numel() * weight.numel()

    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(count)
        for name, layer in module.named_children():
            if isinstance(layer, nn.BatchNorm2d):  # not counted, and most of the time here
                setattr(module, name, nn.Identity())
    width, height = input_size
    network(torch.empty(1, 3, height, width, device="meta"))
    return Complexity(parameters, macs, published / 2**30)


def models_table(
    model: list[str] | None = None,
    input_size: tuple[int, int] | None = None,
    num_joints: int = 17,
) -> None:
    """Print networks with their parameters, multiply-accumulates and the paper's GFLOPs.

    Args:
        model: names of networks, or huggingface:MODEL; all that have a name unless given.
        input_size: width and height in pixels; unless given, 96 x 128, 192 x 256 and 288 x 384, or
            that of the model.
        num_joints: number of heatmaps.
    """
    from rich.console import Console  # here, as counting needs torch only
    from rich.table import Table

    table = Table("network", "input")
    for heading in ("parameters", "GMACs", "paper's GFLOPs"):
        table.add_column(heading, justify="right")
    for name in list(models.MODELS) if model is None else model:
        with torch.device("meta"):
            network = models.create(name, num_joints)
        usual = (Pretrained(name).codec.input_size,) if is_model(name) else _INPUT_SIZES
        for size in usual if input_size is None else (input_size,):
            cost = complexity(network, size)
            table.add_row(
                name,
                f"{size[0]} x {size[1]}",
                f"{cost.parameters:,}",
                f"{cost.macs / 1e9:.3f}",
                f"{cost.paper_gflops:.3f}",
            )
    Console().print(table)
