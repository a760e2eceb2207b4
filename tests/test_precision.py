# SPDX-License-Identifier: Apache-2.0
"""Losses and steps in half precision, and of people of whom nothing is known."""

import pytest
import torch
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.joint_sets import COCO
from darkpose.models.pose import PoseModel

in_half = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
# Every loss, and every kind of network.
each_loss = pytest.mark.parametrize(
    ("network", "encoding"),
    [
        *(("small", encoding) for encoding in ("unbiased", "biased", "dsnt", "ipr")),
        *((network, "unbiased") for network in ("hrnet_small", "simple_small", "hourglass_small")),
    ],
)


def task_of(network: str, encoding: str) -> PoseModel:
    codec = HeatmapCodec((64, 64), encoding=encoding)
    return PoseModel(codec, COCO, network).train()  # type: ignore[arg-type]


def sample_of(weight: float) -> dict[str, Tensor]:
    """Two people with joints inside the map, on its border, outside it and far away."""
    joints = 15 * torch.rand(2, 17, 2)
    joints[0, :4] = torch.tensor([[0.0, 0.0], [15.0, 15.0], [-3.0, 8.0], [1e5, -1e5]])
    return {
        "image": torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8),
        "joints": joints,
        "weights": torch.full((2, 17), weight),
        "to_heatmap": torch.eye(2, 3).expand(2, 2, 3).contiguous(),
    }


def loss_of(task: PoseModel, sample: dict[str, Tensor], dtype: torch.dtype, device: str) -> Tensor:
    sample = {name: value.to(device) for name, value in sample.items()}
    with torch.autocast(device, dtype):
        return task.loss(task(sample["image"]), sample)  # type: ignore[arg-type]


@in_half
@each_loss
def test_losses_and_steps_are_finite_under_autocast(
    network: str, encoding: str, dtype: torch.dtype, device: str
) -> None:
    """With the scaler that float16 needs: it leaves out a step whose gradients overflow."""
    task = task_of(network, encoding).to(device)
    before = [value.detach().clone() for value in task.network.parameters()]
    optimizer = torch.optim.Adam(task.network.parameters(), 1e-3)
    scaler = torch.amp.GradScaler(device, 256.0, enabled=dtype == torch.float16)
    for _ in range(2):
        loss = loss_of(task, sample_of(1.0), dtype, device)
        assert loss.isfinite()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    after = list(task.network.parameters())
    assert all(value.isfinite().all() for value in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@in_half
@each_loss
def test_a_batch_without_a_visible_joint_teaches_nothing(
    network: str, encoding: str, dtype: torch.dtype, device: str
) -> None:
    task = task_of(network, encoding).to(device)
    loss = loss_of(task, sample_of(0.0), dtype, device)
    loss.backward()
    assert loss == 0
    gradients = [value.grad for value in task.network.parameters() if value.grad is not None]
    assert gradients and all((gradient == 0).all() for gradient in gradients)
