# SPDX-License-Identifier: Apache-2.0
"""Synthetic data sets on disk: valid COCO, written whole or not at all."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pycocotools = pytest.importorskip("pycocotools.coco")

from darkpose.data.joint_sets import COCO  # noqa: E402
from darkpose.data.spec import KeypointSpec  # noqa: E402
from darkpose.paper.synthetic import Scene, draw_scene, write_dataset  # noqa: E402

JPEG_TOLERANCE = 6  # mean gray levels; red and blue exchanged would be far more
KEYPOINT_TOLERANCE = 1e-3  # pixels, as rounded in the file
SEED = 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "set"
    write_dataset(path, {"val": 20}, seed=SEED, workers=1)
    return path


def test_dataset_loads_as_coco(folder: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = pycocotools.COCO(str(folder / "annotations/person_keypoints_val.json"))
    (category,) = coco.loadCats(coco.getCatIds())
    assert KeypointSpec.from_category(category) == COCO
    for image_id in coco.getImgIds():
        (image,) = coco.loadImgs(image_id)
        picture = cv2.imread(str(folder / "images/val" / image["file_name"]))
        assert picture.shape == (image["height"], image["width"], 3)
        annotations = coco.loadAnns(coco.getAnnIds(image_id))
        assert annotations
        for annotation in annotations:
            visibility = annotation["keypoints"][2::3]
            assert annotation["num_keypoints"] == np.count_nonzero(visibility) > 0
            assert annotation["id"] > 0 and annotation["iscrowd"] == 0


def test_dataset_holds_the_scenes_it_names(folder: Path) -> None:
    scene = draw_scene(SEED, "val", 7)
    path = folder / "images/val/000007.jpg"
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(picture.astype(float) - scene.image).mean() < JPEG_TOLERANCE
    content = json.loads((folder / "annotations/person_keypoints_val.json").read_text())
    truth = [each for each in content["annotations"] if each["image_id"] == 7]
    for annotation, person in zip(truth, scene.people, strict=True):
        stored = np.array(annotation["keypoints"]).reshape(17, 3)
        assert np.allclose(stored, person.keypoints, rtol=0, atol=KEYPOINT_TOLERANCE)
        assert annotation["bbox"] == list(person.box) and annotation["area"] == person.area


def test_dataset_is_the_same_from_several_processes(tmp_path: Path) -> None:
    for workers in (1, 2):
        write_dataset(tmp_path / str(workers), {"train": 20}, seed=5, workers=workers)
    one, two = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "1", tmp_path / "2")
    )
    assert one == two


def test_dataset_is_reused_or_its_folder_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", {"val": 2}, workers=1)
    marker = tmp_path / "set/images/val/000000.jpg"
    before = marker.stat().st_mtime_ns
    write_dataset(tmp_path / "set", {"val": 2}, workers=1)
    assert marker.stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="holds something else"):
        write_dataset(tmp_path / "set", {"val": 3}, workers=1)
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match="mine must not exist"):
        write_dataset(tmp_path / "mine", {"val": 2}, workers=1)


def test_dataset_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Scene:
        raise RuntimeError("out of paint")

    monkeypatch.setattr("darkpose.paper.synthetic.write.draw_scene", fail)
    with pytest.raises(RuntimeError, match="out of paint"):
        write_dataset(tmp_path / "set", {"val": 2}, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ({}, {}, "images must map"),
        ({"val": 0}, {}, "images must map"),
        ({"../val": 1}, {}, "images must map"),
        ({"val": 1}, {"appearance": "x"}, "appearance must be"),
        ({"val": 1}, {"seed": -1}, "must not be negative"),
        ({"val": 1}, {"workers": -1}, "workers must not be negative"),
    ],
)
def test_dataset_rejects_bad_settings(
    tmp_path: Path, images: dict[str, int], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "set", images, **{"workers": 1, **options})
    assert list(tmp_path.iterdir()) == []
