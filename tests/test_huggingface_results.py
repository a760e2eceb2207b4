# SPDX-License-Identifier: Apache-2.0
"""ViTPose's keypoints as a program gets them: any number of people and joints, the structure of
transformers' own results, flip test, devices, and what is refused."""

import doctest
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import oracles
from darkpose.interop import huggingface
from darkpose.interop.huggingface import (
    COCO_FLIP_PAIRS,
    decode_vitpose,
    post_process_pose_estimation,
)
from darkpose_ext import opencv_taps
from darkpose_ext.taps import fit_rule
from samples import gaussians, made_maps, random_centers
from vitpose import (
    ALIKE,
    BOXES,
    DARK,
    HEATMAP,
    IMAGE,
    SIGMA,
    from_border,
    in_heatmap,
    model,
    processor,
)

# ---- what breaks theirs --------------------------------------------------------------------------


@pytest.mark.parametrize("people", [0, 1, 2, 33])
@pytest.mark.parametrize("joints", [1, 2, 17])
def test_any_number_of_people_and_joints(people: int, joints: int) -> None:
    width, height = HEATMAP
    points = random_centers(people * joints, height, width, 5.0)
    maps = gaussians(points, height, width, SIGMA).view(people, joints, height, width).float()
    boxes = (BOXES * 11)[:people]
    coords, scores = decode_vitpose(maps, np.reshape(boxes, (-1, 4)))
    assert coords.shape == (people, joints, 2) and scores.shape == (people, joints)
    results = post_process_pose_estimation(SimpleNamespace(heatmaps=maps), [boxes])
    assert [len(image) for image in results] == [people]
    for person, expected, score in zip(results[0], coords, scores, strict=True):
        torch.testing.assert_close(person["keypoints"], expected, atol=IMAGE, rtol=0)
        assert torch.equal(person["scores"], score)
    if people:
        errors = in_heatmap(coords, boxes).flatten(0, 1) - points
        assert errors.norm(dim=-1).max() < ALIKE


def test_a_map_without_a_peak_gives_its_argmax_whatever_the_joint_before() -> None:
    width, height = HEATMAP
    maps = -torch.rand(2, 3, height, width) - 0.1
    maps[:, 1] = gaussians(torch.tensor([[20.3, 30.6]] * 2), height, width, SIGMA)
    maps[:, 2, 10, 7] = -0.05
    found = in_heatmap(decode_vitpose(maps, BOXES[:2])[0], BOXES[:2])
    assert (found[:, 2] - torch.tensor([7.0, 10.0])).norm(dim=-1).max() < DARK
    assert torch.equal(decode_vitpose(maps, BOXES[:2])[1][:, 2], torch.full((2,), -0.05))
    maps[0, 2, 5, 5] = torch.nan
    coords, scores = decode_vitpose(maps, BOXES[:2])
    assert coords[0, 2].isnan().all() and scores[0, 2].isnan()
    assert coords.isnan().sum() == 2


# ---- the replacement -----------------------------------------------------------------------------


