# SPDX-License-Identifier: Apache-2.0
"""What is known of published data sets without opening them: COCO's joints, and who has the files.

No data set comes with this package or is fetched by it. Whoever starts a run without one is told
what is missing, where it is looked for and where its owners publish it, in one sentence.
"""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True)
class _Source:
    """Where the owners of a data set publish it."""

    contents: str
    """What its files are."""
    files: str
    images: str | None = None
    """Default: with the files."""


_HRNET = "https://github.com/leoxiaobin/deep-high-resolution-net.pytorch (section Data preparation)"
_COCO = "https://cocodataset.org/#download"
_MPII = _Source("MPII's annotations as JSON", _HRNET, "http://human-pose.mpi-inf.mpg.de")
_AIC = _Source(
    "AI Challenger's keypoint annotations", "https://github.com/AIChallenger/AI_Challenger_2017"
)
_MPII_NAMES = ("train.json", "valid.json", "trainval.json", "test.json", "gt_valid.mat")
_BY_FORMAT = {"mpii": _MPII, "aic": _AIC}
_BY_NAME = {
    "person_keypoints_*2017.json": _Source("COCO's keypoint annotations", _COCO),
    "image_info_test*.json": _Source("COCO's image information", _COCO),
    "COCO_*detections*.json": _Source("person detections by HRNet's authors", _HRNET),
    "keypoint_*_annotations*.json": _AIC,
    "hrnet_w*-*.pth": _Source("HRNet trained on ImageNet", _HRNET),
    "hrnetv2_*": _Source(
        "HRNet trained on ImageNet", "https://github.com/HRNet/HRNet-Image-Classification"
    ),
    "resnet*": _Source(
        "ResNet trained on ImageNet", "https://docs.pytorch.org/vision/stable/models.html"
    ),
    "lspet_*": _Source(
        "annotations of Leeds Sports Pose Extended", "https://sam.johnson.io/research/lspet.html"
    ),
}


def missing(
    path: str | Path, *, images_of: str | Path | None = None, data_format: str = "coco"
) -> str:
    """Return one sentence on a file or folder that is not there.

    Args:
        path: where it was looked for.
        images_of: the annotation file whose images were to be in the folder `path`; None: `path` is
            a file.
        data_format: of that annotation file.
    """
    source = _source(Path(images_of or path), data_format)
    path = Path(path).absolute()
    if images_of is not None:
        sentence = f"{path} must be the folder of the images of {images_of}, got no such folder"
        return f"{sentence}: get them from {source.images or source.files}" if source else sentence
    contents = source.contents if source else "a file"
    sentence = f"{path} must be {contents}, got no such file"
    return f"{sentence}: get it from {source.files}" if source else sentence


def _source(file: Path, data_format: str) -> _Source | None:
    if data_format in _BY_FORMAT:
        return _BY_FORMAT[data_format]
    if any("mpii" in part.lower() for part in file.parts) and file.name in _MPII_NAMES:
        return _MPII
    for pattern, source in _BY_NAME.items():
        if fnmatch(file.name, pattern):
            return source
    return None
