# SPDX-License-Identifier: Apache-2.0
"""From annotation files and images to a network's samples."""

from darkpose.data.annotations import Annotations, PersonRecord, load_annotations
from darkpose.data.augment import Augmentation, augment
from darkpose.data.dataset import KeypointDataset, SeededSampler, worker_init
from darkpose.data.images import crop_image, read_image
from darkpose.data.spec import KeypointSpec

__all__ = [
    "Annotations",
    "Augmentation",
    "KeypointDataset",
    "KeypointSpec",
    "PersonRecord",
    "SeededSampler",
    "augment",
    "crop_image",
    "load_annotations",
    "read_image",
    "worker_init",
]
