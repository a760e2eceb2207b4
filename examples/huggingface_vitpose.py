# SPDX-License-Identifier: Apache-2.0
"""Keypoints of the people in a photo by a ViTPose, ViTPose+ or Sapiens2 of Hugging Face, printed.

    python examples/huggingface_vitpose.py MODEL PHOTO [X,Y,W,H ...]    without boxes: all of it

MODEL is one of the hub, such as usyd-community/vitpose-base-simple, or a folder that
`save_pretrained` wrote. Needs pip install 'darkpose[predict,huggingface]'.
"""

import sys

from darkpose import Predictor

model, photo, *boxes = sys.argv[1:]
predictor = Predictor.from_pretrained(model)
poses = predictor(photo, [list(map(float, box.split(","))) for box in boxes] or None)

for keypoints, box in zip(poses.keypoints, poses.boxes, strict=True):  # [K, 3]
    print(f"the person in {', '.join(f'{value:g}' for value in box)}")
    for name, (x, y, score) in zip(poses.names, keypoints, strict=True):
        print(f"{name:15} {x:8.2f} {y:8.2f} {score:6.3f}")
