# SPDX-License-Identifier: Apache-2.0
"""`darkpose look`: every kind of picture, of any image, in the folder that was named."""

import json
import logging
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from darkpose.evaluate.metrics import oks
from darkpose.geometry import apply
from darkpose.predict.pixels import as_decoded
from darkpose.predict.predictor import Predictor
from darkpose.show import plots
from darkpose.show.look import look
from darkpose.show.maps import flip_average, person_maps
from darkpose.show.pictures import Method, Truth, compare
from predicting import rgb_photo, save, untrained

BOX = np.array([40.0, 30, 100, 150])
SAME = 1e-4  # pixels: the average taken before or in the op, in float32


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(untrained(), tmp_path_factory.mktemp("a") / "one.ckpt")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = untrained(seed=1, input_size=(96, 128), convention="hrnet")
    return save(task, tmp_path_factory.mktemp("b") / "two.ckpt")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), rgb_photo())
    return path


def annotate(image: Path, keypoints: list[float]) -> Path:
    names = untrained().spec.names
    content = {
        "images": [{"id": 7, "file_name": image.name, "width": 320, "height": 240}],
        "categories": [{"id": 1, "name": "person", "keypoints": names, "skeleton": [[16, 14]]}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": BOX.tolist(), "keypoints": keypoints}
        ],
    }
    path = image.with_name("people.json")
    path.write_text(json.dumps(content))
    return path


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}


