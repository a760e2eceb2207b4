# SPDX-License-Identifier: Apache-2.0
"""A network's predictions for annotated people, decoded in several ways, and what they score."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import PersonRecord
from darkpose.data.dataset import KeypointDataset
from darkpose.evaluate.metrics import (
    box_normalizers,
    coco_results,
    error_table,
    evaluate_oks,
    nme,
    pck,
    pckh,
)
from darkpose.evaluate.metrics.coco import Nms
from darkpose.evaluate.metrics.pck import THRESHOLDS, JointErrors, pck_per_person
from darkpose.evaluate.scores import SCORE_THRESHOLD, score_threshold
from darkpose.geometry import Crop

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """Coordinates in image pixels and scores of people, by one decoder."""

    records: Sequence[PersonRecord]  # N
    crops: Sequence[Crop]  # N
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

    @property
    def annotated(self) -> bool:
        """Whether anybody's joints are known; those of detected people are not."""
        return bool(self.joints[..., 2].any())

    def results(
        self,
        sigmas: Sequence[float],
        category_id: int = 1,
        nms: Nms = "hard",
        score_threshold: float = SCORE_THRESHOLD,
    ) -> list[dict[str, Any]]:
        """Return people in COCO's result format, rescored and without duplicates, as HRNet does."""
        areas = [crop.size[0] * crop.size[1] for crop in self.crops]
        return coco_results(
            self.records,
            self.points,
            self.scores,
            category_id=category_id,
            nms=nms,
            areas=areas,
            sigmas=sigmas,
            score_threshold=score_threshold,
        )

    def pck(self) -> dict[str, float]:
        """The share of labeled joints nearer than each of `THRESHOLDS`."""
        return pck(self.points, self.joints, self.boxes, THRESHOLDS)

    def nme(self) -> float:
        """The mean error of labeled joints, in roots of the box's area."""
        return nme(self.points, self.joints, box_normalizers(self.boxes))

    def pck_per_person(self, threshold: float) -> NDArray[np.float64]:
        """The same share for each person: what a paired bootstrap compares."""
        return pck_per_person(self.points, self.joints, self.boxes, threshold)

    def pckh(self) -> dict[str, float]:
        """MPII's figures, as `PCKh@0.5` for the mean and `PCKh@0.5/Head` for a group of joints."""
        heads = np.array([record.head_size for record in self.records], np.float64)
        found = pckh(self.points, self.joints, self.joints[..., 2], heads)
        means = {name: at.mean for name, at in found.items()}
        groups = {
            f"{name}/{group}": share
            for name, at in found.items()
            for group, share in at.groups.items()
        }
        return {**means, **groups}

    def errors(self, names: Sequence[str]) -> list[JointErrors]:
        """Errors by joint, visible and occluded ones apart."""
        return error_table(self.points, self.joints, self.boxes, names)


class People(NamedTuple):
    """Whom a data set holds, without their images."""

    records: Sequence[PersonRecord]
    crops: Sequence[Crop]

    @classmethod
    def of(cls, dataset: KeypointDataset) -> "People":
        """Return the people of a data set."""
        return cls(dataset.records, dataset.crops)


