# SPDX-License-Identifier: Apache-2.0
"""Figures of a whole data set: whoever saw which part of it, and whatever the network says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.annotation_file import read_annotation_file
from darkpose.data.annotations import Annotations, load_annotations
from darkpose.data.dataset import KeypointDataset, Sample
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics.metric import METRICS, Metric, has_joints
from darkpose.evaluate.metrics.pck import normalized_errors
from darkpose.evaluate.predictions import Predictions
from darkpose.evaluate.writing import write_evaluation
from darkpose.paper.synthetic import write_dataset
from darkpose.show.report import write_report
from reporting import cells_of, evaluated_mpii
from wholebody import evaluated, loaded

CODEC = HeatmapCodec((96, 128))
DECODERS = ("argmax", "dark")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeypointDataset, dict]:
    """Synthetic people, and the content of their annotation file."""
    folder = tmp_path_factory.mktemp("people") / "set"
    write_dataset(folder, {"val": 8}, seed=1)
    path = folder / "annotations" / "person_keypoints_val.json"
    dataset = KeypointDataset(load_annotations(path, folder / "images" / "val"), CODEC.input_size)
    return dataset, read_annotation_file(path)


def answer(sample: Sample, wrong: float = 0.0) -> Tensor:
    """Return the heatmaps [1, K, H, W] of a network that errs by `wrong` heatmap pixels."""
    joints, weights = sample["joints"][None], sample["weights"][None]
    to_heatmap = sample["to_heatmap"][None] + torch.tensor([[0, 0, wrong], [0, 0, 0]])
    return CODEC.encode(joints, weights, to_heatmap)[0]


def add(evaluation: Evaluation, index: int, heatmaps: Tensor, read: bool = True) -> None:
    sample = evaluation.dataset[index]
    to_image = sample["to_image"][None]
    evaluation.add(heatmaps, None, to_image, torch.tensor([read]), torch.tensor([index]))


def test_the_shares_of_processes_give_the_figures_of_the_whole(
    people: tuple[KeypointDataset, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people of one image in two processes: each alone would miss the other."""
    dataset, content = people
    whole, *parts = (Evaluation(CODEC, dataset, content, DECODERS) for _ in range(3))
    for index, sample in enumerate(map(dataset.__getitem__, range(len(dataset)))):
        for evaluation in (whole, parts[index % 2]):
            add(evaluation, index, answer(sample, wrong=index % 3))

    def all_gather_object(found: list, _share: object) -> None:
        found[:] = [part._share() for part in parts]

    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_gather_object", all_gather_object)
    alone = parts[0].figures("dark")
    parts[0].gather()
    for decoder in DECODERS:
        assert parts[0].figures(decoder) == pytest.approx(whole.figures(decoder), nan_ok=True)
    doubt = parts[0].predictions("dark").ambiguity
    np.testing.assert_array_equal(doubt, whole.predictions("dark").ambiguity)
    assert alone["AP"] != whole.figures("dark")["AP"]


def test_people_of_skipped_images_are_not_scored(
    people: tuple[KeypointDataset, dict], caplog: pytest.LogCaptureFixture
) -> None:
    dataset, content = people
    skipped = dataset.records[0].image_id
    evaluation = Evaluation(CODEC, dataset, content, DECODERS)
    for index, record in enumerate(dataset.records):
        add(evaluation, index, answer(dataset[index]), record.image_id != skipped)
    evaluation.gather()
    left_out = sum(record.image_id == skipped for record in dataset.records)
    assert len(evaluation.rows) == len(dataset) - left_out
    assert evaluation.figures("dark")["AP"] == pytest.approx(1)
    assert f"{left_out} people whose image was skipped are not scored" in caplog.text


def test_a_diverged_network_scores_zero(people: tuple[KeypointDataset, dict]) -> None:
    dataset, content = people
    evaluation = Evaluation(CODEC, dataset, content, DECODERS)
    for index in range(len(dataset)):
        add(evaluation, index, torch.full_like(answer(dataset[index]), torch.nan))
    assert len(evaluation.predictions("dark").records) == len(dataset)
    for decoder in DECODERS:
        figures = evaluation.figures(decoder)
        assert figures["AP"] == figures["AR"] == figures["PCK@0.02"] == 0


