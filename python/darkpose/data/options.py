# SPDX-License-Identifier: Apache-2.0
"""Which people a run trains on and is evaluated on, how they are cropped, in which order."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from darkpose.data.augment import Augmentation
from darkpose.data.dataset import OnBadImage
from darkpose.data.formats import Category, DataFormat, check_format
from darkpose.data.uncut import CropOn


@dataclass(frozen=True)
class Extra:
    """People of another data set to train on, with those of their joints that are evaluated.

    Args:
        file: annotation file.
        images: folder of its images.
        format: of the file: COCO-style, HRNet's JSON for MPII, or AI Challenger's own.
        repeat: how many times an epoch has each person.
        joints: a joint set's name, or a YAML file that completes a COCO-style file's keypoints
            (`KeypointSpec`).
        category: of a COCO-style file, as `data.category`.
    """

    file: Path
    images: Path
    format: DataFormat = "coco"
    repeat: int = 1
    joints: Path | None = None
    category: Category = None

    def __post_init__(self) -> None:
        check_format(self.format, "format of data.extra")
        if self.repeat < 1:
            raise ValueError(f"repeat must be at least 1, got {self.repeat} for {self.file}")


@dataclass(frozen=True)
class DataOptions:
    """People for training and evaluation.

    Paths may hold environment variables, `${DARKPOSE_DATA}/lspet/images`, and begin with `~`. The
    training files are not read before training.

    Args:
        val: annotation file to evaluate on, after each epoch and in `validate` and `test`; with
            `detections`, a test set's image information will do.
        val_images: folder of its images.
        train: annotation file to train on; may be None where nothing is trained.
        train_images: folder of its images.
        joints: a joint set's name, such as coco_wholebody, or a YAML file that completes COCO-style
            annotations' keypoints (`KeypointSpec`).
        category: name or id of the category of COCO-style files to take; by default all that have
            keypoints, which must be the same ones.
        data_format: of `train` and `val`: "coco" for any COCO-style file, "mpii" for HRNet's JSON,
            "aic" for AI Challenger's own.
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
        crop_on: who cuts people out: "worker", as they read; or "device", the network's, to which
            whole images go, each once for its people of a batch. The crops are the same.
        group_images: train on up to so many people of an image one after another, which decodes it
            once for them; they are then in the same step, mostly. 1: people are shuffled.
        seed: of the order of samples and of augmentation.

    Raises:
        ValueError: options do not go together, or a number is below 1.
    """

    val: Path
    val_images: Path
    train: Path | None = None
    train_images: Path | None = None
    joints: Path | None = None
    category: Category = None
    data_format: DataFormat = "coco"
    val_mat: Path | None = None
    detections: Path | None = None
    detection_threshold: float = 0.0
    extra: tuple[Extra, ...] = ()
    batch_size: int = 32
    workers: int = 2
    augmentation: Augmentation | None = None
    clip_boxes: bool = True
    on_bad_image: OnBadImage = "raise"
    cache_images: bool = False
    scaled_decoding: bool = False
    crop_on: CropOn = "worker"
    group_images: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_format(self.data_format, "data.data_format")
        if (
            self.data_format != "coco"
            and (self.joints or self.detections or self.category) is not None
        ):
            raise ValueError(
                "data.joints, data.detections and data.category are for COCO-style files, "
                f"got {self.data_format}"
            )
        if self.data_format != "mpii" and self.val_mat is not None:
            raise ValueError(f"data.val_mat is for MPII, got data_format {self.data_format}")
        if self.batch_size < 1:
            raise ValueError(f"data.batch_size must be positive, got {self.batch_size}")
        if self.crop_on not in get_args(CropOn):
            names = ", ".join(get_args(CropOn))
            raise ValueError(f"data.crop_on must be one of {names}, got {self.crop_on}")
        if self.group_images < 1:
            raise ValueError(f"data.group_images must be at least 1, got {self.group_images}")
