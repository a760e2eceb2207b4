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

from darkpose.codec import HeatmapCodec
from darkpose.data.spec import KeypointSpec
from darkpose.decoders import flip_average
from darkpose.evaluate.metrics import oks
from darkpose.geometry import apply
from darkpose.predict.pixels import as_decoded
from darkpose.predict.predictor import Predictor
from darkpose.show import plots
from darkpose.show.look import LookOptions, look
from darkpose.show.maps import person_maps
from darkpose.show.pictures import Way, compare
from darkpose.show.truths import Truth
from predicting import rgb_photo, save, untrained

BOX = np.array([40.0, 30, 100, 150])


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


def annotate(image: Path) -> str:
    """Return an annotation file of one person, all joints at one place."""
    names = untrained().spec.names
    person = {"image_id": 7, "category_id": 1, "bbox": BOX.tolist()}
    content = {
        "images": [{"id": 7, "file_name": image.name, "width": 320, "height": 240}],
        "categories": [{"id": 1, "name": "person", "keypoints": names, "skeleton": [[16, 14]]}],
        "annotations": [{"id": 1, **person, "keypoints": 17 * [90.0, 100.0, 2]}],
    }
    path = image.with_name("people.json")
    path.write_text(json.dumps(content))
    return str(path)


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}


def looked(checkpoint: Path, *images: Path, out: Path, **options: Any) -> set[str]:
    """Return what is written of these images."""
    look(LookOptions(checkpoint, [str(path) for path in images], out=out, **options))
    return written(out)


