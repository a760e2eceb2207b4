# SPDX-License-Identifier: Apache-2.0
"""A network's predictions for annotated people, decoded in several ways, and what they score."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import PersonRecord
from darkpose.data.dataset import KeypointDataset
from darkpose.metrics import coco_results, error_table, evaluate_oks, pck
from darkpose.metrics.pck import THRESHOLDS, JointErrors, pck_per_person

_logger = logging.getLogger(__name__)


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
        self,
        annotations: str | Path | Mapping[str, Any],
        sigmas: Sequence[float],
        category_id: int = 1,
    ) -> dict[str, float]:
        """COCO's ten figures over the images of these people, by pycocotools.

        `annotations` is the file they come from, or its content.
        """
        results = coco_results(self.records, self.points, self.scores, category_id=category_id)
        images = sorted({record.image_id for record in self.records})
        return evaluate_oks(annotations, results, sigmas, image_ids=images)

    def pck(self) -> dict[str, float]:
        """The share of labeled joints nearer than each of `THRESHOLDS`."""
        return pck(self.points, self.joints, self.boxes, THRESHOLDS)

    def pck_per_person(self, threshold: float) -> NDArray[np.float64]:
        """The same share for each person: what a paired bootstrap compares."""
        return pck_per_person(self.points, self.joints, self.boxes, threshold)

    def errors(self, names: Sequence[str]) -> list[JointErrors]:
        """Errors by joint, visible and occluded ones apart."""
        return error_table(self.points, self.joints, self.boxes, names)


class Evaluation:
    """Collects what a network says of the people of a data set.

    The network runs once; each decoder reads the same heatmaps. In distributed training every
    process adds its share, and `gather` gives all of them the whole: figures of shares, averaged,
    would not be those of the data set.

    Args:
        codec: reads the heatmaps.
        dataset: whose samples are added.
        annotations: content of the annotation file that the data set comes from.
        decoders: names for `HeatmapCodec.decode`.
    """

    def __init__(
        self,
        codec: HeatmapCodec,
        dataset: KeypointDataset,
        annotations: Mapping[str, Any],
        decoders: Sequence[str],
    ) -> None:
        self.codec, self.dataset, self.annotations = codec, dataset, annotations
        shape = (len(dataset), dataset.spec.num_joints)
        self._seen = np.zeros(len(dataset), bool)
        self._labeled = np.zeros(len(dataset), bool)
        self._points = {name: np.full((*shape, 2), np.nan) for name in decoders}
        self._scores = {name: np.full(shape, np.nan) for name in decoders}

    def add(
        self,
        heatmaps: Tensor,  # [B, K, H, W]
        flipped: Tensor | None,  # [B, K, H, W]
        to_image: Tensor,  # [B, 2, 3]
        weights: Tensor,  # [B, K]
        index: Tensor,  # [B]
    ) -> None:
        """Decode one batch; people whose weights are all 0 (a skipped image) will not be scored."""
        rows = index.cpu().numpy()
        self._seen[rows] = True
        self._labeled[rows] = (weights > 0).any(-1).cpu().numpy()
        for name in self._points:
            points, scores = self.codec.decode(heatmaps, to_image, decoder=name, flipped=flipped)
            self._points[name][rows] = points.float().cpu().numpy()
            self._scores[name][rows] = scores.float().cpu().numpy()

    def gather(self) -> None:
        """Add what the other processes of distributed training have seen, if there are any."""
        if dist.is_available() and dist.is_initialized():
            shares: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(shares, self._share())
            for share in shares:
                self._merge(*share)
        if left_out := int((self._seen & ~self._labeled).sum()):
            _logger.warning("%d people whose image was skipped are not scored", left_out)

    def _share(self) -> tuple[NDArray[np.int64], NDArray[np.bool_], dict[str, Any], dict[str, Any]]:
        rows = np.flatnonzero(self._seen)
        points, scores = (
            {name: values[rows] for name, values in kind.items()}
            for kind in (self._points, self._scores)
        )
        return rows, self._labeled[rows], points, scores

    def _merge(
        self,
        rows: NDArray[np.int64],
        labeled: NDArray[np.bool_],
        points: Mapping[str, NDArray[np.float64]],
        scores: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self._seen[rows] = True
        self._labeled[rows] = labeled
        for name in self._points:
            self._points[name][rows], self._scores[name][rows] = points[name], scores[name]

    @property
    def rows(self) -> NDArray[np.int64]:
        """Positions in `dataset.records` of the people to score."""
        return np.flatnonzero(self._seen & self._labeled)

    def predictions(self, decoder: str) -> Predictions:
        """What one decoder says of the people of `rows`."""
        rows = self.rows
        records = [self.dataset.records[i] for i in rows]
        return Predictions(records, self._points[decoder][rows], self._scores[decoder][rows])

    def figures(self, decoder: str) -> dict[str, float]:
        """Return AP and its kin, and PCK, of one decoder.

        Raises:
            ValueError: nobody has been added, or nobody with labeled joints.
        """
        found, sigmas = self.predictions(decoder), self.dataset.spec.oks_sigmas
        category = self.dataset.category_id
        return {**found.average_precision(self.annotations, sigmas, category), **found.pck()}
