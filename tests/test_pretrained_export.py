# SPDX-License-Identifier: Apache-2.0
"""A ViTPose+ and a Sapiens2 as one file from an image to keypoints, and compiled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import pretrained
from darkpose.deploy import check
from darkpose.deploy.export import export
from darkpose.deploy.program import CropsToKeypoints
from darkpose.models.pose import PoseModel

MODELS: dict[str, Callable[[Path], Any]] = {
    "vitpose": lambda folder: pretrained.vitpose(folder, experts=6),
    "sapiens2": lambda folder: pretrained.sapiens2(folder, joints=17),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    MODELS[request.param](tmp_path / "model")
    return f"huggingface:{tmp_path / 'model'}"


@pytest.mark.parametrize("kind", ["onnx", pytest.param("pt2", marks=pytest.mark.slow)])
def test_the_file_finds_what_the_model_finds(
    tmp_path: Path,
    model: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxscript", reason="needs darkpose[onnx]")
    monkeypatch.setattr(check, "BATCHES", (1, 2, 5))
    export(Path(model), tmp_path / f"pose.{kind}", flip_test=True, from_="image")
    assert f"pose.{kind}: 136 of 136 joints within 0.001" in capsys.readouterr().out


@pytest.mark.slow
def test_it_compiles_as_one_graph_for_every_number_of_people(model: str) -> None:
    program = CropsToKeypoints(PoseModel.load(model), flip_test=True)
    compiled = torch.compile(program, fullgraph=True, backend="aot_eager")
    crops, to_image = check.people_crops(program.model.codec, 5)
    with torch.no_grad():
        for people in (2, 3, 5):
            expected = program(crops[:people], to_image[:people])
            coords, scores = compiled(crops[:people], to_image[:people])
            assert (coords - expected[0]).norm(dim=-1).median() < 1e-3
            assert torch.allclose(scores, expected[1], atol=1e-4 * float(scores.abs().max()))