def test_each_kind_of_picture_is_written(checkpoint: Path, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = looked(
        checkpoint,
        image,
        out=out,
        boxes="40,30,100,150; 150,20,80,200",
        what=("skeletons", "heatmaps", "modulation"),
        joint="left_wrist",
    )
    assert names == {
        *("photo-skeletons.png", "photo-heatmaps-left_wrist.png"),
        *("photo-modulation-0-left_wrist.png", "photo-modulation-1-left_wrist.png"),
    }
    plain = cv2.resize(cv2.imread(str(image)), (640, 480), interpolation=cv2.INTER_CUBIC)
    for name in ("skeletons", "heatmaps-left_wrist"):
        drawn = cv2.imread(str(out / f"photo-{name}.png"))
        assert drawn.shape == plain.shape
        assert 0.001 < (drawn != plain).any(-1).mean() < 1


def test_decoders_and_checkpoints_are_set_side_by_side(
    checkpoint: Path, other: Path, image: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "boxes": annotate(image),
        "what": (),
        "decoders": ("argmax", "dark"),
    }
    wide = {}
    for versus in (None, other):
        out = tmp_path / str(versus is None)
        assert looked(checkpoint, image, out=out, versus=versus, **options) == {"photo-versus.png"}
        wide[versus] = cv2.imread(str(out / "photo-versus.png")).shape[1]
    assert wide[other] > 1.4 * wide[None]  # annotated and two ways, annotated and four


def test_a_comparison_says_how_good_each_way_is(checkpoint: Path, other: Path) -> None:
    pixels = rgb_photo()
    ways = [
        Way(name, Predictor.from_checkpoint(path, device="cpu", decoder=decoder))
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
    strangers = compare(ways, pixels, BOX, Truth(joints, 4000.0, ("muzzle",)))
    assert [panel.title for panel in strangers] == ["a", "b"]


def test_annotated_joints_are_those_of_the_checkpoint(checkpoint: Path) -> None:
    """Matched by name; the file may have others, and lack some."""
    pixels, predictor = rgb_photo(), Predictor.from_checkpoint(checkpoint, device="cpu")
    found = predictor(pixels, BOX[None]).keypoints[0]
    names = ("muzzle", "Eye R", "nose")
    there = [[0.0, 0, 2], [*(found[2, :2] + 3), 1], [*found[0, :2], 2]]
    truth = Truth(np.array(there), 4000.0, names)
    joints = truth.of(predictor.spec)
    assert joints is not None
    assert np.flatnonzero(joints[:, 2]).tolist() == [0, 2]
    np.testing.assert_array_equal(joints[[0, 2]], truth.joints[[2, 1]])
    titles = [panel.title for panel in compare([Way("a", predictor)], pixels, BOX, truth)]
    likeness = (1 + np.exp(-18 / (2 * 4000 * (2 * 0.025) ** 2))) / 2
    assert titles == ["annotated", f"a: OKS {likeness:.3f}"]


@pytest.mark.parametrize(
    ("keypoints", "names", "said"),
    [
        ([60, 52, 2], ["muzzle"], None),
        ([60, 52, 2], None, None),  # the checkpoint's, as the file names none
        ([60, 52, 2], ["tail"], "people.json must have joints of the checkpoint, muzzle, got tail"),
        ([60, 52, 0], ["muzzle"], "people.json must hold people"),
        (None, ["muzzle"], None),
    ],
)
def test_annotated_joints_that_are_not_drawn_are_said(
    keypoints: Any,
    names: Any,
    said: str | None,
    image: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = KeypointSpec(("muzzle",), (), (0.05,))
    checkpoint = save(untrained(spec), tmp_path / "muzzle.ckpt")
    path = Path(annotate(image))
    content = json.loads(path.read_text())
    content["categories"] = [{"id": 1, "name": "dog", "keypoints": names}]
    content["annotations"][0]["keypoints"] = keypoints
    path.write_text(json.dumps(content))
    columns: list[list[str]] = []

    def seen(rows: Any, side_by_side: Any = plots.side_by_side) -> Any:
        columns.extend([panel.title for panel in row] for row in rows)
        return side_by_side(rows)

    monkeypatch.setattr(plots, "side_by_side", seen)
    with caplog.at_level(logging.WARNING):
        looked(checkpoint, image, out=tmp_path, boxes=str(path), what=(), decoders=("argmax",))
    assert len(columns[0]) == (2 if said is None and keypoints else 1)
    assert ("darkpose.show.truths" in caplog.text) == bool(said) and (said or "") in caplog.text


@pytest.mark.parametrize("convention", ["hrnet", "darkpose", "udp"])
def test_the_averaged_maps_are_what_is_decoded(convention: str) -> None:
    predictor = Predictor(untrained(convention=convention), device="cpu")
    pixels = rgb_photo()
    seen = person_maps(predictor, as_decoded(pixels, "exif"), BOX)
    points, scores = predictor.codec.decode(seen.heatmaps)
    poses = predictor(pixels, BOX[None])
    np.testing.assert_allclose(apply(seen.to_image, points), poses.keypoints[0, :, :2], atol=2e-3)
    np.testing.assert_allclose(scores, poses.keypoints[0, :, 2], rtol=1e-5)


def test_without_the_mirror_the_maps_are_the_networks() -> None:
    maps = torch.rand(2, 17, 16, 16)
    torch.testing.assert_close(flip_average(untrained().codec, maps, None), maps)
    with pytest.raises(ValueError, match="flip_index, got none"):
        flip_average(HeatmapCodec((64, 64)), maps, maps)


def test_a_map_is_drawn_before_and_after_modulation_with_all_points(image: Path) -> None:
    """From a file or a gray picture, with the annotated point where it is known."""
    predictor = Predictor(untrained(), device="cpu")
    codec = predictor.codec
    seen = person_maps(predictor, as_decoded(image, "exif"), BOX)
    x, y = apply(seen.to_image, (7.25, 8.5)).tolist()
    figure = plots.person_modulation(seen, codec, 9, "left_wrist", (x, y))
    assert sorted(axes.get_title() for axes in figure.axes) == ["input", "modulated", "predicted"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label.split()[0] for label in labels] == ["argmax", "standard", "dark", "annotated"]
    assert labels[3] == "annotated (7.25, 8.50)"
    x, y = codec.decode(seen.heatmaps[9][None], decoder="dark")[0][0].tolist()
    assert labels[2] == f"dark ({x:.2f}, {y:.2f})"
    gray = person_maps(predictor, as_decoded(rgb_photo()[..., 0], "exif"), BOX)
    assert len(plots.person_modulation(gray, codec, 0, "nose").legends[0].get_texts()) == 3


def test_what_cannot_be_drawn_is_said(checkpoint: Path, image: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"joint must be one of nose, .*, got tail"):
        looked(checkpoint, image, out=tmp_path / "out", joint="tail")
    dsnt, heatmap = HeatmapCodec((64, 64), encoding="dsnt"), torch.rand(16, 16)
    with pytest.raises(ValueError, match="dsnt regresses coordinates: nothing is modulated"):
        plots.modulation(heatmap, dsnt, "x")
    with pytest.raises(ValueError, match="a crop needs to_crop"):
        plots.modulation(heatmap, HeatmapCodec((64, 64)), "x", crop=rgb_photo())


def test_coordinate_regression_has_pictures_too(image: Path, tmp_path: Path) -> None:
    checkpoint = save(untrained(encoding="dsnt"), tmp_path / "dsnt.ckpt")
    names = looked(checkpoint, image, out=tmp_path / "out")
    assert names == {"photo-skeletons.png", "photo-heatmaps.png"}


def test_bad_boxes_and_files_spoil_no_other(
    checkpoint: Path, image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Boxes outside of the image, without size, too small for a crop or too far for any image."""
    bad, far = image.with_name("bad.jpg"), image.with_name("far.jpg")
    bad.write_bytes(b"no image")
    far.write_bytes(image.read_bytes())
    out, decoders = tmp_path / "out", ("argmax", "dark")
    boxes = "900,900,50,80; 10,10,0,20; 40,30,100,150"
    with caplog.at_level(logging.WARNING):
        names = looked(checkpoint, bad, image, out=out, boxes=boxes, decoders=decoders)
    assert "bad.jpg" in caplog.text
    assert names == {"photo-skeletons.png", "photo-heatmaps.png", "photo-versus.png"}
    with pytest.raises(ValueError, match="bad.jpg"):
        looked(checkpoint, bad, out=out)
    bad.unlink()

    table = tmp_path / "boxes.csv"
    rows = "far.jpg,1e9,2,30,40\nphoto.jpg,9,9,.0001,.0001\nphoto.jpg,40,30,100,150\n"
    table.write_text(f"file,x,y,w,h\n{rows}")
    what = ("skeletons", "heatmaps", "modulation")
    names = looked(
        checkpoint, tmp_path, out=tmp_path / "far", boxes=str(table), what=what, joint="nose"
    )
    expected = ("skeletons", "heatmaps-nose", "modulation-0-nose")
    assert names == {f"photo-{name}.png" for name in expected}
    assert "boxes must be finite" in caplog.text


def test_images_of_one_name_do_not_replace_one_another(checkpoint: Path, tmp_path: Path) -> None:
    images = ("photo.jpg", "photo.png", "deeper/photo.jpg", "a/b.jpg", "a_b.jpg", "c.jpg.png")
    for name in images:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), rgb_photo((32, 24)))
    assert looked(checkpoint, tmp_path, out=tmp_path / "out", what=("skeletons",)) == {
        *("photo.png-skeletons.png", "photo.jpg-skeletons.png", "deeper_photo-skeletons.png"),
        *("a_b.jpg-skeletons.png", "a_b.jpg-2-skeletons.png", "c.jpg-skeletons.png"),
    }


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
    boxes = Path(annotate(tmp_path / "secret.jpg"))
    boxes.write_text(boxes.read_text().replace('"secret.jpg"', '"../secret.jpg"'))
    options: dict[str, Any] = {"boxes": str(boxes), "what": ("skeletons",)}
    looked(checkpoint, inner, out=tmp_path / "x" / "out", **options)
    assert written(tmp_path) == {"x/out/__secret-skeletons.png"}
