# SPDX-License-Identifier: Apache-2.0
"""decode against the released algorithms, and where it stands still on purpose."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from conftest import Implementation
from darkpose_ext._values import METHODS
from samples import MADE, gaussians, made_maps, random_centers, taps_of
from tolerances import DECODED, RELEASED, RELEASED_FLOAT64, ROUNDED, TAYLOR, UNDECIDED

SHAPES = ((64, 48), (24, 32), (13, 9))
COUNT = 32  # maps per kind and shape
TAPS = [0.25, 0.5, 0.25]

each_kind = pytest.mark.parametrize("kind", MADE)
each_method = pytest.mark.parametrize("method", METHODS)
in_both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def decode(
    ops: Implementation, maps: Tensor, taps: list[float] | None = None, **options: object
) -> tuple[np.ndarray, np.ndarray]:
    """Decode [N, H, W] as one joint of N persons: coordinates [N, 2] and scores [N]."""
    coords, scores = ops.decode(maps[:, None], taps or [], **options)
    return coords[:, 0].cpu().numpy(), scores[:, 0].cpu().numpy()


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # [N, 2] -> [N]
    return np.abs(a - b).max(1)


@each_kind
@pytest.mark.parametrize("k", [3, 7, 11, 17])
@in_both
def test_decode_dark_equals_released_where_that_is_sound_and_stands_still_elsewhere(
    ops: Implementation, kind: str, k: int, dtype: torch.dtype
) -> None:
    taps = oracles.opencv_taps(k).tolist()
    storage, tolerance = torch.empty(0, dtype=dtype).numpy().dtype.type, DECODED["dark"][dtype]
    for height, width in SHAPES:
        maps = made_maps(kind, ops.count(COUNT), height, width)
        released = oracles.dark(maps.numpy(), k, storage)
        coords, scores = decode(ops, maps.to(dtype), taps)
        sound = released.steps_within(3.0)
        assert distances(coords, released.coords)[sound].max(initial=0) <= tolerance
        decided = ~released.undecided(UNDECIDED)
        promised = released.guarded(3.0)
        assert distances(coords, promised)[decided].max(initial=0) <= tolerance
        assert np.array_equal(scores, released.scores)


def test_decode_dark_is_compared_with_released_on_enough_sound_steps() -> None:
    # The test above would pass on maps without a single step.
    for kind in ("clean", "noisy", "noise", "negative_background", "two_peaks", "borders"):
        released = oracles.dark(made_maps(kind, COUNT, 64, 48).numpy(), 11)
        assert released.steps_within(3.0).sum() >= COUNT / 8, kind
    spikes = oracles.dark(made_maps("isolated_spikes", COUNT, 64, 48).numpy(), 11)
    assert spikes.interior.sum() >= COUNT / 4 and not spikes.unclamped.any()


@each_kind
@each_method
@in_both
def test_decode_without_blur_equals_numpy(
    ops: Implementation, kind: str, method: str, dtype: torch.dtype
) -> None:
    for height, width in (*SHAPES, (1, 7), (7, 1), (2, 2), (1, 2)):
        maps = made_maps(kind, ops.count(COUNT), height, width)
        coords, scores = decode(ops, maps.to(dtype), method=method)
        expected, decided = oracles.METHODS[method](maps.numpy())
        assert not decided.any() or (
            distances(coords, expected)[decided].max() <= DECODED[method][dtype]
        )
        assert np.array_equal(scores, maps.numpy().max((1, 2)))


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("k", [None, 11])
def test_decode_dark_recovers_an_unbiased_target(
    ops: Implementation, sigma: float, k: int | None
) -> None:
    # Blurring a Gaussian well inside the map leaves a Gaussian, if the taps sample theirs finely.
    height, width = 96, 72
    margin = 2.0 if k is None else 5 + 5 * sigma
    centers = random_centers(ops.count(256), height, width, margin)
    joints = ops.put(centers.float()[:, None])
    maps, _ = ops.encode(joints, torch.ones_like(joints[..., 0]), height, width, sigma)
    coords, _ = ops.decode(maps, oracles.opencv_taps(k).tolist() if k else [])
    error = (coords - joints).abs().max()
    assert error <= (TAYLOR if k is None else RELEASED * 10)


@pytest.mark.parametrize("limit", [0.0, 0.1, 1.0, 3.0, math.inf])
def test_decode_max_shift_shortens_a_step_along_its_direction(
    ops: Implementation, limit: float
) -> None:
    maps = torch.cat([made_maps(kind, ops.count(64), 48, 64) for kind in ("noisy", "two_peaks")])
    taps = oracles.opencv_taps(11).tolist()
    released = oracles.dark(maps.numpy(), 11, np.float64)
    coords, _ = decode(ops, maps, taps, max_shift=limit)
    decided = ~released.undecided(UNDECIDED)
    difference = distances(coords, released.guarded(limit))[decided]
    assert difference.max() <= RELEASED_FLOAT64
    length = np.linalg.norm(coords - released.argmax, axis=1)
    assert length.max() <= limit + ROUNDED
    if 0 < limit < math.inf:
        assert (length[released.sound() & (released.step > limit)] >= limit - ROUNDED).all()


@pytest.mark.parametrize("method", [m for m in METHODS if m != "dark"])
def test_decode_max_shift_limits_no_other_method(ops: Implementation, method: str) -> None:
    maps = made_maps("noisy", ops.count(64), 24, 18).float()
    limited = decode(ops, maps, method=method, max_shift=0.0)
    assert np.array_equal(limited[0], decode(ops, maps, method=method)[0])


def test_decode_max_shift_is_euclidean(ops: Implementation) -> None:
    # A paraboloid of the logarithm with its top six pixels away, along (3, 4) / 5.
    maps = gaussians(torch.tensor([[13.6, 14.8]]), 20, 20, 6.0)
    maps[:, 11:, 11:] = 0
    maps[0, 10, 10] = maps.max() * (1 + 1e-6)
    released = oracles.dark(maps.numpy(), None, np.float64)
    coords, _ = decode(ops, maps, max_shift=0.5)
    assert distances(coords, released.guarded(0.5)).max() <= RELEASED_FLOAT64


@pytest.mark.parametrize("pixel", [(6, 4), (2, 4), (4, 6), (4, 2), (3, 3), (5, 3), (3, 5), (5, 5)])
@in_both
def test_decode_dark_stands_still_where_a_value_of_the_stencil_is_at_most_the_clamp(
    ops: Implementation, dtype: torch.dtype, pixel: tuple[int, int]
) -> None:
    # So steep that the Hessian stays negative definite whichever value is lowered.
    maps = gaussians(torch.tensor([[4.1, 3.95]] * 3), 9, 9, 0.4)
    maps[:, pixel[0], pixel[1]] = torch.tensor([0.99, 1.01, -1.0]).double() * oracles.CLAMP
    coords, _ = decode(ops, maps.to(dtype))
    stands = (coords == [4, 4]).all(1)
    assert stands.tolist() == [True, False, True]


@each_method
@pytest.mark.parametrize("value", [0.0, -0.5, -math.inf])
def test_decode_of_a_map_without_a_positive_value_is_its_argmax_and_raw_score(
    ops: Implementation, method: str, value: float
) -> None:
    maps = torch.full((2, 9, 7), value)
    maps[1] -= torch.arange(63.0).view(9, 7) + 1
    maps[1, 4, 3] = value  # all others are lower, or everything is -inf
    coords, scores = decode(ops, maps, taps_of(method, TAPS), method=method)
    expected = [[0, 0], [0, 0] if math.isinf(value) else [3, 4]]
    assert coords.tolist() == expected
    assert scores.tolist() == [value, value]


@each_method
def test_decode_gives_nan_for_a_map_with_a_nan_anywhere_and_touches_no_other(
    ops: Implementation, method: str
) -> None:
    height, width = 6, 7
    taps = taps_of(method, TAPS)
    one = made_maps("noisy", 1, height, width).float()
    maps = one.repeat(2 * height * width, 1, 1)
    for pixel in range(height * width):
        maps[2 * pixel].view(-1)[pixel] = math.nan
    clean_coords, clean_scores = decode(ops, one, taps, method=method)
    coords, scores = decode(ops, maps, taps, method=method)
    assert np.isnan(coords[::2]).all() and np.isnan(scores[::2]).all()
    assert (coords[1::2] == clean_coords).all() and (scores[1::2] == clean_scores).all()


def test_decode_nan_survives_flip_and_transform(ops: Implementation) -> None:
    maps = made_maps("noisy", 2, 9, 7).float()[:, None]
    flipped = maps.flip(-1).clone()
    flipped[1, 0, 2, 3] = math.nan
    transform = torch.eye(2, 3).repeat(2, 1, 1)
    coords, scores = ops.decode(maps, TAPS, flipped=flipped, transform=transform)
    assert coords[0].isfinite().all() and scores[0].isfinite().all()
    assert coords[1].isnan().all() and scores[1].isnan().all()


@each_method
def test_decode_takes_no_step_from_infinity(ops: Implementation, method: str) -> None:
    maps = made_maps("noisy", 2, 9, 7).float()
    maps[0, 4, 3] = math.inf
    maps[1, 5, 2] = maps[1, 6, 6] = math.inf
    coords, scores = decode(ops, maps, taps_of(method, TAPS), method=method)
    assert coords.tolist() == [[3, 4], [2, 5]]
    assert scores.tolist() == [math.inf, math.inf]


@each_method
def test_decode_stays_finite_beside_minus_infinity(ops: Implementation, method: str) -> None:
    maps = torch.full((4, 9, 9), 0.1)
    maps[:, 4, 4] = 1.0
    maps[0, 4, 5] = maps[1, 4, 3] = -math.inf
    maps[2, 4, 5] = maps[2, 4, 3] = maps[2, 3, 4] = maps[2, 5, 4] = -math.inf
    maps[3] = -math.inf
    maps[3, 4, 4] = 1.0
    coords, scores = decode(ops, maps, taps_of(method, TAPS), method=method)
    assert np.isfinite(coords).all()
    assert (np.linalg.norm(coords - 4, axis=1) <= 0.25 + ROUNDED).all()
    assert (scores == 1).all()


@each_method
def test_decode_ties_go_to_the_first_index(ops: Implementation, method: str) -> None:
    height, width = 37, 41  # more pixels than a block of threads, and no power of two
    maps = torch.zeros(ops.count(64), height, width)
    expected = []
    for one in maps:
        pixels = torch.randperm(height * width)[:5]
        one.view(-1)[pixels] = 1.0
        first = int(pixels.min())
        expected.append([first % width, first // width])
    coords, _ = decode(ops, maps, method=method)
    assert (np.abs(coords - expected) <= 0.25).all()
    if method == "argmax":
        assert coords.tolist() == expected


@each_method
def test_decode_of_one_pixel_is_that_pixel(ops: Implementation, method: str) -> None:
    maps = torch.tensor([0.3, -0.3, 0.0]).view(3, 1, 1)
    coords, scores = decode(ops, maps, taps_of(method, TAPS), method=method)
    assert coords.tolist() == [[0, 0]] * 3
    assert np.array_equal(scores, maps.view(3).numpy())


@pytest.mark.parametrize("value", [0.5, 1e-30, 1e30, 1e-42])
def test_decode_of_a_flat_map_stands_at_its_first_pixel(ops: Implementation, value: float) -> None:
    coords, scores = decode(ops, torch.full((1, 24, 18), value), TAPS)
    assert coords.tolist() == [[0, 0]]
    assert np.isfinite(scores).all()


def test_decode_of_the_modulated_map_is_the_paper_to_the_letter(ops: Implementation) -> None:
    # Fig 2: modulate (Eq 10, 11), then locate the maximum and step (Eq 3 to 9).
    maps = torch.cat([made_maps(kind, ops.count(64), 48, 40) for kind in ("noisy", "noise")])
    taps = oracles.opencv_taps(11)
    modulated = np.array([oracles.modulate(m.numpy(), taps, "minmax") for m in maps])
    paper = oracles.dark(modulated, None, np.float64)
    ours = ops.modulate(maps, taps.tolist(), rescale="minmax")
    coords, scores = decode(ops, ours)
    decided = ~paper.undecided(UNDECIDED)
    assert decided.sum() > len(maps) / 2
    assert distances(coords, paper.guarded(3.0))[decided].max() <= RELEASED_FLOAT64
    np.testing.assert_allclose(scores, maps.numpy().max((1, 2)), rtol=0, atol=ROUNDED)
