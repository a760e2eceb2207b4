# SPDX-License-Identifier: Apache-2.0
"""Detected people: whose boxes are taken, what they become, and what broken files are told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import DETECTED, Annotations, load_annotations
from darkpose.data.batches import Batches
from darkpose.data.dataset import KeypointDataset
from darkpose.data.detections import load_detections
from darkpose.data.joint_sets import COCO
from darkpose.data.options import DataOptions
from darkpose.data.spec import KeypointSpec

INPUT_SIZE = (96, 128)
IMAGES: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "7.png", "width": 60, "height": 40}],
    "categories": [{"id": 5, "name": "dog"}, {"id": 1, "name": "person"}],
}
FOUND: list[dict[str, Any]] = [
    {"image_id": 7, "category_id": 1, "bbox": [1, 2, 30, 20.5], "score": 0.9},
    {"image_id": 7, "category_id": 5, "bbox": [5, 5, 10, 10], "score": 0.8},
    {"image_id": 7, "category_id": 1, "bbox": [-4, 3, 12, 50], "score": 0.5},
    {"image_id": 7, "category_id": 1, "bbox": [9, 9, 9, 9], "score": 0.25},
]


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def load(
    folder: Path, found: Any = FOUND, images: dict[str, Any] = IMAGES, **options: Any
) -> Annotations:
    files = write(folder / "found.json", found), write(folder / "images.json", images)
    return load_detections(*files, folder, **options)


def test_detected_people_have_a_box_a_score_and_no_labels(tmp_path: Path) -> None:
    people = load(tmp_path)
    first, second, _ = people.records
    assert first.image_path == tmp_path / "7.png" and first.image_size == (60, 40)
    assert (first.box, first.score) == ((1, 2, 30, 20.5), 0.9)
    assert second.box == (-4, 3, 12, 50)
    assert {person.annotation_id for person in people.records} == {DETECTED}
    assert first.name == "a person detected in image 7"
    assert first.joints.shape == (17, 3) and not first.joints.any()
    assert people.category_id == 1


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 3), (0.25, 3), (0.2501, 2), (0.9, 1)])
def test_a_score_at_the_threshold_is_enough(tmp_path: Path, threshold: float, count: int) -> None:
    assert len(load(tmp_path, threshold=threshold)) == count


def test_the_category_is_the_one_asked_for_or_that_with_keypoints(tmp_path: Path) -> None:
    assert [person.score for person in load(tmp_path, category=5).records] == [0.8]
    dogs = {"id": 5, "name": "dog", "keypoints": ["nose", "neck"]}
    people = load(tmp_path, images={**IMAGES, "categories": [dogs, IMAGES["categories"][1]]})
    assert people.category_id == 5 and people.spec.names == ("nose", "neck")


def test_joints_are_those_given_else_cocos(tmp_path: Path) -> None:
    assert load(tmp_path).spec is COCO
    spec = KeypointSpec.from_names(["nose", "neck"])
    assert load(tmp_path, spec=spec).spec is spec
    yaml = tmp_path / "joints.yaml"
    yaml.write_text("names: [nose, head_top, neck]")
    assert load(tmp_path, spec=yaml).spec.num_joints == 3


def test_boxes_without_size_are_left_out_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flat = [{**FOUND[0], "bbox": box} for box in ([1, 2, 0, 5], [1, 2, 5, 0], [1, 2, -3, -3])]
    assert len(load(tmp_path, FOUND + flat)) == 3
    assert len(caplog.records) == 1 and "boxes have no size, left out: 3" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda found: {"annotations": found}, "must be a list of detections, got dict"),
        (lambda found: [*found, {**found[0], "image_id": 8}, {**found[0], "image_id": 9}],
         r"a detections file for other images: 2 of 5, first of image_id 8"),
        (lambda found: [*found, {**found[0], "score": float("nan")}],
         "position 4 must have a finite score, got nan"),
        (lambda found: [{**found[0], "bbox": [1, 2, float("inf"), 3]}],
         "position 0: bbox must be 4 finite numbers"),
        (lambda found: [{**found[0], "bbox": [1, 2, None, 3]}],
         r"position 0: bbox must be 4 finite numbers, got \[1, 2, None, 3\]"),
        (lambda found: [{**found[0], "bbox": [1, 2, 3]}],
         r"position 0: bbox must be 4 finite numbers, got \[1, 2, 3\]"),
        (lambda found: [found[0], {"image_id": 7}], "position 1 must have 'category_id', got none"),
        (lambda found: ["box"], "position 0 must have 'image_id', got none"),
        (lambda found: [], "score of at least 0, got none among 0"),
        (lambda found: found[1:2], "boxes of category 1 with .* got none among 1"),
    ],
)  # fmt: skip
def test_a_bad_detection_is_named(
    tmp_path: Path, spoil: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, spoil(FOUND))


def test_images_without_people_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a category named 'person'.* got \['dog'\]"):
        load(tmp_path, images={**IMAGES, "categories": IMAGES["categories"][:1]})
    with pytest.raises(ValueError, match=r"must have category 3, got \['dog', 'person'\]"):
        load(tmp_path, category=3)
    image = {"id": 7, "file_name": "7.png", "width": 60}
    with pytest.raises(ValueError, match="image 7 must have 'height', got none; .*position 0"):
        load(tmp_path, images={**IMAGES, "images": [image]})


def test_an_absent_file_is_named_with_its_source(tmp_path: Path) -> None:
    images = write(tmp_path / "images.json", IMAGES)
    absent = tmp_path / "COCO_val2017_detections_AP_H_56_person.json"
    with pytest.raises(FileNotFoundError, match="must be person detections by HRNet's authors"):
        load_detections(absent, images, tmp_path)
    with pytest.raises(FileNotFoundError, match="must be COCO's image information"):
        load_detections(absent, tmp_path / "image_info_test-dev2017.json", tmp_path)


# ---- on real images ------------------------------------------------------------------------------


@pytest.fixture
def coco(data: Path) -> tuple[Path, Path]:
    """COCO's annotation file and images."""
    root = data / "coco_mini"
    return root / "annotations/person_keypoints_val2017.json", root / "images/val2017"


