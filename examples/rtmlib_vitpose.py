# SPDX-License-Identifier: Apache-2.0
"""rtmlib's ViTPose, decoded by DARK: a class in place of its own, without torch.

    python examples/rtmlib_vitpose.py MODEL.onnx PHOTO [X1,Y1,X2,Y2 ...]
    python examples/rtmlib_vitpose.py                   made heatmaps, without rtmlib

    pose = DarkViTPose("vitpose-b-coco.onnx")  # as rtmlib.ViTPose
    keypoints, scores = pose(image, bboxes)  # [N, 17, 2], [N, 17]

What changes: rtmlib lays its crops as HRNet does, and ViTPose was trained with UDP's, in which it
is also read: keypoints are half a pixel of the input off in the middle, and a whole one at the
right and at the bottom. Near the border of a map its refinement reads pixels that are not there.

Needs pip install darkpose rtmlib onnxruntime.
"""

import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from darkpose import decode_topdown
from darkpose.geometry import box_to_crop, input_to_image
from darkpose_ext.numpy import crop, encode

try:
    from rtmlib import ViTPose
except ImportError:
    ViTPose = object

Array = NDArray[Any]


def decode(heatmaps: Array, center: Array, scale: Array) -> tuple[Array, Array]:
    """Return keypoints [1, K, 2] in image pixels and scores [1, K] of heatmaps [1, K, H, W].

    center and scale are those of the crop, (x, y) and (width, height) in image pixels: a box that
    is padded and has the input's aspect ratio already.
    """
    box = (*(center - scale / 2), *scale)
    sigma = heatmaps.shape[2] / 32  # of every published ViTPose: 2 for 64 rows
    return decode_topdown(heatmaps, [box], convention="udp", sigma=sigma, padding=1.0)


class DarkViTPose(ViTPose):  # type: ignore[misc, valid-type]
    """`rtmlib.ViTPose` with the crops that it was trained with, decoded by DARK."""

    def preprocess(self, img: Array, bbox: Any) -> tuple[Array, Array, Array]:
        """Return the input [H, W, 3], and center and scale of the crop."""
        left, top, right, bottom = bbox
        box, size = (left, top, right - left, bottom - top), tuple(self.model_input_size)
        region = box_to_crop(box, size, "udp")
        (cut,) = crop([img], [0], [input_to_image(region, size, "udp")], size[1], size[0])
        center, scale = np.array(region.center), np.array(region.size)
        return (cut - self.mean) / np.array(self.std), center, scale

    def postprocess(
        self, outputs: list[Array], center: Array, scale: Array, *_: Any
    ) -> tuple[Array, Array]:
        """Return keypoints [1, K, 2] in image pixels and scores [1, K]."""
        return decode(outputs[0], center, scale)


def made() -> None:
    """Find the joints of a made person in a crop of 235 x 315 image pixels."""
    random, width, height = np.random.default_rng(0), 48, 64
    points = random.uniform(0, (width - 1, height - 1), (1, 17, 2))
    heatmaps, _ = encode(points, np.ones((1, 17)), height, width, 2.0, dtype=np.float32)
    heatmaps += 0.02 * random.standard_normal(heatmaps.shape, np.float32)
    keypoints, _ = decode(heatmaps, np.array([400.0, 300.0]), np.array([235.0, 315.0]))
    truth = points * 5.0 + (400 - 117.5, 300 - 157.5)
    error = np.linalg.norm(keypoints - truth, axis=-1).mean()
    print(f"made heatmaps, 5 image pixels each: {error:.2f} image pixels of error")


def main() -> None:
    """Print the keypoints of each box, in pixels of the photo."""
    if len(sys.argv) == 1:
        return made()
    model, photo, *boxes = sys.argv[1:]
    corners = [[float(value) for value in box.split(",")] for box in boxes]
    for keypoints, scores in zip(*DarkViTPose(model)(cv2.imread(photo), corners), strict=True):
        print("a person")
        for joint, ((x, y), score) in enumerate(zip(keypoints, scores, strict=True)):
            print(f"{joint:5d} {x:8.2f} {y:8.2f} {score:6.3f}")


if __name__ == "__main__":
    main()
