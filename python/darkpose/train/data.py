# SPDX-License-Identifier: Apache-2.0
"""The data of a training run: which files, how cropped, in which order."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import LightningDataModule

from darkpose.codec import HeatmapCodec
from darkpose.data.aic import load_aic
from darkpose.data.annotations import (
    Annotations,
    load_annotations,
    read_annotation_file,
)
from darkpose.data.augment import Augmentation
from darkpose.data.dataset import KeypointDataset, OnBadImage
from darkpose.data.detections import load_detections
from darkpose.data.loading import ResumableLoader, SeededSampler, worker_init
from darkpose.data.mixture import concatenate, remap
from darkpose.data.mpii import load_mpii
from darkpose.data.published import DataFormat, missing
from darkpose.data.spec import KeypointSpec
from darkpose.files import expanded


@dataclass(frozen=True)
class Extra:
    """People of another data set to train on, with those of their joints that are evaluated.

    Args:
        file: annotation file.
        images: folder of its images.
        format: of the file: COCO-style, HRNet's JSON for MPII, or AI Challenger's own.
        repeat: how many times an epoch has each person.
        joints: a YAML file that completes a COCO-style file's keypoints (`KeypointSpec`).
    """

    file: Path
    images: Path
    format: DataFormat = "coco"
    repeat: int = 1
    joints: Path | None = None

    def __post_init__(self) -> None:
        if self.repeat < 1:
            raise ValueError(f"repeat must be at least 1, got {self.repeat} for {self.file}")


class PoseData(LightningDataModule):
    """People for training and evaluation.

    Paths may hold environment variables, `${DARKPOSE_DATA}/lspet/images`, and begin with `~`. The
    training files are not read before training.

    Args:
        codec: the network's input size, convention and padding.
        val: annotation file to evaluate on, after each epoch and in `validate` and `test`; with
            `detections`, a test set's image information will do.
        val_images: folder of its images.
        train: annotation file to train on; may be None where nothing is trained.
        train_images: folder of its images.
        joints: a YAML file that completes COCO-style annotations' keypoints (`KeypointSpec`).
        data_format: of `train` and `val`: "coco" for any COCO-style file, "mpii" for HRNet's JSON.
        val_mat: `gt_valid.mat`, the joints and head sizes that PCKh is measured by on MPII.
        detections: people to evaluate on in place of the annotated ones, in COCO's results format.
        detection_threshold: least score of a detected box.
        extra: more people to train on, from data sets that may have other joints.
        batch_size: people per optimizer step, over all processes and accumulated batches.
        workers: processes that read and crop; 0: none besides the training process.
        augmentation: of the training crops; None: none.
        clip_boxes: clean boxes as the convention's training code does.
        on_bad_image: "raise" or "skip" (`KeypointDataset`).
        cache_images: keep all decoded images in memory.
        scaled_decoding: decode JPEGs at a fraction of their size where crops shrink them at least
            twice (`KeypointDataset`).
        group_images: train on up to so many people of an image one after another, which decodes it
            once for them; they are then in the same step, mostly. 1: people are shuffled.
        seed: of the order of samples and of augmentation.

    Raises:
        FileNotFoundError: a file or a folder of images is missing; says who publishes it.
        ValueError: for anything wrong with the annotations, see `load_annotations`, or options that
            do not go together.
    """

    def __init__(
        self,
        codec: HeatmapCodec,
        val: Path,
        val_images: Path,
        train: Path | None = None,
        train_images: Path | None = None,
        joints: Path | None = None,
        data_format: Literal["coco", "mpii"] = "coco",
        val_mat: Path | None = None,
        detections: Path | None = None,
        detection_threshold: float = 0.0,
        extra: tuple[Extra, ...] = (),
        batch_size: int = 32,
        workers: int = 2,
        augmentation: Augmentation | None = None,
        clip_boxes: bool = True,
        on_bad_image: OnBadImage = "raise",
        cache_images: bool = False,
        scaled_decoding: bool = False,
        group_images: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if data_format != "coco" and (joints is not None or detections is not None):
            raise ValueError(
                f"data.joints and data.detections are for COCO-style files, got {data_format}"
            )
        if data_format != "mpii" and val_mat is not None:
            raise ValueError(f"data.val_mat is for MPII, got data_format {data_format}")
        if batch_size < 1:
            raise ValueError(f"data.batch_size must be positive, got {batch_size}")
        if group_images < 1:
            raise ValueError(f"data.group_images must be at least 1, got {group_images}")
        self.codec, self.batch_size, self.workers = codec, batch_size, workers
        self.augmentation, self.clip_boxes, self.seed = augmentation, clip_boxes, seed
        self.on_bad_image: OnBadImage = on_bad_image
        self.cache_images, self.scaled_decoding = cache_images, scaled_decoding
        self.group_images, self.data_format, self.extra = group_images, data_format, extra
        self._joints = joints
        self._train_files = (train, train_images)
        self.val_annotations: Mapping[str, Any] | None = None
        """Content of the COCO-style annotation file to evaluate on; None if there is none, as for
        MPII and for image information."""
        file, images = expanded(val), expanded(val_images)
        if data_format != "coco":
            self._val = _load(file, images, data_format, mat=val_mat)
            return
        content = read_annotation_file(file, annotated=detections is None)
        self.val_annotations = content if "annotations" in content else None
        if detections is None:
            self._val = _load(file, images, "coco", joints=self._joints, content=content)
            return
        _require_images(images, file, "coco")
        self._val = load_detections(
            expanded(detections),
            file,
            images,
            spec=expanded(joints) if joints is not None else None,
            threshold=detection_threshold,
            content=content,
        )

    @property
    def spec(self) -> KeypointSpec:
        """Names, flip pairs and OKS sigmas of the joints."""
        return self._val.spec

    def setup(self, stage: str) -> None:
        """Make the data sets that the stage needs; images are read here if they are cached.

        Raises:
            ValueError: the batch cannot be shared out evenly.
        """
        if stage == "fit":
            if self.trainer:
                self._people_per_batch(exact=True)
            _ = self.train_set
        _ = self.val_set

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
        train, train_images = self._train_files
        if train is None or train_images is None:
            missing_option = "data.train" if train is None else "data.train_images"
            raise ValueError(
                f"training needs data.train and data.train_images, got no {missing_option}"
            )
        people = _load(train, train_images, self.data_format, joints=self._joints)
        if people.spec.names != self.spec.names:
            raise ValueError(
                f"{train} must have the keypoints to evaluate on, {list(self.spec.names)}, "
                f"got {list(people.spec.names)}"
            )
        parts = [people]
        for more in self.extra:
            found = _load(more.file, more.images, more.format, joints=more.joints)
            parts += more.repeat * [remap(found, self.spec)]
        return self._dataset(concatenate(parts), self.augmentation)

    def _dataset(
        self, annotations: Annotations, augmentation: Augmentation | None
    ) -> KeypointDataset:
        return KeypointDataset(
            annotations,
            self.codec.input_size,
            heatmap_size=self.codec.heatmap_size,
            convention=self.codec.convention,
            padding=self.codec.padding,
            augmentation=augmentation,
            seed=self.seed,
            clip_boxes=self.clip_boxes,
            on_bad_image=self.on_bad_image,
            cache_images=self.cache_images,
            scaled_decoding=self.scaled_decoding,
        )

    def train_dataloader(self) -> ResumableLoader:
        """Batches in an order that (seed, epoch) decides; people who fill no step are left out.

        Each optimizer step has the same people whatever the number of processes.
        """
        return self._loader(self.train_set, train=True)

    def val_dataloader(self) -> ResumableLoader:
        """Each person once, the people of an image together, else in the file's order."""
        return self._loader(self.val_set, train=False)

    test_dataloader = val_dataloader

    def _loader(self, dataset: KeypointDataset, train: bool) -> ResumableLoader:
        sampler = SeededSampler(
            len(dataset),
            seed=self.seed,
            shuffle=train,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
            even=train,
            step=self.batch_size if train else 1,
            images=dataset.images if not train or self.group_images > 1 else None,
            together=self.group_images,
        )
        return ResumableLoader(
            dataset,
            self._people_per_batch(exact=train),
            sampler=sampler,  # type: ignore[arg-type]  # it yields (epoch, index)
            num_workers=self.workers,
            worker_init_fn=worker_init,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def _people_per_batch(self, exact: bool) -> int:
        """Return how many people each process has in a batch; `exact`: so that steps are right."""
        processes = self.trainer.world_size if self.trainer else 1
        batches = self.trainer.accumulate_grad_batches if self.trainer else 1
        if exact and self.batch_size % (processes * batches):
            raise ValueError(
                f"data.batch_size is shared by {processes} process(es) with {batches} accumulated "
                f"batch(es) each and must be divisible by {processes * batches}, "
                f"got {self.batch_size}"
            )
        return max(1, self.batch_size // (processes * batches))


def _load(
    file: Path,
    images: Path,
    data_format: DataFormat,
    *,
    joints: Path | None = None,
    mat: Path | None = None,
    content: Mapping[str, Any] | None = None,
) -> Annotations:
    """Read one data set and see that it has a folder of images."""
    file, images = expanded(file), expanded(images)
    if data_format == "mpii":
        people = load_mpii(file, images, expanded(mat) if mat is not None else None)
    elif data_format == "aic":
        people = load_aic(file, images)
    else:
        spec = expanded(joints) if joints is not None else None
        people = load_annotations(file, images, spec=spec, content=content)
    _require_images(images, file, data_format)
    return people


def _require_images(folder: Path, file: Path, data_format: DataFormat) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(missing(folder, images_of=file, data_format=data_format))
