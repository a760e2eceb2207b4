# SPDX-License-Identifier: Apache-2.0
"""heatmap_mse against encode and torch arithmetic, NumPy, and finite differences."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import darkpose_ext
import oracles
from conftest import Implementation
from darkpose_ext import reference
from darkpose_ext._values import ROUNDINGS
from samples import DTYPES, LAYOUTS
from tolerances import GRADIENT, LOSS, assert_within

B, K, HEIGHT, WIDTH = 3, 5, 13, 11
FLOAT64 = torch.float64
FACTORS = torch.linspace(0.5, 2, B * K).double().view(B, K)
OPTIONS = [{"rounding": r, "truncate": t} for r in ROUNDINGS for t in (False, True)]
each_way = pytest.mark.parametrize("options", OPTIONS, ids=str)


def sample(dtype: torch.dtype = FLOAT64) -> tuple[Tensor, Tensor, Tensor]:
    """Maps in dtype; joints inside, outside and nowhere, weights 0 to 1.5 in float64."""
    maps = torch.rand(B, K, HEIGHT, WIDTH, dtype=FLOAT64).to(dtype)
    joints = torch.rand(B, K, 2, dtype=FLOAT64) * 40 - 14
    joints[0, 0] = math.nan
    return maps, joints, torch.tensor([0.0, 0.5, 1.0, 1.2, 1.5], dtype=FLOAT64).repeat(B, 1)


def loss_and_gradient(
    ops: Implementation, maps: Tensor, joints: Tensor, weights: Tensor, **options: object
) -> tuple[Tensor, Tensor]:
    """Return the loss [B, K] and its gradient by FACTORS for the maps."""
    if ops.name == "emulated":  # kernels alone, without autograd
        loss = ops.heatmap_mse(maps, joints, weights, 2.0, **options)
        return loss, ops.heatmap_mse_backward(FACTORS, maps, joints, weights, 2.0, **options)
    maps = maps.detach().requires_grad_()
    loss = ops.heatmap_mse(maps, joints, weights, 2.0, **options).cpu()
    (gradient,) = torch.autograd.grad((loss * FACTORS).sum(), maps)
    return loss.detach(), gradient


@each_way
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_heatmap_mse_equals_encode_and_torch_arithmetic(
    ops: Implementation, dtype: torch.dtype, options: dict[str, object]
) -> None:
    maps, joints, weights = sample(dtype)
    loss, gradient = loss_and_gradient(ops, maps, joints, weights, **options)

    arithmetic = reference.arithmetic_dtype(dtype)
    joints, weights = joints.to(arithmetic), weights.to(arithmetic)
    targets, counted = (t.cpu() for t in ops.encode(joints, weights, HEIGHT, WIDTH, 2.0, **options))
    assert 0 < counted.count_nonzero() < counted.numel()
    predicted = maps.to(arithmetic).requires_grad_()
    expected = 0.5 * (counted[..., None, None] * (predicted - targets)).square().mean((-2, -1))
    (expected_gradient,) = torch.autograd.grad((expected * FACTORS).sum(), predicted)

    assert_within(loss, expected.detach(), LOSS[dtype], LOSS[dtype])
    assert gradient.dtype == dtype
    rounded = expected_gradient.to(dtype).double()
    exponent = rounded.abs().clamp(min=torch.finfo(dtype).tiny).log2().floor()
    unit = torch.finfo(dtype).eps * exponent.exp2()  # in the last place
    allowed = unit if dtype.itemsize == 2 else GRADIENT[dtype]
    assert ((gradient.double() - rounded).abs() <= allowed).all()


@each_way
def test_heatmap_mse_backward_is_the_derivative_of_the_twin(
    ops: Implementation, options: dict[str, object]
) -> None:
    maps, joints, weights = sample()
    factors = torch.randn(B, K, dtype=FLOAT64)
    actual = ops.heatmap_mse_backward(factors, maps, joints, weights, 2.0, **options)
    maps.requires_grad_()
    loss = reference.heatmap_mse(maps, joints, weights, 2.0, **options)
    (expected,) = torch.autograd.grad((loss * factors).sum(), maps)
    assert_within(actual, expected, GRADIENT[FLOAT64])


@pytest.mark.parametrize(
    ("released", "options"),
    [
        (oracles.darkpose_target, {}),
        (oracles.hrnet_target, {"rounding": "round", "truncate": True}),
    ],
)
def test_heatmap_mse_equals_the_released_loss_on_the_released_targets(
    ops: Implementation, released: oracles.Target, options: dict[str, object]
) -> None:
    maps, joints, weights = sample()
    joints = joints.nan_to_num(-100.0)
    loss, _ = loss_and_gradient(ops, maps, joints, weights, **options)
    for at in ((b, k) for b in range(B) for k in range(K)):
        target, weight = released(joints[at].tolist(), float(weights[at]), WIDTH, HEIGHT, 2)
        expected = oracles.squared_error(maps[at].numpy(), target, weight)
        # The released targets are float32.
        assert abs(float(loss[at]) - expected) <= LOSS[torch.float32]


def test_heatmap_mse_transform_equals_moving_the_joints_first(ops: Implementation) -> None:
    maps, joints, weights = sample()
    transform = torch.tensor([[0.4, 0.1, 1.0], [-0.2, 0.5, 2.0]]).double().repeat(B, 1, 1)
    moved = joints @ transform[..., :2].mT + transform[..., None, :, 2]
    actual = loss_and_gradient(ops, maps, joints, weights, transform=transform)
    assert_within(actual, loss_and_gradient(ops, maps, moved, weights), LOSS[FLOAT64])


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_heatmap_mse_ignores_the_map_of_a_joint_that_does_not_count(
    ops: Implementation, value: float, layout: str
) -> None:
    maps, joints, weights = sample(torch.float32)
    joints = joints.float().nan_to_num(5.0).clamp(2, 9)
    weights[1, 2] = 0
    joints[1, 3] = math.nan
    maps[1, 2:4] = value
    loss, gradient = loss_and_gradient(ops, LAYOUTS[layout](maps), joints, weights)
    assert (loss[1, 2:4] == 0).all() and (gradient[1, 2:4] == 0).all()
    assert loss.isfinite().all() and gradient.isfinite().all()


def test_heatmap_mse_gradient_passes_gradcheck(device: str) -> None:
    maps, joints, weights = (t.to(device) for t in sample())
    maps = maps[..., :6, :5].contiguous().requires_grad_()
    for options in OPTIONS[-2:]:

        def loss(h: Tensor, options: dict[str, object] = options) -> Tensor:
            return darkpose_ext.heatmap_mse(h, joints, weights, 2.0, **options)

        assert torch.autograd.gradcheck(loss, (maps,))


def test_heatmap_mse_gives_a_gradient_to_the_heatmaps_alone(device: str) -> None:
    maps, joints, weights = (t.to(device).nan_to_num(3.0) for t in sample())
    transform = torch.eye(2, 3).double().repeat(B, 1, 1).to(device)
    inputs = [t.requires_grad_() for t in (maps, joints, weights, transform)]
    loss = darkpose_ext.heatmap_mse(*inputs[:3], 2.0, transform=transform)
    loss.sum().backward()
    assert maps.grad is not None and maps.grad.count_nonzero() > 0
    for other in inputs[1:]:
        assert other.grad is None or other.grad.count_nonzero() == 0


def test_heatmap_mse_without_a_need_of_gradients_has_none(device: str) -> None:
    maps, joints, weights = (t.to(device) for t in sample(torch.float32))
    assert not darkpose_ext.heatmap_mse(maps, joints, weights, 2.0).requires_grad
    with torch.no_grad():
        loss = darkpose_ext.heatmap_mse(maps.requires_grad_(), joints, weights, 2.0)
    assert not loss.requires_grad


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
    maps, joints, weights = (t.to(device) for t in sample())
    maps.requires_grad_()
    loss = darkpose_ext.heatmap_mse(maps, joints, weights, 2.0)
    (gradient,) = torch.autograd.grad(loss.sum(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="heatmap_mse: second derivatives are not implemented"):
        gradient.sum().backward()


def through_jvp(function: Callable[[Tensor], Tensor], at: Tensor) -> None:
    torch.func.jvp(function, (at,), (torch.ones_like(at),))


def through_jacfwd(function: Callable[[Tensor], Tensor], at: Tensor) -> None:
    torch.func.jacfwd(function)(at)


def through_dual_numbers(function: Callable[[Tensor], Tensor], at: Tensor) -> None:
    with forward_ad.dual_level():
        function(forward_ad.make_dual(at, torch.ones_like(at)))


def with_a_gradient_too(function: Callable[[Tensor], Tensor], at: Tensor) -> None:
    through_dual_numbers(function, at.requires_grad_())


@pytest.mark.parametrize("argument", ["grad", "heatmaps", "joints", "weights", "transform"])
@pytest.mark.parametrize(
    "through", [through_jvp, through_jacfwd, through_dual_numbers, with_a_gradient_too]
)
def test_heatmap_mse_forward_mode_is_refused_in_words(
    through: Callable[..., None], argument: str, device: str
) -> None:
    # Where it was not, the tangent of the loss was 0.
    maps, joints, weights = (t.to(device).nan_to_num(3.0) for t in sample())
    transform = torch.eye(2, 3, dtype=FLOAT64, device=device).repeat(B, 1, 1)
    given = {"heatmaps": maps, "joints": joints, "weights": weights, "transform": transform}
    for op in ("heatmap_mse", "heatmap_mse_backward"):
        arguments = {"grad": weights, **given} if op == "heatmap_mse_backward" else given
        if argument not in arguments:
            continue

        def call(value: Tensor, op: str = op, arguments: dict[str, Tensor] = arguments) -> Tensor:
            return getattr(torch.ops.dark, op)(**{**arguments, argument: value}, sigma=2.0)

        with pytest.raises(NotImplementedError) as caught:
            through(call, arguments[argument].clone())
        assert str(caught.value) == f"{op}: forward-mode derivatives are not given"


def test_heatmap_mse_beside_tangents_of_others_has_its_value() -> None:
    maps, joints, weights = sample()

    def scaled(factor: Tensor) -> Tensor:
        return factor * darkpose_ext.heatmap_mse(maps, joints, weights, 2.0)

    expected = reference.heatmap_mse(maps, joints, weights, 2.0)
    value, tangent = torch.func.jvp(scaled, (torch.tensor(3.0),), (torch.tensor(1.0),))
    assert_within(value, 3 * expected, LOSS[FLOAT64])
    assert_within(tangent, expected, LOSS[FLOAT64])
