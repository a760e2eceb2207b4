# SPDX-License-Identifier: Apache-2.0
"""Whom a report is of: every person that an evaluation has seen beside what is annotated."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose.data.annotations import AREA_PER_BOX
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.predictions import Predictions

SAME_PERSON = 0.5
"""Least overlap (intersection over union) of a detected box with that of whom it stands for."""


@dataclass(frozen=True, eq=False)
class Matched:
    """N people beside what is known of them."""

    by_decoder: Mapping[str, Predictions]
    """Of these people, the best decoder last. Joints, boxes and areas are as annotated; detections
    of nobody annotated have their own boxes and no labeled joint."""
    rows: NDArray[np.int64]
    """[N]: positions in the data set's records."""
    detected: bool
    """Whether the boxes are a detector's, so that people had to be matched."""
    missed: int
    """Annotated people whom no detection stands for."""
    ignored: int
    """Detections left out: of crowds and of people without labeled joints, whom AP ignores too."""

    @property
    def decoder(self) -> str:
        """The decoder that most is shown of, the last one."""
        return list(self.by_decoder)[-1]

    @property
    def shown(self) -> Predictions:
        """What that decoder says."""
        return self.by_decoder[self.decoder]

    @property
    def known(self) -> NDArray[np.bool_]:
        """[N]: whether any joint is labeled."""
        return np.asarray(self.shown.labeled.any(1))


def match(evaluation: Evaluation) -> Matched:
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
    seen = found[evaluation.decoders[-1]]
    records, detected = list(seen.records), not seen.labeled.any()
    matches, missed, ignored = _match_boxes(seen) if detected else ({}, 0, set())
    for i, annotation in matches.items():
        x, y, width, height = annotation["bbox"]
        records[i] = replace(
            records[i],
            joints=np.reshape(np.asarray(annotation["keypoints"], np.float64), (-1, 3)),
            box=(x, y, width, height),
            area=annotation.get("area") or AREA_PER_BOX * width * height,
        )
    kept = [i for i in range(len(records)) if i not in ignored]
    subjects = seen.subjects._replace(records=records).at(kept)
    by_decoder = {
        decoder: replace(
            one,
            subjects=subjects,
            points=one.points[kept],
            scores=one.scores[kept],
            ambiguity=None if one.ambiguity is None else one.ambiguity[kept],
        )
        for decoder, one in found.items()
    }
    return Matched(by_decoder, evaluation.rows[kept], detected, missed, len(ignored))


def _match_boxes(found: Predictions) -> tuple[dict[int, Mapping[str, Any]], int, set[int]]:
    """Return by position whom a person stands for, how many annotated people are missed, and the
    positions of those who are of nobody whose joints are known, but of somebody."""
    from pycocotools.mask import iou

    by_image: dict[int, list[Mapping[str, Any]]] = {one: [] for one in found.image_ids or ()}
    for annotation in (found.annotations or {}).get("annotations", []):
        if annotation.get("image_id") in by_image and annotation.get("bbox"):
            by_image[annotation["image_id"]].append(annotation)
    surest_first: dict[int, list[int]] = defaultdict(list)
    for i in sorted(range(len(found.records)), key=lambda i: -found.records[i].score):
        surest_first[found.records[i].image_id].append(i)
    annotated, matches, ignored = 0, dict[int, Mapping[str, Any]](), set[int]()
    for image, there in by_image.items():
        known = np.array([_known(one) for one in there], bool)
        annotated += int(known.sum())
        positions = surest_first[image]
        if not there or not positions:
            continue
        # Of a crowd's box, which may be much larger, it counts how much of a person's lies inside.
        crowds = [int(bool(one.get("iscrowd", 0))) for one in there]
        overlaps = iou(found.boxes[positions], np.array([one["bbox"] for one in there]), crowds)
        free = known.copy()
        for i, overlap in zip(positions, overlaps, strict=True):
            best = int(np.argmax(np.where(free, overlap, 0)))
            if free[best] and overlap[best] >= SAME_PERSON:
                matches[i], free[best] = there[best], False
            elif (overlap[~known] >= SAME_PERSON).any():
                ignored.add(i)
    if not annotated:
        raise ValueError("a report needs annotated people to compare with, got none")
    return matches, annotated - len(matches), ignored


def _known(annotation: Mapping[str, Any]) -> bool:
    """Whether AP looks for this person: no crowd, with a size and labeled joints."""
    labeled = any(annotation.get("keypoints", [])[2::3])
    return labeled and min(annotation["bbox"][2:]) > 0 and not annotation.get("iscrowd", 0)
