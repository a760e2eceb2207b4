# SPDX-License-Identifier: Apache-2.0
"""What a report shows as numbers, from what an evaluation has collected."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose.data.annotations import AREA_PER_BOX, PersonRecord
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics import oks
from darkpose.evaluate.metrics.oks import joint_similarity
from darkpose.evaluate.metrics.pck import normalized_errors
from darkpose.evaluate.scores import person_scores, score_threshold

CURVE = tuple(step / 200 for step in range(61))
"""Errors, in shares of the box's longer side, at which curves are drawn."""
SAME_PERSON = 0.5
"""Least overlap (intersection over union) of a detected box with that of whom it stands for."""
BINS = 10
"""Of scores from 0 to 1."""


@dataclass(frozen=True, eq=False)
class Measured:
    """People beside what is known of them. N people, K joints, a value for each decoder."""

    records: Sequence[PersonRecord]  # N
    rows: NDArray[np.int64]
    """[N]: positions in the data set's records."""
    joints: NDArray[np.float64]
    """[N, K, 3]: x, y, v as annotated; v = 0 throughout for detections of nobody annotated."""
    boxes: NDArray[np.float64]
    """[N, 4]: annotated; of detections of nobody annotated, their own."""
    areas: NDArray[np.float64]  # [N]
    points: Mapping[str, NDArray[np.float64]]
    """[N, K, 2]."""
    joint_scores: Mapping[str, NDArray[np.float64]]  # [N, K]
    scores: Mapping[str, NDArray[np.float64]]
    """[N]: what AP ranks people by."""
    oks: Mapping[str, NDArray[np.float64]]
    """[N]: 0 for detections of nobody annotated."""
    similarity: Mapping[str, NDArray[np.float64]]
    """[N, K]: each joint's share in OKS; NaN where it is not labeled."""
    errors: Mapping[str, NDArray[np.float64]]
    """[N, K]: over the box's longer side; NaN where the joint is not labeled."""
    detected: bool
    """Whether the boxes are a detector's, so that people had to be matched."""
    missed: int
    """Annotated people whom no detection stands for."""
    ignored: int
    """Detections left out: of crowds and of people without labeled joints, whom AP ignores too."""

    @property
    def decoders(self) -> tuple[str, ...]:
        """The best one last."""
        return tuple(self.points)

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """[N, K]."""
        return self.joints[..., 2] > 0

    @property
    def known(self) -> NDArray[np.bool_]:
        """[N]: whether any joint is labeled."""
        return np.asarray(self.labeled.any(1))


def measure(evaluation: Evaluation) -> Measured:
    """Set every person that an evaluation has seen beside what is annotated.

    Detected people are matched by their boxes, so that a wrong pose of the right person counts as
    an error: the surest box first, each with the annotated person of its image whose box it
    overlaps most, by `SAME_PERSON` at least, and who is still free.

    Raises:
        ValueError: nobody is scored, or there is no annotation to compare with.
    """
    if not evaluation.rows.size:
        raise ValueError("nobody can be scored: no person's image has been read")
    found = {decoder: evaluation.predictions(decoder) for decoder in evaluation.decoders}
    last, sigmas = found[evaluation.decoders[-1]], evaluation.dataset.spec.oks_sigmas
    joints, boxes = last.joints, last.boxes
    areas = np.array([record.area for record in last.records], np.float64)
    kept, missed, detected = np.arange(len(last.records)), 0, not last.annotated
    if detected:
        annotated, ignored = _annotated(evaluation)
        if not annotated:
            raise ValueError("a report needs annotated people to compare with, got none")
        matches = _matches(last.records, annotated)
        for i, annotation in matches.items():
            joints[i], areas[i] = _keypoints(annotation), _area(annotation)
            boxes[i] = annotation["bbox"]
        missed = len(annotated) - len(matches)
        left_out = _ignored(last.records, matches, ignored)
        kept = kept[[i not in left_out for i in kept.tolist()]]
    joints, boxes, areas = joints[kept], boxes[kept], areas[kept]
    records = [last.records[i] for i in kept.tolist()]
    labeled = joints[..., 2] > 0
    threshold = score_threshold(evaluation.codec)
    box_scores = [record.score for record in records]
    points = {decoder: one.points[kept] for decoder, one in found.items()}
    scores = {decoder: one.scores[kept] for decoder, one in found.items()}
    similarity = {
        decoder: np.nan_to_num(joint_similarity(one, joints, areas, sigmas))
        for decoder, one in points.items()
    }
    return Measured(
        records=records,
        rows=evaluation.rows[kept],
        joints=joints,
        boxes=boxes,
        areas=areas,
        points=points,
        joint_scores=scores,
        scores={
            decoder: person_scores(np.nan_to_num(one), box_scores, threshold)
            for decoder, one in scores.items()
        },
        # What is NaN is nowhere, and so is as unlike as can be.
        oks={
            decoder: np.nan_to_num(oks(np.nan_to_num(one, nan=-1e6), joints, areas, sigmas))
            for decoder, one in points.items()
        },
        similarity={decoder: np.where(labeled, one, np.nan) for decoder, one in similarity.items()},
        errors={decoder: normalized_errors(one, joints, boxes) for decoder, one in points.items()},
        detected=detected,
        missed=missed,
        ignored=len(last.records) - len(kept),
    )


