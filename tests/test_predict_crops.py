# SPDX-License-Identifier: Apache-2.0
"""One file of people, one checkpoint: `predict`, `validate` and `look` cut the same pixels."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from darkpose.data.annotations import load_annotations
from darkpose.data.batches import Batches
from darkpose.data.dataset import KeypointDataset
from darkpose.data.detections import load_detections
from darkpose.data.options import DataOptions
from darkpose.data.orientation import Pixels
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics.coco import evaluate_oks
from darkpose.models.pose import PoseModel
from darkpose.predict.predictor import Poses, Predictor, Request
from darkpose.show.look import LookOptions, look
from predicting import PERSON, annotation, rgb_photo, rows_of, run, save, untrained, write_json

SIZE = (320, 240)
BOXES = [[40, 30, 40, 42], [280, 60, 90, 90], [100, -15, 70, 140], [-20.5, 200, 60.25, 80]]
OUTSIDE = [400, 20, 30, 40]
CONVENTIONS = ("hrnet", "darkpose", "udp")

Crops = list[NDArray[np.uint8]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def people(boxes: Any, size: Any = SIZE, name: str = "images/a.png") -> Path:
    """Write a photo and annotations of people in it, with one joint each."""
    joint = {"keypoints": [60, 52, 2], "area": 900, "iscrowd": 0}
    image = {"id": 5, "file_name": Path(name).name}
    image |= {} if size is None else dict(zip(("width", "height"), size, strict=True))
    content = {
        "images": [image],
        "categories": [PERSON],
        "annotations": [annotation(i + 1, 5, box, **joint) for i, box in enumerate(boxes)],
    }
    Path(name).parent.mkdir(exist_ok=True)
    if not Path(name).exists():
        cv2.imwrite(name, rgb_photo(SIZE)[..., ::-1])
    return write_json(Path("people.json"), content)


def model(convention: str = "darkpose") -> PoseModel:
    return untrained(load_annotations(people(BOXES), "images").spec, convention=convention)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crops]:
    """Yield the crops that predictors' networks see, in order."""
    seen: Crops = []
    whole = Predictor.heatmaps

    def noted(self: Predictor, crops: Any) -> Any:
        seen.extend(np.asarray(crops.cpu()))
        return whole(self, crops)

    monkeypatch.setattr(Predictor, "heatmaps", noted)
    yield seen


def validated(file: Path, its: PoseModel, **options: Any) -> Crops:
    codec = its.codec
    found = KeypointDataset(
        load_annotations(file, "images"),
        codec.input_size,
        convention=codec.convention,
        padding=codec.padding,
        **options,
    )
    return [np.asarray(found[i]["image"]) for i in range(len(found))]


def alike(found: Crops, expected: Crops) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


