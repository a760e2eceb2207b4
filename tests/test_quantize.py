# SPDX-License-Identifier: Apache-2.0
"""Exported networks in int8: what is quantized, and what is said of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

onnx = pytest.importorskip("onnx", reason="needs darkpose[onnx]")
for package in ("onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="needs darkpose[onnx]")

from darkpose.deploy import export as exporting  # noqa: E402
from darkpose.deploy import quantize  # noqa: E402
from darkpose.deploy.calibration import People  # noqa: E402
from darkpose.deploy.check import Comparison  # noqa: E402
from darkpose.deploy.onnx import OnnxModel  # noqa: E402
from darkpose.models.pose import PoseModel  # noqa: E402
from training_runs import files_of  # noqa: E402
from untrained import write_checkpoint  # noqa: E402

NEAR = 5.0  # pixels of images of 256 and more: the maps of an untrained network are blunt


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("small") / "a.ckpt", input_size=(64, 64))


def test_the_network_is_in_int8_and_all_else_as_it_was(
    checkpoint: Path,
    people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    quantized = quantize.quantize

    def kept(file: Path, *others: Any) -> quantize.Quantization:
        shutil.copy(file, tmp_path / "float.onnx")
        return quantized(file, *others)

    monkeypatch.setattr(quantize, "quantize", kept)
    monkeypatch.setattr(exporting, "compare", lambda *_: Comparison(1, 1, 0, 0.0))
    images = tmp_path / "images"
    shutil.copytree(files_of(people)["val_images"], images)
    (images / "broken.png").write_text("words")
    out = tmp_path / "int8.onnx"
    exporting.export(checkpoint, out, quantize="int8", images=images)

    graph = onnx.load(out).graph
    made = {output: node for node in graph.node for output in node.output}
    weights = {each.name: each.data_type for each in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) > 5
    for node in convolutions[:-1]:
        pixels, kernel = (made[name] for name in node.input[:2])
        assert pixels.op_type == kernel.op_type == "DequantizeLinear"
        assert weights[kernel.input[0]] == onnx.TensorProto.INT8
    assert weights[convolutions[-1].input[1]] == onnx.TensorProto.FLOAT
    whole = [node.op_type for node in graph.node]
    after = whole[whole.index("ArgMax") - 3 :]
    assert not {"QuantizeLinear", "DequantizeLinear"}.intersection(after)
    assert out.stat().st_size < 0.4 * (tmp_path / "float.onnx").stat().st_size

    files = OnnxModel(tmp_path / "float.onnx"), OnnxModel(out)
    assert {each.type for each in files[1].session.get_outputs()} == {"tensor(float)"}
    everybody = People.of(PoseModel.load(checkpoint), files_of(people)["val_images"])
    shifts, heights = [], []
    for _, given in everybody.inputs(files[0].inputs):
        (old, scores), (new, _) = (file(*given) for file in files)
        shifts.append((new - old).norm(dim=-1).flatten())
        heights.append(scores.flatten())
    shift = torch.cat(shifts)[torch.cat(heights) > 0.2].double()
    about = files[1].metadata.pop("int8")
    assert files[1].metadata == files[0].metadata
    assert about == {
        "calibrated_with": 10,
        "joints": len(shift),
        "median_shift": pytest.approx(shift.quantile(0.5).item()),
        "shift_95": pytest.approx(shift.quantile(0.95).item()),
        "ap_before": None,
        "ap": None,
    }
    assert 0 < about["median_shift"] < NEAR and len(shift) > 50
    assert f"moved by {about['median_shift']:.2f} pixels (median)" in capsys.readouterr().out


class Said:
    """In place of a file: annotated joints in order of the crops that are asked for, moved."""

    inputs, metadata = ["crops", "to_image"], {"decoder": "dark"}

    def __init__(self, people: People, x: float, y: float) -> None:
        assert people.annotations is not None
        rows = [row for photo in people.photos for row in photo.rows]
        joints = [people.annotations.records[row].joints[:, :2] + (x, y) for row in rows]
        self.joints = iter(joints)

    def __call__(self, crops: Tensor, to_image: Tensor) -> tuple[Tensor, Tensor]:
        found = [next(self.joints) for _ in crops]
        return torch.from_numpy(np.stack(found)), torch.full((len(crops), 17), 0.5)


def test_ap_is_that_of_the_annotated_people(checkpoint: Path, people: Path) -> None:
    model = PoseModel.load(checkpoint)
    files = files_of(people)
    everybody = People.of(model, files["val_images"], files["val"])
    found = quantize.measure((Said(everybody, 0, 0), Said(everybody, 3, 4)), everybody, 7)
    assert everybody.annotations is not None
    joints = 17 * len(everybody.annotations)
    assert (found.calibrated_with, found.joints) == (7, joints)
    assert found.median_shift == pytest.approx(5) and found.shift_95 == pytest.approx(5)
    assert found.ap_before == 1 and found.ap is not None and 0 <= found.ap < 0.9
    assert str(found).endswith(f"AP {found.ap:.4f}, 1.0000 before")


def test_an_image_and_its_boxes_are_given_as_they_are(checkpoint: Path, people: Path) -> None:
    model, files = PoseModel.load(checkpoint), files_of(people)
    annotated = People.of(model, files["val_images"], files["val"])
    whole = People.of(model, files["val_images"])
    assert len(whole.photos) == 10 and len(annotated.photos) <= 10
    rows, (image, boxes) = next(annotated.inputs(["image", "boxes"]))
    assert annotated.annotations is not None
    assert boxes.dtype == torch.float32 and image.dtype == torch.uint8
    expected = [annotated.annotations.records[row].box for row in rows]
    np.testing.assert_allclose(boxes, expected, rtol=1e-6)
    _, (image, boxes) = next(whole.inputs(["image", "boxes"]))
    assert boxes.tolist() == [[0, 0, image.shape[1], image.shape[0]]]


def node(kind: str, module: str, *inputs: str) -> Any:
    made = onnx.helper.make_node(kind, inputs, [f"{module}.{kind}"], name=f"{module}.{kind}")
    made.metadata_props.add(key="module", value=module)
    return made


@pytest.mark.parametrize(("norm", "expected"), [("Relu", 3), ("LayerNormalization", 1)])
def test_of_a_transformer_products_with_weights_alone_are_quantized(
    norm: str, expected: int
) -> None:
    nodes = [
        node("Mul", "model", "crops"),
        node("MatMul", "model.network.query", "model.Mul", "weight"),
        node("MatMul", "model.network.attention", "model.network.query.MatMul", "keys"),
        node("Add", "model.network", "model.network.query.MatMul", "skip"),
        node(norm, "model.network.norm", "model.network.Add"),
        node("Conv", "model.network.head", "model.network.norm", "weight"),
        node("MatMul", "model.networks", "model.network.head.Conv", "weight"),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "small",
        [],
        [onnx.helper.make_empty_tensor_value_info("model.networks.MatMul")],
        [onnx.numpy_helper.from_array(np.eye(2, dtype=np.float32), "weight")],
    )
    chosen = [each.name for each in quantize.quantized_nodes(graph, "model.network")]
    kept = ["model.network.query.MatMul", "model.network.Add", "model.network.norm.Relu"]
    assert chosen == kept[:expected]


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("a.onnx", {"quantize": "int8"}, "quantize needs images, a folder of yours"),
        ("a.onnx", {"images": "there"}, "images and val are for quantize, which is not given"),
        ("a.pt2", {"quantize": "int8", "images": "there"}, "an .onnx file and precision fp32, got"),
        ("a.onnx", {"quantize": "int8", "precision": "fp16"}, "fp32, got .onnx and fp16"),
        ("a.onnx", {"quantize": "int8", "images": "there"}, "there must hold images or videos"),
    ],
)
def test_what_cannot_be_quantized_is_refused_before_anything_is_made(
    checkpoint: Path, in_a_folder_of_its_own: None, out: str, options: Any, message: str
) -> None:
    Path("there").mkdir()
    given = {name: Path(one) if name == "images" else one for name, one in options.items()}
    with pytest.raises(ValueError, match=message):
        exporting.export(checkpoint, Path(out), **given)
    assert not Path(out).exists()


def test_images_that_cannot_be_read_and_joints_of_others_are_refused(
    checkpoint: Path, people: Path, tmp_path: Path
) -> None:
    model, files = PoseModel.load(checkpoint), files_of(people)
    (tmp_path / "a.png").write_text("words")
    with pytest.raises(ValueError, match="none of the images could be read, the first: image"):
        list(People.of(model, tmp_path).inputs(["image", "boxes"]))
    content = json.loads(files["val"].read_text())
    content["categories"][0]["keypoints"][:2] = ["left_eye", "nose"]
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="joints in their order, got left_eye for nose"):
        People.of(model, files["val_images"], tmp_path / "val.json")