def test_each_kind_of_picture_is_written(checkpoint: Path, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    what = ("skeletons", "heatmaps", "modulation")
    look(checkpoint, [str(image)], "40,30,100,150; 150,20,80,200", what, "left_wrist", out=out)
    assert written(out) == {
        *("photo-skeletons.png", "photo-heatmaps-left_wrist.png"),
        *("photo-modulation-0-left_wrist.png", "photo-modulation-1-left_wrist.png"),
    }
    plain = cv2.resize(cv2.imread(str(image)), (640, 480), interpolation=cv2.INTER_CUBIC)
    for name in ("skeletons", "heatmaps-left_wrist"):
        drawn = cv2.imread(str(out / f"photo-{name}.png"))
        assert drawn.shape == plain.shape
        changed = (drawn != plain).any(-1)
        assert 0.001 < changed.mean() < 1


def test_decoders_and_checkpoints_are_set_side_by_side(
    checkpoint: Path, other: Path, image: Path, tmp_path: Path
) -> None:
    boxes = annotate(image, 17 * [90.0, 100.0, 2])
    decoders = ("argmax", "dark")
    wide = {}
    for name, options in {
        "decoders": {"decoders": decoders},
        "both": {"decoders": decoders, "versus": other},
    }.items():
        look(checkpoint, [str(image)], str(boxes), (), out=tmp_path / name, **options)
        assert written(tmp_path / name) == {"photo-versus.png"}
        wide[name] = cv2.imread(str(tmp_path / name / "photo-versus.png")).shape[1]
    assert wide["both"] > 1.4 * wide["decoders"]  # annotated and two ways, annotated and four


def test_a_comparison_says_how_good_each_way_is(checkpoint: Path, other: Path) -> None:
    pixels = rgb_photo()
    ways = [
        Method(name, Predictor.from_checkpoint(path, device="cpu", decoder=decoder))
        for name, path, decoder in (("a", checkpoint, "argmax"), ("b", other, "dark"))
    ]
    spec = ways[0].predictor.spec
    found = ways[0].predictor(pixels, BOX[None]).keypoints[0]
    joints = np.column_stack([found[:, :2] + 3.0, np.full(17, 2)])
    panels = compare(ways, pixels, BOX, Truth(joints, 4000.0, spec.names))
    likeness = float(oks(found, joints, 4000.0, spec.oks_sigmas))
    assert [panel.title for panel in panels][:2] == ["annotated", f"a: OKS {likeness:.3f}"]
    assert panels[2].title.startswith("b: OKS 0.")
    assert len({panel.picture.shape for panel in panels}) == 1
    strangers = compare(ways, pixels, BOX, Truth(joints, 4000.0, ("nose",)))
    assert [panel.title for panel in strangers] == ["a", "b"]


@pytest.mark.parametrize("convention", ["hrnet", "darkpose", "udp"])
def test_the_averaged_maps_are_what_is_decoded(convention: str) -> None:
    predictor = Predictor(untrained(convention=convention), device="cpu")
    pixels = rgb_photo()
    seen = person_maps(predictor, as_decoded(pixels, "exif"), BOX)
    points, scores = predictor.codec.decode(seen.heatmaps)
    poses = predictor(pixels, BOX[None])
    np.testing.assert_allclose(apply(seen.to_image, points), poses.keypoints[0, :, :2], atol=2e-3)
    np.testing.assert_allclose(scores, poses.keypoints[0, :, 2], rtol=1e-5)


def test_without_the_mirror_the_maps_are_the_networks(checkpoint: Path) -> None:
    codec = untrained().codec
    maps = torch.rand(2, 17, 16, 16)
    torch.testing.assert_close(flip_average(codec, maps, None), maps)
    with pytest.raises(ValueError, match="flip_index, got none"):
        flip_average(type(codec)((64, 64)), maps, maps)


def test_a_map_is_drawn_before_and_after_modulation_with_all_points(image: Path) -> None:
    """From a file, pixels or a gray picture, with the annotated point where it is known."""
    predictor = Predictor(untrained(), device="cpu")
    seen = person_maps(predictor, as_decoded(image, "exif"), BOX)
    truth = apply(seen.to_image, (7.25, 8.5))
    figure = plots.modulation_in(predictor, image, BOX, 9, (float(truth[0]), float(truth[1])))
    assert sorted(axes.get_title() for axes in figure.axes) == ["input", "modulated", "predicted"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label.split()[0] for label in labels] == ["argmax", "standard", "dark", "annotated"]
    assert labels[3] == "annotated (7.25, 8.50)"
    x, y = predictor.codec.decode(seen.heatmaps[9][None], decoder="dark")[0][0].tolist()
    assert labels[2] == f"dark ({x:.2f}, {y:.2f})"
    gray = plots.modulation_in(predictor, rgb_photo()[..., 0], BOX, 0)
    assert len(gray.legends[0].get_texts()) == 3


def test_what_cannot_be_drawn_is_said(checkpoint: Path, image: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"joint must be one of nose, .*, got tail"):
        look(checkpoint, [str(image)], joint="tail", out=tmp_path / "out")
    regression = Predictor(untrained(encoding="dsnt"), device="cpu")
    with pytest.raises(ValueError, match="dsnt regresses coordinates: nothing is modulated"):
        plots.modulation_in(regression, image, BOX, 0)
    predictor = Predictor(untrained(), device="cpu")
    with pytest.raises(ValueError, match="joint must be from 0 to 16, got 17"):
        plots.modulation_in(predictor, image, BOX, 17)
    with pytest.raises(ValueError, match="a crop needs to_crop"):
        plots.modulation(torch.rand(16, 16), 1.0, "x", crop=rgb_photo())


def test_coordinate_regression_has_pictures_too(image: Path, tmp_path: Path) -> None:
    checkpoint = save(untrained(encoding="dsnt"), tmp_path / "dsnt.ckpt")
    look(checkpoint, [str(image)], out=tmp_path / "out")
    assert written(tmp_path / "out") == {"photo-skeletons.png", "photo-heatmaps.png"}


def test_boxes_outside_or_without_size_and_bad_files_spoil_nothing(
    checkpoint: Path, image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    boxes = "900,900,50,80; 10,10,0,20; 40,30,100,150"
    out = tmp_path / "out"
    with caplog.at_level(logging.WARNING):
        look(checkpoint, [str(bad), str(image)], boxes, decoders=("argmax", "dark"), out=out)
    assert "bad.jpg" in caplog.text
    names = {"photo-skeletons.png", "photo-heatmaps.png", "photo-versus.png"}
    assert written(out) == names
    with pytest.raises(ValueError, match="bad.jpg"):
        look(checkpoint, [str(bad)], out=out)


def test_images_of_one_name_do_not_replace_one_another(
    checkpoint: Path, image: Path, tmp_path: Path
) -> None:
    again = tmp_path / "photo.png"
    cv2.imwrite(str(again), rgb_photo(seed=1))
    folder = tmp_path / "deeper"
    folder.mkdir()
    image.rename(folder / "photo.jpg")
    cv2.imwrite(str(tmp_path / "photo.jpg"), rgb_photo(seed=2))
    look(checkpoint, [str(tmp_path)], what=("skeletons",), out=tmp_path / "out")
    assert written(tmp_path / "out") == {
        *("photo.png-skeletons.png", "photo.jpg-skeletons.png", "deeper_photo-skeletons.png"),
    }


def test_names_that_look_alike_do_not_replace_one_another(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "in/a").mkdir(parents=True)
    for name in ("a/b.jpg", "a_b.jpg", "c.jpg", "c.png", "c.jpg.png"):
        cv2.imwrite(str(tmp_path / "in" / name), rgb_photo((32, 24)))
    look(checkpoint, [str(tmp_path / "in")], what=("skeletons",), out=tmp_path / "out")
    assert len(written(tmp_path / "out")) == 5


def test_boxes_too_far_or_too_small_spoil_no_other(
    checkpoint: Path, image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image.with_name("far.jpg").write_bytes(image.read_bytes())
    boxes = tmp_path / "boxes.csv"
    rows = "far.jpg,1e9,2,30,40\nphoto.jpg,9,9,.0001,.0001\nphoto.jpg,40,30,100,150\n"
    boxes.write_text(f"file,x,y,w,h\n{rows}")
    what = ("skeletons", "heatmaps", "modulation")
    look(checkpoint, [str(tmp_path)], str(boxes), what, "nose", out=tmp_path / "out")
    assert written(tmp_path / "out") == {
        f"photo-{name}.png" for name in ("skeletons", "heatmaps-nose", "modulation-0-nose")
    }
    assert "boxes must be finite" in caplog.text


def test_an_interrupted_figure_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "figure.png"
    path.write_text("of yesterday")

    def interrupted(self: Figure, file: BinaryIO, **options: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plots.save(Figure(), path)
    assert path.read_text() == "of yesterday" and list(tmp_path.iterdir()) == [path]


def test_names_from_files_stay_inside_the_folder(checkpoint: Path, tmp_path: Path) -> None:
    """An annotation file may name an image by a way out of its folder."""
    inner = tmp_path / "inner"
    inner.mkdir()
    cv2.imwrite(str(tmp_path / "secret.jpg"), rgb_photo())
    boxes = annotate(tmp_path / "secret.jpg", 17 * [90.0, 100.0, 2])
    content = boxes.read_text().replace('"secret.jpg"', '"../secret.jpg"')
    boxes.write_text(content)
    out = tmp_path / "x" / "out"
    look(checkpoint, [str(inner)], str(boxes), ("skeletons",), out=out)
    assert written(tmp_path) == {"x/out/__secret-skeletons.png"}
