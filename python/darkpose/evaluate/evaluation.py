# SPDX-License-Identifier: Apache-2.0
"""A network's predictions for annotated people, decoded in several ways, and what they score."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.dataset import KeypointDataset
from darkpose.decoders import ambiguity
from darkpose.evaluate.metrics.coco import Nms
from darkpose.evaluate.metrics.metric import METRICS
from darkpose.evaluate.predictions import Predictions, Subjects
from darkpose.evaluate.scores import score_threshold

_logger = logging.getLogger(__name__)


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
        self._ambiguity = np.full(shape, np.nan)
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
        self._ambiguity[rows] = ambiguity(self.codec, heatmaps, flipped).float().cpu().numpy()
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
        left_out = np.flatnonzero(self._seen & ~self._readable)
        if len(left_out):
            first = self.dataset.records[left_out[0]]
            _logger.warning(
                "%d people whose image was skipped are not scored, the first: %s in %s",
                len(left_out),
                first.name,
                first.image_path,
            )

    def _share(self) -> tuple[Any, ...]:
        rows = np.flatnonzero(self._seen)
        points, scores = (
            {name: values[rows] for name, values in kind.items()}
            for kind in (self._points, self._scores)
        )
        return rows, self._readable[rows], points, scores, self._ambiguity[rows]

    def put(
        self,
        rows: NDArray[np.int64],  # N
        readable: NDArray[np.bool_],  # [N]
        points: Mapping[str, NDArray[np.float64]],  # [N, K, 2] by decoder
        scores: Mapping[str, NDArray[np.float64]],  # [N, K] by decoder
        ambiguity: NDArray[np.float64] | None = None,  # [N, K]
    ) -> None:
        """Add what has been decoded already, for people at positions of `dataset.records`."""
        self._figures.clear()
        self._seen[rows] = True
        self._readable[rows] = readable
        self._ambiguity[rows] = np.nan if ambiguity is None else ambiguity
        for name in self.decoders:
            self._points[name][rows], self._scores[name][rows] = points[name], scores[name]

    @property
    def rows(self) -> NDArray[np.int64]:
        """Positions in `dataset.records` of the people to score."""
        return np.flatnonzero(self._seen & self._readable)

    def predictions(self, decoder: str) -> Predictions:
        """Return what one decoder says of the people of `rows`."""
        rows, annotations = self.rows, self.annotations
        if annotations is None or not annotations.get("annotations"):
            annotations = None  # of a test set, whose file has images alone
        return Predictions(
            Subjects.of(self.dataset).at(rows.tolist()),
            self._points[decoder][rows],
            self._scores[decoder][rows],
            nms=self.nms,
            score_threshold=score_threshold(self.codec),
            annotations=annotations,
            image_ids=None if annotations is None else self._images(annotations),
            ambiguity=self._ambiguity[rows],
        )

    def figures(self, decoder: str) -> dict[str, float]:
        """Return what one decoder scores by every metric of `METRICS` whose truth is known.

        With COCO-style annotations AP and its kin, over all their images but those of people who
        were skipped or not added; with MPII's heads PCKh; of annotated people PCK and NME. Nothing
        of a test set.

        Raises:
            ValueError: nobody has been added, or nobody whose image could be read.
        """
        if not self.rows.size:
            raise ValueError("nobody can be scored: no person's image has been read")
        if decoder not in self._figures:  # training logs them, tables and files ask again
            found = self.predictions(decoder)
            self._figures[decoder] = {
                name: value for one in METRICS.values() for name, value in one(found).items()
            }
        return dict(self._figures[decoder])

    def _images(self, annotations: Mapping[str, Any]) -> list[int]:
        """Return the ids of the images that count; one in which a detector saw nobody does too."""
        kept = set(self.rows.tolist())
        left_out = {
            record.image_id for i, record in enumerate(self.dataset.records) if i not in kept
        }
        return [image["id"] for image in annotations["images"] if image["id"] not in left_out]
