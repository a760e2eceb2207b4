# SPDX-License-Identifier: Apache-2.0
"""The gradient of decode: finite differences, autograd through the twin, and what it does."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad, gradcheck

import darkpose_ext
from darkpose_ext import reference
from samples import DTYPES, gaussians, made_maps

B, K, HEIGHT, WIDTH = 2, 2, 9, 8
TAPS = darkpose_ext.gaussian_taps(1.0)
CENTERS = torch.tensor([[3.3, 4.2], [4.3, 5.1], [4.4, 3.6], [3.7, 2.9]])
FLIP = {"flip_index": [1, 0], "flip_shift": 1}
decode = partial(darkpose_ext.decode, differentiable=True)


def sample() -> tuple[Tensor, Tensor, Tensor]:
    """Peaks that every map and its flip test agree on, in float64, and two matrices."""
    maps = gaussians(CENTERS, HEIGHT, WIDTH, 1.5).view(B, K, HEIGHT, WIDTH)
    flipped = maps.roll(-1, -1).flip(-1)[:, FLIP["flip_index"]] + 0.02 * torch.rand(maps.shape)
    return maps + 0.02 * torch.rand(maps.shape), flipped, torch.randn(B, 2, 3).double()


def total(maps: Tensor, flipped: Tensor, transform: Tensor) -> Tensor:
    coords, scores = decode(maps, TAPS, flipped=flipped, transform=transform, **FLIP)
    return coords.square().sum() + scores.sum()


def gradients(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return those of `total` for the maps and the flipped ones."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors[:2]]
    return torch.autograd.grad(total(*leaves, *tensors[2:]), leaves)


@pytest.mark.parametrize("taps", [[], TAPS], ids=len)
def test_the_gradient_is_that_of_finite_differences(taps: list[float]) -> None:
    maps, flipped, transform = sample()
    maps.requires_grad_()
    assert gradcheck(lambda m: decode(m, taps), (maps,))
    both = (maps, flipped.requires_grad_())
    assert gradcheck(lambda m, f: decode(m, taps, flipped=f, transform=transform, **FLIP), both)
    for gradient in gradients(maps, flipped, transform):
        assert (gradient.abs().amax((-2, -1)) > 0.01).all()


def test_the_gradient_near_the_border_is_that_of_the_fit() -> None:
    centers = torch.tensor([[0.3, 4.2], [7.2, 5.6], [4.4, 0.6], [6.7, 8.1]])
    taps = darkpose_ext.gaussian_taps(1.5)
    maps = gaussians(centers, HEIGHT, WIDTH, 1.5) + 0.02 * torch.rand(4, HEIGHT, WIDTH)
    maps.requires_grad_()
    assert gradcheck(lambda m: decode(m, taps, border="fit"), (maps,))
    (gradient,) = torch.autograd.grad(decode(maps, taps, border="fit")[0].sum(), maps)
    assert (gradient.abs().amax((-2, -1)) > 0.1).all()


@pytest.mark.parametrize("border", ["stay", "fit"])
@pytest.mark.parametrize("kind", ["noisy", "noise", "two_peaks", "borders"])
def test_the_gradient_is_autograds_through_the_twin(kind: str, border: str) -> None:
    maps, flipped = made_maps(kind, 200, 20, 17).view(2, 20, 5, 20, 17)
    inputs = [maps.requires_grad_(), (0.1 * flipped).requires_grad_()]
    options: dict[str, Any] = {"flip_index": [0, 2, 1, 4, 3], "flip_shift": 1}
    options |= {"transform": torch.randn(20, 2, 3).double(), "max_shift": 1e6, "border": border}
    results = [
        function(inputs[0], TAPS, flipped=inputs[1], **options)
        for function in (decode, reference.decode)
    ]
    weights = [torch.randn_like(result) for result in results[0]]
    actual, expected = (torch.autograd.grad(result, inputs, weights) for result in results)
    for ours, twins in zip(actual, expected, strict=True):
        scale = twins.abs().amax((-2, -1), keepdim=True)
        assert ((ours - twins).abs() <= 1e-6 * scale).all()


def test_a_map_without_a_whole_step_has_the_scores_gradient_alone() -> None:
    peak = gaussians(torch.tensor([[8.3, 7.1]]), 16, 18, 2.0)[0]
    border = gaussians(torch.tensor([[1.0, 7.1]]), 16, 18, 2.0)[0]
    flat = torch.ones_like(peak)
    maps = torch.stack((peak, border, flat, -peak - 1, peak, peak, -peak))
    maps[4, 0, 0], maps[5, 7, 8], maps[6, 7, 8] = math.nan, math.inf, -math.inf
    maps.requires_grad_()
    for limit, moving in ((3.0, 1), (0.2, 0)):
        coords, scores = decode(maps, TAPS, max_shift=limit)
        (of_coords,) = torch.autograd.grad(coords.sum(), maps, retain_graph=True)
        assert of_coords.isfinite().all()
        assert (of_coords != 0).any((-2, -1)).nonzero().flatten().tolist() == [0] * moving
        (of_scores,) = torch.autograd.grad(scores.sum(), maps)
        assert of_scores.sum((-2, -1)).tolist() == [1, 1, 1, 1, 0, 0, 1]
        assert of_scores[0, 7, 8] == of_scores[2, 0, 0] == 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gradient_has_the_type_of_the_maps(dtype: torch.dtype) -> None:
    maps, flipped, transform = (tensor.to(dtype) for tensor in sample())
    expected = gradients(
        *(t.to(reference.arithmetic_dtype(dtype)) for t in (maps, flipped, transform))
    )
    for ours, single in zip(gradients(maps, flipped, transform), expected, strict=True):
        assert ours.dtype == dtype and torch.equal(ours, single.to(dtype))


def test_torch_func_and_compile_have_the_same_gradient() -> None:
    maps, flipped, transform = sample()
    expected = gradients(maps, flipped, transform)
    each = torch.func.vmap(torch.func.grad(total, argnums=(0, 1)))(maps, flipped, transform)
    compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
    leaves = (maps.requires_grad_(), flipped.requires_grad_())
    whole = torch.autograd.grad(compiled(*leaves, transform), leaves)
    for gradient, by_vmap, by_compile in zip(expected, each, whole, strict=True):
        torch.testing.assert_close(by_vmap, gradient)
        torch.testing.assert_close(by_compile, gradient)


def test_a_consistency_loss_brings_two_peaks_together() -> None:
    """0.8 pixels apart, across a pixel's border, and to a hundredth of one."""
    start = gaussians(torch.tensor([[8.3, 7.1], [9.1, 7.1]]), 16, 18, 2.0)
    logits = start.clamp(min=1e-6).logit(1e-6).requires_grad_()
    optimizer = torch.optim.SGD([logits], lr=1.0)
    taps = darkpose_ext.gaussian_taps(2.0)
    distances = []
    for _ in range(100):
        first, second = decode(logits.sigmoid(), taps)[0]
        loss = (first - second).square().sum()
        distances.append(float(loss.detach().sqrt()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert distances[0] == pytest.approx(0.8, abs=0.01) and distances[-1] < 0.01


def test_what_has_no_gradient_is_refused() -> None:
    maps, flipped, transform = sample()
    with pytest.raises(ValueError, match="differentiable must be False with method standard"):
        decode(maps, [], method="standard")
    with pytest.raises(ValueError, match="transform must not require a gradient"):
        decode(maps, TAPS, transform=transform.requires_grad_())
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="jvp"):
        decode(forward_ad.make_dual(maps, maps), TAPS)
    maps.requires_grad_()
    (once,) = torch.autograd.grad(decode(maps, TAPS)[0].square().sum(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="decode: second derivatives are not implemented"):
        once.sum().backward()