# ---- what a box is -------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("clip_boxes", [True, False])
def test_boxes_of_an_annotation_file_are_cut_as_validation_cuts_them(
    convention: str, clip_boxes: bool, cut: Crops
) -> None:
    its = model(convention)
    save(its, Path("n.ckpt"))
    options = {"clip_boxes": clip_boxes, "flip_test": False}
    run(Path("n.ckpt"), ["images"], str(people(BOXES)), Path("out.csv"), **options)
    expected = validated(Path("people.json"), its, clip_boxes=clip_boxes)
    assert len(expected) == len(BOXES) and alike(cut, expected)
    cut.clear()
    look(LookOptions(Path("n.ckpt"), ["images"], "people.json", ("heatmaps",), **options))
    assert alike(cut, expected)
    cut.clear()
    other = validated(Path("people.json"), its, clip_boxes=not clip_boxes)
    assert not alike(expected, other)
    # What was written is as it was cut: read again, as no annotation, it is cut so again.
    run(Path("n.ckpt"), ["images"], "out.csv", Path("again.csv"), flip_test=False)
    assert alike(cut, expected)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_other_boxes_are_never_clipped(convention: str, cut: Crops) -> None:
    its = model(convention)
    save(its, Path("n.ckpt"))
    file = people(BOXES)
    expected = validated(file, its, clip_boxes=False)
    scored = [{"image_id": 5, "category_id": 1, "bbox": box, "score": 1.0} for box in BOXES]
    detections = write_json(Path("found.json"), scored)
    found = load_detections(detections, file, "images")
    codec = its.codec
    evaluated = KeypointDataset(found, codec.input_size, convention=convention)
    assert alike([np.asarray(evaluated[i]["image"]) for i in range(len(BOXES))], expected)
    lines = "".join(f"a.png,{','.join(map(str, box))}\n" for box in BOXES)
    Path("boxes.csv").write_text(f"file,x,y,w,h\n{lines}")
    inline = ";".join(",".join(map(str, box)) for box in BOXES)
    for boxes, names in (("found.json", file), ("boxes.csv", None), (inline, None)):
        cut.clear()
        run(Path("n.ckpt"), ["images"], boxes, image_names=names, flip_test=False)
        assert alike(cut, expected)
    cut.clear()
    predictor = Predictor(its, device="cpu", flip_test=False)
    poses = predictor("images/a.png", BOXES)
    assert alike(cut, expected) and poses.boxes.tolist() == BOXES


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_average_precision_is_that_of_validation(convention: str) -> None:
    """With what the network says as the truth: 1 where crops are the same, less where not."""
    its = model(convention)
    save(its, Path("n.ckpt"))
    file = people(BOXES)
    run(Path("n.ckpt"), ["images"], str(file))
    content, sigmas = json.loads(file.read_text()), its.spec.oks_sigmas
    for person, found in zip(
        content["annotations"], json.loads(Path("predictions.json").read_text()), strict=True
    ):
        person["keypoints"] = [*found["keypoints"][:2], 2]
    write_json(file, content)
    options = DataOptions(val=file, val_images=Path("images"), workers=0, batch_size=4)
    data, decoder = Batches(its.codec, options), its.codec.decoders[-1]
    evaluation = Evaluation(its.codec, data.val_set, data.truth, [decoder])
    with torch.inference_mode():
        for batch in data.val_batches():
            maps, flipped = its.heatmaps(batch["image"], flip_test=True)
            read, index = (torch.as_tensor(batch[name]) for name in ("image_read", "index"))
            evaluation.add(maps, flipped, batch["to_image"], read, index)
    assert evaluation.figures(decoder)["AP"] == 1
    assert evaluate_oks(file, "predictions.json", sigmas)["AP"] == 1
    run(Path("n.ckpt"), ["images"], str(file), clip_boxes=False)
    assert evaluate_oks(file, "predictions.json", sigmas)["AP"] < 1


def test_people_outside_of_the_image_have_no_pose(caplog: pytest.LogCaptureFixture) -> None:
    save(model(), Path("n.ckpt"))
    said = run(Path("n.ckpt"), ["images"], str(people([*BOXES, OUTSIDE])), Path("out.csv"))
    assert "people: 4," in said and "boxes without a pose, left out: 1" in caplog.text
    assert [row["person"] for row in rows_of(Path("out.csv"))] == ["0", "1", "2", "3"]


def test_two_checkpoints_side_by_side_clip_as_each_was_trained(cut: Crops) -> None:
    for convention in ("hrnet", "udp"):
        save(model(convention), Path(f"{convention}.ckpt"))
    file = str(people(BOXES[:1]))
    options: Any = {"what": (), "flip_test": False, "versus": Path("udp.ckpt")}
    look(LookOptions(Path("hrnet.ckpt"), ["images"], file, **options))
    expected = [validated(Path(file), model(each))[0] for each in ("hrnet", "udp")]
    people(BOXES[:1])
    assert alike(cut, expected)


# ---- turned photos -------------------------------------------------------------------------------


def turned_photo(tag: int = 6, name: str = "images/a.jpg") -> NDArray[np.uint8]:
    """Write a photo that is stored with an EXIF tag, and return it as it is seen."""
    pillow = pytest.importorskip("PIL.Image", reason="writes the EXIF tag")
    exif = pillow.Exif()
    exif[0x0112] = tag
    Path(name).parent.mkdir(exist_ok=True)
    pillow.fromarray(rgb_photo(SIZE)).save(name, exif=exif)
    return np.asarray(cv2.imread(name)[..., ::-1], np.uint8)


def crops_of(image: Any, its: PoseModel, boxes: Any = BOXES) -> Poses:
    request = Request(0, image, boxes, annotated=True)
    ((_, poses, error),) = Predictor(its, device="cpu", orientation="stored").stream([request])
    assert poses is not None, error
    return poses