class Evaluation:
    """Collects what a network says of the people of a data set.

    The network runs once; each decoder reads the same heatmaps. In distributed training every
    process adds its share, and `gather` gives all of them the whole: figures of shares, averaged,
    would not be those of the data set.

    Args:
        codec: reads the heatmaps.
        dataset: whose samples are added.
        annotations: content of the COCO-style file to compare with; None where there is none, as
            for MPII and for a test set.
        decoders: names for `HeatmapCodec.decode`.
        nms: what becomes of people alike in one image, see `coco_results`.
    """

    def __init__(
        self,
        codec: HeatmapCodec,
        dataset: KeypointDataset,
        annotations: Mapping[str, Any] | None,
        decoders: Sequence[str],
        nms: Nms = "hard",
    ) -> None:
        self.codec, self.dataset, self.annotations = codec, dataset, annotations
        self.nms: Nms = nms
        self.decoders = tuple(decoders)
        shape = (len(dataset), dataset.spec.num_joints)
        self._seen = np.zeros(len(dataset), bool)
        self._readable = np.zeros(len(dataset), bool)
        self._points = {name: np.full((*shape, 2), np.nan) for name in decoders}
        self._scores = {name: np.full(shape, np.nan) for name in decoders}
        self._figures: dict[str, dict[str, float]] = {}  # of what has been added so far

    def add(
        self,
        heatmaps: Tensor,  # [B, K, H, W]
        flipped: Tensor | None,  # [B, K, H, W]
        to_image: Tensor,  # [B, 2, 3]
        read: Tensor,  # [B], whether the image could be read
        index: Tensor,  # [B]
    ) -> None:
        """Decode one batch; people whose image was skipped will not be scored."""
        rows = index.cpu().numpy()
        self._figures.clear()
        self._seen[rows] = True
        self._readable[rows] = read.cpu().numpy()
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
                self.put(*share)
        if left_out := int((self._seen & ~self._readable).sum()):
            _logger.warning("%d people whose image was skipped are not scored", left_out)

    def _share(self) -> tuple[NDArray[np.int64], NDArray[np.bool_], dict[str, Any], dict[str, Any]]:
        rows = np.flatnonzero(self._seen)
        points, scores = (
            {name: values[rows] for name, values in kind.items()}
            for kind in (self._points, self._scores)
        )
        return rows, self._readable[rows], points, scores

    def put(
        self,
        rows: NDArray[np.int64],  # N
        readable: NDArray[np.bool_],  # [N]
        points: Mapping[str, NDArray[np.float64]],  # [N, K, 2] by decoder
        scores: Mapping[str, NDArray[np.float64]],  # [N, K] by decoder
    ) -> None:
        """Add what has been decoded already, for people at positions of `dataset.records`."""
        self._figures.clear()
        self._seen[rows] = True
        self._readable[rows] = readable
        for name in self.decoders:
            self._points[name][rows], self._scores[name][rows] = points[name], scores[name]

    @property
    def rows(self) -> NDArray[np.int64]:
        """Positions in `dataset.records` of the people to score."""
        return np.flatnonzero(self._seen & self._readable)

    def predictions(self, decoder: str) -> Predictions:
        """What one decoder says of the people of `rows`."""
        return predictions(
            People.of(self.dataset),
            self.rows,
            self._points[decoder][self.rows],
            self._scores[decoder][self.rows],
        )

    def results(self, decoder: str) -> list[dict[str, Any]]:
        """What one decoder says, in COCO's result format, as the test server takes it."""
        spec, category = self.dataset.spec, self.dataset.category_id
        threshold = score_threshold(self.codec)
        return self.predictions(decoder).results(spec.oks_sigmas, category, self.nms, threshold)

    def figures(self, decoder: str) -> dict[str, float]:
        """Return what one decoder scores; nothing if no truth is known, as of a test set.

        With COCO-style annotations AP and its kin, over all their images but those of people who
        were skipped or not added; with MPII's heads PCKh; of annotated people PCK and NME.

        Raises:
            ValueError: nobody has been added, or nobody whose image could be read.
        """
        if not self.rows.size:
            raise ValueError("nobody can be scored: no person's image has been read")
        if decoder not in self._figures:  # training logs them, tables and files ask again
            self._figures[decoder] = self._score(decoder)
        return dict(self._figures[decoder])

    def _score(self, decoder: str) -> dict[str, float]:
        found, figures = self.predictions(decoder), dict[str, float]()
        if self.annotations is not None and self.annotations.get("annotations"):
            sigmas = self.dataset.spec.oks_sigmas
            figures |= evaluate_oks(
                self.annotations, self.results(decoder), sigmas, image_ids=self._images()
            )
        if all(record.head_size is not None for record in found.records):
            figures |= found.pckh()
        return {**figures, **found.pck(), "NME": found.nme()} if found.annotated else figures

    def _images(self) -> list[int]:
        """Return the ids of the images to score; one in which a detector saw nobody counts too."""
        assert self.annotations is not None
        kept = set(self.rows.tolist())
        left_out = {
            record.image_id for i, record in enumerate(self.dataset.records) if i not in kept
        }
        return [image["id"] for image in self.annotations["images"] if image["id"] not in left_out]


def predictions(
    people: People,
    rows: NDArray[np.int64],  # N
    points: NDArray[np.float64],  # [N, K, 2]
    scores: NDArray[np.float64],  # [N, K]
) -> Predictions:
    """Return what was predicted for some of the people."""
    records, crops = ([values[i] for i in rows] for values in people)
    return Predictions(records, crops, points, scores)
