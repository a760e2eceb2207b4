# SPDX-License-Identifier: Apache-2.0
"""Detectors: any function by its import path, and transformers' pipelines; and the example."""

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from darkpose.predict.detectors import load_detector
from darkpose.predict.predictor import Predictor
from predicting import BOXES, CLOSE, SIZE, close, points, rgb_photo, rows_of, run

ROOT = Path(__file__).parents[1]


pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


def find_people(image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A detector for these tests."""
    assert image.shape == (SIZE[1], SIZE[0], 3) and image.dtype == np.uint8
    return BOXES, np.array([0.9, 0.3, 0.8])


def find_wrongly(_image: NDArray[np.uint8]) -> Any:
    return BOXES


def test_a_detector_of_ones_own_finds_the_people(checkpoint: Path, photos: Path) -> None:
    detector = f"{__name__}:find_people"
    run(checkpoint, [str(photos)], None, Path("out.csv"), detector=detector, min_box_score=0.5)
    rows = rows_of(Path("out.csv"))
    assert len(rows) == 4
    assert [float(rows[1][side]) for side in "xywh"] == BOXES[2].tolist()
    expected = Predictor.from_checkpoint(checkpoint, device="cpu")(
        photos / "a.jpg", BOXES[[0, 2]], [0.9, 0.8]
    )
    for row, person, score in zip(rows, expected.keypoints, expected.scores, strict=False):
        assert close(points(row), person[:, :2])
        assert float(row["score"]) == pytest.approx(score, rel=1e-3)


def test_a_detector_in_the_current_folder_is_found(tmp_path: Path) -> None:
    Path("my_own_detector.py").write_text("def find(image):\n    return [[1, 2, 3, 4]], [0.5]\n")
    boxes, scores = load_detector("my_own_detector:find")(rgb_photo())
    assert boxes.tolist() == [[1, 2, 3, 4]] and scores.tolist() == [0.5]
    with pytest.raises(ImportError, match="no_such_module"):
        load_detector("no_such_module:find")


def test_a_detector_that_returns_something_else_is_named(checkpoint: Path, photos: Path) -> None:
    with pytest.raises(ValueError, match=r"must return boxes \[N, 4\] and scores \[N\], got a nd"):
        run(checkpoint, [str(photos / "a.jpg")], detector=f"{__name__}:find_wrongly")


def test_a_pipeline_of_transformers_is_a_detector(tmp_path: Path) -> None:
    """The real library and a real architecture, of random weights and few of them."""
    transformers = pytest.importorskip("transformers", reason="an extra of its own")
    config = transformers.YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[64, 64],
        num_detection_tokens=6,
        id2label={0: "person", 1: "bicycle"},
    )
    transformers.YolosForObjectDetection(config).save_pretrained(tmp_path / "model")
    transformers.YolosImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 80}
    ).save_pretrained(tmp_path / "model")
    boxes, scores = load_detector(f"huggingface:{tmp_path / 'model'}", "cpu", 0.6)(rgb_photo())
    assert boxes.shape == (len(scores), 4) and (scores >= 0.6).all()


def test_without_transformers_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'darkpose\[huggingface\]'"):
        load_detector("huggingface:any/model")


# ---- the example ---------------------------------------------------------------------------------


def test_the_example_prints_keypoints_and_draws_them(
    checkpoint: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script, boxes = str(ROOT / "examples/predict.py"), ["40,30,100,150", "150,20,80,200"]
    monkeypatch.setattr(sys, "argv", [script, str(checkpoint), str(photos / "a.jpg"), *boxes])
    runpy.run_path(script, run_name="__main__")
    expected = Predictor.from_checkpoint(checkpoint, device="cpu")(photos / "a.jpg", BOXES[:2])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    noses = np.array([line[1:3] for line in lines if line[0] == "nose"], np.float64)
    np.testing.assert_allclose(noses, expected.keypoints[:, 0, :2], atol=CLOSE)
    assert (photos / "a.keypoints.png").exists()
