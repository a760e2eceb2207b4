# SPDX-License-Identifier: Apache-2.0
"""heatmap_mse against encode and torch arithmetic, NumPy, and finite differences."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import darkpose_ext
import oracles
from conftest import Implementation
from darkpose_ext import reference
from samples import DTYPES, LAYOUTS
from tolerances import GRADIENT, LOSS

B, K, HEIGHT, WIDTH = 3, 5, 13, 11
OPTIONS = (
    {},
    {"truncate": True},
    {"rounding": "floor"},
    {"rounding": "ceil"},
    {"rounding": "round", "truncate": True},
)


def sample(dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Maps in dtype; joints inside, outside and nowhere, weights 0 to 1.5 in float64."""
    maps = torch.rand(B, K, HEIGHT, WIDTH, dtype=torch.float64).to(dtype)
    joints = torch.rand(B, K, 2, dtype=torch.float64) * 40 - 14
    joints[0, 0] = math.nan
    weights = torch.tensor([0.0, 0.5, 1.0, 1.2, 1.5], dtype=torch.float64).repeat(B, 1)
    return maps.to(device), joints.to(device), weights.to(device)


def loss_and_gradient(
    ops: Implementation, maps: Tensor, joints: Tensor, weights: Tensor, **options: object
) -> tuple[Tensor, Tensor]:
    """Return the loss [B, K] and its gradient by `factors` for the maps."""
    factors = torch.linspace(0.5, 2, B * K).view(B, K).to(maps.device, torch.float64)
    if ops.name == "emulated":  # kernels alone, without autograd
        loss = ops.heatmap_mse(maps, joints, weights, 2.0, **options)
        return loss, ops.heatmap_mse_backward(factors, maps, joints, weights, 2.0, **options)
    maps = maps.detach().requires_grad_()
    loss = ops.heatmap_mse(maps, joints, weights, 2.0, **options)
    (gradient,) = torch.autograd.grad((loss * factors).sum(), maps)
    return loss.detach(), gradient


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_heatmap_mse_equals_encode_and_torch_arithmetic(
    ops: Implementation, dtype: torch.dtype, options: dict[str, object]
) -> None:
    maps, joints, weights = sample(dtype, ops.device)
    loss, gradient = loss_and_gradient(ops, maps, joints, weights, **options)

    arithmetic = torch.float64 if dtype == torch.float64 else torch.float32
    joints, weights = joints.to(arithmetic), weights.to(arithmetic)
    targets, counted = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0, **options)
    assert 0 < counted.count_nonzero() < counted.numel()
    predicted = maps.detach().to(arithmetic).requires_grad_()
    expected = 0.5 * (counted[..., None, None] * (predicted - targets)).square().mean((-2, -1))
    factors = torch.linspace(0.5, 2, B * K).view(B, K).to(maps.device)
    (expected_gradient,) = torch.autograd.grad((expected * factors).sum(), predicted)

    assert loss.dtype == arithmetic and gradient.dtype == dtype
    torch.testing.assert_close(loss, expected.detach(), rtol=LOSS[dtype], atol=LOSS[dtype])
    rounded = expected_gradient.to(dtype).double()
    exponent = rounded.abs().clamp(min=torch.finfo(dtype).tiny).log2().floor()
    unit = torch.finfo(dtype).eps * exponent.exp2()  # in the last place
    allowed = unit if dtype.itemsize == 2 else GRADIENT[dtype]
    assert ((gradient.double() - rounded).abs() <= allowed).all()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_heatmap_mse_backward_is_the_derivative_of_the_twin(
    ops: Implementation, options: dict[str, object]
) -> None:
    maps, joints, weights = sample(torch.float64, ops.device)
    factors = torch.randn(B, K, dtype=torch.float64, device=ops.device)
    actual = ops.heatmap_mse_backward(factors, maps, joints, weights, 2.0, **options)
    maps.requires_grad_()
    loss = reference.heatmap_mse(maps, joints, weights, 2.0, **options)
    (expected,) = torch.autograd.grad((loss * factors).sum(), maps)
    torch.testing.assert_close(actual, expected, rtol=0, atol=GRADIENT[torch.float64])


