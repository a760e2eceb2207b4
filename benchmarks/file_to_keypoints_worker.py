# SPDX-License-Identifier: Apache-2.0
"""Answers `file_to_keypoints.py` with the darkpose that PYTHONPATH names, whichever version it is.

Requests and answers are lines of JSON: `checkpoint` and `maps`, whether maps stand in for what the
network says, answered with the version's commit; then `image`, a path, and `boxes`; then `calls`,
answered with the seconds of the processor's time that one took.
"""

import json
import sys
import time
from typing import Any

import torch
from torch import Tensor

from benchmarks import harness
from darkpose import Predictor


class Maps:
    """Maps [B, K, h, w] in place of a network's."""

    def __init__(self, maps: Tensor) -> None:
        self.maps = maps

    def __call__(self, crops: Tensor) -> tuple[Tensor, None]:
        return self.maps[: len(crops)], None


def serve() -> None:
    """Answer until there are no more requests."""
    harness.prepare()
    predictor: Any = None
    image, boxes = "", None
    for line in sys.stdin:
        request = json.loads(line)
        answer: object = None
        if "checkpoint" in request:
            predictor = Predictor.from_checkpoint(
                request["checkpoint"], flip_test=False, device="cpu"
            )
            if request["maps"]:
                width, height = predictor.codec.heatmap_size
                predictor.heatmaps = Maps(torch.rand(predictor.batch_size, 17, height, width))
            answer = harness.commit()
        elif "image" in request:
            image, boxes = request["image"], request["boxes"]
            predictor(image, boxes)  # compiles, allocates
        else:
            began = time.process_time()
            for _ in range(request["calls"]):
                predictor(image, boxes)
            answer = (time.process_time() - began) / request["calls"]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
