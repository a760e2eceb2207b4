# SPDX-License-Identifier: Apache-2.0
"""Samples: where their pixels come from, that they repeat exactly, and what bad images do."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import DETECTED, Annotations, KeypointSpec, PersonRecord
from darkpose.data.augment import Augmentation
from darkpose.data.batches import Batches
from darkpose.data.dataset import KeypointDataset, Sample
from darkpose.data.images import read_image
from darkpose.data.options import DataOptions
from darkpose.geometry import Convention, Crop, apply

INPUT_SIZE = (96, 128)
SPEC = KeypointSpec.from_names(["nose", "left_eye", "right_eye"])
JOINTS = np.array([[150.0, 100, 2], [120, 90, 1], [0, 0, 0]])
ROUND_TRIP = 1e-3  # image pixels, float32 matrices
DOT_TOLERANCE = 0.05  # heatmap pixels
GRAY_TOLERANCE = 8  # gray levels: OpenCV's bilinear weights are multiples of 1/32


def record(
    path: Path, annotation_id: int = 5, image_size: tuple[int, int] = (320, 240)
) -> PersonRecord:
    return PersonRecord(path, 1, annotation_id, image_size, (80, 40, 120, 160), 9e3, JOINTS)


def blob_image(center: tuple[float, float], size: tuple[int, int] = (320, 240)) -> np.ndarray:
    y, x = np.mgrid[: size[1], : size[0]]
    gray = 255 * np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * 5.0**2))
    return np.repeat(gray.round().astype(np.uint8)[..., None], 3, axis=-1)


@pytest.fixture
def people(tmp_path) -> Annotations:
    """One person, on an image with a blob at joint 0."""
    path = tmp_path / "person.png"
    cv2.imwrite(str(path), blob_image((150, 100)))
    return Annotations((record(path),), SPEC, category_id=1)


def assert_same(first: Sample, second: Sample) -> None:
    a, b = dict(first), dict(second)
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(torch.as_tensor(a[key]), torch.as_tensor(b[key])), key


# ---- samples ------------------------------------------------------------------------------------


def test_sample_has_the_documented_types_and_shapes(people: Annotations) -> None:
    sample = KeypointDataset(people, INPUT_SIZE)[0]
    assert sample["image"].shape == (128, 96, 3) and sample["image"].dtype == torch.uint8
    assert sample["joints"].shape == (3, 2) and sample["joints"].dtype == torch.float32
    assert sample["weights"].tolist() == [1, 1, 0]
    assert sample["to_heatmap"].shape == sample["to_image"].shape == (2, 3)
    assert sample["index"] == 0
    assert sample["image_read"] is True


@pytest.mark.parametrize("convention", list(Convention))
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_joint_in_the_heatmap_is_where_the_crop_shows_it(
    people: Annotations, convention: Convention, flip: float
) -> None:
    """Mirrored and turned too: the blob's centroid in the crop, at heatmap scale, is the joint."""
    settings = Augmentation(rotation_probability=1, flip_probability=flip, half_body_probability=0)
    dataset = KeypointDataset(people, INPUT_SIZE, convention=convention, augmentation=settings)
    for epoch in range(5):
        sample = dataset[epoch, 0]
        pixels = sample["image"][..., 0].double()
        y, x = torch.meshgrid(torch.arange(128.0), torch.arange(96.0), indexing="ij")
        centroid = [float((pixels * axis).sum() / pixels.sum()) for axis in (x, y)]
        joint = apply(sample["to_heatmap"], sample["joints"][0])
        offset = 15.5 - 63.5 * 23 / 95  # in y, where DarkPose's input and heatmap disagree
        expected = {
            Convention.hrnet: np.array(centroid) / 4,
            Convention.darkpose: np.array(centroid) * 23 / 95 + [0, offset],
            Convention.udp: np.array(centroid) * [23 / 95, 31 / 127],
        }[convention]
        np.testing.assert_allclose(joint, expected, atol=DOT_TOLERANCE)