@pytest.mark.parametrize("encoder", ["darkpose", "hrnet"])
def test_heatmap_mse_equals_the_released_loss_on_the_released_targets(
    ops: Implementation, encoder: str
) -> None:
    maps, joints, weights = sample(torch.float64, ops.device)
    joints = joints.nan_to_num(-100.0)
    released = oracles.darkpose_target if encoder == "darkpose" else oracles.hrnet_target
    options = {} if encoder == "darkpose" else {"rounding": "round", "truncate": True}
    loss, _ = loss_and_gradient(ops, maps, joints, weights, **options)
    for b in range(B):
        for k in range(K):
            center, weight = tuple(joints[b, k].tolist()), float(weights[b, k])
            target, weight = released(center, weight, WIDTH, HEIGHT, 2)
            expected = oracles.squared_error(maps[b, k].cpu().numpy(), target, weight)
            # The released targets are float32.
            assert abs(float(loss[b, k]) - expected) <= LOSS[torch.float32]


def test_heatmap_mse_transform_equals_moving_the_joints_first(ops: Implementation) -> None:
    maps, joints, weights = sample(torch.float64, ops.device)
    transform = torch.tensor([[0.4, 0.1, 1.0], [-0.2, 0.5, 2.0]]).double().repeat(B, 1, 1)
    transform = transform.to(ops.device)
    moved = joints @ transform[..., :2].mT + transform[..., None, :, 2]
    actual = loss_and_gradient(ops, maps, joints, weights, transform=transform)
    expected = loss_and_gradient(ops, maps, moved, weights)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=0, atol=LOSS[torch.float64])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_heatmap_mse_ignores_the_map_of_a_joint_that_does_not_count(
    ops: Implementation, value: float
) -> None:
    maps, joints, weights = sample(torch.float32, ops.device)
    joints = joints.float().nan_to_num(5.0).clamp(2, 9)
    weights[1, 2] = 0
    joints[1, 3] = math.nan
    maps[1, 2:4] = value
    loss, gradient = loss_and_gradient(ops, maps, joints, weights)
    assert (loss[1, 2:4] == 0).all() and (gradient[1, 2:4] == 0).all()
    assert loss.isfinite().all() and gradient.isfinite().all()


def test_heatmap_mse_of_its_own_target_is_zero(ops: Implementation) -> None:
    _, joints, weights = sample(torch.float32, ops.device)
    targets, _ = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0)
    loss, gradient = loss_and_gradient(ops, targets.double(), joints, weights)
    assert loss.max() <= LOSS[torch.float32] ** 2 and gradient.abs().max() <= LOSS[torch.float32]


def test_heatmap_mse_mean_is_hrnets_loss(ops: Implementation) -> None:
    # HRNet averages (w (p - g))^2 over persons and pixels, halves it, then averages over joints.
    maps, joints, weights = sample(torch.float64, ops.device)
    loss, _ = loss_and_gradient(ops, maps, joints, weights)
    targets, counted = ops.encode(joints, weights, HEIGHT, WIDTH, 2.0)
    per_joint = [
        0.5 * np.mean(((maps - targets) * counted[..., None, None])[:, k].cpu().numpy() ** 2)
        for k in range(K)
    ]
    assert abs(float(loss.mean()) - sum(per_joint) / K) <= LOSS[torch.float64]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_heatmap_mse_gradient_passes_gradcheck(device: str, options: dict[str, object]) -> None:
    maps, joints, weights = sample(torch.float64, device)
    maps = maps[..., :6, :5].contiguous().requires_grad_()

    def loss(h: Tensor) -> Tensor:
        return darkpose_ext.heatmap_mse(h, joints, weights, 2.0, **options)

    assert torch.autograd.gradcheck(loss, (maps,))


