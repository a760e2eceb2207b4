# SPDX-License-Identifier: Apache-2.0
"""The examples with other people's networks, of random weights or none at all."""

import runpy
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

import pretrained
from darkpose.data.joint_sets import COCO
from darkpose.predict.predictor import Predictor
from predicting import BOXES, CLOSE, SIZE, clip

EXAMPLES = Path(__file__).parents[1] / "examples"
BLOB = 0.05  # of a heatmap pixel, a Gaussian drawn into an image and read from its resampled crop


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: Any) -> dict[str, Any]:
    script = str(EXAMPLES / name)
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    return runpy.run_path(script, run_name="__main__")


def numbers(box: Any, by: str = ",") -> str:
    return by.join(f"{value:g}" for value in box)


def test_vitpose_prints_the_keypoints_of_a_photo(
    two_photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pretrained.vitpose(tmp_path / "model")
    arguments = tmp_path / "model", two_photos[0], *map(numbers, BOXES[:2])
    run(monkeypatch, "huggingface_vitpose.py", *arguments)
    lines = capsys.readouterr().out.splitlines()
    expected = Predictor.from_pretrained(str(tmp_path / "model"))(two_photos[0], BOXES[:2])
    assert lines[18] == f"the person in {numbers(BOXES[1], ', ')}" and len(lines) == 2 * 18
    rows = [line.split() for line in lines[1:18]]
    assert [row[0] for row in rows] == list(COCO.names)
    found = np.array([row[1:] for row in rows], np.float64)
    np.testing.assert_allclose(found, expected.keypoints[0], atol=CLOSE)


def test_vitpose_draws_those_whom_a_detector_finds_into_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrained.vitpose(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    Path("examples_finder.py").write_text(f"find = lambda image: ({BOXES[:2].tolist()}, [1, 0.9])")
    clip(Path("in.avi"), frames=3)
    run(monkeypatch, "vitpose_video.py", "in.avi", "out.mp4", "model", "examples_finder:find")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"frame {number}: 2 people" for number in range(3)]
    source, drawn = cv2.VideoCapture("in.avi"), cv2.VideoCapture("out.mp4")
    for _ in range(3):
        before, after = (video.read()[1].astype(int) for video in (source, drawn))
        assert before.shape == after.shape == (*SIZE[::-1], 3)
        assert 0.001 < (np.abs(before - after).max(2) > 100).mean() < 0.5
    assert not drawn.read()[0]


def test_a_vitpose_is_finetuned_for_other_joints_and_exported(
    people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnxscript", reason="needs darkpose[onnx]")
    pretrained.vitpose(tmp_path / "model", labels=[f"corner {k}" for k in range(5)])
    (tmp_path / "people/annotations").mkdir(parents=True)
    (tmp_path / "people/images").symlink_to(people / "images")
    for name in ("train", "val"):
        file = people / f"annotations/person_keypoints_{name}.json"
        (tmp_path / f"people/annotations/{name}.json").write_bytes(file.read_bytes())
    few = ["--trainer.max_epochs=1", "--data.workers=0", "--trainer.enable_progress_bar=false"]
    arguments = tmp_path / "model", tmp_path / "people", tmp_path / "out", *few
    run(monkeypatch, "finetune_vitpose.py", *arguments)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith(".jpg: 17 joints") and "2176 of 2176 joints" in lines[-2]
    assert (tmp_path / "out/pose.onnx").stat().st_size > 10_000


def test_rtmlibs_vitpose_decodes_made_heatmaps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "rtmlib_vitpose.py")
    said, error = capsys.readouterr().out.split(": ")
    assert said == "made heatmaps, 5 image pixels each"
    assert float(error.split()[0]) < 0.5


class Seen(torch.nn.Module):
    """One heatmap: the input itself, where UDP has the heatmap's pixels."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return interpolate(image[:, :1], (64, 48), mode="bilinear", align_corners=True)


def test_rtmlibs_vitpose_finds_a_blob_in_an_image_and_rtmlibs_own_half_an_input_pixel_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "rtmlib is not installed: pip install rtmlib onnxruntime"
    theirs: Any = pytest.importorskip("rtmlib", reason=reason).ViTPose
    ours = run(monkeypatch, "rtmlib_vitpose.py")["DarkViTPose"]
    model = tmp_path / "seen.onnx"
    given = torch.zeros(1, 3, 256, 192)
    torch.onnx.export(Seen().eval(), (given,), model, input_names=["input"], dynamo=True)
    box, place = [100.0, 50.0, 288.0, 301.0], np.array([180.3, 190.6])
    pixel = (301 - 50) * 1.25 / 63  # image pixels to one of the heatmap
    y, x = np.mgrid[:400, :400]
    squared = ((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * (2 * pixel) ** 2)
    image = np.repeat(np.rint(255 * np.exp(-squared))[..., None], 3, 2).astype(np.uint8)
    errors = {}
    for kind in (ours, theirs):
        pose = kind(str(model), mean=(0, 0, 0), std=(255, 255, 255))
        keypoints, scores = pose(image, [box])
        assert keypoints.shape == (1, 1, 2) and scores.shape == (1, 1) and scores.min() > 0.9
        errors[kind] = np.abs(keypoints[0, 0] - place) / pixel
    assert errors[ours].max() < BLOB
    assert (np.abs(errors[theirs] - 0.5 / 4) < BLOB).all()  # four input pixels to the heatmap's


def test_several_animals_of_one_map_are_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As drawn to a tenth of a pixel, with one tail hidden, each with the head that is its own."""
    left = run(monkeypatch, "bottom_up.py")
    assert left["count"].tolist() == [3, 3, 2]
    seen = left["HEIGHTS"] > 0
    for joint in range(3):
        order = left["HEIGHTS"][seen[:, joint], joint].argsort(descending=True)
        expected = left["ANIMALS"][seen[:, joint], joint][order]
        found = left["coords"][joint, : len(expected)]
        torch.testing.assert_close(found, expected, atol=0.1, rtol=0)
    lines = capsys.readouterr().out.splitlines()
    assert "the tail of animal 0 is peak 1" in lines and len(lines) == 3 + 8 + 5
