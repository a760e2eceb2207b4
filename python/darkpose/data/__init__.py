# SPDX-License-Identifier: Apache-2.0
"""From annotation files and images to a network's samples."""

from darkpose.data.aic import load_aic
from darkpose.data.annotations import Annotations, PersonRecord, load_annotations
from darkpose.data.augment import Augmentation, augment
from darkpose.data.dataset import KeypointDataset
from darkpose.data.detections import load_detections
from darkpose.data.images import crop_image, read_image
from darkpose.data.joint_sets import JOINT_SETS
from darkpose.data.loading import ResumableLoader, SeededSampler, worker_init
from darkpose.data.mixture import concatenate, remap
from darkpose.data.mpii import load_mpii
from darkpose.data.spec import KeypointSpec

AIC: KeypointSpec
COCO: KeypointSpec
MPII: KeypointSpec

__all__ = [
    "AIC",
    "COCO",
    "JOINT_SETS",
    "MPII",
    "Annotations",
    "Augmentation",
    "KeypointDataset",
    "KeypointSpec",
    "PersonRecord",
    "ResumableLoader",
    "SeededSampler",
    "augment",
    "concatenate",
    "crop_image",
    "load_aic",
    "load_annotations",
    "load_detections",
    "load_mpii",
    "read_image",
    "remap",
    "worker_init",
]


def __getattr__(name: str) -> KeypointSpec:
    if name in ("AIC", "COCO", "MPII"):
        return JOINT_SETS[name.lower()]
    raise AttributeError(f"module {__name__} has no attribute {name}")