def test_heatmap_mse_gives_a_gradient_to_the_heatmaps_alone(device: str) -> None:
    maps, joints, weights = (t.nan_to_num(3.0) for t in sample(torch.float64, device))
    transform = torch.eye(2, 3).double().repeat(B, 1, 1).to(device)
    inputs = [t.requires_grad_() for t in (maps, joints, weights, transform)]
    loss = darkpose_ext.heatmap_mse(*inputs[:3], 2.0, transform=transform)
    loss.sum().backward()
    assert maps.grad is not None and maps.grad.count_nonzero() > 0
    for other in inputs[1:]:
        assert other.grad is None or other.grad.count_nonzero() == 0


def test_heatmap_mse_without_a_need_of_gradients_has_none(device: str) -> None:
    maps, joints, weights = sample(torch.float32, device)
    assert not darkpose_ext.heatmap_mse(maps, joints, weights, 2.0).requires_grad
    with torch.no_grad():
        loss = darkpose_ext.heatmap_mse(maps.requires_grad_(), joints, weights, 2.0)
    assert not loss.requires_grad


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
@pytest.mark.parametrize("joints", [17, 150])
def test_heatmap_mse_does_not_depend_on_the_number_of_threads(joints: int, layout: str) -> None:
    maps = LAYOUTS[layout](torch.rand(3, joints, 64, 48))
    targets = (64 * torch.rand(3, joints, 2), torch.rand(3, joints))
    grad, before, results = torch.rand(3, joints), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            loss = torch.ops.dark.heatmap_mse(maps, *targets, 2.0)
            gradient = torch.ops.dark.heatmap_mse_backward(grad, maps, *targets, 2.0)
            results.append((loss, gradient))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize("width", [48, 44])
def test_large_maps_have_the_targets_and_gradient_of_small_ones(width: int) -> None:
    # More than 16 MB are stored past the caches where rows are whole vectors.
    joints, weights = 64 * torch.rand(90, 17, 2), torch.rand(90, 17)
    weights[::7] = 0
    maps, grad = torch.rand(90, 17, 64, width), torch.rand(90, 17)
    assert maps.nbytes > 2**24
    ops = torch.ops.dark
    whole = ops.heatmap_mse_backward(grad, maps, joints, weights, 2.0)
    parts = [
        ops.heatmap_mse_backward(*four, 2.0)
        for four in zip(*(t.split(30) for t in (grad, maps, joints, weights)), strict=True)
    ]
    assert torch.equal(whole, torch.cat(parts))
    whole, _ = ops.encode(joints, weights, 64, width, 2.0)
    pairs = zip(joints.split(30), weights.split(30), strict=True)
    parts = [ops.encode(*pair, 64, width, 2.0)[0] for pair in pairs]
    assert torch.equal(whole, torch.cat(parts))


def test_heatmap_mse_second_derivative_is_refused_in_words(device: str) -> None:
    maps, joints, weights = sample(torch.float64, device)
    maps.requires_grad_()
    loss = darkpose_ext.heatmap_mse(maps, joints, weights, 2.0)
    (gradient,) = torch.autograd.grad(loss.sum(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="heatmap_mse: second derivatives are not implemented"):
        gradient.sum().backward()


def test_heatmap_mse_trains_maps_towards_their_targets(device: str) -> None:
    _, joints, weights = sample(torch.float32, device)
    targets, counted = darkpose_ext.encode(joints, weights, HEIGHT, WIDTH, 2.0)
    maps = torch.zeros_like(targets, requires_grad=True)
    optimizer = torch.optim.SGD([maps], lr=0.4 * HEIGHT * WIDTH)
    for _ in range(100):
        optimizer.zero_grad()
        darkpose_ext.heatmap_mse(maps, joints, weights, 2.0).sum().backward()
        optimizer.step()
    error = torch.where(counted[..., None, None] > 0, maps - targets, maps)
    assert error.abs().max() <= LOSS[torch.float32]