def test_nobody_seen_is_said(people: tuple[KeypointDataset, dict]) -> None:
    dataset, content = people
    with pytest.raises(ValueError, match="no person's image has been read"):
        Evaluation(CODEC, dataset, content, DECODERS).figures("dark")


def test_an_image_without_a_detection_counts_as_missed(
    people: tuple[KeypointDataset, dict],
) -> None:
    """Whoever is annotated there is not found: a subset of boxes must not look like all."""
    dataset, content = people
    first = dataset.records[0].image_id
    others = [record for record in dataset.records if record.image_id != first]
    spec, category = dataset.spec, dataset.category_id
    fewer = KeypointDataset(Annotations(tuple(others), spec, category), CODEC.input_size)
    evaluation = Evaluation(CODEC, fewer, content, DECODERS)
    for index in range(len(fewer)):
        add(evaluation, index, answer(fewer[index]))
    assert evaluation.figures("dark")["AR"] == pytest.approx(len(others) / len(dataset.records))


def test_people_found_twice_count_once(people: tuple[KeypointDataset, dict]) -> None:
    dataset, content = people
    twice = Annotations(tuple(dataset.records) * 2, dataset.spec, dataset.category_id)
    double = KeypointDataset(twice, CODEC.input_size)
    figures = {}
    for nms in ("hard", "none"):
        evaluation = Evaluation(CODEC, double, content, DECODERS, nms)
        for index in range(len(double)):
            add(evaluation, index, answer(double[index]))
        assert len(evaluation.predictions("dark").results()) == len(dataset) * (
            1 if nms == "hard" else 2
        )
        figures[nms] = evaluation.figures("dark")["AP"]
    assert figures["hard"] == pytest.approx(1) and figures["none"] < 1


def test_people_without_any_truth_have_results_but_no_figures(
    people: tuple[KeypointDataset, dict],
) -> None:
    dataset, _ = people
    unknown = [replace(one, joints=np.zeros_like(one.joints)) for one in dataset.records]
    spec, category = dataset.spec, dataset.category_id
    test_set = KeypointDataset(Annotations(tuple(unknown), spec, category), CODEC.input_size)
    evaluation = Evaluation(CODEC, test_set, None, DECODERS)
    for index in range(len(dataset)):
        add(evaluation, index, answer(dataset[index]))
    assert evaluation.figures("dark") == {}
    assert len(evaluation.predictions("dark").results()) == len(dataset)


# ---- the table of metrics ------------------------------------------------------------------------


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_scores_some_people_and_names_its_figures(
    name: str, people: tuple[KeypointDataset, dict], tmp_path: Path
) -> None:
    dataset, content = people
    coco = Evaluation(CODEC, dataset, content, DECODERS)
    add(coco, 0, answer(dataset[0]))
    figures: dict[str, float] = {}
    for evaluation in (coco, evaluated_mpii(tmp_path), evaluated(loaded(tmp_path))):
        found = METRICS[name](evaluation.predictions("dark"))
        assert found.keys() <= evaluation.figures("dark").keys()
        figures |= found
    assert list(figures) and all(isinstance(value, float) for value in figures.values())


def test_a_new_metric_is_measured_written_and_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def farthest(found: Predictions) -> dict[str, float]:
        errors = normalized_errors(found.points, found.joints, found.boxes)
        return {"farthest": float(np.nanmax(errors))}

    table = {"The largest error": ["farthest"]}
    monkeypatch.setitem(METRICS, "farthest", Metric(farthest, has_joints, table, share=False))
    evaluation = evaluated_mpii(tmp_path)
    figures = write_evaluation(evaluation, "dark", tmp_path)
    assert figures["farthest"] == pytest.approx(np.sqrt(50) / 100)
    assert json.loads((tmp_path / "figures.json").read_text())["farthest"] == figures["farthest"]
    write_report(evaluation, tmp_path / "a.html")
    rows = cells_of((tmp_path / "a.html").read_text(), "The largest error")
    assert rows == [["decoder", "farthest"], ["dark", "0.0707"]]


def test_a_metric_that_returns_other_figures_is_told(tmp_path: Path) -> None:
    metric = Metric(lambda _: {"b": 1.0}, has_joints, {"Caption": ["a"]})
    with pytest.raises(ValueError, match=r"must return its tables' \['a'\], got \['b'\]"):
        metric(evaluated_mpii(tmp_path).predictions("dark"))
