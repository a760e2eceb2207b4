# SPDX-License-Identifier: Apache-2.0
"""A file from an image and boxes finds what the predictor finds, whatever they are."""

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

onnx_ = pytest.importorskip("onnx", reason="needs darkpose[onnx]")
pytest.importorskip("onnxscript", reason="needs darkpose[onnx]")
pytest.importorskip("onnxruntime", reason="needs darkpose[onnx]")

from darkpose import Predictor  # noqa: E402
from darkpose.cli.main import main  # noqa: E402
from darkpose.data.joint_sets import COCO  # noqa: E402
from darkpose.deploy import check  # noqa: E402
from darkpose.deploy.check import compare  # noqa: E402
from darkpose.deploy.onnx import OnnxModel  # noqa: E402
from darkpose.deploy.program import CropsToKeypoints, ImageToKeypoints  # noqa: E402
from darkpose.models.pose import PoseModel  # noqa: E402
from photos import photo  # noqa: E402
from untrained import write_checkpoint  # noqa: E402

EXAMPLES = Path(__file__).parents[1] / "examples" / "onnxruntime"
BOXES = torch.tensor(
    [[20.5, 30, 60, 100], [-40, -20, 90, 95.5], [150, 100, 300, 40], [0, 0, 200, 150]]
)
ENLARGED = torch.tensor([[60.0, 50, 31, 52], [90, 70, 40, 20]])
PIXELS = {"fp32": 0.05, "fp16": 0.2}  # of the image, for nine joints in ten
SCORE = {"fp32": 2e-3, "fp16": 5e-3}


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, precision: str) -> Path:
    path = tmp_path_factory.mktemp(precision) / "last.ckpt"
    options = {"fp32": {"convention": "udp"}, "fp16": {"enlarging": "bicubic"}}
    return write_checkpoint(path, **options[precision])


@pytest.fixture(scope="module")
def file(checkpoint: Path, precision: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "BATCHES", (1, 2, 5))
        out = checkpoint.with_name("pose.onnx")
        how = ("--from", "image", "--precision", precision, "--flip_test", "true")
        main(["export", str(checkpoint), str(out), *how])
    return out


def program(checkpoint: Path) -> ImageToKeypoints:
    return ImageToKeypoints(CropsToKeypoints(PoseModel.load(checkpoint), flip_test=True)).eval()


def assert_near(found: Tensor, expected: Tensor, precision: str) -> None:  # [N, K, 3]
    assert found.shape == expected.shape
    if not len(expected):
        return
    distance = (found - expected)[..., :2].norm(dim=-1)
    assert distance.quantile(0.9) <= PIXELS[precision]
    assert (found - expected)[..., 2].abs().max() <= SCORE[precision] * expected[..., 2].max()


def test_it_finds_what_the_predictor_finds(file: Path, checkpoint: Path, precision: str) -> None:
    image, boxes = photo((200, 150)), torch.cat([BOXES, ENLARGED])
    expected = Predictor.from_checkpoint(checkpoint, device="cpu", flip_test=True)(image, boxes)
    keypoints, scores = OnnxModel(file)(torch.from_numpy(image), boxes)
    assert_near(keypoints, torch.from_numpy(expected.keypoints), precision)
    assert expected.scores.all()
    assert np.abs(scores.numpy() / expected.scores - 1).max() <= SCORE[precision]


def extremes() -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an image of one pixel, one of 20,000 in a row, and one with nobody, and boxes."""
    yield torch.full((1, 1, 3), 200, dtype=torch.uint8), torch.tensor([[0.0, 0, 1, 1]])
    wide = torch.from_numpy(photo((20_000, 40)))
    yield wide, BOXES + torch.tensor([19_000.0, -40, 0, 0])
    yield wide[:, :60], BOXES[:0]


def test_images_of_one_pixel_and_of_20_000_are_read_right(
    file: Path, checkpoint: Path, precision: str
) -> None:
    for image, boxes in extremes():
        with torch.inference_mode():
            expected, scores = program(checkpoint)(image, boxes)
        found = OnnxModel(file)(image.contiguous(), boxes)
        assert found[1].shape == scores.shape
        assert_near(found[0], expected, precision)


@pytest.mark.slow
def test_openvino_finds_the_same_in_full_precision(file: Path, precision: str) -> None:
    """Of the same file as ONNX Runtime: it is the crops' places that bfloat16 would round."""
    openvino = pytest.importorskip("openvino", reason="needs darkpose[slow]")
    full = {"INFERENCE_PRECISION_HINT": "f32"}  # as docs/deployment.md says
    compiled = openvino.Core().compile_model(file, "CPU", full)
    for image, boxes in (*extremes(), (torch.from_numpy(photo((200, 150))), BOXES)):
        expected, scores = OnnxModel(file)(image.contiguous(), boxes)
        keypoints, people = compiled([image.contiguous().numpy(), boxes.numpy()]).to_tuple()
        assert people.shape == scores.shape
        assert_near(torch.from_numpy(keypoints), expected, precision)


