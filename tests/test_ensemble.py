# SPDX-License-Identifier: Apache-2.0
"""Several checkpoints as one: heatmaps averaged where they mean the same, coordinates elsewhere."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from darkpose.cli.main import main
from darkpose.codec import HeatmapCodec
from darkpose.data.batches import Batches
from darkpose.data.options import DataOptions
from darkpose.data.spec import KeypointSpec
from darkpose.evaluate.ensemble import DECODER, average, evaluate_ensemble, group
from darkpose.evaluate.evaluation import Evaluation
from darkpose.geometry import Convention
from darkpose.models.pose import PoseModel

SQUARE, PORTRAIT = (64, 64), (96, 128)
SAME = 1e-9  # pixels: the same float64 arithmetic in another order
ROUNDING = 1e-3  # pixels: a mean of float32 heatmaps taken in another order
NAN = float("nan")


def make_task(
    seed: int,
    spec: KeypointSpec,
    input_size: tuple[int, int] = SQUARE,
    convention: str = "darkpose",
    encoding: str = "unbiased",
) -> PoseModel:
    """Return an untrained network whose heatmaps are uneven, with positive peaks."""
    torch.manual_seed(seed)
    codec = HeatmapCodec(input_size, convention=Convention(convention), encoding=encoding)
    task = PoseModel(codec, spec)
    with torch.no_grad():
        task.network.final_layer.weight *= 100  # type: ignore[operator, union-attr]
        task.network.final_layer.bias += 4  # type: ignore[operator, union-attr]
    return task.eval()


def save(task: PoseModel, path: Path) -> Path:
    task.save(path)
    return path


@pytest.fixture(scope="module")
def data(people: Path) -> DataOptions:
    """Options for the people to evaluate on."""
    file = people / "annotations" / "person_keypoints_val.json"
    return DataOptions(file, people / "images" / "val", workers=0)


@pytest.fixture(scope="module")
def spec(data: DataOptions) -> KeypointSpec:
    return Batches(HeatmapCodec(SQUARE), data).spec


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, spec: KeypointSpec) -> dict[str, Path]:
    """Two networks alike, one with another input, one of coordinates."""
    folder = tmp_path_factory.mktemp("checkpoints")
    tasks = {
        "a": make_task(1, spec),
        "b": make_task(2, spec, encoding="biased"),
        "larger": make_task(3, spec, PORTRAIT, convention="hrnet"),
        "dsnt": make_task(4, spec, encoding="dsnt"),
    }
    return {name: save(task, folder / f"{name}.ckpt") for name, task in tasks.items()}


def coordinates(evaluation: Evaluation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    found = evaluation.predictions(DECODER)
    assert np.isfinite(found.points).all() and (found.scores > 0).all()
    return found.points, found.scores


def test_checkpoints_alike_are_averaged_as_heatmaps(
    checkpoints: dict[str, Path], data: DataOptions, spec: KeypointSpec
) -> None:
    """Whatever they were trained toward, and also in the flip test."""
    tasks = [make_task(1, spec), make_task(2, spec, encoding="biased")]
    (together,) = group(tasks)
    assert together.members == tasks
    people = Batches(tasks[0].codec, data)
    (batch,) = people.val_batches()
    with torch.inference_mode():
        plain, flipped = together.heatmaps(batch["image"], flip_test=True)
        outputs = [task.heatmaps(batch["image"], flip_test=True) for task in tasks]
    by_hand = [(one + other) / 2 for one, other in zip(*outputs, strict=True)]  # type: ignore[operator]
    torch.testing.assert_close(plain, by_hand[0])
    torch.testing.assert_close(flipped, by_hand[1])

    points, scores = coordinates(evaluate_ensemble([checkpoints["a"], checkpoints["b"]], data))
    wanted = tasks[0].codec.decode(by_hand[0], batch["to_image"], flipped=by_hand[1])
    np.testing.assert_allclose(points, wanted[0], atol=ROUNDING)
    np.testing.assert_allclose(scores, wanted[1], rtol=1e-5)


def test_others_are_averaged_as_coordinates_weighted_by_score_and_number(
    checkpoints: dict[str, Path], data: DataOptions
) -> None:
    names = ("a", "b", "larger", "dsnt")
    points, scores = coordinates(evaluate_ensemble([checkpoints[name] for name in names], data))
    pair = coordinates(evaluate_ensemble([checkpoints["a"], checkpoints["b"]], data))
    larger = coordinates(evaluate_ensemble([checkpoints["larger"]], data))
    dsnt = coordinates(evaluate_ensemble([checkpoints["dsnt"]], data))
    shares = [2 * pair[1], larger[1], dsnt[1]]
    total = pair[0] * shares[0][..., None] + larger[0] * shares[1][..., None]
    total += dsnt[0] * shares[2][..., None]
    np.testing.assert_allclose(points, total / sum(shares)[..., None], atol=SAME)
    np.testing.assert_allclose(scores, sum(shares) / 4, atol=SAME)
    assert np.abs(points - pair[0]).max() > 1


def test_networks_that_regress_stand_alone(spec: KeypointSpec) -> None:
    encodings: tuple[...] = ("unbiased", "dsnt", "biased", "dsnt", "ipr")
    tasks = [make_task(i, spec, encoding=one) for i, one in enumerate(encodings)]
    assert [one.members for one in group(tasks)] == [
        [tasks[0], tasks[2]],
        *([task] for task in (tasks[1], tasks[3], tasks[4])),
    ]


@pytest.mark.parametrize(
    "other", [{"input_size": PORTRAIT}, {"convention": "hrnet"}, {"convention": "udp"}]
)
def test_heatmaps_of_other_meaning_are_not_averaged(
    spec: KeypointSpec, other: dict[str, Any]
) -> None:
    assert len(group([make_task(1, spec), make_task(2, spec, **other)])) == 2


@pytest.mark.parametrize(
    ("scores", "points", "mean", "score"),
    [
        ([0.5, 0.5], [[0, 0], [3, 6]], [1, 2], 0.5),  # two members against one
        ([0.2, 0.8], [[0, 0], [3, 6]], [2, 4], 0.4),
        ([0.5, 0.0], [[1, 2], [3, 6]], [1, 2], 1 / 3),
        ([0.0, 0.0], [[0, 0], [3, 6]], [1, 2], 0),  # by number where nobody is sure
        ([-0.3, -0.6], [[0, 0], [3, 6]], [1, 2], -0.4),
        ([-0.3, 0.6], [[0, 0], [3, 6]], [3, 6], 0),
        ([0.5, 0.25], [[NAN, 1], [3, 6]], [3, 6], 0.25),  # who says NaN does not count
        ([0.5, NAN], [[1, 2], [3, 6]], [1, 2], 0.5),
        ([NAN, 0.0], [[NAN, NAN], [3, 6]], [3, 6], 0),
        ([NAN, NAN], [[NAN, NAN], [3, 6]], [NAN, NAN], NAN),
    ],
)
def test_an_average_by_hand(
    scores: list[float], points: list[list[float]], mean: list[float], score: float
) -> None:
    """Of a group of two checkpoints and one of one, for one person's one joint."""
    found = average(np.reshape(points, (2, 1, 1, 2)), np.reshape(scores, (2, 1, 1)), [2, 1])
    np.testing.assert_allclose(found[0], [[mean]], atol=SAME)
    np.testing.assert_allclose(found[1], [[score]], atol=SAME)


