# SPDX-License-Identifier: Apache-2.0
"""The two pipelines whose times are compared do the same work."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="needs darkpose[huggingface]")

from benchmarks import crops, pipelines  # noqa: E402
from darkpose import Predictor  # noqa: E402
from pretrained import vitpose  # noqa: E402

SHARE = 0.02  # of a map's height, for crops that may be a gray level apart
PIXELS = 1e-2  # of the image: the same, taken apart and in one call


def test_both_pipelines_show_the_network_the_same(tmp_path: Path) -> None:
    crops.processor("ViTPose")  # before any other import of transformers
    model = vitpose(tmp_path)
    predictor = Predictor.from_pretrained(str(tmp_path), flip_test=False, device="cpu")
    image, boxes = crops.noise(640, 427), [[200.0, 100, 100, 150], [300, 150.5, 70, 90]]
    ours = pipelines.ours(predictor, image, boxes)
    theirs = pipelines.theirs("ViTPose", model, image, boxes)
    with torch.inference_mode():
        outputs, maps = theirs.network(theirs.crop()), ours.network(ours.crop())
        points, _ = ours.decode(maps)
        found = theirs.decode(outputs)
    assert (maps - outputs.heatmaps).abs().max() < SHARE * maps.abs().max()
    assert [len(image) for image in found] == [2]
    assert maps.is_contiguous()  # 308 maps of 192x256 are decoded 8 times as fast so
    whole = predictor(image, np.array(boxes)).keypoints[..., :2]
    assert np.abs(whole - points.numpy()).max() < PIXELS
