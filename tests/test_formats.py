# SPDX-License-Identifier: Apache-2.0
"""All that the tables of formats and joint sets have, by the same tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darkpose.codec import HeatmapCodec
from darkpose.data.batches import Batches
from darkpose.data.drawing import CENTER, LEFT, RIGHT, skeleton_colors
from darkpose.data.formats import FORMATS, load_people, truth
from darkpose.data.joint_sets import AIC, COCO, JOINT_SETS, MPII
from darkpose.data.options import DataOptions, Extra
from darkpose.data.spec import KeypointSpec
from darkpose.evaluate.metrics import STATS, coco_results, evaluate_oks
from photos import encoded, photo

SIZE = (320, 240)
JOINTS = np.random.default_rng(0).uniform(40, 180, (2, 17, 2)).round()  # of two people


def _coco(people: list[list[list[float]]]) -> Any:
    return {
        "images": [{"id": 1, "file_name": "one.jpg", "width": SIZE[0], "height": SIZE[1]}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names), "skeleton": []}],
        "annotations": [
            {
                "id": i,
                "image_id": 1,
                "category_id": 1,
                "bbox": [30, 30, 160, 160],
                "keypoints": [value for x, y in joints for value in (x, y, 2)],
            }
            for i, joints in enumerate(people)
        ],
    }


def _mpii(people: list[list[list[float]]]) -> Any:
    crop = {"center": [110.0, 110.0], "scale": 0.8, "joints_vis": 16 * [1]}
    return [{"image": "one.jpg", "joints": joints, **crop} for joints in people]


def _aic(people: list[list[list[float]]]) -> Any:
    boxes = {f"human{i}": [30, 30, 190, 190] for i in range(len(people))}
    joints = {f"human{i}": [v for x, y in one for v in (x, y, 1)] for i, one in enumerate(people)}
    return [{"image_id": "one", "human_annotations": boxes, "keypoint_annotations": joints}]


# One file of each format with the same two people: its content, and its joints.
EXAMPLES: dict[str, tuple[Callable[[list[list[list[float]]]], Any], KeypointSpec]] = {
    "coco": (_coco, COCO),
    "mpii": (_mpii, MPII),
    "aic": (_aic, AIC),
}


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, KeypointSpec]:
    make, spec = EXAMPLES[request.param]
    (tmp_path / "one.jpg").write_bytes(encoded(photo(SIZE)))
    file = tmp_path / "people.json"
    file.write_text(json.dumps(make(JOINTS[:, : spec.num_joints].tolist())))
    return file, spec


def test_every_format_has_an_example() -> None:
    assert EXAMPLES.keys() == FORMATS.keys()


@pytest.mark.parametrize(("name", "example"), [(n, n) for n in FORMATS], indirect=["example"])
def test_a_format_is_read_cropped_and_scored(name: str, example: tuple[Path, KeypointSpec]) -> None:
    """A format that trains can be evaluated: what it says of people scores an AP of 1."""
    file, spec = example
    people = load_people(file, file.parent, name)
    assert people.spec.names == spec.names and len(people) == 2
    off = 1.0 if name == "mpii" else 0.0  # it counts pixels from 1
    for record, joints in zip(people.records, JOINTS, strict=True):
        np.testing.assert_array_equal(record.joints[:, :2], joints[: spec.num_joints] - off)
    batches = Batches(
        HeatmapCodec((64, 64)), DataOptions(file, file.parent, data_format=name, workers=0)
    )
    (batch,) = batches.val_batches()
    assert batch["image_read"].all() and batch["weights"].all()
    assert (batches.truth is not None) == FORMATS[name].scores_ap
    points = np.stack([record.joints[:, :2] for record in people.records])
    results = coco_results(people.records, points, np.ones(points.shape[:2]))
    for content in (truth(people), batches.truth or truth(people)):
        figures = evaluate_oks(content, results, spec.oks_sigmas)
        assert tuple(figures) == STATS and figures["AP"] == pytest.approx(1)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_names_a_file_that_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json must be .*, got no such file"):
        load_people(tmp_path / "nowhere.json", tmp_path, name)


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=f"must be one of {', '.join(FORMATS)}, got yolo"):
        DataOptions(Path("a.json"), Path("a"), data_format="yolo")
    with pytest.raises(ValueError, match=r"format of data\.extra must be one of .*, got yolo"):
        Extra(Path("a.json"), Path("a"), "yolo")


@pytest.mark.parametrize("name", ["coco", "mpii", "aic", "lsp"])
def test_a_joint_set_mirrors_onto_itself_and_has_its_colors(name: str) -> None:
    spec = JOINT_SETS[name]
    flipped = list(spec.flip_index)
    assert [flipped[k] for k in flipped] == list(range(spec.num_joints))
    limbs = {frozenset(limb) for limb in spec.skeleton}
    assert {frozenset(flipped[k] for k in limb) for limb in limbs} == limbs
    assert {joint for limb in spec.skeleton for joint in limb} == set(range(spec.num_joints))
    assert set(skeleton_colors(spec).limbs) == {LEFT, RIGHT, CENTER}
