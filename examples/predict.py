# SPDX-License-Identifier: Apache-2.0
"""Keypoints of the people in one picture, printed, and drawn beside it.

python examples/predict.py CHECKPOINT PICTURE [X,Y,W,H ...]    without boxes: the whole picture
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from darkpose import Predictor
from darkpose.data.drawing import draw_skeleton

checkpoint, picture, *boxes = sys.argv[1:]
predictor = Predictor.from_checkpoint(checkpoint)
poses = predictor(picture, [list(map(float, box.split(","))) for box in boxes] or None)

image = cv2.imread(picture)[..., ::-1]  # turned as EXIF says, like the keypoints
for keypoints, score in zip(poses.keypoints, poses.scores, strict=True):  # [K, 3]
    print(f"a person of score {score:.3f}")
    for name, (x, y, confidence) in zip(poses.names, keypoints, strict=True):
        print(f"{name:15} {x:8.2f} {y:8.2f} {confidence:6.3f}")
    points = keypoints[:, :2].astype(np.float64)
    image = draw_skeleton(image, points, predictor.spec, keypoints[:, 2] > 0.2)
drawn = Path(picture).with_suffix(".keypoints.png")
cv2.imwrite(str(drawn), image[..., ::-1])
print(drawn)
