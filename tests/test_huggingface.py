# SPDX-License-Identifier: Apache-2.0
"""ViTPose's heatmaps: decoded in their convention, and nearer to the truth than by transformers."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import grid_sample

import oracles
from darkpose.geometry import box_to_crop
from darkpose.interop.huggingface import (
    COCO_FLIP_PAIRS,
    decode_vitpose,
    post_process_pose_estimation,
)
from darkpose.topdown import decode_topdown
from darkpose_ext import encode
from darkpose_ext.reference import mirror_back
from samples import gaussians, made_maps, random_centers
from vitpose import (
    ALIKE,
    BOXES,
    DARK,
    HEATMAP,
    IMAGE,
    INPUT,
    SIGMA,
    TAPS,
    from_border,
    in_heatmap,
    model,
    people_of,
    processor,
    theirs,
)

WHOLE = 0.02  # heatmap pixels, a Gaussian drawn into an image and read from its resampled crop
FOUND = 0.01  # heatmap pixels, of Gaussians without noise, at least three sigma inside
NOISY = 0.65  # of their mean error, inside the map, under noise
BORDER = 0.5  # of their mean error, within two sigma of the border, with noise or without

_WEIGHTS = [math.exp(-0.5 * (i / 0.8) ** 2) for i in range(-5, 6)]
THEIR_TAPS = [weight / sum(_WEIGHTS) for weight in _WEIGHTS]  # whatever the kernel's size


# ---- convention ----------------------------------------------------------------------------------


def test_a_blob_in_the_image_is_found_through_the_processors_crop() -> None:
    # The input that their crop makes, read where a heatmap of this convention has its pixels.
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:700, :700]
    grid = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in HEATMAP), indexing="xy")
    for box in [(290.0, 220.0, 150.0, 260.0), (200.5, 290.25, 300.0, 111.0)]:
        crop = box_to_crop(box, INPUT, "udp")
        for _ in range(3):
            place = np.array(crop.center) + generator.uniform(-0.3, 0.3, 2) * crop.size
            sigma = SIGMA * np.array(crop.size) / (np.array(HEATMAP) - 1)
            squared = ((x - place[0]) / sigma[0]) ** 2 + ((y - place[1]) / sigma[1]) ** 2
            image = np.repeat(np.exp(-squared / 2)[..., None] * 255, 3, 2).astype(np.float32)
            inputs = processor()(image, boxes=[[box]], do_normalize=False, return_tensors="pt")
            values = inputs["pixel_values"][:, :1]
            maps = grid_sample(values, torch.stack(grid, -1)[None], align_corners=True)
            coords, scores = decode_vitpose(maps, [box])
            truth = torch.from_numpy(place)[None, None]
            error = in_heatmap(coords, [box]) - in_heatmap(truth, [box])
            assert error.norm(dim=-1).max() < WHOLE
            assert scores.item() > 0.9


@pytest.mark.parametrize("flip_test", [False, True])
def test_gaussians_are_found_with_the_librarys_taps_and_ours(flip_test: bool) -> None:
    points, maps, boxes = people_of(random_centers(340, *HEATMAP[::-1], margin=3 * SIGMA), 0.0)
    flip, seen = {}, maps
    if flip_test:
        index = [0, *(joint for left, right in COCO_FLIP_PAIRS for joint in (right, left))]
        flip = {"flipped": maps[:, index].flip(-1), "flip_pairs": COCO_FLIP_PAIRS}
        seen = (maps + mirror_back(flip["flipped"], index)) / 2
    own = decode_topdown(maps, boxes, convention="udp", sigma=SIGMA, taps=THEIR_TAPS, **flip)
    for coords in (decode_vitpose(maps, boxes, **flip)[0], own[0], theirs(seen, boxes)):
        assert (in_heatmap(coords, boxes) - points).norm(dim=-1).max() < FOUND


def test_with_640_people_in_a_call_the_last_are_found_as_the_first() -> None:
    """From about the 300th on the library's are up to 5 heatmap pixels off."""
    points = random_centers(640 * 17, *HEATMAP[::-1], margin=3 * SIGMA).view(640, 17, 2)
    maps, _ = encode(points.float(), torch.ones(640, 17), *HEATMAP[::-1], SIGMA)
    boxes = (BOXES * 214)[:640]
    coords, _ = decode_vitpose(maps, boxes)
    people = post_process_pose_estimation(SimpleNamespace(heatmaps=maps), [boxes])[0]
    for found in (coords, torch.stack([person["keypoints"] for person in people])):
        assert (in_heatmap(found, boxes) - points).norm(dim=-1).max() < FOUND


# ---- against a clean implementation, the library, and the truth ----------------------------------