# ---- whom a detection stands for -----------------------------------------------------------------


def _annotated(evaluation: Evaluation) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the annotated people of the images that count, seen in them or not: those whose joints
    are known, and the crowds and the others."""
    content = evaluation.annotations or {}
    counted = set(evaluation.rows.tolist())
    left_out = {
        record.image_id for i, record in enumerate(evaluation.dataset.records) if i not in counted
    }
    known: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for annotation in content.get("annotations", []):
        if annotation.get("image_id") in left_out or not annotation.get("bbox"):
            continue
        labeled = any(annotation.get("keypoints", [])[2::3]) and min(annotation["bbox"][2:]) > 0
        (known if labeled and not annotation.get("iscrowd", 0) else others).append(annotation)
    return known, others


def _matches(
    records: Sequence[PersonRecord], annotations: Sequence[dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """Return by position of a record whom its box is of: the surest box first, nobody twice."""
    free: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        free[annotation["image_id"]].append(annotation)
    matches = {}
    for i in sorted(range(len(records)), key=lambda i: -records[i].score):
        candidates = free[records[i].image_id]
        overlaps = [overlap(records[i].box, one["bbox"]) for one in candidates]
        if overlaps and max(overlaps) >= SAME_PERSON:
            matches[i] = candidates.pop(int(np.argmax(overlaps)))
    return matches


def _ignored(
    records: Sequence[PersonRecord],
    matches: Mapping[int, dict[str, Any]],
    annotations: Sequence[dict[str, Any]],
) -> set[int]:
    """Return positions of records that are of nobody whose joints are known, but of somebody."""
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        by_image[annotation["image_id"]].append(annotation)
    return {
        i
        for i, record in enumerate(records)
        if i not in matches
        and any(
            overlap(record.box, one["bbox"], inside=bool(one.get("iscrowd", 0))) >= SAME_PERSON
            for one in by_image[record.image_id]
        )
    }


def overlap(box: Sequence[float], other: Sequence[float], inside: bool = False) -> float:
    """Return the area that two boxes (x, y, width, height) share over that of both together.

    With `inside`, over that of the first alone: how much of it lies in a crowd.
    """
    (x1, y1, w1, h1), (x2, y2, w2, h2) = box, other
    width = min(x1 + w1, x2 + w2) - max(x1, x2)
    height = min(y1 + h1, y2 + h2) - max(y1, y2)
    shared = max(width, 0.0) * max(height, 0.0)
    whole = w1 * h1 if inside else w1 * h1 + w2 * h2 - shared
    return shared / whole if whole > 0 else 0.0


def _keypoints(annotation: Mapping[str, Any]) -> NDArray[np.float64]:
    return np.asarray(annotation["keypoints"], np.float64).reshape(-1, 3)


def _area(annotation: Mapping[str, Any]) -> float:
    _, _, width, height = annotation["bbox"]
    return float(annotation.get("area") or AREA_PER_BOX * width * height)


# ---- curves and calibration ----------------------------------------------------------------------


def error_curve(errors: NDArray[np.float64]) -> list[float]:
    """Return the share of errors of at most each value of `CURVE`.

    Args:
        errors: of labeled joints, any shape; NaN is a prediction that is none, a miss.
    """
    ordered = np.sort(errors, axis=None)  # NaN comes last
    if not ordered.size:
        return [float("nan")] * len(CURVE)
    shares: list[float] = (np.searchsorted(ordered, CURVE, side="right") / ordered.size).tolist()
    return shares


def curves(measured: Measured) -> dict[str, list[list[float]]]:
    """Return for each decoder `error_curve` of all joints, then of each of the K joints."""
    labeled = measured.labeled
    return {
        decoder: [
            error_curve(errors[labeled]),
            *(error_curve(errors[labeled[:, k], k]) for k in range(labeled.shape[1])),
        ]
        for decoder, errors in measured.errors.items()
    }


@dataclass(frozen=True)
class Bin:
    """Whoever has a score from `low` to `high`."""

    low: float
    high: float
    count: int
    score: float
    """The mean; NaN of nobody, as `oks`."""
    oks: float


def calibration(scores: NDArray[np.float64], similarity: NDArray[np.float64]) -> list[Bin]:
    """Return the mean OKS by score in `BINS` bins; scores outside of 0 to 1 are in the outer ones.

    Args:
        scores, similarity: of people, or of joints; equally many.
    """
    scores = np.nan_to_num(scores)
    index = np.clip(np.floor(scores * BINS), 0, BINS - 1).astype(int)
    bins = []
    for i in range(BINS):
        inside = index == i
        count = int(inside.sum())
        means = (scores[inside].mean(), similarity[inside].mean()) if count else (np.nan, np.nan)
        bins.append(Bin(i / BINS, (i + 1) / BINS, count, float(means[0]), float(means[1])))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean distance of score and OKS over bins, each counting as its people do."""
    total = sum(one.count for one in bins)
    distances = (one.count * abs(one.score - one.oks) for one in bins if one.count)
    return sum(distances) / total if total else float("nan")
