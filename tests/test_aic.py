# SPDX-License-Identifier: Apache-2.0
"""AI Challenger's own format: what its numbers become, and what broken files are told."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darkpose.data.aic import load_aic
from darkpose.data.joint_sets import AIC, COCO
from darkpose.data.mixture import remap

JOINTS = [10 * k + axis for k in range(14) for axis in range(3)]
JOINTS[2::3] = [1, 2, 3] * 4 + [1, 2]
IMAGES: list[dict[str, Any]] = [
    {
        "image_id": "abc",
        "url": "http://...",
        "human_annotations": {"human1": [5, 6, 25, 46], "human2": [0, 0, 9, 9]},
        "keypoint_annotations": {"human2": [0, 0, 3] * 14, "human1": JOINTS},
    },
    {
        "image_id": "def",
        "human_annotations": {"human1": [1, 2, 31, 42]},
        "keypoint_annotations": {"human1": [4, 5, 2] * 14},
    },
]


def load(folder: Path, content: Any) -> Any:
    path = folder / "keypoints.json"
    path.write_text(json.dumps(content))
    return load_aic(path, "photos")


def test_records_say_what_the_file_says(tmp_path: Path) -> None:
    people = load(tmp_path, IMAGES)
    first, second = people.records  # whoever has no labeled joint is skipped
    assert first.image_path == Path("photos/abc.jpg") and first.image_size is None
    assert first.box == (5, 6, 20, 40) and second.box == (1, 2, 30, 40)
    np.testing.assert_array_equal(first.joints[3], [30, 31, 2])
    assert first.joints[:, 2].tolist() == [2, 1, 0] * 4 + [2, 1]
    assert (first.image_id, second.image_id) == (0, 1)
    assert first.annotation_id != second.annotation_id
    assert people.spec is AIC and AIC.num_joints == 14
    assert AIC.names[4] == "left_elbow" and AIC.flip_index[4] == 1 and AIC.flip_index[13] == 13


def test_twelve_joints_are_cocos(tmp_path: Path) -> None:
    people = remap(load(tmp_path, IMAGES), COCO)
    first, second = people.records
    assert (second.joints[:, 2] > 0).sum() == 12
    assert not second.joints[:5, 2].any()  # nose, eyes, ears
    np.testing.assert_array_equal(first.joints[COCO.names.index("right_wrist")], [20, 21, 0])
    np.testing.assert_array_equal(first.joints[COCO.names.index("left_ankle")], [110, 111, 0])
    np.testing.assert_array_equal(first.joints[COCO.names.index("left_elbow")], [40, 41, 1])


def test_people_whose_box_has_no_size_are_left_out_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = copy.deepcopy(IMAGES)
    images += [
        {**images[1], "human_annotations": {"human1": box}} for box in ([5, 5, 5, 9], [0] * 4)
    ]
    assert len(load(tmp_path, images)) == 2
    assert len(caplog.records) == 1 and "boxes have no size, left out: 2" in caplog.text


def person(**changes: Any) -> Callable[[], Any]:
    """An image whose only person has something changed."""
    entry = copy.deepcopy(IMAGES[1])
    for key, value in changes.items():
        entry[key]["human1"] = value
    return lambda: [entry]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: {}, "must be a list of images, got dict"),
        (lambda: [], "labeled joints, got none of 0"),
        (lambda: ["abc"], "position 0 must have 'human_annotations'"),
        (lambda: [{"image_id": "abc"}], "position 0 must have 'human_annotations'"),
        (person(keypoint_annotations=[1, 2, 1] * 17), "human1 must have 14 joints, .* got 51"),
        (person(keypoint_annotations=[1, float("nan"), 1] * 14), "human1 must have finite joints"),
        (person(keypoint_annotations=[1, 2, 0] * 14), "human1 must have visibilities 1, 2 or 3"),
        (
            person(human_annotations=[1, 2, 3]),
            r"human1: box must be 4 finite numbers, got \[1, 2, 3\]",
        ),
        (person(human_annotations=[1, 2, float("inf"), 3]), "human1: box must be 4 finite numbers"),
        (
            lambda: [{**IMAGES[1], "human_annotations": {}}],
            "human1: box must be a list of numbers, got None",
        ),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, content())


def test_an_absent_file_is_named_with_its_source() -> None:
    with pytest.raises(
        FileNotFoundError, match="AI Challenger's .*AIChallenger/AI_Challenger_2017"
    ):
        load_aic("train.json", "photos")
