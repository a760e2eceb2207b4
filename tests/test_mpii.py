# SPDX-License-Identifier: Apache-2.0
"""MPII: its 1-based joints, its own crops, the truth that PCKh measures, and broken files."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
import torch
from numpy.typing import NDArray

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import Annotations
from darkpose.data.augment import Augmentation
from darkpose.data.batches import Batches
from darkpose.data.dataset import KeypointDataset
from darkpose.data.joint_sets import MPII
from darkpose.data.mpii import load_mpii
from darkpose.data.options import DataOptions
from darkpose.geometry import Convention, Crop, apply, invert

INPUT_SIZE = (256, 256)
STRICTEST = 0.01  # heads
ROUNDING = 1.0  # pixels: the JSON's joints are whole numbers
PER_MILLE = 1e-3  # of the published percentages
PERSON: dict[str, Any] = {
    "image": "a.jpg",
    "center": [61.0, 41.0],
    "scale": 0.5,
    "joints": [[float(5 * k + 1), float(2 * k + 3)] for k in range(16)],
    "joints_vis": [1] * 14 + [0, 0],
}
MISSING = 15  # of the person above: in the truth, joint 14 is occluded and 15 is missing


def truth(people: int = 1) -> dict[str, NDArray[Any]]:
    joints = np.array(PERSON["joints"])[..., None].repeat(people, -1)
    absent = np.zeros((16, people), np.uint8)
    absent[MISSING] = 1
    head = np.array([[10.0, 13], [20, 24]])[..., None].repeat(people, -1)
    return {"jnt_missing": absent, "pos_gt_src": joints + 0.25, "headboxes_src": head}


def load(
    folder: Path, content: Any, mat: dict[str, Any] | None = None, images: str | Path = "photos"
) -> Annotations:
    path, mat_path = folder / "people.json", folder / "truth.mat"
    path.write_text(json.dumps(content))
    if mat is not None:
        scipy.io.savemat(mat_path, mat)
    return load_mpii(path, images, mat_path if mat is not None else None)


def test_pixels_are_counted_from_zero(tmp_path: Path) -> None:
    (person,) = load(tmp_path, [PERSON]).records
    np.testing.assert_array_equal(person.joints[:, :2], np.array(PERSON["joints"]) - 1)
    assert person.joints[:, 2].tolist() == [2] * 14 + [0, 0]
    assert person.image_path == Path("photos/a.jpg") and person.image_size is None


def test_the_crop_is_moved_down_and_padded(tmp_path: Path) -> None:
    (person,) = load(tmp_path, [PERSON]).records
    assert person.crop == Crop((60, 41 + 15 * 0.5 - 1), (125, 125))  # 200 * 0.5 * 1.25
    assert person.box == (60 - 50, 47.5 - 50, 100, 100)


def test_a_crop_without_center_is_left_as_it_is(tmp_path: Path) -> None:
    (person,) = load(tmp_path, [{**PERSON, "center": [-1, -1]}]).records
    assert person.crop == Crop((-2, -2), (100, 100))


def test_the_truth_says_what_is_measured(tmp_path: Path) -> None:
    """Its positions are not rounded; an occluded joint counts, a missing one does not."""
    (person,) = load(tmp_path, [PERSON], truth()).records
    np.testing.assert_allclose(person.joints[:, :2], np.array(PERSON["joints"]) - 0.75)
    assert person.joints[:, 2].tolist() == [2] * 14 + [1, 0]
    assert person.head_size == pytest.approx(0.6 * math.hypot(10, 11))


def test_people_of_one_image_share_its_id(tmp_path: Path) -> None:
    unlabeled = {**PERSON, "image": "b.jpg", "joints_vis": [0] * 16}
    people = load(tmp_path, [PERSON, unlabeled, PERSON])
    assert [person.image_id for person in people.records] == [0, 1, 0]
    assert [person.annotation_id for person in people.records] == [0, 1, 2]


def test_joints_are_named_in_the_files_order() -> None:
    names = ("ankle", "knee", "hip")
    assert MPII.names[:3] == tuple(f"right_{name}" for name in names)
    assert MPII.names[10:13] == ("right_wrist", "right_elbow", "right_shoulder")
    assert MPII.flip_index == (5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10)
    assert MPII.upper_body == tuple(range(7, 16))


@pytest.mark.parametrize("convention", list(Convention))
def test_a_mirrored_person_is_where_the_image_shows_it(
    tmp_path: Path, convention: Convention
) -> None:
    """Although the file does not give the width that the mirror needs."""
    y, x = np.mgrid[:90, :120]
    gray = 255 * np.exp(-((x - 80) ** 2 + (y - 50) ** 2) / 18)
    cv2.imwrite(str(tmp_path / "a.png"), gray.round().astype(np.uint8))
    joints = [[81.0, 51.0]] * 16
    people = load(tmp_path, [{**PERSON, "image": "a.png", "joints": joints}], images=tmp_path)
    settings = Augmentation(flip_probability=1, half_body_probability=0)
    sample = KeypointDataset(people, (64, 64), convention=convention, augmentation=settings)[0]
    pixels = sample["image"][..., 0].double()
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    seen = [float((pixels * axis).sum() / pixels.sum()) for axis in (columns, rows)]
    shown = apply(sample["to_heatmap"], sample["joints"][0])
    scale = 1 / 4 if convention is Convention.hrnet else 15 / 63
    np.testing.assert_allclose(shown, np.array(seen) * scale, atol=0.05)


# ---- broken files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": float("nan")}, "position 0: scale must be a finite number, got nan"),
        ({"scale": -1.0}, "position 0 must have a positive scale, got -1"),
        ({"scale": 0}, "position 0 must have a positive scale, got 0"),
        (
            {"center": [float("nan"), 1]},
            "position 0: center must be 2 finite numbers, got .nan, 1.",
        ),
        ({"center": None}, "position 0: center must be a list of numbers, got None"),
        ({"joints": [[1, 2]] * 14}, "position 0: joints must be 16 x 2 finite numbers"),
        ({"joints": [[1, float("nan")]] * 16}, "position 0: joints must be 16 x 2 finite numbers"),
        ({"joints": [[1, 2]] * 15 + [[1]]}, "position 0: joints must be 16 x 2 finite numbers"),
        ({"joints_vis": [2] * 16}, "position 0 must have joints_vis of 0 and 1"),
        ({"image": None}, "position 0 must name its image"),
    ],
)
def test_a_bad_person_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, [{**PERSON, **changes}])


@pytest.mark.parametrize("content", [{"images": []}, []])
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ValueError, match="must be a list of people as HRNet's"):
        load(tmp_path, content)


def test_a_truth_of_other_people_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the 1 people of .*people\.json, got 2"):
        load(tmp_path, [PERSON], truth(2))
    far = copy.deepcopy(PERSON)
    far["joints"] = [[x + 30, y] for x, y in PERSON["joints"]]
    with pytest.raises(ValueError, match="in their order, got other joints .* position 1"):
        load(tmp_path, [PERSON, far], truth(2))


@pytest.mark.parametrize("key", ["jnt_missing", "pos_gt_src", "headboxes_src"])
def test_an_incomplete_truth_is_named(tmp_path: Path, key: str) -> None:
    incomplete = truth()
    del incomplete[key]
    with pytest.raises(ValueError, match=r"truth\.mat must have finite .* of shape"):
        load(tmp_path, [PERSON], incomplete)
    with pytest.raises(ValueError, match=rf"truth\.mat must have finite {key}"):
        load(tmp_path, [PERSON], {**truth(), key: np.full_like(truth()[key], np.nan, float)})


def test_a_broken_truth_is_named(tmp_path: Path) -> None:
    load(tmp_path, [PERSON], truth())
    mat = tmp_path / "truth.mat"
    whole = mat.read_bytes()
    for content in (b"", b"not MATLAB" * 50, whole[:-60]):
        mat.write_bytes(content)
        with pytest.raises(ValueError, match=r"truth\.mat must be a MATLAB file"):
            load_mpii(tmp_path / "people.json", "photos", mat)


def test_absent_files_are_named_with_their_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="MPII's annotations as JSON.* Data preparation"):
        load_mpii(tmp_path / "any.json", "photos")
    load(tmp_path, [PERSON])
    with pytest.raises(FileNotFoundError, match=r"gt_valid\.mat must be MPII's.* Data prepar"):
        load_mpii(tmp_path / "people.json", "photos", tmp_path / "gt_valid.mat")
    with pytest.raises(FileNotFoundError, match=r"photos must be .*human-pose\.mpi-inf\.mpg\.de"):
        files = tmp_path / "people.json", tmp_path / "photos"
        Batches(HeatmapCodec((64, 64)), DataOptions(*files, data_format="mpii"))


# ---- the validation set --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def valid(data: Path) -> Annotations:
    root = data / "eval_refs/mpii_valid"
    return load_mpii(root / "valid.json", root / "images", root / "gt_valid.mat")


def joints_of(people: Annotations) -> NDArray[np.float64]:
    """Return [N, 16, 3]."""
    return np.stack([person.joints for person in people.records])


def test_all_people_of_the_validation_set_are_read(valid: Annotations, data: Path) -> None:
    """The truth agrees with the JSON, which calls its 10,243 occluded joints not visible."""
    assert len(valid) == 2958
    visibility = joints_of(valid)[..., 2]
    assert [int((visibility == v).sum()) for v in (0, 1, 2)] == [3088, 10243, 33997]
    root = data / "eval_refs/mpii_valid"
    rounded = load_mpii(root / "valid.json", root).records
    for person, other in zip(valid.records, rounded, strict=True):
        both = other.joints[:, 2] > 0
        assert (person.joints[both, 2] == 2).all()
        assert np.median(np.abs(person.joints[both, :2] - other.joints[both, :2])) <= ROUNDING


def test_published_predictions_score_what_was_published(valid: Annotations, data: Path) -> None:
    root = data / "eval_refs/mpii_valid"
    published = json.loads((root / "expected.json").read_text())["thresholds"]["0.5"]
    (preds,) = (v for k, v in scipy.io.loadmat(root / "pred_hg_s2.mat").items() if k[0] != "_")
    correct = errors_in_heads(valid, preds - 1) <= 0.5
    labeled = joints_of(valid)[..., 2] > 0
    counted = [k for k, name in enumerate(MPII.names) if name not in ("pelvis", "thorax")]
    mean = correct[:, counted][labeled[:, counted]].mean()
    assert 100 * mean == pytest.approx(published["Mean (count-weighted)"], abs=PER_MILLE)


def errors_in_heads(people: Annotations, points: NDArray[Any]) -> NDArray[np.float64]:
    """Return the distances [N, 16] of points [N, 16, 2] from the truth, in head sizes."""
    heads = np.array([person.head_size for person in people.records])
    return np.linalg.norm(points - joints_of(people)[..., :2], axis=-1) / heads[:, None]


@pytest.mark.parametrize("convention", list(Convention))
def test_crop_heatmap_and_decode_bring_every_joint_back(
    valid: Annotations, convention: Convention
) -> None:
    """PCKh is 100 at every threshold, for joints at least radius + 2 pixels inside the heatmap."""
    codec = HeatmapCodec(INPUT_SIZE, convention=convention)
    assert codec.heatmap_size is not None and codec.sigma is not None
    dataset = KeypointDataset(valid, INPUT_SIZE, convention=convention)
    to_heatmap = np.stack([dataset.matrices(crop)[1] for crop in dataset.crops])
    to_image = torch.from_numpy(np.stack([invert(matrix) for matrix in to_heatmap])).float()
    joints = torch.from_numpy(joints_of(valid)).float()
    found = []
    for people in torch.arange(len(valid)).split(256):
        matrices = torch.from_numpy(to_heatmap[people]).float()
        labeled = (joints[people, :, 2] > 0).float()
        heatmaps, _ = codec.encode(joints[people, :, :2], labeled, matrices)
        found.append(codec.decode(heatmaps, to_image[people], decoder="dark")[0])
    errors = errors_in_heads(valid, torch.cat(found).numpy())

    margin = math.ceil(2.5 * codec.sigma) + 2
    inside = np.stack(
        [
            (on_map >= margin).all(-1) & (on_map <= codec.heatmap_size[0] - 1 - margin).all(-1)
            for on_map in map(apply, to_heatmap, joints[..., :2].double().numpy())
        ]
    ) & (joints[..., 2].numpy() > 0)
    assert inside.sum() > 42000
    assert errors[inside].max() <= STRICTEST
