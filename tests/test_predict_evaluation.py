# SPDX-License-Identifier: Apache-2.0
"""A predictor says what evaluation says of the same people, by boxes of each kind."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from darkpose.data.batches import Batches
from darkpose.data.grouping import by_image
from darkpose.data.options import DataOptions
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.predictions import Predictions, Subjects
from darkpose.evaluate.scores import person_scores, score_threshold
from darkpose.models.pose import PoseModel
from darkpose.predict.predictor import Predictor, Request
from predicting import BATCH, close, untrained

EXACT = 1e-6


def evaluated(
    model: PoseModel, root: Path, split: str, clip_boxes: bool, detections: Path | None
) -> Predictions:
    """Return what validation predicts for the people of coco_mini, people of an image together, as
    it sees them."""
    options = DataOptions(
        val=root / f"annotations/person_keypoints_{split}.json",
        val_images=root / f"images/{split}",
        batch_size=BATCH,
        workers=0,
        clip_boxes=clip_boxes,
        detections=detections,
    )
    data, decoder = Batches(model.codec, options), model.codec.decoders[-1]
    evaluation = Evaluation(model.codec, data.val_set, data.truth, [decoder])
    with torch.inference_mode():
        for batch in data.val_batches():
            heatmaps, flipped = model.heatmaps(batch["image"], flip_test=True)
            index, read = (torch.as_tensor(batch[name]) for name in ("index", "image_read"))
            evaluation.add(heatmaps, flipped, batch["to_image"], read, index)
    found = evaluation.predictions(decoder)
    order = by_image(data.val_set.images)
    people = Subjects.of(data.val_set).at(order)
    return Predictions(people, found.points[order], found.scores[order])


def requests(found: Predictions, annotated: bool) -> list[Request]:
    """Return a request for each image of the people evaluated."""
    grouped = itertools.groupby(found.records, key=lambda record: record.image_path)
    return [
        Request(str(path), path, np.array([each.box for each in people]), annotated=annotated)
        for path, people in grouped
    ]


@pytest.mark.parametrize(
    ("split", "codec", "boxes"),
    [
        ("val2017", {"input_size": (64, 96), "convention": "darkpose"}, "annotated"),
        ("train2017", {"convention": "hrnet", "encoding": "biased"}, "annotated"),
        ("train2017", {"convention": "udp", "encoding": "dsnt"}, "annotated"),
        ("train2017", {"convention": "hrnet", "encoding": "biased"}, "not clipped"),
        ("train2017", {"convention": "hrnet", "encoding": "biased"}, "detected"),
    ],
    ids=lambda value: value.get("convention") if isinstance(value, dict) else value,
)
def test_predictions_are_those_of_evaluation_bit_for_bit_in_the_same_batches(
    data: Path, tmp_path: Path, split: str, codec: dict[str, Any], boxes: str
) -> None:
    model, clip_boxes, detections = untrained(**codec), boxes != "not clipped", None
    if boxes == "detected":
        detections = tmp_path / "detections.json"
        file = data / f"coco_mini/annotations/person_keypoints_{split}.json"
        people = [
            {**each, "bbox": [each["bbox"][0] - 9, *each["bbox"][1:]], "score": 1}
            for each in json.loads(file.read_text())["annotations"]
        ]
        detections.write_text(json.dumps(people))
    expected = evaluated(model, data / "coco_mini", split, clip_boxes, detections)
    asked = requests(expected, boxes != "detected")

    def predicted(batch_size: int, some: list[Request]) -> tuple[NDArray[Any], NDArray[Any]]:
        predictor = Predictor(
            model,
            device="cpu",
            batch_size=batch_size,
            orientation="stored",
            clip_boxes=clip_boxes,
        )
        poses = [outcome.poses for outcome in predictor.stream(some) if outcome.poses]
        assert len(poses) == len(some)
        return (
            np.concatenate([each.keypoints for each in poses]),
            np.concatenate([each.scores for each in poses]),
        )

    found, ranks = predicted(BATCH, asked)
    assert len(found) == len(expected.records) > 60
    np.testing.assert_array_equal(found[..., :2], expected.points)
    np.testing.assert_array_equal(found[..., 2], expected.scores)
    expected_ranks = person_scores(expected.scores, 1.0, score_threshold(model.codec))
    np.testing.assert_allclose(ranks, expected_ranks, rtol=EXACT)
    for batch_size in (1, 13):
        again = predicted(batch_size, asked[:12])[0][..., :2]
        assert close(again, found[: len(again), :, :2])
