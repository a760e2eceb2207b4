# SPDX-License-Identifier: Apache-2.0
"""DARK as a keypoint codec of mmpose 1.x: targets out of keypoints, keypoints out of heatmaps.

    python examples/mmpose_codec.py

In an mmpose configuration the codec is named, and nothing else changes:

    custom_imports = dict(imports=["darkpose.interop.mmpose_plugin"])
    codec = dict(type="DarkUDPHeatmap", input_size=(192, 256), heatmap_size=(48, 64), sigma=2)
    train_pipeline = [..., dict(type="GenerateTarget", encoder=codec), ...]
    model = dict(..., head=dict(..., decoder=codec))

Without mmpose the classes do the same in any program, as here.
"""

import importlib.util
from typing import Any

import numpy as np

from darkpose.interop import mmpose

SIZES: dict[str, Any] = {"input_size": (192, 256), "heatmap_size": (48, 64), "sigma": 2}
CODECS: dict[str, dict[str, Any]] = {
    "DarkMSRAHeatmap": {**SIZES, "unbiased": True},
    "DarkUDPHeatmap": SIZES,
}


def main() -> None:
    """Encode the joints of three people, disturb the heatmaps, decode them."""
    installed = importlib.util.find_spec("mmpose") is not None
    random = np.random.default_rng(0)
    people = random.uniform(10, 180, (3, 1, 17, 2))  # in pixels of the network's input
    for name, options in CODECS.items():
        if installed:
            mmpose.register()
            from mmpose.registry import KEYPOINT_CODECS

            codec = KEYPOINT_CODECS.build({"type": name, **options})
        else:
            codec = getattr(mmpose, name)(**options)
        encoded = [codec.encode(person) for person in people]
        heatmaps = np.stack([person["heatmaps"] for person in encoded])  # [3, 17, 64, 48]
        heatmaps += 0.03 * random.standard_normal(heatmaps.shape, np.float32)
        keypoints, scores = codec.batch_decode(heatmaps)  # three of [1, 17, 2] and [1, 17]
        # UDP's decoded pixels are input_size / (input_size - 1) larger, as they are in mmpose.
        larger = np.array(SIZES["input_size"])
        truth = people * larger / (larger - 1) if name == "DarkUDPHeatmap" else people
        error = np.linalg.norm(np.stack(keypoints) - truth, axis=-1)
        made = "by mmpose" if installed else "without mmpose"
        print(f"{name}, made {made}: {error.mean():.2f} input pixels of error, ", end="")
        print(f"scores from {np.min(scores):.2f}")


if __name__ == "__main__":
    main()
