# SPDX-License-Identifier: Apache-2.0
"""The predictor: what evaluation says, for any image and any boxes, in bounded memory."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import darkpose
from darkpose.evaluate.scores import person_scores
from darkpose.predict.predictor import Predictor
from predicting import BOXES, MOST, SIZE, close, rgb_photo, save, share_within, untrained

SHIFTED = 0.05  # pixels: the same crop out of a shifted image, with other rounding of the map
EXACT = 1e-6
HEAVY = set("lightning torchmetrics transformers matplotlib scipy pycocotools rich".split())


# ---- devices -------------------------------------------------------------------------------------


def test_a_predictor_runs_on_any_device_and_takes_crops_of_any(device: str) -> None:
    model = untrained()
    crops = torch.from_numpy(np.stack([rgb_photo((64, 64), seed) for seed in range(3)]))
    on_cpu = Predictor(model, device="cpu")
    expected, mirrored = on_cpu.heatmaps(crops)
    assert mirrored is not None and expected.shape == mirrored.shape == (3, 17, 16, 16)
    there = Predictor(untrained(), device=device)
    found, _ = there.heatmaps(crops.to(device))
    assert found.device.type == device
    points = there.codec.decode(found)[0].cpu().numpy()
    assert close(points, on_cpu.codec.decode(expected)[0].numpy())


# ---- boxes ---------------------------------------------------------------------------------------


def test_the_whole_image_is_the_box_where_none_is_given(predictor: Predictor) -> None:
    image = rgb_photo()
    found = predictor(image)
    np.testing.assert_array_equal(found.boxes, [[0, 0, *SIZE]])
    np.testing.assert_array_equal(found.keypoints, predictor(image, found.boxes).keypoints)


@pytest.mark.parametrize("boxes", [np.empty((0, 4)), []])
def test_no_boxes_are_no_people(predictor: Predictor, boxes: Any) -> None:
    found = predictor(rgb_photo(), boxes, [])
    assert len(found) == 0 and found.keypoints.shape == (0, 17, 3) and found.boxes.shape == (0, 4)


def test_boxes_beyond_the_image_are_as_in_an_image_with_black_around(predictor: Predictor) -> None:
    """Partly and wholly outside, in each direction; none is clipped or dropped."""
    margin = 500
    boxes = np.array(
        [
            [-60.0, -50, 120, 160],
            [280, 200, 90, 90],
            [-300, 100, 50, 50],
            [400, 300, 70, 60],
            [-100, -100, 600, 500],
        ]
    )
    image = rgb_photo()
    wide = cv2.copyMakeBorder(image, *[margin] * 4, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    found = predictor(image, boxes)
    expected = predictor(wide, boxes + [margin, margin, 0, 0])
    np.testing.assert_array_equal(found.boxes, boxes.astype(np.float32))
    assert np.isfinite(found.keypoints).all()
    shifted = expected.keypoints[..., :2] - margin
    assert share_within(found.keypoints[..., :2], shifted, SHIFTED) >= MOST


@pytest.mark.parametrize("convention", ["darkpose", "hrnet", "udp"])
def test_a_box_without_size_has_no_pose_and_spoils_no_other(convention: str) -> None:
    predictor = Predictor(untrained(convention=convention), device="cpu")
    sizeless = np.array([[5.0, 5, 0, 40], [5, 5, 40, 0], [5, 5, 0, 0]])
    found = predictor(rgb_photo(), np.concatenate([sizeless, BOXES]), np.full(6, 0.5))
    assert np.isnan(found.keypoints[:3]).all() and (found.scores[:3] == 0).all()
    expected = predictor(rgb_photo(), BOXES, np.full(3, 0.5))
    np.testing.assert_array_equal(found.keypoints[3:], expected.keypoints)
    np.testing.assert_array_equal(found.scores[3:], expected.scores)
    tiny = predictor(rgb_photo(), np.array([[5, 5, 1e-3, 1e-3], *BOXES]))
    assert np.isfinite(tiny.keypoints[1:]).all()


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([[0, 0, np.nan, 9]], "finite"),
        ([[0, 0, 9, 9], [0, 0, -1, 9]], "got .* at position 1"),
        ([[0, np.inf, 9, 9]], "finite"),
        ([[1e30, 0, 9, 9]], "within 16777216 pixels"),
        ([0, 0, 9, 9], r"boxes must be \[N, 4\]: x, y, width, height, got \[4\]"),
        ([[0, 0, 9]], r"got \[1, 3\]"),
        ([["left", 0, 9, 9]], r"boxes must be \[N, 4\] numbers"),
    ],
)
def test_impossible_boxes_are_refused(predictor: Predictor, boxes: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        predictor(rgb_photo(), boxes)


def test_scores_are_those_that_evaluation_ranks_by(predictor: Predictor) -> None:
    found = predictor(rgb_photo(), BOXES, [0.9, 0.5, 0.1])
    expected = person_scores(found.keypoints[..., 2], [0.9, 0.5, 0.1])
    np.testing.assert_allclose(found.scores, expected, rtol=EXACT)
    for wrong in ([0.9], [0.9, np.nan, 1]):
        with pytest.raises(ValueError, match="box_scores must be 3 finite numbers"):
            predictor(rgb_photo(), BOXES, wrong)
    with pytest.raises(ValueError, match="box_scores need boxes"):
        predictor(rgb_photo(), None, [1.0])


def test_the_result_says_what_its_joints_are(predictor: Predictor) -> None:
    found = predictor(rgb_photo(), BOXES)
    assert found.keypoints.shape == (3, 17, 3) and found.scores.shape == (3,) and len(found) == 3
    assert found.image_size == predictor(rgb_photo(), []).image_size == SIZE
    assert found.names == predictor.spec.names and found.skeleton == predictor.spec.skeleton
    assert found.keypoints.dtype == found.scores.dtype == found.boxes.dtype == np.float32


def test_a_result_becomes_one_of_supervision(predictor: Predictor) -> None:
    supervision = pytest.importorskip("supervision", reason="an extra of its own")
    boxes = np.array([[5.0, 5, 0, 0], *BOXES])
    found = predictor(rgb_photo(), boxes, [1, 0.9, 0.8, 0.7])
    there = found.to_supervision()
    assert isinstance(there, supervision.KeyPoints) and len(there) == 4
    np.testing.assert_array_equal(there.xy[1:], found.keypoints[1:, :, :2])
    np.testing.assert_array_equal(there.keypoint_confidence[1:], found.keypoints[1:, :, 2])
    np.testing.assert_array_equal(there.detection_confidence, found.scores)
    assert (there.xy[0] == 0).all()  # absent
    drawn = supervision.VertexAnnotator(radius=2).annotate(rgb_photo(), there)
    assert (drawn != rgb_photo()).any()
    assert predictor(rgb_photo(), []).to_supervision().is_empty()


def test_without_supervision_the_rest_works_and_its_extra_is_named(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    found = predictor(rgb_photo(), BOXES)
    with pytest.raises(ImportError, match=r"pip install 'darkpose\[supervision\]'"):
        found.to_supervision()


def test_a_checkpoint_is_all_that_a_predictor_needs(tmp_path: Path) -> None:
    model = untrained(convention="udp", input_size=(64, 96))
    path = save(model, tmp_path / "a.ckpt")
    predictor = darkpose.Predictor.from_checkpoint(path, flip_test=False, device="cpu")
    assert predictor.codec == model.codec and predictor.spec == model.spec
    assert predictor.device == torch.device("cpu")
    found = predictor(rgb_photo(), BOXES)
    mirrored = Predictor.from_checkpoint(path, device="cpu")(rgb_photo(), BOXES)
    assert (found.keypoints != mirrored.keypoints).any()
    whole = Predictor.from_checkpoint(path, flip_test=False, device="cpu", decoder="argmax")
    assert (whole(rgb_photo(), BOXES).keypoints != found.keypoints).any()


class Hostile:
    """What unpickling would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_hostile_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    writers = {"pickle": (pickle.dump, {"protocol": 2}), "torch": (torch.save, {})}
    for name, (write, options) in writers.items():
        path = tmp_path / f"{name}.ckpt"
        with path.open("wb") as file:
            write({"state_dict": Hostile(trace)}, file, **options)  # type: ignore[operator]
        with pytest.raises(ValueError, match=f"{name}.ckpt holds \\w+, which is refused"):
            Predictor.from_checkpoint(path)
    assert not trace.exists()
    with pytest.raises(FileNotFoundError):
        Predictor.from_checkpoint(tmp_path / "none.ckpt")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"decoder": "best"},
            "must be one of argmax, standard, dark_unmodulated, dark, or module:function",
        ),
        ({"orientation": "left"}, "orientation must be one of exif, stored, got left"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"device": "abacus"}, "device must be one of torch's"),
        ({"device": "cuda:99"}, "device must be one of torch's that is here, .* got cuda:99"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Predictor(untrained(), **options)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, darkpose\n"
        "assert not {'torch', 'cv2', 'lightning', 'numpy'} & set(sys.modules)\n"
        "assert 'Predictor' in darkpose.__all__ and not hasattr(darkpose, 'Predicter')\n"
        "sys.modules['cv2'] = None\n"
        "try:\n    darkpose.Predictor\n"
        "except ImportError as error:\n"
        "    assert \"needs cv2: pip install 'darkpose[predict]'\" in str(error), error\n"
        "else:\n    raise AssertionError\n"
        "del sys.modules['cv2']\n"
        "import darkpose.predict.command\n"
        "assert darkpose.Predictor\n"
        f"loaded = {HEAVY} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
