# SPDX-License-Identifier: Apache-2.0
"""COCO's results format and average precision, for any keypoint set.

The figure itself is pycocotools', so that it can be compared; what is here makes its input, and
lets it take other numbers of joints and other sigmas than COCO's.
"""

import contextlib
import io
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkpose.data.annotation_file import checked, keypoint_categories, known_id, read_json
from darkpose.data.annotations import PersonRecord
from darkpose.data.labels import labeled
from darkpose.data.tally import Tally
from darkpose.evaluate.metrics.nms import oks_nms, soft_oks_nms
from darkpose.evaluate.scores import SCORE_THRESHOLD, person_scores
from darkpose.geometry import FARTHEST
from darkpose.values import finite, number, shown

STATS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
"""COCO's ten figures, in pycocotools' order; M and L: people of 32^2 to 96^2 pixels, and above."""

MOST_PEOPLE = 20
"""Of an image whom COCO's figures count, those of the highest scores."""

Nms = Literal["none", "hard", "soft"]
_NOWHERE = -1e4  # image pixels; a person spread that far is still within COCO's "all" of sizes


def coco_results(
    records: Sequence[PersonRecord],  # N
    points: ArrayLike,  # [N, K, 2] image pixels
    scores: ArrayLike,  # [N, K]
    *,
    category_id: int = 1,
    nms: Nms = "none",
    areas: ArrayLike | None = None,  # [N] square pixels
    sigmas: ArrayLike | None = None,  # [K]
    nms_threshold: float = 0.9,
    score_threshold: float = SCORE_THRESHOLD,
) -> list[dict[str, Any]]:
    """Return people in COCO's result format, which `evaluate_oks` reads.

    A person's score is that of `person_scores` with the record's box score. With `nms`, people are
    compared with the others of their image; those that remain keep their score and the order of
    `records`. HRNet's results are `nms="hard"`.

    NaN, which a diverged network says, becomes a point far from any person and a score of 0:
    pycocotools would take a similarity of NaN for a match, and JSON has no NaN.

    Args:
        records: the people, for their images and box scores.
        points, scores: what a network says of their joints.
        category_id: of the results.
        nms: "hard" drops a person alike a better one (`oks_nms`), "soft" all but 20 of an image
            (`soft_oks_nms` without decay).
        areas: of the padded crops, `Crop.size` multiplied; `nms` needs them.
        sigmas: one per joint, see `KeypointSpec.oks_sigmas`; `nms` needs them.
        nms_threshold: of `nms`.
        score_threshold: of `person_scores`.

    Raises:
        ValueError: records, points and scores, or areas, are not equally many; `nms` is unknown or
            lacks areas or sigmas.
    """
    points, scores = np.asarray(points, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if not len(records) == len(points) == len(scores):
        raise ValueError(
            f"records, points and scores must be equally many, "
            f"got {len(records)}, {len(points)}, {len(scores)}"
        )
    points = np.where(np.isfinite(points), points, _NOWHERE)[..., :2]
    scores = np.where(np.isfinite(scores), scores, 0)
    ranks = person_scores(scores, [record.score for record in records], score_threshold)
    kept: Sequence[int] = range(len(records))
    if nms != "none":
        kept = _distinct(records, points, ranks, nms, areas, sigmas, nms_threshold)
    rows = np.concatenate([points, scores[..., None]], axis=-1)  # [N, K, 3]
    return [
        {
            "image_id": records[i].image_id,
            "category_id": category_id,
            "keypoints": rows[i].ravel().tolist(),
            "score": float(ranks[i]),
        }
        for i in kept
    ]


def _distinct(
    records: Sequence[PersonRecord],
    points: NDArray[np.float64],
    ranks: NDArray[np.float64],
    nms: Nms,
    areas: ArrayLike | None,
    sigmas: ArrayLike | None,
    threshold: float,
) -> list[int]:
    """Return whom `nms` leaves of each image, in ascending order."""
    if nms not in get_args(Nms):
        raise ValueError(f"nms must be one of {', '.join(get_args(Nms))}, got {nms}")
    if areas is None or sigmas is None:
        raise ValueError(f"nms {nms!r} needs the areas of the crops and the joints' sigmas")
    areas = np.asarray(areas, dtype=np.float64)
    if areas.shape != (len(records),):
        raise ValueError(
            f"areas must be {len(records)}, one per person, got shape {list(areas.shape)}"
        )
    by_image: dict[int, list[int]] = defaultdict(list)
    for i, record in enumerate(records):
        by_image[record.image_id].append(i)
    kept: list[int] = []
    for people in by_image.values():
        of_image = points[people], ranks[people], areas[people], sigmas, threshold
        chosen = oks_nms(*of_image) if nms == "hard" else soft_oks_nms(*of_image)[0]
        kept += [people[i] for i in chosen]
    return sorted(kept)


def evaluate_oks(
    annotations: str | Path | Mapping[str, Any],
    results: str | Path | Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    *,
    image_ids: Sequence[int | str] | None = None,
    category: str | int | None = None,
    joints: Sequence[int] | None = None,
) -> dict[str, float]:
    """Return COCO's ten keypoint figures (`STATS`) in [0, 1], by pycocotools without its prints.

    Annotations are read as for training: areas that are missing are estimated, categories with the
    same joints are one. Results of images that are not evaluated are left out, and so are those of
    another category, which are counted.

    Args:
        annotations: COCO-style keypoint file, or its content.
        results: file or list as from `coco_results`.
        sigmas: one per joint, see `KeypointSpec.oks_sigmas`.
        image_ids: evaluate these images only; default: all of the annotation file.
        category: name or id of the one to evaluate, see `load_annotations`.
        joints: score these alone, by place, as if there were no others; default: all.

    Returns:
        The figures by name; NaN where no annotated person is of the size in question.

    Raises:
        ValueError: there are no results, or all are of another category; one has no score, another
            number of joints than there are sigmas, or an image that the annotations do not know.
    """
    file = annotations if isinstance(annotations, str | Path) else "the annotations"
    content = read_json(annotations) if isinstance(annotations, str | Path) else annotations
    content = checked(content, file)
    categories = keypoint_categories(content, file, category)
    truth = labeled(content, file, categories, len(sigmas)).content
    people = _belonging(results, truth, categories, len(sigmas))
    if joints is not None:
        sigmas = [sigmas[k] for k in joints]
        people = [_of(joints, one) for one in people]
        truth = {**truth, "annotations": [_of(joints, one) for one in truth["annotations"]]}
    if image_ids is not None:
        people = [person for person in people if person["image_id"] in {*image_ids}]
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        # Numbered anew, as pycocotools takes annotation 0 for no match at all.
        numbered = [{**one, "id": i} for i, one in enumerate(truth["annotations"], start=1)]
        coco.dataset = {**truth, "annotations": numbered}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(people), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, dtype=np.float64)
        if image_ids is not None:
            evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # pycocotools says -1 for a mean over nothing, which averages and plots would take for a value.
    figures = [float(value) if value >= 0 else float("nan") for value in evaluation.stats]
    return dict(zip(STATS, figures, strict=True))


