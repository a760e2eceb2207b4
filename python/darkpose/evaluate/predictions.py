# SPDX-License-Identifier: Apache-2.0
"""What one decoder says of people, beside what is annotated of them: what metrics score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkpose.data.annotations import PersonRecord
from darkpose.data.dataset import KeypointDataset
from darkpose.data.spec import KeypointSpec
from darkpose.evaluate.metrics.coco import Nms, coco_results
from darkpose.evaluate.metrics.oks import joint_similarity
from darkpose.evaluate.metrics.pck import normalized_errors, pck_per_person
from darkpose.evaluate.scores import SCORE_THRESHOLD, person_scores
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
    ambiguity: NDArray[np.float64] | None = None
    """[N, K], see `darkpose.decoders.ambiguity`; None where nobody has looked."""

    @property
    def records(self) -> Sequence[PersonRecord]:
        """What is known of each person."""
        return self.subjects.records

    @cached_property
    def joints(self) -> NDArray[np.float64]:
        """The annotated joints [N, K, 3]: x, y, v."""
        return np.stack([record.joints for record in self.records])

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """The annotated boxes [N, 4], or a detector's."""
        return np.array([record.box for record in self.records], np.float64)

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """People's areas [N] in square pixels, as OKS takes them."""
        return np.array([record.area for record in self.records], np.float64)

    @cached_property
    def head_sizes(self) -> NDArray[np.float64]:
        """MPII's head sizes [N], in pixels; NaN where none is annotated."""
        return np.array([record.head_size for record in self.records], np.float64)

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Which joints are annotated [N, K]; those of detected people are not."""
        return self.joints[..., 2] > 0

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """Distances over the box's longer side [N, K]; NaN of joints that are not labeled."""
        return normalized_errors(self.points, self.joints, self.boxes)

    @cached_property
    def similarity(self) -> NDArray[np.float64]:
        """Each joint's share in OKS [N, K], labeled or not; 0 of a point that is NaN."""
        sigmas = self.subjects.spec.oks_sigmas
        return np.nan_to_num(joint_similarity(self.points, self.joints, self.areas, sigmas))

    @cached_property
    def oks(self) -> NDArray[np.float64]:
        """The mean similarity of each person's labeled joints [N]; 0 without any."""
        total = np.where(self.labeled, self.similarity, 0).sum(-1)
        return total / np.maximum(self.labeled.sum(-1), 1)

    @property
    def ranks(self) -> NDArray[np.float64]:
        """What AP ranks people by [N], see `person_scores`."""
        box_scores = [record.score for record in self.records]
        return person_scores(np.nan_to_num(self.scores), box_scores, self.score_threshold)

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
