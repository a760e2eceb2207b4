# SPDX-License-Identifier: Apache-2.0
"""What decode must do whatever the map: symmetries, flip test, transform, determinism."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import darkpose_ext
from conftest import Implementation
from darkpose_ext import gaussian_taps, reference
from darkpose_ext._values import METHODS
from samples import LAYOUTS, gaussians, made_maps, taps_of
from tolerances import PIXELS, RELEASED_FLOAT64, TRANSFORMED, assert_within

FLOAT64 = torch.float64
# Fixtures only choose the implementation, so that they need not be rebuilt for every example.
properties = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
each_method = pytest.mark.parametrize("method", METHODS)
SIZE, MARGIN = 40, 14  # maps of SIZE x SIZE, blobs at least MARGIN from the border
LAST = SIZE - 1
coordinate = st.floats(MARGIN, LAST - MARGIN)


@st.composite
def blobs(draw: st.DrawFn) -> Tensor:  # [SIZE, SIZE]
    """Draw one to three Gaussian blobs in the middle of a map that is zero towards its border."""
    maps = torch.zeros(SIZE, SIZE, dtype=FLOAT64)
    for _ in range(draw(st.integers(1, 3))):
        center = torch.tensor([[draw(coordinate), draw(coordinate)]], dtype=FLOAT64)
        height, sigma = draw(st.floats(0.1, 1.0)), draw(st.floats(1.0, 3.0))
        maps += height * gaussians(center, SIZE, SIZE, sigma)[0]
    return torch.where(maps > 1e-3, maps, 0.0)


def decode(ops: Implementation, one: Tensor, method: str) -> tuple[np.ndarray, float]:
    """Decode one map [H, W]."""
    coords, scores = ops.decode(one[None], taps_of(method, gaussian_taps(2.0)), method=method)
    return coords[0].cpu().numpy(), float(scores[0])


@each_method
@given(one=blobs(), dx=st.integers(-4, 4), dy=st.integers(-4, 4))
@properties
def test_decode_moves_with_the_map(
    ops: Implementation, method: str, one: Tensor, dx: int, dy: int
) -> None:
    coords, score = decode(ops, one, method)
    moved, moved_score = decode(ops, one.roll((dy, dx), (0, 1)), method)
    assert np.abs(moved - coords - [dx, dy]).max() <= RELEASED_FLOAT64
    assert moved_score == score


# What is done to a map [H, W], and to the coordinates (x, y) found in it.
SYMMETRIES: list[tuple[Callable[[Tensor], Tensor], Callable[[float, float], tuple]]] = [
    (lambda one: one.flip(-1), lambda x, y: (LAST - x, y)),
    (lambda one: one.flip(-2), lambda x, y: (x, LAST - y)),
    (lambda one: one.mT, lambda x, y: (y, x)),
]


@each_method
@given(one=blobs())
@properties
def test_decode_mirrors_and_transposes_with_the_map(
    ops: Implementation, method: str, one: Tensor
) -> None:
    if len(set(one.flatten().topk(4).values.tolist())) < 4:
        return  # equal maxima are the exception: the first one is another then
    coords, _ = decode(ops, one, method)
    for change, expected in SYMMETRIES:
        changed, _ = decode(ops, change(one), method)
        assert np.abs(changed - expected(*coords)).max() <= RELEASED_FLOAT64


@each_method
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


def averaged(maps: Tensor, flipped: Tensor, index: list[int], shift: int) -> Tensor:
    """HRNet's flip test in NumPy's manner: mirror, permute, move right, then average."""
    back = np.ascontiguousarray(flipped.numpy()[..., ::-1])[..., index, :, :]
    for _ in range(shift):  # one column at a time, the first one staying
        back[..., 1:] = back[..., :-1].copy()
    return 0.5 * (maps + torch.from_numpy(back))


@each_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_decode_flipped_equals_averaging_first(
    ops: Implementation, method: str, dtype: torch.dtype
) -> None:
    batch, joints, height, width = 4, 5, 16, 13
    maps = made_maps("noisy", batch * joints, height, width).view(batch, joints, height, width)
    maps, index = maps.to(dtype), [1, 0, 2, 4, 3]
    flipped = (maps[:, index].flip(-1) + 0.1 * torch.randn(maps.shape)).to(dtype)
    arithmetic, taps = reference.arithmetic_dtype(dtype), taps_of(method, gaussian_taps(1.0))
    for shift in (0, 1, 2, 12, 13, 20):
        first = averaged(maps.to(arithmetic), flipped.to(arithmetic), index, shift)
        options = {"flipped": flipped, "flip_index": index, "flip_shift": shift}
        coords, scores = ops.decode(maps, taps, method=method, **options)
        expected = ops.decode(first, taps, method=method)
        assert_within(coords, expected[0], PIXELS[dtype])
        assert torch.equal(scores, expected[1])


def test_decode_flip_index_may_be_any_permutation(ops: Implementation) -> None:
    # A cycle, unlike pairs, tells the permutation from its inverse.
    maps = torch.zeros(1, 4, 8, 9)
    flipped = torch.zeros(1, 4, 8, 9)
    for k in range(4):
        flipped[0, k, k, k] = 1.0
    options = {"flipped": flipped, "flip_index": [1, 2, 3, 0]}
    coords, scores = ops.decode(maps, [], method="argmax", **options)
    assert coords[0].tolist() == [[7, 1], [6, 2], [5, 3], [8, 0]]
    assert scores[0].tolist() == [0.5] * 4


@each_method
def test_decode_transform_equals_applying_it_afterwards(ops: Implementation, method: str) -> None:
    maps = made_maps("noisy", 12, 24, 18).view(4, 3, 24, 18).float()
    transform = torch.randn(4, 2, 3) * torch.tensor([4.0, 4.0, 100.0])
    taps = taps_of(method, gaussian_taps(2.0))
    coords, scores = ops.decode(maps, taps, method=method)
    moved, moved_scores = ops.decode(maps, taps, method=method, transform=transform)
    homogeneous = torch.cat((coords.cpu(), torch.ones(4, 3, 1)), -1).double()
    expected = torch.einsum("bij,bkj->bki", transform.double(), homogeneous)
    assert_within(moved.double(), expected, TRANSFORMED)
    assert torch.equal(moved_scores, scores)


def test_encode_then_decode_with_the_inverse_transform_returns_the_joints(
    ops: Implementation,
) -> None:
    joints = torch.rand(6, 4, 2) * torch.tensor([150.0, 200.0]) + 20
    to_heatmap = torch.tensor([[0.25, 0.02, -1.0], [-0.02, 0.25, 3.0], [0.0, 0.0, 1.0]]).double()
    matrices = [m[:2].float().repeat(6, 1, 1) for m in (to_heatmap, to_heatmap.inverse())]
    maps, weights = ops.encode(joints, torch.ones(6, 4), 72, 60, 2.0, transform=matrices[0])
    assert (weights == 1).all()
    coords, _ = ops.decode(maps, [], transform=matrices[1])
    assert_within(coords, joints, TRANSFORMED)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
@pytest.mark.parametrize("joints", [17, 150])
def test_outputs_are_bit_equal_with_one_and_two_threads(joints: int, layout: str) -> None:
    maps = LAYOUTS[layout](made_maps("noisy", 4 * joints, 64, 48).view(4, joints, 64, 48).float())
    targets = torch.rand(4, joints, 2) * 60 - 5, torch.rand(4, joints)
    taps, dark = gaussian_taps(2.0), torch.ops.dark

    def everything() -> list[Tensor]:
        loss = dark.heatmap_mse(maps, *targets, 2.0)
        return [
            *dark.encode(*targets, 64, 48, 2.0),
            dark.modulate(maps, taps),
            *(t for m in METHODS for t in dark.decode(maps, taps_of(m, taps), method=m)),
            *dark.decode(maps, taps, flipped=maps, flip_shift=1),
            loss,
            dark.heatmap_mse_backward(loss, maps, *targets, 2.0),
        ]

    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(everything())
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize("count", [1, 16, 5000])
def test_decode_gives_a_map_the_same_bits_in_every_batch(
    kernels: Implementation, count: int
) -> None:
    """However many threads work on a map, which depends on how many maps there are."""
    count = min(count, 40) if kernels.name == "emulated" else count
    maps, taps = made_maps("noisy", 4, 32, 24).float().view(1, 4, 32, 24), gaussian_taps(2.0)
    alone = [t.expand(count, *t.shape[1:]) for t in kernels.decode(maps, taps)]
    for layout in ("contiguous", "channels_last"):
        many = kernels.decode(LAYOUTS[layout](maps.repeat(count, 1, 1, 1)), taps)
        assert_within(many, tuple(alone), 0)


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


def test_twins_do_what_the_public_functions_do_by_default() -> None:
    maps = made_maps("noisy", 6, 24, 18).view(2, 3, 24, 18).float()
    joints, weights = torch.rand(2, 3, 2) * 15, torch.ones(2, 3)
    calls = {
        "encode": (joints, weights, 24, 18, 2.0),
        "modulate": (maps, [0.25, 0.5, 0.25]),
        "decode": (maps, [0.25, 0.5, 0.25]),
        "heatmap_mse": (maps, joints, weights, 2.0),
    }
    for name, arguments in calls.items():
        actual, expected = (getattr(of, name)(*arguments) for of in (darkpose_ext, reference))
        assert_within(actual, expected, PIXELS[torch.float32])
