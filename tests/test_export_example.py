# SPDX-License-Identifier: Apache-2.0
"""The example of plain ONNX Runtime finds what evaluation finds, from the file alone."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("onnxscript", reason="needs darkpose[onnx]")
pytest.importorskip("onnxruntime", reason="needs darkpose[onnx]")

from darkpose.codec import HeatmapCodec  # noqa: E402
from darkpose.data.dataset import KeypointDataset  # noqa: E402
from darkpose.data.images import crop_image, read_image  # noqa: E402
from darkpose.data.joint_sets import COCO  # noqa: E402
from darkpose.deploy import check  # noqa: E402
from darkpose.deploy.export import export  # noqa: E402
from darkpose.geometry import box_to_crop, heatmap_to_image, image_to_input  # noqa: E402
from darkpose.models.pose import PoseModel
from photos import annotations, photo  # noqa: E402
from untrained import write_checkpoint  # noqa: E402

EXAMPLE = Path(__file__).parents[1] / "examples" / "onnxruntime" / "predict.py"
GRAY_LEVEL = 1  # by which OpenCV's crop differs
NEARER = 1e-9  # pixels and matrix entries of the same arithmetic in float64


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("small") / "last.ckpt", convention="hrnet")


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Path:
    """Of that checkpoint, with flip test."""
    export(checkpoint, checkpoint.with_name("pose.onnx"), flip_test=True)
    return checkpoint.with_name("pose.onnx")


def evaluated(checkpoint: Path, images: list[Path], flip_test: bool) -> tuple[Tensor, Tensor]:
    """Return what evaluation finds in the whole of each image, in the crops of the example, whose
    gray levels differ by one here and there: an untrained network minds."""
    task = PoseModel.load(checkpoint)
    codec = task.codec
    people = KeypointDataset(
        annotations(*images), codec.input_size, convention=codec.convention, clip_boxes=False
    )
    batch = torch.utils.data.default_collate([people[i] for i in range(len(people))])
    crops = [
        example().cut(read_image(path), people.matrices(crop)[0], codec.to_dict())
        for path, crop in zip(images, people.crops, strict=True)
    ]
    levels = np.abs(np.stack(crops) - batch["image"].numpy().astype(int))
    assert levels.max() <= GRAY_LEVEL
    batch["image"] = torch.from_numpy(np.stack(crops))
    with torch.inference_mode():
        heatmaps, flipped = task.heatmaps(batch["image"], flip_test)
        return codec.decode(heatmaps, batch["to_image"], flipped=flipped)


def example() -> Any:
    spec = importlib.util.spec_from_file_location("predict", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_example(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in a Python that has neither torch nor darkpose."""
    without = "import sys; sys.modules.update(dict.fromkeys(('torch', 'darkpose', 'darkpose_ext')))"
    code = f"{without}; import runpy; runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )


def foreign_model(path: Path) -> Path:
    """Write a model that is not of `darkpose export`."""
    import onnx

    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Abs", ["x"], ["y"])], "g", [value], [other]
    )
    opset = onnx.helper.make_opsetid("", 18)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def test_example_finds_what_evaluation_finds_without_torch(
    exported: Path, checkpoint: Path, tmp_path: Path
) -> None:
    image, drawn = tmp_path / "a.png", tmp_path / "drawn.png"
    cv2.imwrite(str(image), photo((320, 240)))
    boxes = ["0,0,320,240", "20.5,-30,90,400", "250,180,200,100"]
    ran = run_example(str(exported), str(image), *boxes, "--draw", str(drawn))
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    coords, scores = evaluated(checkpoint, [image], flip_test=True)
    found = np.array(answer["people"][0]["keypoints"])
    assert np.abs(found[:, :2] - coords[0].numpy()).max() <= check.TOLERANCES["fp32"].pixels
    assert np.abs(found[:, 2] - scores[0].numpy()).max() <= check.TOLERANCES["fp32"].pixels
    assert [person["box"] for person in answer["people"]][1] == [20.5, -30, 90, 400]
    assert answer["names"] == list(COCO.names)
    assert cv2.imread(str(drawn)).shape == (240, 320, 3)


@pytest.mark.parametrize("convention", ["hrnet", "darkpose", "udp"])
def test_example_crops_as_each_convention_has_it(convention: str) -> None:
    codec = HeatmapCodec((96, 128), convention=convention, padding=1.1)  # type: ignore[arg-type]
    about = {
        "input_size": [96, 128],
        "heatmap_size": [24, 32],
        "convention": convention,
        "padding": 1.1,
    }
    for box in ((10.5, 20.25, 31, 170), (-5, 3, 200, 9), (0, 0, 12, 16)):
        crop = box_to_crop(box, codec.input_size, convention, codec.padding)
        to_input, to_image = example().crop_matrices(box, about)
        expected = image_to_input(crop, (96, 128), convention)
        assert np.abs(to_input - expected).max() <= NEARER
        expected = heatmap_to_image(crop, (96, 128), (24, 32), convention)
        assert np.abs(to_image - expected).max() <= NEARER


@pytest.mark.parametrize("how", [{}, {"enlarging": "bilinear"}, {"enlarging": "bicubic"}])
def test_example_enlarges_as_the_file_says(how: dict[str, str]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    codec = HeatmapCodec((96, 128), **how)  # type: ignore[arg-type]
    about = {"input_size": [96, 128], "heatmap_size": [24, 32], "convention": "darkpose"}
    for box in ((100, 60, 40, 70), (30, 20, 200, 40)):
        to_input = codec.image_to_input(codec.crop(box))
        own, _ = example().crop_matrices(box, {**about, "padding": 1.25})
        found = example().cut(image, own, {**about, **how})
        expected = crop_image(image, to_input, (96, 128), codec.enlarging)
        assert np.abs(found.astype(int) - expected).max() <= GRAY_LEVEL


def test_example_draws_no_joint_that_is_nowhere_near() -> None:
    image, scores = np.zeros((9, 9, 3), np.uint8), np.ones((1, 3), np.float32)
    coords = np.array([[[4, 4], [1e30, 4], [np.nan, 4]]], np.float32)
    drawn = example().draw(image, coords, scores, [[0, 1], [0, 2]])
    assert drawn.any() and not image.any()


def test_example_says_in_a_sentence_what_is_wrong(exported: Path, tmp_path: Path) -> None:
    image, text = tmp_path / "a.png", tmp_path / "text.onnx"
    cv2.imwrite(str(image), photo((32, 24)))
    text.write_text("no model")
    foreign = foreign_model(tmp_path / "foreign.onnx")
    for arguments, words in (
        ((str(exported), "missing.png"), "No such file or directory: 'missing.png'"),
        (("missing.onnx", str(image)), "model missing.onnx must be a file"),
        ((str(text), str(image)), "text.onnx must be an ONNX file"),
        ((str(foreign), str(image)), "foreign.onnx must be written by `darkpose export`"),
        ((str(exported), str(text)), "text.onnx must be in a format that OpenCV reads"),
        ((str(exported), str(image), "1,2,3"), "a box must be x,y,width,height, got '1,2,3'"),
        ((str(exported), str(image), "1,2,0,3"), "must be finite and of positive size"),
    ):
        ran = run_example(*arguments)
        assert ran.returncode == 1 and words in ran.stderr, ran.stderr
        assert len(ran.stderr.strip().splitlines()) == 1