@pytest.fixture
def detections(coco: tuple[Path, Path], tmp_path: Path) -> Path:
    """As if a detector had found exactly the annotated people, crowds too."""
    content = json.loads(coco[0].read_text())
    found = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": (a["id"] % 9) / 8}
        for a in content["annotations"]
    ]
    return write(tmp_path / "found.json", found)


def test_coco_is_what_cocos_files_say(coco: tuple[Path, Path]) -> None:
    assert load_annotations(*coco).spec == COCO


def test_detected_people_are_seen_as_the_annotated_ones(
    coco: tuple[Path, Path], detections: Path
) -> None:
    annotated = KeypointDataset(load_annotations(*coco), INPUT_SIZE, clip_boxes=False)
    detected = KeypointDataset(load_detections(detections, *coco), INPUT_SIZE)
    by_box = {(record.image_id, record.box): i for i, record in enumerate(detected.records)}
    for index, record in list(enumerate(annotated.records))[::20]:
        person = detected[by_box[record.image_id, record.box]]
        for key in ("image", "to_heatmap", "to_image"):
            assert torch.equal(person[key], annotated[index][key])  # type: ignore[literal-required]
        assert not person["weights"].any() and person["image_read"]


def test_a_run_evaluates_on_detections(coco: tuple[Path, Path], detections: Path) -> None:
    options: dict[str, Any] = {"detections": detections, "detection_threshold": 0.5}
    data = Batches(HeatmapCodec(INPUT_SIZE), DataOptions(*coco, **options, workers=0))
    assert data.spec == COCO
    assert min(record.score for record in data.val_set.records) == 0.5
    assert data.truth is not None and data.truth["annotations"]


def test_a_run_evaluates_on_images_without_annotations(
    coco: tuple[Path, Path], detections: Path, tmp_path: Path
) -> None:
    content = json.loads(coco[0].read_text())
    people = [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}]
    info = write(
        tmp_path / "image_info_test.json", {"images": content["images"], "categories": people}
    )
    options = DataOptions(info, coco[1], detections=detections, batch_size=4, workers=0)
    data = Batches(HeatmapCodec(INPUT_SIZE), options)
    assert data.truth is None and data.spec == COCO
    batch = next(iter(data.val_batches()))
    assert batch["image"].shape == (4, 128, 96, 3) and batch["image_read"].all()
    with pytest.raises(ValueError, match="'annotations', got none"):
        Batches(HeatmapCodec(INPUT_SIZE), DataOptions(info, coco[1]))


def test_absent_images_are_named_before_the_run(coco: tuple[Path, Path], detections: Path) -> None:
    for options in ({}, {"detections": detections}):
        with pytest.raises(FileNotFoundError, match="/nowhere must be the folder of the images"):
            Batches(HeatmapCodec(INPUT_SIZE), DataOptions(coco[0], Path("/nowhere"), **options))
