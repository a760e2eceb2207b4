# SPDX-License-Identifier: Apache-2.0
"""The data of a training run: which files, how cropped, in which order."""

import os
from functools import cached_property
from pathlib import Path

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import (
    Annotations,
    load_annotations,
    read_annotation_file,
)
from darkpose.data.augment import Augmentation
from darkpose.data.dataset import (
    KeypointDataset,
    OnBadImage,
    Sample,
    SeededSampler,
    worker_init,
)
from darkpose.data.spec import KeypointSpec


class PoseData(LightningDataModule):
    """COCO-style annotated people for training and evaluation.

    Paths may hold environment variables, `${DARKPOSE_DATA}/lspet/images`, and begin with `~`. The
    training file is not read before training.

    Args:
        codec: the network's input size, convention and padding.
        val: annotation file to evaluate on, after each epoch and in `validate` and `test`.
        val_images: folder of its images.
        train: annotation file to train on; may be None where nothing is trained.
        train_images: folder of its images.
        joints: a YAML file that completes the annotations' keypoints (`KeypointSpec`).
        batch_size: people per step and process.
        workers: processes that read and crop; 0: none besides the training process.
        augmentation: of the training crops; None: none.
        clip_boxes: clean boxes as the convention's training code does.
        on_bad_image: "raise" or "skip" (`KeypointDataset`).
        cache_images: keep all decoded images in memory.
        seed: of the order of samples and of augmentation.

    Raises:
        ValueError: for anything wrong with the annotations, see `load_annotations`.
    """

    def __init__(
        self,
        codec: HeatmapCodec,
        val: Path,
        val_images: Path,
        train: Path | None = None,
        train_images: Path | None = None,
        joints: Path | None = None,
        batch_size: int = 32,
        workers: int = 2,
        augmentation: Augmentation | None = None,
        clip_boxes: bool = True,
        on_bad_image: OnBadImage = "raise",
        cache_images: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.codec, self.batch_size, self.workers = codec, batch_size, workers
        self.augmentation, self.clip_boxes, self.seed = augmentation, clip_boxes, seed
        self.on_bad_image: OnBadImage = on_bad_image
        self.cache_images = cache_images
        self._joints = _expanded(joints) if joints is not None else None
        self._train_files = (train, train_images)
        path = _expanded(val)
        self.val_annotations = read_annotation_file(path)
        """Content of the annotation file to evaluate on."""
        self._val = load_annotations(
            path, _expanded(val_images), spec=self._joints, content=self.val_annotations
        )

    @property
    def spec(self) -> KeypointSpec:
        """Names, flip pairs and OKS sigmas of the joints."""
        return self._val.spec

    def setup(self, stage: str) -> None:
        """Make the data sets that the stage needs; images are read here if they are cached."""
        if stage == "fit":
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
            missing = "data.train" if train is None else "data.train_images"
            raise ValueError(f"training needs data.train and data.train_images, got no {missing}")
        annotations = load_annotations(_expanded(train), _expanded(train_images), spec=self._joints)
        if annotations.spec.names != self.spec.names:
            raise ValueError(
                f"{train} must have the keypoints to evaluate on, {list(self.spec.names)}, "
                f"got {list(annotations.spec.names)}"
            )
        return self._dataset(annotations, self.augmentation)

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
        )

    def train_dataloader(self) -> DataLoader[Sample]:
        """Batches in an order that (seed, epoch) decides; the last, smaller one is dropped."""
        return self._loader(self.train_set, shuffle=True, drop_last=True)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Each person once, in the file's order."""
        return self._loader(self.val_set, shuffle=False, drop_last=False)

    test_dataloader = val_dataloader

    def _loader(
        self, dataset: KeypointDataset, shuffle: bool, drop_last: bool
    ) -> DataLoader[Sample]:
        rank, world_size = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        sampler = SeededSampler(
            len(dataset),
            seed=self.seed,
            shuffle=shuffle,
            rank=rank,
            world_size=world_size,
            even=shuffle,
        )
        return DataLoader(
            dataset,
            self.batch_size,
            sampler=sampler,  # type: ignore[arg-type]  # it yields (epoch, index)
            num_workers=self.workers,
            worker_init_fn=worker_init,
            persistent_workers=self.workers > 0,
            drop_last=drop_last and len(sampler) >= self.batch_size,
        )


def _expanded(path: str | Path) -> Path:
    expanded = os.path.expanduser(os.path.expandvars(path))
    if "$" in expanded:
        name = expanded[expanded.index("$") :].split("/")[0].strip("${}")
        raise ValueError(f"{path} needs the environment variable {name}, which is not set")
    return Path(expanded)
