# SPDX-License-Identifier: Apache-2.0
"""What one decoder says of people, beside what is annotated of them: what metrics score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.data.annotations import PersonRecord
from darkpose.data.dataset import KeypointDataset
from darkpose.data.spec import KeypointSpec
from darkpose.evaluate.metrics.coco import Nms, coco_results
from darkpose.evaluate.metrics.pck import pck_per_person
from darkpose.evaluate.scores import SCORE_THRESHOLD
from darkpose.geometry import Crop


class Subjects(NamedTuple):
    """People of a data set, without their images."""

    records: Sequence[PersonRecord]  # N
    crops: Sequence[Crop]  # N
    spec: KeypointSpec
    category_id: int

    @classmethod
    def of(cls, dataset: KeypointDataset) -> "Subjects":
        """Return everybody of a data set."""
        return cls(dataset.records, dataset.crops, dataset.spec, dataset.category_id)

    def at(self, rows: Iterable[int]) -> "Subjects":
        """Return those at some positions."""
        rows = list(rows)
        records, crops = [self.records[i] for i in rows], [self.crops[i] for i in rows]
        return self._replace(records=records, crops=crops)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Coordinates in image pixels and scores of people, by one decoder."""

    subjects: Subjects  # N
    points: NDArray[np.float64]  # [N, K, 2] (x, y)
    scores: NDArray[np.float64]  # [N, K]
    nms: Nms = "hard"
    """Whom `results` leaves out, see `coco_results`."""
    score_threshold: float = SCORE_THRESHOLD
    """Of `person_scores`."""
    annotations: Mapping[str, Any] | None = None
    """Content of the COCO-style file to compare with, if it has people."""
    image_ids: Sequence[int] | None = None
    """Of the images of `annotations` that count; None: all."""

    @property
    def records(self) -> Sequence[PersonRecord]:
        """What is known of each person."""
        return self.subjects.records

    @property
    def joints(self) -> NDArray[np.float64]:
        """The annotated joints [N, K, 3]."""
        return np.stack([record.joints for record in self.records])

    @property
    def boxes(self) -> NDArray[np.float64]:
        """The annotated boxes [N, 4]."""
        return np.array([record.box for record in self.records], np.float64)

    @property
    def head_sizes(self) -> NDArray[np.float64]:
        """MPII's head sizes [N], in pixels; NaN where none is annotated."""
        return np.array([record.head_size for record in self.records], np.float64)

    @property
    def annotated(self) -> bool:
        """Whether anybody's joints are known; those of detected people are not."""
        return bool(self.joints[..., 2].any())

    def results(self) -> list[dict[str, Any]]:
        """Return people in COCO's result format, rescored and without duplicates, as HRNet does."""
        return coco_results(
            self.records,
            self.points,
            self.scores,
            category_id=self.subjects.category_id,
            nms=self.nms,
            areas=[crop.size[0] * crop.size[1] for crop in self.subjects.crops],
            sigmas=self.subjects.spec.oks_sigmas,
            score_threshold=self.score_threshold,
        )

    def pck_per_person(self, threshold: float) -> NDArray[np.float64]:
        """Return each person's PCK [N]: what a paired bootstrap compares."""
        return pck_per_person(self.points, self.joints, self.boxes, threshold)
