# SPDX-License-Identifier: Apache-2.0
"""Keypoints in a photo: `darkpose export last.ckpt pose.onnx --from image`, and then

    python from_image.py pose.onnx photo.jpg 100,50,80,200 300,40,90,210

Boxes are x,y,width,height in pixels of the photo as OpenCV shows it. Nothing of darkpose is needed.
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime

model, photo, *boxes = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
image = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
given = np.array([box.split(",") for box in boxes], np.float32).reshape(-1, 4)
keypoints, scores = session.run(None, {"image": image, "boxes": given})
names = json.loads(session.get_modelmeta().custom_metadata_map["names"])
for person, score in zip(keypoints.round(3), scores, strict=True):
    print(json.dumps({"score": float(score), **dict(zip(names, person.tolist(), strict=True))}))