def _of(joints: Sequence[int], person: Mapping[str, Any]) -> dict[str, Any]:
    """Return an annotation or a result with some of its joints alone."""
    kept = [value for k in joints for value in person["keypoints"][3 * k : 3 * k + 3]]
    return {**person, "keypoints": kept, "num_keypoints": sum(v > 0 for v in kept[2::3])}


def _belonging(
    results: str | Path | Sequence[Mapping[str, Any]],
    truth: Mapping[str, Any],
    categories: Sequence[Mapping[str, Any]],
    num_joints: int,
) -> list[dict[str, Any]]:
    """Return the results of some categories, as of the first, their values checked."""
    file = results if isinstance(results, str | Path) else "the results"
    found = read_json(results) if isinstance(results, str | Path) else list(results)
    if not isinstance(found, list):
        raise ValueError(f"{file} must be a list of results, got {type(found).__name__}")
    if not found:
        raise ValueError("evaluate_oks needs at least one result, got none")
    images = {image["id"] for image in truth["images"]}
    wanted, tally = {one["id"]: one for one in categories}, Tally(file)
    people = []
    for position, person in enumerate(found):
        name = f"{file}: the result at position {position}"
        for key in ("image_id", "category_id", "keypoints", "score"):
            if not isinstance(person, Mapping) or person.get(key) is None:
                raise ValueError(f"{name} must have {key!r}, got none")
        image, score = person["image_id"], number(person["score"], f"{name}: score")
        if not isinstance(image, int | str) or image not in images:
            raise ValueError(f"{name} must be of an annotated image, got image_id {shown(image)}")
        if not math.isfinite(score):
            raise ValueError(f"{name} must have a finite score, got {shown(person['score'])}")
        what = f"{name}: keypoints of {num_joints} joints"
        keypoints = finite(person["keypoints"], what, 3 * num_joints)
        keypoints = keypoints.clip(-FARTHEST, FARTHEST).tolist()
        if known_id(person["category_id"], wanted) is None:
            tally.add("results of other categories, left out", name)
            continue
        # pycocotools writes ids, areas and boxes into the results it is given.
        own = {"category_id": categories[0]["id"], "keypoints": keypoints, "score": score}
        people.append({**person, **own})
    if not people:
        names = ", ".join(str(one["id"]) for one in categories)
        raise ValueError(f"{file} must have results of category {names}, got none of {len(found)}")
    for image, count in Counter(person["image_id"] for person in people).items():
        if count > MOST_PEOPLE:
            tally.add(
                f"images with more than {MOST_PEOPLE} results, the best of which count", image
            )
    tally.say(once=True)
    return people