def test_to_image_undoes_to_heatmap(coco: Annotations) -> None:
    dataset = KeypointDataset(coco, INPUT_SIZE, augmentation=Augmentation())
    for index in range(0, len(dataset), 10):
        sample = dataset[index]
        there = apply(sample["to_heatmap"], sample["joints"])
        back = apply(sample["to_image"], there)
        np.testing.assert_allclose(back, sample["joints"], atol=ROUND_TRIP)


def test_mirrored_sample_permutes_joints_and_keeps_their_pixels(people: Annotations) -> None:
    settings = Augmentation(flip_probability=1, half_body_probability=0)
    plain = KeypointDataset(people, INPUT_SIZE)[0]
    mirrored = KeypointDataset(people, INPUT_SIZE, augmentation=settings)[0]
    order = list(SPEC.flip_index)
    assert torch.equal(mirrored["joints"], plain["joints"][order])
    assert mirrored["weights"].tolist() == [1, 0, 1]


def test_mirrored_crop_is_the_crop_of_the_mirrored_image(coco: Annotations) -> None:
    """Where pixels are aligned, the mirrored sample is the mirror of the plain one."""
    still = {"rotation": 0, "scale": 0, "half_body_probability": 0}
    for convention in (Convention.darkpose, Convention.udp):
        plain = KeypointDataset(coco, INPUT_SIZE, convention=convention)
        mirror_all = Augmentation(flip_probability=1, **still)
        mirrored = KeypointDataset(coco, INPUT_SIZE, convention=convention, augmentation=mirror_all)
        for index in range(0, len(plain), 40):
            difference = mirrored[index]["image"].flip(1).int() - plain[index]["image"].int()
            assert difference.abs().float().mean() < 1
            assert difference.abs().float().quantile(0.99) <= GRAY_TOLERANCE


def test_images_are_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((4, 4, 3), (0, 0, 255), np.uint8))
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]


def test_boxes_outside_the_image_are_dropped_with_a_warning(
    people: Annotations, caplog: pytest.LogCaptureFixture
) -> None:
    outside = replace(people.records[0], annotation_id=9, box=(400, 0, 20, 20))
    both = Annotations((outside, *people.records), SPEC, category_id=1)
    dataset = KeypointDataset(both, INPUT_SIZE)
    assert [person.annotation_id for person in dataset.records] == [5]
    assert "outside of their images, dropped: 1, the first: annotation 9" in caplog.text
    assert len(KeypointDataset(both, INPUT_SIZE, clip_boxes=False)) == 2


def changed(people: Annotations, **changes: object) -> Annotations:
    """The same people with some fields changed."""
    records = tuple(replace(person, **changes) for person in people.records)  # type: ignore[arg-type]
    return Annotations(records, people.spec, people.category_id)


@pytest.mark.parametrize("convention", list(Convention))
def test_a_data_sets_own_crop_is_only_enlarged_to_the_aspect_ratio(
    people: Annotations, convention: Convention
) -> None:
    """Neither padded nor clipped, and its center is the same in all conventions."""
    own = changed(people, crop=Crop((-20.0, 30.0), (500.0, 500.0)))
    dataset = KeypointDataset(own, INPUT_SIZE, convention=convention)
    assert dataset.crops == [Crop((-20.0, 30.0), (500.0, 500.0 * 128 / 96))]


def test_detected_boxes_are_not_clipped(people: Annotations) -> None:
    box = (-30.0, -20.0, 300.0, 400.0)
    detected = changed(people, box=box, annotation_id=DETECTED)
    annotated = changed(people, box=box)
    (whole,) = KeypointDataset(annotated, INPUT_SIZE, clip_boxes=False).crops
    assert KeypointDataset(detected, INPUT_SIZE).crops == [whole]
    assert KeypointDataset(annotated, INPUT_SIZE).crops != [whole]


def test_an_image_of_unknown_size_gives_the_same_samples(people: Annotations) -> None:
    """Mirrored too, which needs the width; only clipping does without."""
    settings = Augmentation(flip_probability=0.5, half_body_probability=0)
    known, unknown = (
        KeypointDataset(some, INPUT_SIZE, augmentation=settings, clip_boxes=False)
        for some in (people, changed(people, image_size=None))
    )
    mirrored = []
    for epoch in range(6):
        assert_same(known[epoch, 0], unknown[epoch, 0])
        mirrored.append(bool(torch.det(unknown[epoch, 0]["to_heatmap"][:, :2]) < 0))
    assert True in mirrored and False in mirrored


