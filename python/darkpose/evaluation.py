# SPDX-License-Identifier: Apache-2.0
"""A network's predictions for annotated people, decoded in several ways, and what they score."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import PersonRecord, read_annotation_file
from darkpose.data.dataset import KeypointDataset
from darkpose.metrics import coco_results, error_table, evaluate_oks, pck
from darkpose.metrics.pck import THRESHOLDS, JointErrors, pck_per_person


@dataclass(frozen=True)
class Predictions:
    """Coordinates in image pixels and scores of people, by one decoder."""

    records: Sequence[PersonRecord]  # N
    points: NDArray[np.float64]  # [N, K, 2] (x, y)
    scores: NDArray[np.float64]  # [N, K]

    @property
    def joints(self) -> NDArray[np.float64]:
        """The annotated joints [N, K, 3]."""
        return np.stack([record.joints for record in self.records])

    @property
    def boxes(self) -> NDArray[np.float64]:
        """The annotated boxes [N, 4]."""
        return np.array([record.box for record in self.records], np.float64)

    def average_precision(
        self, annotations: str | Path, sigmas: Sequence[float], category_id: int = 1
    ) -> dict[str, float]:
        """COCO's ten figures over the images of these people, by pycocotools."""
        results = coco_results(self.records, self.points, self.scores, category_id=category_id)
        content = read_annotation_file(annotations)
        images = sorted({record.image_id for record in self.records})
        return evaluate_oks(content, results, sigmas, image_ids=images)

    def pck(self) -> dict[str, float]:
        """The share of labeled joints nearer than 0.02, 0.05, 0.1, 0.2 of the longer box side."""
        return pck(self.points, self.joints, self.boxes, THRESHOLDS)

    def pck_per_person(self, threshold: float) -> NDArray[np.float64]:
        """The same share for each person: what a paired bootstrap compares."""
        return pck_per_person(self.points, self.joints, self.boxes, threshold)

    def errors(self, names: Sequence[str]) -> list[JointErrors]:
        """Errors by joint, visible and occluded ones apart."""
        return error_table(self.points, self.joints, self.boxes, names)


class Evaluation:
    """Collects what a network says of the people of a data set.

    The network runs once; each decoder reads the same heatmaps.
    """

    def __init__(
        self, codec: HeatmapCodec, dataset: KeypointDataset, decoders: Sequence[str]
    ) -> None:
        self.codec, self.dataset, self.decoders = codec, dataset, tuple(decoders)
        shape = (len(dataset), dataset.spec.num_joints)
        self._points = {name: np.full((*shape, 2), np.nan) for name in self.decoders}
        self._scores = {name: np.full(shape, np.nan) for name in self.decoders}

    def add(
        self,
        heatmaps: Tensor,  # [B, K, H, W]
        flipped: Tensor | None,  # [B, K, H, W]
        to_image: Tensor,  # [B, 2, 3]
        index: Tensor,  # [B]
    ) -> None:
        """Decode one batch."""
        rows = index.cpu().numpy()
        for name in self.decoders:
            points, scores = self.codec.decode(heatmaps, to_image, decoder=name, flipped=flipped)
            self._points[name][rows] = points.cpu().numpy()
            self._scores[name][rows] = scores.cpu().numpy()

    def predictions(self, decoder: str) -> Predictions:
        """What has been added, by one decoder, for the people seen."""
        seen = np.flatnonzero(~np.isnan(self._scores[decoder]).all(1))
        records = [self.dataset.records[i] for i in seen]
        return Predictions(records, self._points[decoder][seen], self._scores[decoder][seen])
