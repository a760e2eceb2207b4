# SPDX-License-Identifier: Apache-2.0
"""What decode must do whatever the map: symmetries, flip test, transform, determinism."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from conftest import Implementation
from darkpose_ext import gaussian_taps, reference
from darkpose_ext._values import METHODS
from samples import gaussians, made_maps
from tolerances import PIXELS, RELEASED_FLOAT64, ROUNDED, TRANSFORMED

FLOAT64 = torch.float64
# Fixtures only choose the implementation, so that they need not be rebuilt for every example.
properties = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SIZE, MARGIN = 40, 14  # maps of SIZE x SIZE, blobs at least MARGIN from the border
coordinate = st.floats(MARGIN, SIZE - 1 - MARGIN)


@st.composite
def blobs(draw: st.DrawFn) -> Tensor:  # [SIZE, SIZE]
    """Draw one to three Gaussian blobs in the middle of a map that is zero towards its border."""
    maps = torch.zeros(SIZE, SIZE, dtype=FLOAT64)
    for _ in range(draw(st.integers(1, 3))):
        center = torch.tensor([[draw(coordinate), draw(coordinate)]], dtype=FLOAT64)
        height, sigma = draw(st.floats(0.1, 1.0)), draw(st.floats(1.0, 3.0))
        maps += height * gaussians(center, SIZE, SIZE, sigma)[0]
    return torch.where(maps > 1e-3, maps, 0.0)


def decode(
    ops: Implementation, one: Tensor, method: str = "dark", sigma: float = 2.0
) -> tuple[np.ndarray, float]:
    """Decode one map [H, W]."""
    taps = gaussian_taps(sigma) if method == "dark" else []
    coords, scores = ops.decode(one[None].to(ops.device), taps, method=method)
    return coords[0].cpu().numpy(), float(scores[0])


@pytest.mark.parametrize("method", METHODS)
@given(one=blobs(), dx=st.integers(-4, 4), dy=st.integers(-4, 4))
@properties
def test_decode_moves_with_the_map(
    ops: Implementation, method: str, one: Tensor, dx: int, dy: int
) -> None:
    coords, score = decode(ops, one, method)
    moved, moved_score = decode(ops, one.roll((dy, dx), (0, 1)), method)
    assert np.abs(moved - coords - [dx, dy]).max() <= RELEASED_FLOAT64
    assert moved_score == score


@pytest.mark.parametrize("method", METHODS)
@given(one=blobs())
@properties
def test_decode_mirrors_with_the_map(ops: Implementation, method: str, one: Tensor) -> None:
    # Equal maxima are the exception: the first one is another after mirroring.
    top = one.flatten().topk(4).values
    if len(set(top.tolist())) < 4:
        return
    coords, _ = decode(ops, one, method)
    for axis, name in ((0, -1), (1, -2)):
        mirrored, _ = decode(ops, one.flip(name), method)
        expected = coords.copy()
        expected[axis] = SIZE - 1 - coords[axis]
        assert np.abs(mirrored - expected).max() <= RELEASED_FLOAT64


@pytest.mark.parametrize("method", METHODS)
@given(one=blobs())
@properties
def test_decode_transposes_with_the_map(ops: Implementation, method: str, one: Tensor) -> None:
    top = one.flatten().topk(4).values
    if len(set(top.tolist())) < 4:
        return
    coords, _ = decode(ops, one, method)
    transposed, _ = decode(ops, one.mT, method)
    assert np.abs(transposed - coords[::-1]).max() <= RELEASED_FLOAT64


@pytest.mark.parametrize("method", METHODS)
@given(one=blobs(), scale=st.floats(1e-3, 1e3))
@properties
def test_decode_does_not_depend_on_the_height_of_the_map(
    ops: Implementation, method: str, one: Tensor, scale: float
) -> None:
    if len(set(one.flatten().topk(2).values.tolist())) < 2:
        return  # rounding may break a tie
    coords, score = decode(ops, one, method)
    scaled, scaled_score = decode(ops, one * scale, method)
    assert np.abs(scaled - coords).max() <= RELEASED_FLOAT64
    assert math.isclose(scaled_score, score * scale, rel_tol=RELEASED_FLOAT64)


@pytest.mark.parametrize("method", METHODS)
@given(one=blobs(), offset=st.floats(-1.0, 1.0))
@properties
def test_decode_score_is_the_maximum_of_the_map(
    ops: Implementation, method: str, one: Tensor, offset: float
) -> None:
    _, score = decode(ops, one + offset, method)
    assert score == float((one + offset).max())


@given(one=blobs(), limit=st.floats(0.0, 5.0))
@properties
def test_decode_never_steps_further_than_max_shift(
    ops: Implementation, one: Tensor, limit: float
) -> None:
    maps, taps = one[None].to(ops.device), gaussian_taps(1.0)
    start, _ = ops.decode(maps, [], method="argmax")
    coords, _ = ops.decode(maps, taps, max_shift=limit)
    assert float((coords - start).norm()) <= limit + ROUNDED


def averaged(maps: Tensor, flipped: Tensor, index: list[int], shift: int) -> Tensor:
    """HRNet's flip test in NumPy's manner: mirror, permute, move right, then average."""
    back = np.ascontiguousarray(flipped.numpy()[..., ::-1])[..., index, :, :]
    for _ in range(shift):  # one column at a time, the first one staying
        back[..., 1:] = back[..., :-1].copy()
    return 0.5 * (maps + torch.from_numpy(back))


@pytest.mark.parametrize("shift", [0, 1, 2, 12, 13, 20])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_decode_flipped_equals_averaging_first(
    ops: Implementation, method: str, shift: int, dtype: torch.dtype
) -> None:
    batch, joints, height, width = 4, 5, 16, 13
    count = batch * joints
    maps = made_maps("noisy", count, height, width).view(batch, joints, height, width).to(dtype)
    noise = 0.1 * torch.randn(batch, joints, height, width)
    index = [1, 0, 2, 4, 3]
    flipped = (maps[:, index].flip(-1) + noise).to(dtype)
    arithmetic = FLOAT64 if dtype == FLOAT64 else torch.float32
    taps = gaussian_taps(1.0) if method == "dark" else []
    first = averaged(maps.to(arithmetic), flipped.to(arithmetic), index, shift)
    expected = ops.decode(first.to(ops.device), taps, method=method)
    actual = ops.decode(
        maps.to(ops.device),
        taps,
        method=method,
        flipped=flipped.to(ops.device),
        flip_index=index,
        flip_shift=shift,
    )
    torch.testing.assert_close(actual[0], expected[0], rtol=0, atol=PIXELS[dtype])
    assert torch.equal(actual[1], expected[1])


def test_decode_flip_index_may_be_any_permutation(ops: Implementation) -> None:
    # A cycle, unlike pairs, tells the permutation from its inverse.
    maps = torch.zeros(1, 4, 8, 9)
    flipped = torch.zeros(1, 4, 8, 9)
    for k in range(4):
        flipped[0, k, k, k] = 1.0
    moved = (maps.to(ops.device), flipped.to(ops.device))
    coords, scores = ops.decode(
        moved[0], [], method="argmax", flipped=moved[1], flip_index=[1, 2, 3, 0]
    )
    assert coords[0].tolist() == [[7, 1], [6, 2], [5, 3], [8, 0]]
    assert scores[0].tolist() == [0.5] * 4


@pytest.mark.parametrize("method", METHODS)
def test_decode_transform_equals_applying_it_afterwards(ops: Implementation, method: str) -> None:
    maps = made_maps("noisy", 12, 24, 18).view(4, 3, 24, 18).float().to(ops.device)
    transform = torch.randn(4, 2, 3) * torch.tensor([4.0, 4.0, 100.0])
    taps = gaussian_taps(2.0) if method == "dark" else []
    coords, scores = ops.decode(maps, taps, method=method)
    moved, moved_scores = ops.decode(maps, taps, method=method, transform=transform.to(ops.device))
    homogeneous = torch.cat((coords.cpu(), torch.ones(4, 3, 1)), -1).double()
    expected = torch.einsum("bij,bkj->bki", transform.double(), homogeneous)
    torch.testing.assert_close(moved.cpu().double(), expected, rtol=0, atol=TRANSFORMED)
    assert torch.equal(moved_scores, scores)


def test_encode_then_decode_with_the_inverse_transform_returns_the_joints(
    ops: Implementation,
) -> None:
    joints = torch.rand(6, 4, 2) * torch.tensor([150.0, 200.0]) + 20
    to_heatmap = torch.tensor([[0.25, 0.02, -1.0], [-0.02, 0.25, 3.0]]).double()
    inverse = torch.linalg.inv(torch.cat((to_heatmap, torch.tensor([[0.0, 0.0, 1.0]]).double())))
    matrices = [m.float().repeat(6, 1, 1).to(ops.device) for m in (to_heatmap, inverse[:2])]
    moved = joints.to(ops.device)
    weights = torch.ones(6, 4, device=ops.device)
    maps, weights = ops.encode(moved, weights, 72, 60, 2.0, transform=matrices[0])
    assert (weights == 1).all()
    coords, _ = ops.decode(maps, [], transform=matrices[1])
    assert float((coords - moved).abs().max()) <= TRANSFORMED


def test_outputs_are_bit_equal_with_one_and_two_threads() -> None:
    maps = made_maps("noisy", 170, 64, 48).view(10, 17, 64, 48).float()
    joints, weights = torch.rand(10, 17, 2) * 60 - 5, torch.ones(10, 17)
    taps = gaussian_taps(2.0)

    def everything() -> list[Tensor]:
        dark = torch.ops.dark
        loss = dark.heatmap_mse(maps, joints, weights, 2.0)
        return [
            *dark.encode(joints, weights, 64, 48, 2.0),
            dark.modulate(maps, taps),
            *(t for m in METHODS[:3] for t in dark.decode(maps, [], method=m)),
            *dark.decode(maps, taps, flipped=maps, flip_shift=1),
            loss,
            dark.heatmap_mse_backward(loss, maps, joints, weights, 2.0),
        ]

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = everything()
        torch.set_num_threads(2)
        two = everything()
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_decode_of_a_map_does_not_depend_on_its_batch(kernels: Implementation) -> None:
    maps = made_maps("noisy", kernels.count(64), 24, 18).float()[:, None].to(kernels.device)
    taps = gaussian_taps(2.0)
    together = kernels.decode(maps, taps)
    for i, one in enumerate(maps):
        coords, scores = kernels.decode(one, taps)
        assert torch.equal(coords, together[0][i]) and torch.equal(scores, together[1][i])


def test_outputs_without_a_gradient_do_not_claim_one(device: str) -> None:
    maps = torch.rand(2, 3, 8, 6, device=device, requires_grad=True)
    joints = torch.rand(2, 3, 2, device=device, requires_grad=True)
    weights = torch.ones(2, 3, device=device, requires_grad=True)
    transform = torch.eye(2, 3, device=device).repeat(2, 1, 1).requires_grad_()
    outputs = [
        *torch.ops.dark.encode(joints, weights, 8, 6, 2.0, transform=transform),
        torch.ops.dark.modulate(maps, [0.25, 0.5, 0.25]),
        *torch.ops.dark.decode(maps, [], flipped=maps, transform=transform),
    ]
    assert not any(t.requires_grad for t in outputs)


def test_twins_do_what_the_public_functions_do_by_default(device: str) -> None:
    import darkpose_ext

    maps = made_maps("noisy", 6, 24, 18).view(2, 3, 24, 18).float()
    joints, weights = torch.rand(2, 3, 2) * 15, torch.ones(2, 3)
    calls = {
        "encode": (joints, weights, 24, 18, 2.0),
        "modulate": (maps, [0.25, 0.5, 0.25]),
        "decode": (maps, [0.25, 0.5, 0.25]),
        "heatmap_mse": (maps, joints, weights, 2.0),
    }
    for name, arguments in calls.items():
        moved = [a.to(device) if isinstance(a, Tensor) else a for a in arguments]
        actual = getattr(darkpose_ext, name)(*moved)
        expected = getattr(reference, name)(*arguments)
        for a, e in zip(
            actual if isinstance(actual, tuple) else (actual,),
            expected if isinstance(expected, tuple) else (expected,),
            strict=True,
        ):
            torch.testing.assert_close(a.cpu(), e, rtol=0, atol=PIXELS[torch.float32])