@pytest.mark.parametrize("kind", ["clean", "noisy", "two_peaks", "negative_background"])
def test_inside_the_map_it_is_dark(kind: str) -> None:
    width, height = HEATMAP
    maps = made_maps(kind, 340, height, width).float()
    expected = oracles.dark(maps.numpy(), TAPS)
    boxes = (BOXES * 7)[:20]
    coords, scores = decode_vitpose(maps.view(20, 17, height, width), boxes)
    found = in_heatmap(coords, boxes).view(-1, 2).numpy()
    inside = (from_border(torch.from_numpy(expected.argmax)) >= 2 * SIGMA).numpy()
    compared = inside & expected.steps_within(3.0)
    assert compared.mean() > 0.5
    assert np.abs(found - expected.coords)[compared].max() < DARK
    assert np.array_equal(scores.flatten().numpy(), expected.scores)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
def test_ours_is_dark_where_theirs_is_and_nearer_elsewhere(
    noise: float,
) -> None:
    points, maps, boxes = people_of(random_centers(1000, *HEATMAP[::-1]), noise)
    clean = oracles.dark(maps.flatten(0, 1).numpy(), TAPS)
    dark, truth = torch.from_numpy(clean.coords), points.flatten(0, 1)
    ours, others = (
        in_heatmap(coords, boxes).flatten(0, 1)
        for coords in (decode_vitpose(maps, boxes)[0], theirs(maps, boxes))
    )
    # Within two sigma of the border DARK itself is wrong, and agreeing with it worth nothing.
    inside = from_border(torch.from_numpy(clean.argmax)) >= 2 * SIGMA
    agree = inside & ((others - dark).norm(dim=-1) <= ALIKE)
    assert agree.double().mean() > 0.1
    assert (ours - dark).norm(dim=-1)[agree].max() < DARK
    error, their_error = ((found - truth).norm(dim=-1)[~agree] for found in (ours, others))
    assert error.mean() < NOISY * their_error.mean()


@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_noise_moves_ours_less_than_theirs(noise: float) -> None:
    points, maps, boxes = people_of(random_centers(1000, *HEATMAP[::-1], margin=7.0), noise)
    error, their_error = (
        (in_heatmap(found, boxes) - points).norm(dim=-1).mean()
        for found in (decode_vitpose(maps, boxes)[0], theirs(maps, boxes))
    )
    assert error < NOISY * their_error


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
def test_at_the_border_ours_is_nearer_than_theirs(noise: float) -> None:
    points = random_centers(4000, *HEATMAP[::-1], margin=-0.5)
    for low, high in ((-0.5, 1.0), (1.0, 2.0), (2.0, 3.0)):
        distance = from_border(points)
        chosen = points[(distance >= low) & (distance < high)]
        truth, maps, boxes = people_of(chosen, noise)
        error, their_error = (
            (in_heatmap(found, boxes) - truth).norm(dim=-1).mean()
            for found in (decode_vitpose(maps, boxes)[0], theirs(maps, boxes))
        )
        limit = BORDER if high < 3 else NOISY
        assert error < limit * their_error, (low, high)


@pytest.mark.parametrize("joints", [17, 3])
def test_from_image_to_keypoints_it_agrees_with_theirs_where_that_is_sound(joints: int) -> None:
    # What random weights answer, a tenth as high as the peaks of a trained network, added to it.
    image = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    boxes, (width, height) = (BOXES * 14)[:40], HEATMAP
    points = random_centers(40 * joints, height, width, 5.0)
    peaks = gaussians(points, height, width, SIGMA).view(40, joints, height, width).float()
    network = model(joints)
    network.head.register_forward_hook(lambda _, given, out: peaks + 0.1 * out / out.abs().max())
    inputs = processor()(image, boxes=[boxes], return_tensors="pt")
    with torch.inference_mode():
        maps = network(**inputs).heatmaps
    dark = torch.from_numpy(oracles.dark(maps.flatten(0, 1).numpy(), TAPS).coords)
    ours, others = decode_vitpose(maps, boxes)[0], theirs(maps, boxes)
    sound = (in_heatmap(others, boxes).flatten(0, 1) - dark).norm(dim=-1) <= ALIKE
    assert sound.double().mean() > 0.2
    largest = max(box_to_crop(box, INPUT, "udp").size[0] for box in BOXES) / (width - 1)
    apart = (ours - others).norm(dim=-1).flatten()  # image pixels
    assert apart[sound].max() < ALIKE * largest + IMAGE
    in_maps = (in_heatmap(ours, boxes) - in_heatmap(others, boxes)).norm(dim=-1).flatten()
    assert in_maps[sound].max() < ALIKE + DARK
