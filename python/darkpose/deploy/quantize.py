# SPDX-License-Identifier: Apache-2.0
"""Eight-bit integers for an exported network's numbers, by ONNX Runtime's static quantization.

The graph decides what is quantized: nodes of the network, told by the module that they come from,
but the last ones, so that heatmaps are as fine as before. Crop, normalization and decoding stay in
float32. How far the numbers range is seen on the user's own images.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from darkpose.deploy.calibration import People
from darkpose.deploy.onnx import MODULE, OnnxModel
from darkpose.deploy.program import Program
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.scores import score_threshold

_logger = logging.getLogger(__name__)

_PRODUCTS = frozenset(["Conv", "Gemm", "MatMul"])
_OTHERS = frozenset(
    ["Add", "AveragePool", "Clip", "Concat", "GlobalAveragePool", "MaxPool", "Relu", "Resize"]
)
# What says of a network that sums of its layers have few very large values, as transformers' have:
# eight bits for them cost the small ones. Only products with weights are quantized there.
_OUTLIERS = "LayerNormalization"


@dataclass(frozen=True)
class Quantization:
    """How an int8 file differs from the float32 one."""

    calibrated_with: int
    """People."""
    joints: int
    """Whose places are compared: those with a score that counts for a person's, if there are."""
    median_shift: float
    """Of these joints, in image pixels."""
    shift_95: float
    """Of 95 % of them at most this."""
    ap_before: float | None = None
    """Of annotated people in their boxes."""
    ap: float | None = None

    def __str__(self) -> str:
        text = (
            f"int8, calibrated with {self.calibrated_with} people: {self.joints} joints moved by "
            f"{self.median_shift:.2f} pixels (median), 95 % of them by less than "
            f"{self.shift_95:.2f}"
        )
        if self.ap is None:
            return text
        return f"{text}; AP {self.ap:.4f}, {self.ap_before:.4f} before"


def quantize(file: Path, program: Program, people: People) -> Quantization:
    """Quantize the network of an ONNX file in place, and measure what that costs.

    Args:
        file: that `darkpose.deploy.onnx.write_program` wrote.
        program: what is in it.
        people: to calibrate with, those of some images; to measure on, all of them if they are
            annotated, else the same.

    Raises:
        ValueError: no image could be read, or the network has nothing to quantize.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load(file)
    about = {each.key: each.value for each in model.metadata_props}
    chosen = quantized_nodes(model.graph, _name(program, program.model.network))
    if not chosen:
        raise ValueError("quantize needs a network with weights in products, got none")
    add_pre_process_metadata(model)  # torch has simplified the graph, and ONNX Runtime would not
    before, calibration = OnnxModel(file), people.some()
    reader = _Reader(calibration, before)
    made = file.with_name("int8.onnx")
    quantize_static(
        model,
        made,
        reader,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=sorted({node.op_type for node in chosen}),
        nodes_to_quantize=[node.name for node in chosen],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,  # sums of larger products saturate on processors without VNNI
    )
    if calibration.unreadable:
        first = next(iter(calibration.unreadable.values()))
        _logger.warning(
            "images that cannot be read, left out: %d, the first: %s",
            len(calibration.unreadable),
            first,
        )
    model = onnx.load(made)
    onnx.helper.set_model_props(model, about)
    onnx.save(model, made)
    measured = people if people.annotations else calibration
    outcome = measure((before, OnnxModel(made)), measured, reader.people)
    onnx.helper.set_model_props(model, {**about, "int8": json.dumps(asdict(outcome))})
    onnx.save(model, file)
    return outcome


# ---- nodes ---------------------------------------------------------------------------------------


def _name(program: nn.Module, part: nn.Module) -> str:
    return next(name for name, module in program.named_modules() if module is part)


def quantized_nodes(graph: Any, network: str) -> list[Any]:
    """Return the nodes of a graph to quantize.

    Args:
        graph: of ONNX, each node with the name of its module.
        network: the name of the network's module.
    """
    inside, read_outside = [], {output.name for output in graph.output}
    for node in graph.node:
        module = next((each.value for each in node.metadata_props if each.key == MODULE), "")
        if f"{module}.".startswith(f"{network}."):
            inside.append(node)
        else:
            read_outside.update(node.input)
    weights = {each.name for each in graph.initializer}
    coarse = all(node.op_type != _OUTLIERS for node in inside)
    return [
        node
        for node in inside
        if not read_outside.intersection(node.output)
        and (
            (node.op_type in _PRODUCTS and node.input[1] in weights)
            or (node.op_type in _OTHERS and coarse)
        )
    ]


# ---- numbers -------------------------------------------------------------------------------------


class Exported(Protocol):
    """What an `OnnxModel` has."""

    inputs: list[str]
    metadata: dict[str, Any]

    def __call__(self, pixels: Tensor, places: Tensor, /) -> tuple[Tensor, Tensor]: ...


class _Reader:
    """What ONNX Runtime reads numbers to calibrate with from."""

    def __init__(self, people: People, model: OnnxModel) -> None:
        self._names, self.people = model.inputs, 0
        self._given = people.inputs(model.inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        for _, given in self._given:
            self.people += len(given[1])
            return {name: each.numpy() for name, each in zip(self._names, given, strict=True)}
        return None


def measure(files: tuple[Exported, Exported], people: People, calibrated_with: int) -> Quantization:
    """Return how the joints of all these people differ between a file in float32 and one in int8.

    Args:
        files: the two.
        people: to measure on; AP where they are annotated.
        calibrated_with: how many people the second file was calibrated with.
    """
    before, after = files
    found: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    rows: list[int] = []
    for those, given in people.inputs(before.inputs):
        rows += those
        for model, kept in zip((before, after), found, strict=True):
            points, scores = (each.numpy() for each in model(*given))
            if points.shape[-1] == 2:
                points = np.concatenate([points, scores[..., None]], -1)
            kept.append(points)
    old, new = map(np.concatenate, found)  # [N, K, 3]
    shift = np.linalg.norm(new[..., :2] - old[..., :2], axis=-1)
    counted = old[..., 2] > score_threshold(people.codec)
    shift = shift[counted if counted.any() else np.isfinite(shift)]
    aps = []
    if people.annotations is not None:
        aps = [
            _ap(people, np.array(rows), values, before.metadata["decoder"]) for values in (old, new)
        ]
    middle, most = np.percentile(shift, [50, 95]).tolist()
    return Quantization(calibrated_with, shift.size, middle, most, *aps)


def _ap(people: People, rows: NDArray[np.int64], keypoints: NDArray[Any], decoder: str) -> float:
    assert people.annotations is not None
    content = people.annotations.content
    evaluation = Evaluation(people.codec, people.dataset(), content, [decoder])
    points, scores = {decoder: keypoints[..., :2]}, {decoder: keypoints[..., 2]}
    evaluation.put(rows, np.ones(len(rows), bool), points, scores)
    return evaluation.figures(decoder)["AP"]
