# SPDX-License-Identifier: Apache-2.0
"""The people of a run as data sets and as batches, in whatever loop trains or evaluates."""

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import torch

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import Annotations
from darkpose.data.augment import Augmentation
from darkpose.data.dataset import KeypointDataset
from darkpose.data.formats import FORMATS, load_people, truth
from darkpose.data.loading import ResumableLoader, SeededSampler, worker_init
from darkpose.data.mixture import concatenate, remap
from darkpose.data.options import DataOptions
from darkpose.data.spec import KeypointSpec
from darkpose.data.uncut import UncutPeople, collate


class Batches:
    """People to train on and to evaluate on.

    Args:
        codec: the network's input size, convention and padding.
        options: which people, and how.

    Raises:
        FileNotFoundError: a file or a folder of images is missing; says who publishes it.
        ValueError: for anything wrong with the annotations, see `load_annotations`.
    """

    def __init__(self, codec: HeatmapCodec, options: DataOptions) -> None:
        self.codec, self.options = codec, options
        found = options.detections
        self._load = partial(load_people, skip_missing=options.on_bad_image == "skip")
        self._val = self._load(
            options.val,
            options.val_images,
            options.data_format,
            more=options.val_mat or options.joints,
            detections=None if found is None else (found, options.detection_threshold),
            category=options.category,
        )

    @property
    def spec(self) -> KeypointSpec:
        """Names, flip pairs and OKS sigmas of the joints."""
        return self._val.spec

    @cached_property
    def truth(self) -> Mapping[str, Any] | None:
        """The people to evaluate on as a COCO-style file's content, which AP is measured by; None
        where AP is not: on MPII, and on image information."""
        if self._val.content is not None or self.options.detections is not None:
            return self._val.content
        return truth(self._val) if FORMATS[self.options.data_format].scores_ap else None

    @cached_property
    def val_set(self) -> KeypointDataset:
        """The people to evaluate on."""
        return self._dataset(self._val, None)

    @cached_property
    def train_set(self) -> KeypointDataset:
        """The people to train on, augmented.

        Raises:
            ValueError: there are none, or they have other keypoints than those to evaluate on.
        """
        options = self.options
        if options.train is None or options.train_images is None:
            lacking = "data.train" if options.train is None else "data.train_images"
            raise ValueError(f"training needs data.train and data.train_images, got no {lacking}")
        people = self._load(
            options.train,
            options.train_images,
            options.data_format,
            more=options.joints,
            category=options.category,
        )
        if people.spec.names != self.spec.names:
            raise ValueError(
                f"{options.train} must have the keypoints to evaluate on, "
                f"{list(self.spec.names)}, got {list(people.spec.names)}"
            )
        parts = [people]
        for more in options.extra:
            found = self._load(
                more.file,
                more.images,
                more.format,
                more=more.joints,
                category=more.category,
            )
            parts += more.repeat * [remap(found, self.spec)]
        return self._dataset(concatenate(parts), options.augmentation)

    def _dataset(
        self, annotations: Annotations, augmentation: Augmentation | None
    ) -> KeypointDataset:
        codec, options = self.codec, self.options
        return KeypointDataset(
            annotations,
            codec.input_size,
            heatmap_size=codec.heatmap_size,
            convention=codec.convention,
            padding=codec.padding,
            enlarging=codec.enlarging,
            augmentation=augmentation,
            seed=options.seed,
            clip_boxes=options.clip_boxes,
            on_bad_image=options.on_bad_image,
            cache_images=options.cache_images,
            scaled_decoding=options.scaled_decoding,
        )

    def train_batches(
        self, rank: int = 0, processes: int = 1, accumulated: int = 1
    ) -> ResumableLoader:
        """Return batches in an order that (seed, epoch) decides; people who fill no step are left
        out.

        Each optimizer step has the same people whatever the number of processes.

        Args:
            rank: of this process.
            processes: that share a step's people.
            accumulated: how many batches make a step.

        Raises:
            ValueError: the people of a step cannot be shared out evenly.
        """
        size, shares = self.options.batch_size, processes * accumulated
        if size % shares:
            raise ValueError(
                f"data.batch_size is shared by {processes} process(es) with {accumulated} "
                f"accumulated batch(es) each and must be divisible by {shares}, got {size}"
            )
        sampler = SeededSampler(
            len(self.train_set),
            seed=self.options.seed,
            rank=rank,
            world_size=processes,
            step=size,
            images=self.train_set.images if self.options.group_images > 1 else None,
            together=self.options.group_images,
        )
        return self._loader(self.train_set, sampler, size // shares)

    def val_batches(
        self, rank: int = 0, processes: int = 1, accumulated: int = 1
    ) -> ResumableLoader:
        """Return batches with each person once, the people of an image together, else in the file's
        order; arguments as of `train_batches`."""
        sampler = SeededSampler(
            len(self.val_set),
            seed=self.options.seed,
            shuffle=False,
            rank=rank,
            world_size=processes,
            even=False,
            images=self.val_set.images,
            together=self.options.group_images,
        )
        size = max(1, self.options.batch_size // (processes * accumulated))
        return self._loader(self.val_set, sampler, size)

    def _loader(
        self, dataset: KeypointDataset, sampler: SeededSampler, size: int
    ) -> ResumableLoader:
        on_device = self.options.crop_on == "device"
        return ResumableLoader(
            UncutPeople(dataset) if on_device else dataset,
            size,
            collate_fn=collate if on_device else None,
            sampler=sampler,  # type: ignore[arg-type]  # it yields (epoch, index)
            num_workers=self.options.workers,
            worker_init_fn=worker_init,
            persistent_workers=self.options.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
