# SPDX-License-Identifier: Apache-2.0
"""Keypoints of a Hugging Face ViTPose by DARK, beside those of transformers' own post-processing.

    python examples/huggingface_vitpose.py photo.jpg --box 120,40,210,380 --model NAME_OR_FOLDER

NAME is one of huggingface.co, such as usyd-community/vitpose-base-simple. Without `--model` a small
network with random weights shows how the calls go together, and downloads nothing; without a photo
it sees noise.

Needs transformers and Pillow: pip install 'darkpose[huggingface]'.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import (
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
    VitPoseImageProcessorPil,
)

from darkpose.interop.huggingface import COCO_FLIP_PAIRS, decode_vitpose


def untrained() -> VitPoseForPoseEstimation:
    """Return a network of ViTPose's shape, a thousandth of its size."""
    torch.manual_seed(0)
    backbone = VitPoseBackboneConfig(
        image_size=[256, 192],
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        out_features=["stage2"],
    )
    return VitPoseForPoseEstimation(VitPoseConfig(backbone_config=backbone, num_labels=17))


def main() -> None:
    """Print the keypoints of each box, in pixels of the photo."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photo", type=Path, nargs="?", help="default: noise")
    parser.add_argument("--box", action="append", help="x,y,width,height; default: all of it")
    parser.add_argument("--model", help="default: random weights")
    options = parser.parse_args()

    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    photo = Image.open(options.photo) if options.photo else Image.fromarray(noise)
    photo = ImageOps.exif_transpose(photo).convert("RGB")  # as people see it, and their boxes
    boxes = [[float(value) for value in box.split(",")] for box in options.box or ()]
    boxes = boxes or [[0.0, 0.0, float(photo.width), float(photo.height)]]
    name = options.model
    processor = (
        VitPoseImageProcessorPil.from_pretrained(name) if name else VitPoseImageProcessorPil()
    )
    model = VitPoseForPoseEstimation.from_pretrained(name) if name else untrained()
    model.eval()

    inputs = processor(photo, boxes=[boxes], return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
        mirrored = model(inputs["pixel_values"].flip(-1))
    coords, scores = decode_vitpose(outputs.heatmaps, boxes)
    tested, _ = decode_vitpose(
        outputs.heatmaps, boxes, flipped=mirrored.heatmaps, flip_pairs=COCO_FLIP_PAIRS
    )

    theirs = processor.post_process_pose_estimation(outputs, boxes=[boxes])[0]
    for person, box in enumerate(boxes):
        print(f"box {box}: joint, score, DARK, with flip test, transformers")
        for joint, score in enumerate(scores[person].tolist()):
            points = (coords[person, joint], tested[person, joint])
            points += (theirs[person]["keypoints"][joint],)
            columns = "  ".join(f"({x:7.2f}, {y:7.2f})" for x, y in (p.tolist() for p in points))
            print(f"{joint:5d}  {score:5.2f}  {columns}")


if __name__ == "__main__":
    main()
