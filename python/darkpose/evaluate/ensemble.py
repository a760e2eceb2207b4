# SPDX-License-Identifier: Apache-2.0
"""Several checkpoints as one predictor, as challenge entries are (the paper's Table 9).

Checkpoints whose heatmaps mean the same are averaged as heatmaps, and the average is decoded once.
Others, of another input size or convention, agree only in the image: their coordinates are
averaged, weighted by their scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.batches import Batches
from darkpose.data.options import DataOptions
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics.coco import Nms
from darkpose.models.pose import PoseModel

DECODER = "ensemble"
"""The name under which the evaluation of an ensemble holds its predictions."""


@dataclass(frozen=True)
class Group:
    """Checkpoints whose heatmaps may be averaged: alike in size, pixels, sigma and joints."""

    codec: HeatmapCodec
    members: list[PoseModel]

    def heatmaps(self, image: Tensor, flip_test: bool) -> tuple[Tensor, Tensor | None]:
        """Return the mean of the members' heatmaps, and that of the mirrored crops."""
        outputs = [member.heatmaps(image, flip_test) for member in self.members]
        plain = torch.stack([heatmaps for heatmaps, _ in outputs]).mean(0)
        mirrored = [flipped for _, flipped in outputs if flipped is not None]
        return plain, torch.stack(mirrored).mean(0) if mirrored else None


def group(models: Sequence[PoseModel]) -> list[Group]:
    """Return the checkpoints in groups whose heatmaps may be averaged.

    Those that regress coordinates stand alone: the mean of their maps is no map of theirs.

    Raises:
        ValueError: there are none, or they have different joints.
    """
    if not models:
        raise ValueError("an ensemble needs at least one checkpoint, got none")
    names = models[0].spec.names
    groups: dict[Any, Group] = {}
    for i, model in enumerate(models):
        if model.spec.names != names:
            raise ValueError(
                f"the checkpoints of an ensemble must have the same joints, {list(names)}, "
                f"got {list(model.spec.names)}"
            )
        meaning = model.codec.to_dict()
        # A Gaussian at a rounded center still stands for that joint, however it is read.
        for name in ("encoding", "modulation"):
            meaning.pop(name)
        key = i if model.codec.regresses else str(meaning)
        groups.setdefault(key, Group(model.codec, [])).members.append(model)
    return list(groups.values())


def evaluate_ensemble(
    checkpoints: Sequence[Path],
    data: DataOptions,
    flip_test: bool = True,
    nms: Nms = "hard",
    device: str = "cpu",
) -> Evaluation:
    """Return the evaluation of the checkpoints' joint prediction, by the name `DECODER`.

    Args:
        checkpoints: as training or `darkpose convert` writes them.
        data: people to evaluate on.
        flip_test: average over the mirrored input too.
        nms: what becomes of people alike in one image, see `coco_results`.
        device: to run on.

    Raises:
        ValueError: the checkpoints have other joints than one another or than the data.
    """
    groups = group([PoseModel.load(path).to(device) for path in checkpoints])
    found = [_evaluate(one, Batches(one.codec, data), flip_test, nms) for one in groups]
    first = found[0]
    people = [_identities(one) for one in found]
    if any(others != people[0] for others in people):
        raise ValueError(
            "the conventions of these checkpoints drop different people by their boxes: "
            "set data.clip_boxes to false"
        )
    counts = [len(one.members) for one in groups]
    points, scores = average(
        [one.predictions(one.decoders[0]).points for one in found],
        [one.predictions(one.decoders[0]).scores for one in found],
        counts,
    )
    together = Evaluation(first.codec, first.dataset, first.annotations, [DECODER], first.nms)
    readable = np.ones(len(first.rows), bool)
    # Several groups have no map in common.
    doubt = first.predictions(first.decoders[0]).ambiguity if len(groups) == 1 else None
    together.put(first.rows, readable, {DECODER: points}, {DECODER: scores}, doubt)
    return together


def average(
    points: Sequence[NDArray[np.float64]],  # G of [N, K, 2]
    scores: Sequence[NDArray[np.float64]],  # G of [N, K]
    counts: Sequence[int],  # G
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coordinates averaged by score and number of members, and scores by number alone.

    A joint that nobody gives a positive score is averaged by number. A group that says NaN of a
    joint does not count there. One group alone comes out as it is, to the last bit.
    """
    stacked, rated = np.stack(points), np.stack(scores)
    known = np.isfinite(stacked).all(-1) & np.isfinite(rated)
    stacked, rated = np.where(known[..., None], stacked, 0), np.where(known, rated, 0)
    members = np.asarray(counts, np.float64)[:, None, None] * known
    confidence = members * np.maximum(rated, 0)
    confidence = np.where((confidence > 0).any(0), confidence, members)
    with np.errstate(invalid="ignore"):  # nobody knows: 0 / 0, NaN as from a single network
        mean = ((confidence / confidence.sum(0))[..., None] * stacked).sum(0)
        score = (members / members.sum(0) * rated).sum(0)
    return mean, score


def _evaluate(one: Group, data: Batches, flip_test: bool, nms: Nms) -> Evaluation:
    if data.spec.names != one.members[0].spec.names:
        raise ValueError(
            f"the data must have the checkpoints' joints, {list(one.members[0].spec.names)}, "
            f"got {list(data.spec.names)}"
        )
    decoders, device = one.codec.decoders[-1:], one.members[0].mean.device
    evaluation = Evaluation(one.codec, data.val_set, data.truth, decoders, nms)
    with torch.inference_mode():
        for batch in data.val_batches():
            heatmaps, flipped = one.heatmaps(batch["image"].to(device), flip_test)
            read, index = (torch.as_tensor(batch[name]) for name in ("image_read", "index"))
            evaluation.add(heatmaps, flipped, batch["to_image"].to(device), read, index)
    return evaluation


def _identities(evaluation: Evaluation) -> list[tuple[int, int, Any]]:
    records = (evaluation.dataset.records[i] for i in evaluation.rows)
    return [(record.image_id, record.annotation_id, record.box) for record in records]
