# SPDX-License-Identifier: Apache-2.0
"""ViTPose on a video: a detector finds the people of each frame, whose skeletons are drawn.

    python examples/vitpose_video.py VIDEO OUT.mp4 [MODEL [DETECTOR]]

MODEL is a ViTPose of Hugging Face's hub or a folder; DETECTOR one of their object detectors,
`huggingface:NAME`, or your own function, `module:function`. Frames are read while the network
works, and their people shared out over its batches. `darkpose predict` does the same, and more:

    darkpose predict huggingface:MODEL VIDEO --detector DETECTOR --out OUT.mp4

Needs pip install 'darkpose[predict,huggingface]'.
"""

import sys
from collections.abc import Iterator

import cv2
import numpy as np

from darkpose import Predictor, Request
from darkpose.data.drawing import draw_skeleton
from darkpose.predict.detectors import load_detector

MODEL = "usyd-community/vitpose-base-simple"
DETECTOR = "huggingface:PekingU/rtdetr_r50vd_coco_o365"

source, drawn, *names = sys.argv[1:]
model, detector = (*names, *(MODEL, DETECTOR)[len(names) :])
predictor = Predictor.from_pretrained(model, detector=load_detector(detector))
video = cv2.VideoCapture(source)


def frames() -> Iterator[Request]:
    """Yield the frames in RGB; a request without boxes is the detector's."""
    number = 0
    while True:
        there, pixels = video.read()
        if not there:
            return
        yield Request(number, pixels[..., ::-1])
        number += 1


size = [int(video.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
codec, rate = cv2.VideoWriter.fourcc(*"mp4v"), video.get(cv2.CAP_PROP_FPS)
writer = cv2.VideoWriter(drawn, codec, rate, size)
for frame, poses, error in predictor.stream(frames()):
    if poses is None:
        sys.exit(error)
    image = np.ascontiguousarray(frame.image)
    for keypoints in poses.keypoints:  # [K, 3]
        points = keypoints[:, :2].astype(np.float64)
        image = draw_skeleton(image, points, predictor.spec, keypoints[:, 2] > 0.2)
    writer.write(np.ascontiguousarray(image[..., ::-1]))
    print(f"frame {frame.key}: {len(poses)} people")
writer.release()
