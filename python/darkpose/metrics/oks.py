# SPDX-License-Identifier: Apache-2.0
"""Object keypoint similarity, and COCO's average precision from it, for any keypoint set.

The figure itself is pycocotools', so that it can be compared; what is here makes its input, and
lets it take other numbers of joints and other sigmas than COCO's.
"""

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from darkpose.data.annotations import AREA_PER_BOX, PersonRecord, read_annotation_file

STATS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
"""COCO's ten figures, in pycocotools' order; M and L: people of 32^2 to 96^2 pixels, and above."""

_NOWHERE = -1e4  # image pixels; a person spread that far is still within COCO's "all" of sizes


def oks(
    pred: ArrayLike,  # [..., K, 2+] x, y
    joints: ArrayLike,  # [..., K, 3] x, y, v
    area: ArrayLike,  # [...] square pixels
    sigmas: ArrayLike,  # [K]
) -> NDArray[np.float64]:
    """Return the object keypoint similarity [...]: the mean over labeled joints of
    exp(-d^2 / (2 area (2 sigma)^2)).

    Joints with v = 0 do not count; a person without labeled joints gives NaN.
    """
    joints = np.asarray(joints, dtype=np.float64)
    squared = ((np.asarray(pred, dtype=np.float64)[..., :2] - joints[..., :2]) ** 2).sum(-1)
    similarity = _similarity(squared, np.asarray(area, dtype=np.float64)[..., None], sigmas)
    labeled = joints[..., 2] > 0
    count = labeled.sum(-1)
    total = np.where(labeled, similarity, 0).sum(-1)
    mean: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _similarity(
    squared: NDArray[np.float64], area: NDArray[np.float64], sigmas: ArrayLike
) -> NDArray[np.float64]:
    variance = (2 * np.asarray(sigmas, dtype=np.float64)) ** 2
    similarity: NDArray[np.float64] = np.exp(-squared / (2 * variance * (area + np.spacing(1))))
    return similarity


def person_scores(
    scores: ArrayLike,  # [..., K]
    box_scores: ArrayLike = 1.0,  # [...]
    threshold: float = 0.2,
) -> NDArray[np.float64]:
    """Return [...]: the mean of the joint scores above `threshold` (0 if none), times the box's.

    As HRNet and DarkPose rank people for AP; annotated boxes have score 1.
    """
    scores = np.asarray(scores, dtype=np.float64)
    counted = scores > threshold
    mean: NDArray[np.float64] = np.where(counted, scores, 0).sum(-1) / np.maximum(
        counted.sum(-1), 1
    )
    return mean * np.asarray(box_scores, dtype=np.float64)


def oks_nms(
    points: ArrayLike,  # [N, K, 2]
    scores: ArrayLike,  # [N]
    areas: ArrayLike,  # [N] square pixels, of the padded crops
    sigmas: ArrayLike,  # [K]
    threshold: float = 0.9,
) -> list[int]:
    """Return which of one image's people to keep, best first: none alike a better one.

    Alike is an OKS above `threshold` over all K joints with the mean of both areas, as in HRNet.
    """
    points = np.asarray(points, dtype=np.float64)[..., :2]
    areas = np.asarray(areas, dtype=np.float64)
    kept: list[int] = []
    for candidate in np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable"):
        squared = ((points[kept] - points[candidate]) ** 2).sum(-1)
        area = (areas[kept] + areas[candidate]) / 2
        if not (_similarity(squared, area[:, None], sigmas).mean(-1) > threshold).any():
            kept.append(int(candidate))
    return kept


def coco_results(
    records: Sequence[PersonRecord],  # N
    points: ArrayLike,  # [N, K, 2] image pixels
    scores: ArrayLike,  # [N, K]
    *,
    box_scores: ArrayLike = 1.0,  # [N]
    category_id: int = 1,
) -> list[dict[str, Any]]:
    """Return people in COCO's result format, which `json.dump` writes and `evaluate_oks` reads.

    NaN, which a diverged network says, becomes a point far from any person and a score of 0:
    pycocotools would take a similarity of NaN for a match, and JSON has no NaN.
    """
    points, scores = np.asarray(points, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if not len(records) == len(points) == len(scores):
        raise ValueError(
            f"records, points and scores must be equally many, "
            f"got {len(records)}, {len(points)}, {len(scores)}"
        )
    points = np.where(np.isfinite(points), points, _NOWHERE)
    scores = np.where(np.isfinite(scores), scores, 0)
    ranks = np.broadcast_to(person_scores(scores, box_scores), len(records))
    rows = np.concatenate([points[..., :2], scores[..., None]], axis=-1)  # [N, K, 3]
    return [
        {
            "image_id": record.image_id,
            "category_id": category_id,
            "keypoints": row.ravel().tolist(),
            "score": float(rank),
        }
        for record, row, rank in zip(records, rows, ranks, strict=True)
    ]


def evaluate_oks(
    annotations: str | Path | Mapping[str, Any],
    results: str | Path | Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    *,
    image_ids: Sequence[int] | None = None,
) -> dict[str, float]:
    """Return COCO's ten keypoint figures (`STATS`) in [0, 1], by pycocotools without its prints.

    Args:
        annotations: COCO-style keypoint file, or its content. A missing `area` is estimated by
            `AREA_PER_BOX`, as in training.
        results: file or list as from `coco_results`.
        sigmas: one per joint, see `KeypointSpec.oks_sigmas`.
        image_ids: evaluate these images only; default: all of the annotation file.

    Returns:
        The figures by name; NaN where no annotated person is of the size in question.

    Raises:
        ValueError: there are no results, or one has another number of joints than there are sigmas.
    """
    content = annotations if isinstance(annotations, Mapping) else read_annotation_file(annotations)
    people: list[dict[str, Any]]
    if isinstance(results, str | Path):
        people = json.loads(Path(results).read_text(encoding="utf-8"))
    else:
        # pycocotools writes ids, areas and boxes into the results it is given.
        people = [dict(person) for person in results]
    if not people:
        raise ValueError("evaluate_oks needs at least one result, got none")
    for person in people:
        if len(person["keypoints"]) != 3 * len(sigmas):
            raise ValueError(
                f"each result must have {len(sigmas)} joints, {3 * len(sigmas)} numbers, "
                f"got {len(person['keypoints'])} for image {person['image_id']}"
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        # Numbered anew, as pycocotools takes annotation 0 for no match at all.
        numbered = enumerate(content["annotations"], start=1)
        people_there = [{**_complete(annotation), "id": i} for i, annotation in numbered]
        truth.dataset = {**content, "annotations": people_there}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(people), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, dtype=np.float64)
        if image_ids is not None:
            evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # pycocotools says -1 for a mean over nothing, which averages and plots would take for a value.
    figures = [float(value) if value >= 0 else float("nan") for value in evaluation.stats]
    return dict(zip(STATS, figures, strict=True))


def _complete(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what pycocotools requires of an annotation and custom files often lack."""
    complete = {"iscrowd": 0, "keypoints": [], "bbox": [0, 0, 0, 0], **annotation}
    complete.setdefault("num_keypoints", sum(v > 0 for v in complete["keypoints"][2::3]))
    complete["area"] = annotation.get("area") or AREA_PER_BOX * np.prod(complete["bbox"][2:])
    return complete