@pytest.mark.parametrize("seen", [True, False])
def test_width_and_height_in_the_boxes_file_say_whether_a_photo_is_turned(
    seen: bool, cut: Crops
) -> None:
    its = model()
    save(its, Path("n.ckpt"))
    Path("images/a.png").unlink()
    upright = turned_photo()
    file = people(BOXES, SIZE[::-1] if seen else SIZE, "images/a.jpg")
    stored = cv2.imread("images/a.jpg", cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_COLOR_RGB)
    images = {True: upright, False: np.asarray(stored, np.uint8)}
    expected = crops_of(images[seen], its).keypoints
    assert (expected != crops_of(images[not seen], its).keypoints).any()
    cut.clear()
    run(Path("n.ckpt"), ["images"], str(file), draw=Path("drawn.png"), flip_test=False)
    found = json.loads(Path("predictions.json").read_text())
    assert alike(cut, validated(file, its))
    drawn = cv2.imread("drawn.png")
    assert drawn.shape[:2] == images[seen].shape[:2]
    cut.clear()
    look(LookOptions(Path("n.ckpt"), ["images"], str(file), ("heatmaps",), flip_test=False))
    assert alike(cut, validated(file, its))
    scored = [{**each, "bbox": each["box"]} for each in found]
    detections = write_json(Path("found.json"), scored)
    cut.clear()
    run(Path("n.ckpt"), ["images"], str(detections), image_names=file, flip_test=False)
    assert alike(cut, validated(file, its))
    for orientation in ("exif", "stored"):  # which was asked for
        cut.clear()
        run(Path("n.ckpt"), ["images"], str(file), orientation=orientation, flip_test=False)
        asked = list(cut)
        cut.clear()
        its_image = images[orientation == "exif"]
        list(
            Predictor(its, device="cpu", flip_test=False).stream(
                [Request(0, its_image, BOXES, annotated=True)]
            )
        )
        assert alike(cut, asked)


def test_where_the_file_cannot_tell_the_usual_holds_and_is_said_once(
    cut: Crops, caplog: pytest.LogCaptureFixture
) -> None:
    save(model(), Path("n.ckpt"))
    Path("images/a.png").unlink()
    turned_photo(3)
    file = people(BOXES, SIZE, "images/a.jpg")
    csv = Path("boxes.csv")
    csv.write_text("file,x,y,w,h\na.jpg,40,30,40,42\n")
    for boxes, given, read in (
        (str(file), None, "it is read as it is stored"),
        (str(csv), None, "it is read turned"),
        ("40,30,40,42", None, "it is read turned"),
        (str(file), "exif", ""),
        (None, None, ""),
    ):
        caplog.clear()
        run(Path("n.ckpt"), ["images"], boxes, orientation=given)
        notes = [line for line in caplog.messages if "EXIF" in line]
        assert len(notes) == bool(read) and all(read in note for note in notes)
    caplog.clear()
    people(BOXES, None, "images/a.jpg")
    look(LookOptions(Path("n.ckpt"), ["images"], str(file), ("skeletons",)))
    (note,) = [line for line in caplog.messages if "EXIF" in line]
    assert "no width and height" in note and "as it is stored" in note


def test_a_size_that_fits_neither_way_is_refused(cut: Crops) -> None:
    save(model(), Path("n.ckpt"))
    file = people(BOXES, (640, 480))
    for size in ((640, 480), ("640", 480.0)):
        people(BOXES, size)
        with pytest.raises(ValueError, match=r"a.png must be of the annotated size .* EXIF"):
            run(Path("n.ckpt"), ["images"], str(file))
        with pytest.raises(ValueError, match=r"a.png must be of the annotated size .* EXIF"):
            look(LookOptions(Path("n.ckpt"), ["images"], str(file)))
    for unknown in ((None, None), (0, 0), ("", 480)):
        people(BOXES, unknown)
        assert "people: 4," in run(Path("n.ckpt"), ["images"], str(file))
    people(BOXES, ("wide", 480))
    with pytest.raises(ValueError, match="width of image 5 must be a number, got 'wide'"):
        run(Path("n.ckpt"), ["images"], str(file))


def test_a_request_may_say_which_pixels_its_boxes_count() -> None:
    its, upright = model(), turned_photo()
    request = Request(0, "images/a.jpg", BOXES, annotated=True, pixels=Pixels("stored", SIZE[::-1]))
    ((_, poses, _),) = Predictor(its, device="cpu").stream([request])
    assert poses is not None and poses.image_size == SIZE[::-1]
    np.testing.assert_array_equal(poses.keypoints, crops_of(upright, its).keypoints)
