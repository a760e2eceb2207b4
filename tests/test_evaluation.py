# SPDX-License-Identifier: Apache-2.0
"""Figures of a whole data set: whoever saw which part of it, and whatever the network says."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import load_annotations, read_annotation_file
from darkpose.data.dataset import KeypointDataset, Sample
from darkpose.data.synthetic import write_dataset
from darkpose.evaluation import Evaluation

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


def add(evaluation: Evaluation, index: int, heatmaps: Tensor, weight: float = 1.0) -> None:
    sample = evaluation.dataset[index]
    weights = weight * sample["weights"][None]
    evaluation.add(heatmaps, None, sample["to_image"][None], weights, torch.tensor([index]))


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
    assert alone["AP"] != whole.figures("dark")["AP"]


def test_people_of_skipped_images_are_not_scored(
    people: tuple[KeypointDataset, dict], caplog: pytest.LogCaptureFixture
) -> None:
    dataset, content = people
    skipped = dataset.records[0].image_id
    evaluation = Evaluation(CODEC, dataset, content, DECODERS)
    for index, record in enumerate(dataset.records):
        add(evaluation, index, answer(dataset[index]), float(record.image_id != skipped))
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
    with pytest.raises(ValueError, match="needs at least one result, got none"):
        Evaluation(CODEC, dataset, content, DECODERS).figures("dark")


def test_the_annotations_may_be_a_file(
    people: tuple[KeypointDataset, dict], tmp_path: Path
) -> None:
    dataset, content = people
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    evaluation = Evaluation(CODEC, dataset, content, DECODERS)
    for index in range(len(dataset)):
        add(evaluation, index, answer(dataset[index]))
    found = evaluation.predictions("dark")
    figures = found.average_precision(path, dataset.spec.oks_sigmas, dataset.category_id)
    expected = {name: evaluation.figures("dark")[name] for name in figures}
    assert figures == pytest.approx(expected, nan_ok=True)