# ---- repeatability ------------------------------------------------------------------------------


def test_sample_is_a_function_of_seed_epoch_and_index(people: Annotations) -> None:
    settings = Augmentation(gain=0.2)
    one = KeypointDataset(people, INPUT_SIZE, augmentation=settings, seed=3)
    other = KeypointDataset(people, INPUT_SIZE, augmentation=settings, seed=3)
    other.set_epoch(4)
    for _ in range(3):
        one[7, 0]
    assert_same(one[4, 0], other[0])
    assert not torch.equal(one[4, 0]["to_heatmap"], one[5, 0]["to_heatmap"])


def test_cached_images_give_the_same_samples(coco: Annotations) -> None:
    subset = Annotations(coco.records[:12], coco.spec, coco.category_id)
    plain = KeypointDataset(subset, INPUT_SIZE)
    cached = KeypointDataset(subset, INPUT_SIZE, cache_images=True)
    for index in range(len(plain)):
        assert_same(plain[index], cached[index])


# ---- bad images ---------------------------------------------------------------------------------


@pytest.fixture(params=["missing", "empty", "text", "cut.png", "cut.jpg", "head.jpg", "other size"])
def bad_person(request, tmp_path) -> Annotations:
    path = tmp_path / "bad.png"
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    kind, _, extension = request.param.partition(".")
    if extension:
        content = cv2.imencode(f".{extension}", image)[1].tobytes()
        path.write_bytes(content[: 200 if kind == "head" else len(content) * 2 // 3])
    elif kind == "other size":
        cv2.imwrite(str(path), image[:, :-1])
    elif kind != "missing":
        path.write_bytes(b"" if kind == "empty" else b"not an image" * 100)
    return Annotations((record(path, annotation_id=77),), SPEC, category_id=1)


ways_to_read = pytest.mark.parametrize(
    "options", [{}, {"cache_images": True}, {"scaled_decoding": True}], ids=str
)


@ways_to_read
def test_bad_image_raises_with_file_and_annotation(
    bad_person: Annotations, options: dict[str, bool]
) -> None:
    with pytest.raises(ValueError, match=r"annotation 77: image .*bad\.png must be"):
        KeypointDataset(bad_person, INPUT_SIZE, **options)[0]


@ways_to_read
def test_skipped_bad_image_is_black_and_weightless_and_warned_of_once(
    bad_person: Annotations, options: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    brighter = Augmentation(brightness=50)
    dataset = KeypointDataset(
        bad_person, INPUT_SIZE, augmentation=brighter, on_bad_image="skip", **options
    )
    for _ in range(2):
        sample = dataset[0]
        assert not sample["image"].any() and not sample["weights"].any()
        assert sample["image"].shape == (128, 96, 3) and sample["image_read"] is False
    assert caplog.text.count("annotation 77: image") == 1


def test_complete_images_with_a_thumbnail_or_a_tail_are_read(tmp_path: Path) -> None:
    """What makes a JPEG complete is the end of its last scan, not its last bytes."""
    image = blob_image((20, 20), (64, 48))
    content = cv2.imencode(".jpg", image)[1].tobytes()
    thumbnail = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
    path = tmp_path / "tail.jpg"
    path.write_bytes(content[:2] + thumbnail + content[2:] + b"\0" * 100)
    assert read_image(path).shape == (48, 64, 3)
    path.write_bytes(content[:2] + thumbnail + content[2:-40])
    with pytest.raises(ValueError, match="cut short"):
        read_image(path)


def test_paths_begin_at_home_and_hold_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SETS", "~/sets")
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/sets/val.json"):
        Batches(HeatmapCodec(INPUT_SIZE), DataOptions(Path("$SETS/val.json"), Path(".")))


def test_an_unknown_policy_is_named(people: Annotations) -> None:
    with pytest.raises(ValueError, match="on_bad_image must be one of"):
        KeypointDataset(people, INPUT_SIZE, on_bad_image="ignore")