def test_the_replacement_returns_the_structure_of_theirs() -> None:
    image = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    boxes = [BOXES, [], BOXES[:1]]
    inputs = processor()([image] * 3, boxes=boxes, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(17)(**inputs)
    for threshold in (None, float(outputs.heatmaps.amax((2, 3)).median())):
        ours = post_process_pose_estimation(outputs, boxes, threshold=threshold)
        theirs = processor().post_process_pose_estimation(outputs, boxes, threshold=threshold)
        assert [len(people) for people in ours] == [len(people) for people in theirs] == [3, 0, 1]
        for people, others in zip(ours, theirs, strict=True):
            for person, other in zip(people, others, strict=True):
                assert person.keys() == other.keys()
                assert torch.equal(person["scores"], other["scores"])
                assert torch.equal(person["labels"], other["labels"])
                for key, value in person.items():
                    assert value.shape == other[key].shape and value.dtype == other[key].dtype
    for person, box in zip(ours[0], BOXES, strict=True):
        x, y, width, height = box
        assert person["bbox"].tolist() == [x, y, x + width, y + height]


def test_relative_boxes_are_scaled_by_height_and_width() -> None:
    outputs = SimpleNamespace(heatmaps=torch.rand(3, 17, 64, 48))
    size = (480, 640)
    shares = [[value / size[1 - i % 2] for i, value in enumerate(box)] for box in BOXES]
    for sizes in ([size] * 3, torch.tensor([size] * 3)):
        relative = post_process_pose_estimation(outputs, [shares], target_sizes=sizes)
        absolute = post_process_pose_estimation(outputs, [BOXES])
        for person, expected in zip(relative[0], absolute[0], strict=True):
            torch.testing.assert_close(person, expected, atol=IMAGE, rtol=0)


def test_the_kernel_size_is_what_opencv_means_by_it() -> None:
    width, height = HEATMAP
    maps = made_maps("noisy", 51, height, width).float().view(3, 17, height, width)
    for size in (3, 7, 17):
        results = post_process_pose_estimation(SimpleNamespace(heatmaps=maps), [BOXES], size)
        found = in_heatmap(torch.stack([person["keypoints"] for person in results[0]]), BOXES)
        expected = oracles.dark(maps.flatten(0, 1).numpy(), size)
        compared = expected.steps_within(3.0)
        margin = fit_rule(opencv_taps(size)).margin
        compared &= (from_border(torch.from_numpy(expected.argmax)) >= margin).numpy()
        assert compared.sum() > 20
        assert np.abs(found.view(-1, 2).numpy() - expected.coords)[compared].max() < DARK


# ---- flip test, devices, types -------------------------------------------------------------------


def test_the_flip_test_is_that_of_their_model() -> None:
    network, pixels = model(17), torch.randn(3, 3, 256, 192)
    pairs = torch.tensor([[left, left + 1] for left in range(1, 17, 2)])
    with torch.inference_mode():
        maps, flipped = (network(x).heatmaps for x in (pixels, pixels.flip(-1)))
        averaged = (maps + network(pixels.flip(-1), flip_pairs=pairs).heatmaps) / 2
    expected, expected_scores = decode_vitpose(averaged, BOXES)
    for given in (COCO_FLIP_PAIRS, pairs, pairs.tolist()):
        coords, scores = decode_vitpose(maps, BOXES, flipped=flipped, flip_pairs=given)
        torch.testing.assert_close(coords, expected, atol=IMAGE, rtol=0)
        torch.testing.assert_close(scores, expected_scores, atol=1e-6, rtol=0)
    assert not torch.allclose(decode_vitpose(maps, BOXES)[0], expected, atol=1.0)


def test_it_stays_on_the_device_and_in_the_type(device: str) -> None:
    maps = torch.rand(3, 17, 64, 48, device=device)
    coords, scores = decode_vitpose(maps.half().requires_grad_(), BOXES)
    assert coords.device.type == scores.device.type == device
    assert coords.dtype == scores.dtype == torch.float32 and not coords.requires_grad
    assert decode_vitpose(maps.double(), BOXES)[0].dtype == torch.float64
    person = post_process_pose_estimation(SimpleNamespace(heatmaps=maps), [BOXES])[0][0]
    assert {value.device.type for value in person.values()} == {"cpu"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heatmaps": [[0.0]]}, "heatmaps must be a tensor or a NumPy array, got list"),
        ({"heatmaps": torch.zeros(17, 64, 48)}, r"heatmaps must be \[N, K, H, W\]"),
        ({"boxes": BOXES[:2]}, "one for each of the 3 people of heatmaps, got 2"),
        ({"boxes": [BOXES, BOXES]}, "one for each of the 3 people of heatmaps, got 6"),
        ({"boxes": [(1.0, 2.0, 3.0)] * 3}, r"boxes must be \(x, y, width, height\), got shape"),
        ({"boxes": [*BOXES[:2], (5.0, 5.0, 0.0, 9.0)]}, r"got \[5.0, 5.0, 0.0, 9.0\]"),
        ({"boxes": [*BOXES[:2], (5.0, np.nan, 7.0, 9.0)]}, "boxes must be finite"),
        ({"padding": 0.0}, "padding must be positive, got 0.0"),
        ({"sigma": -1.0}, "sigma"),
        ({"flipped": torch.zeros(3, 17, 64, 40)}, "flipped"),
        ({"heatmaps": torch.zeros(3, 4, 64, 48), "flipped": 1}, "flipped needs flip_pairs"),
        ({"flipped": torch.zeros(3, 17, 64, 48), "flip_pairs": [(1, 17)]}, "got 1, 17"),
        ({"flipped": torch.zeros(3, 17, 64, 48)}, "huggingface.COCO_FLIP_PAIRS if they are COCO's"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change: dict[str, Any], message: str) -> None:
    given = {"heatmaps": torch.zeros(3, 17, 64, 48), "boxes": BOXES} | change
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        decode_vitpose(**given)
    assert "\n" not in str(caught.value)


def test_the_docstrings_examples_hold() -> None:
    result = doctest.testmod(huggingface, extraglobs={"torch": torch})
    assert result.attempted > 0 and result.failed == 0


def test_target_sizes_are_refused_unless_one_for_each_box() -> None:
    outputs = SimpleNamespace(heatmaps=torch.zeros(3, 17, 64, 48))
    with pytest.raises(ValueError, match="for each of 3 boxes, got shape"):
        post_process_pose_estimation(outputs, [BOXES], target_sizes=[(480, 640)])
