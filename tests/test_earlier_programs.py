# SPDX-License-Identifier: Apache-2.0
"""What was exported by earlier versions runs, and means what it meant (`earlier_programs.py`)."""

import io

import numpy as np
import pytest
import torch
from torch import Tensor

from earlier_programs import PROGRAMS, EveryOp, Portable

SERVED = [("ops.pt2", EveryOp), ("ops.onnx", Portable)]


def recorded() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the inputs and what was found then."""
    with np.load(PROGRAMS / "ops.npz") as file:
        tensors = {name: torch.from_numpy(file[name]) for name in file.files}
    found = {name[7:]: tensors.pop(name) for name in list(tensors) if name.startswith("found: ")}
    return tensors, found


def run(name: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    if name.endswith(".pt2"):
        program = torch.export.load(io.BytesIO((PROGRAMS / name).read_bytes()))
        results: dict[str, Tensor] = program.module()(inputs)
        return results
    session = pytest.importorskip("onnxruntime").InferenceSession(PROGRAMS / name)
    names = [value.name for value in session.get_outputs()]
    arrays = {value.name: inputs[value.name].numpy() for value in session.get_inputs()}
    return dict(zip(names, map(torch.from_numpy, session.run(None, arrays)), strict=True))


@pytest.mark.parametrize(("name", "program"), SERVED)
@pytest.mark.parametrize("people", [4, 1])
def test_a_program_of_an_earlier_version_finds_what_it_found(
    name: str, program: type[Portable], people: int
) -> None:
    inputs, then = recorded()
    inputs = {key: value if key == "image" else value[:people] for key, value in inputs.items()}
    found, today = run(name, inputs), program()(inputs)
    assert found.keys() == today.keys()
    for key, value in found.items():
        before = then[key][:people]
        levels = 1 if key in ("bilinear", "bicubic") else 1 / 255 / 0.2 if "norm" in key else 1e-4
        assert value.dtype == before.dtype and value.shape == before.shape
        for other in (before, today[key]):
            assert (value.double() - other.double()).abs().max() <= levels, key
        if name.endswith(".pt2"):
            assert torch.equal(value, today[key]), key


def test_every_op_of_then_is_called() -> None:
    program = torch.export.load(io.BytesIO((PROGRAMS / "ops.pt2").read_bytes()))
    called = {str(node.target) for node in program.graph.nodes if "dark." in str(node.target)}
    ops = "encode modulate decode heatmap_mse heatmap_mse_backward crop".split()
    assert called == {f"dark.{op}.default" for op in ops}