def test_boxes_that_are_none_have_no_joints(file: Path, checkpoint: Path) -> None:
    image = torch.from_numpy(photo((200, 150)))
    wrong = BOXES[:1].repeat(6, 1)
    wrong[range(5), (0, 1, 2, 2, 3)] = torch.tensor([torch.nan, torch.inf, 0.0, -3.0, 1e30])
    for keypoints, scores in (OnnxModel(file)(image, wrong), program(checkpoint)(image, wrong)):
        assert keypoints[:5].isnan().all() and not scores[:5].any()
        assert keypoints[5].isfinite().all() and scores[5] > 0


def test_its_inputs_outputs_and_metadata_say_what_it_takes(file: Path, precision: str) -> None:
    model = OnnxModel(file)
    inputs = {value.name: (value.type, value.shape) for value in model.session.get_inputs()}
    assert inputs == {
        "image": ("tensor(uint8)", ["height", "width", 3]),
        "boxes": ("tensor(float)", ["people", 4]),
    }
    outputs = {value.name: value.type for value in model.session.get_outputs()}
    assert outputs == {"keypoints": "tensor(float)", "scores": "tensor(float)"}
    assert model.metadata["from"] == "image" and model.metadata["precision"] == precision


def test_the_network_alone_is_in_half_precision(file: Path, precision: str) -> None:
    graph = onnx_.shape_inference.infer_shapes(onnx_.load(file)).graph
    weights = {each.data_type for each in graph.initializer if len(each.dims) == 4}
    half = onnx_.TensorProto.FLOAT16
    assert (half in weights) == (precision == "fp16") and len(weights) == 1
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    in_half = {node.op_type for node in graph.node if half in map(types.get, node.output)}
    assert in_half <= {"Conv", "Relu", "Add", "Resize", "Cast", "Slice", "Reshape", "Squeeze"}


def test_the_example_in_ten_lines_prints_what_the_file_finds(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = photo((200, 150))
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    given = (str(file), str(tmp_path / "a.png"), *("20.5,30,60,100", "-40,-20,90,95.5"))
    monkeypatch.setattr(sys, "argv", ["from_image.py", *given])
    runpy.run_path(str(EXAMPLES / "from_image.py"), run_name="__main__")
    people = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    keypoints, scores = OnnxModel(file)(torch.from_numpy(image), BOXES[:2])
    assert [person.pop("score") for person in people] == pytest.approx(scores.tolist(), abs=1e-5)
    assert [list(person) for person in people] == 2 * [list(COCO.names)]
    found = torch.tensor([list(person.values()) for person in people])
    assert (found - keypoints).abs().max() <= 2e-3  # three digits are printed


def test_the_example_for_crops_says_whose_such_a_file_is(file: Path) -> None:
    predict = runpy.run_path(str(EXAMPLES / "predict.py"))
    with pytest.raises(ValueError, match="cuts people out itself: from_image.py runs it"):
        predict["Model"](str(file))


# ---- the check -----------------------------------------------------------------------------------


def test_a_file_with_other_crops_or_scores_is_refused(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "BATCHES", (2,))
    ours = program(checkpoint)
    assert compare(ours, ours).passed

    def brighter(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        crops, to_image = ours.cut(image, boxes)
        return crops // 2 + 64, to_image

    assert "its crops differ by up to" in compare(ours, ours, brighter).fault

    def others(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        keypoints, scores = ours(image, boxes)
        return keypoints, scores + 0.01

    assert "34 of 34 joints are not where" in compare(ours, others).fault


def test_what_a_file_cannot_be_from_is_said() -> None:
    with pytest.raises(SystemExit, match="^darkpose: from must be crops or image, got video$"):
        main(["export", "last.ckpt", "pose.onnx", "--from", "video"])
