# SPDX-License-Identifier: Apache-2.0
"""What `darkpose predict` may be told, on the command line or in Python."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from darkpose.data.orientation import Orientation
from darkpose.predict.boxes import BoxTable, parse_boxes, read_boxes
from darkpose.predict.gpu_decoding import DecodeOn
from darkpose.predict.outputs import described


@dataclass
class PredictOptions:
    """Find the keypoints of people in images, folders or videos; write them, draw skeletons.

    Args:
        checkpoint: as training or `darkpose convert` writes it.
        images: images, folders, patterns such as 'day1/*.jpg', videos. With engine ray also URIs
            (s3://, gs://, ...) and Parquet tables.
        boxes: of people: a .json file (COCO-style annotations or detections), a .csv file with the
            columns file, x, y, w, h and perhaps score and frame, or x,y,w,h itself, several
            separated by ;. Without boxes and detector, each whole image is one person.
        out: file to write: a table of `KINDS`; or what draw takes. With engine ray the folder or
            URI of Parquet files, where the same command does what is missing.
        draw: another output: pictures or a video of `KINDS`.
        image_names: JSON with images that says which file each image_id of detections is.
        category: of the boxes to take: a name, an id, or all. By default those with keypoints, if
            they have the same, or the one named person.
        min_box_score: least score of a box; by default 0 for boxes that are given, 0.5 for
            huggingface's.
        detector: finds people where no boxes are given: module:function of your own, called with an
            RGB image [H, W, 3] and returning boxes [N, 4] and scores [N]; or huggingface:MODEL.
        decoder: how to read the heatmaps; the best one by default.
        flip_test: average over the mirrored input too, which takes twice the time.
        batch_size: people that the network sees at once.
        device: to run on; by default a GPU if there is one.
        decode_on: cpu, or device for JPEGs by torchvision's nvJPEG and videos by torchcodec on the
            GPU. Untried: no GPU has run it; pixels differ from OpenCV's by some gray levels.
        clip_boxes: clip annotated boxes as the checkpoint's convention was trained; others never.
        orientation: exif turns images as people see them, stored leaves them as COCO was annotated.
            By default as width and height in the boxes' file say; where they are the same both ways
            or missing, stored if the boxes are COCO's, else exif.
        threshold: joints of a lower score are not drawn.
        threads: that read images; by default as many as processors.
        engine: local, or ray for many machines.
        workers: of engine ray; by default one on each GPU of the cluster, or on each processor.
        shard_size: images, or rows of a Parquet table, that a worker of engine ray does at once.
        network: module:function that makes the checkpoint's network, if that is your own code.
    """

    checkpoint: Path
    images: list[str]
    boxes: str | None = None
    out: str | Path = "predictions.json"
    draw: Path | None = None
    image_names: Path | None = None
    category: int | str | None = None
    min_box_score: float | None = None
    detector: str | None = None
    decoder: str | None = None
    flip_test: bool = True
    batch_size: int = 32
    device: str | None = None
    decode_on: DecodeOn = "cpu"
    clip_boxes: bool = True
    orientation: Orientation | None = None
    threshold: float = 0.2
    threads: int | None = None
    engine: Literal["local", "ray"] = "local"
    workers: int | None = None
    shard_size: int = 1000
    network: str | None = None


for _said, _drawn in {"a table of `KINDS`": False, "pictures or a video of `KINDS`": True}.items():
    assert PredictOptions.__doc__ and _said in PredictOptions.__doc__
    PredictOptions.__doc__ = PredictOptions.__doc__.replace(_said, described(drawn=_drawn))


def boxes_of(options: PredictOptions) -> BoxTable | NDArray[np.float64] | None:
    """Return the boxes that are given: of a file, or [N, 4], the same in each image.

    Raises:
        OSError: there is no such file.
        ValueError: it is not what it should be.
    """
    given = None if options.boxes is None else parse_boxes(options.boxes)
    if options.boxes is None or given is not None:
        return given
    return read_boxes(
        options.boxes,
        image_names=options.image_names,
        category=options.category,
        min_score=options.min_box_score,
    )