def test_one_group_comes_out_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    points, scores = rng.uniform(-50, 500, (100, 17, 2)), rng.uniform(-0.1, 1, (100, 17))
    points[3], scores[4], scores[5] = np.nan, np.nan, 0
    found = average([points], [scores], [3])
    known = np.isfinite(points).all(-1) & np.isfinite(scores)
    np.testing.assert_array_equal(found[0][known], points[known])
    np.testing.assert_array_equal(found[1][known], scores[known])
    assert np.isnan(found[0][~known]).all() and np.isnan(found[1][~known]).all()


def test_other_joints_are_refused(
    checkpoints: dict[str, Path], data: DataOptions, spec: KeypointSpec, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="at least one checkpoint, got none"):
        group([])
    fewer = KeypointSpec.from_names(["nose", "left_eye", "right_eye"])
    with pytest.raises(ValueError, match=r"same joints, \['nose', 'left_eye', 'right_eye', 'left"):
        group([make_task(1, spec), make_task(2, fewer)])
    stranger = save(make_task(1, fewer), tmp_path / "fewer.ckpt")
    with pytest.raises(ValueError, match=r"data must have the checkpoints' joints, \['nose', 'le"):
        evaluate_ensemble([stranger], data)


def test_conventions_that_see_different_people_are_refused(
    checkpoints: dict[str, Path], data: DataOptions, tmp_path: Path
) -> None:
    """HRNet's training drops a box of one pixel, DarkPose's does not."""
    content = json.loads(data.val.read_text())
    content["annotations"][0]["bbox"][2] = 1
    file = tmp_path / "narrow.json"
    file.write_text(json.dumps(content))
    both = [checkpoints["a"], checkpoints["larger"]]
    with pytest.raises(ValueError, match="different people .* set data.clip_boxes to false"):
        evaluate_ensemble(both, replace(data, val=file))
    found = evaluate_ensemble(both, replace(data, val=file, clip_boxes=False))
    assert len(found.rows) == len(content["annotations"])


def test_one_checkpoint_says_what_it_says_in_validate(
    checkpoints: dict[str, Path], config: Path, tmp_path: Path, data: DataOptions
) -> None:
    said = ["--ckpt_path", str(checkpoints["a"]), "--out", str(tmp_path / "validate")]
    main(["validate", "--config", str(config), *said])
    ensemble(["a"], checkpoints, data, tmp_path / "alone")
    for name in ("figures.json", "results.json", "errors.md"):
        alone = (tmp_path / "alone" / name).read_text()
        assert alone == (tmp_path / "validate" / name).read_text()
    assert json.loads((tmp_path / "alone" / "figures.json").read_text())["PCK@0.2"] > 0


def test_an_ensemble_writes_its_outcome_and_prints_its_figures(
    checkpoints: dict[str, Path],
    data: DataOptions,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ensemble(["a", "larger"], checkpoints, data, tmp_path)
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert printed.keys() == figures.keys() and {"AP", "AR", "PCK@0.02"} <= figures.keys()
    assert float(printed["PCK@0.2"]) == pytest.approx(figures["PCK@0.2"], abs=5e-5)
    results = json.loads((tmp_path / "results.json").read_text())
    both = [checkpoints[name] for name in ("a", "larger")]
    points, _ = coordinates(evaluate_ensemble(both, data))
    keypoints = np.array([person["keypoints"] for person in results]).reshape(len(points), 17, 3)
    np.testing.assert_array_equal(keypoints[..., :2], points)
    assert (tmp_path / "errors.md").read_text().startswith("| joint | visibility |")


def ensemble(names: list[str], checkpoints: dict[str, Path], data: DataOptions, out: Path) -> None:
    paths = json.dumps([str(checkpoints[name]) for name in names])
    options = [f"--data.val={data.val}", f"--data.val_images={data.val_images}"]
    options += [f"--data.workers={data.workers}"]
    main(["ensemble", "--checkpoints", paths, *options, "--device=cpu", f"--out={out}"])
