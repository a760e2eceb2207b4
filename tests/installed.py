# SPDX-License-Identifier: Apache-2.0
"""Runs the README's Python lines with an installed darkpose, none of this checkout's packages.

    python tests/installed.py runs/demo

The folder is one that `darkpose demo` wrote: the predictor needs a checkpoint and a picture.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch

import darkpose
import darkpose_ext.numpy

ROOT = Path(__file__).parents[1]


def main(demo: Path) -> None:
    """Run each line, and fail where one does not return what the README says of it."""
    for package in (darkpose, darkpose_ext):
        if "site-packages" not in Path(package.__file__ or "").parts:
            sys.exit(f"installed: {package.__file__} is not an installed package's")
    first, model = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(first.replace("coords, _ =", "peak, _ ="), names)
    coords, scores = names["coords"], names["scores"]
    assert names["peak"].tolist() == [[[20.0, 32.0]]]
    torch.testing.assert_close(coords, torch.tensor([[[20.2998, 31.8001]]]), atol=1e-4, rtol=0)
    print(f"coords {coords.tolist()}, scores {scores.tolist()}")

    exec(model, names)
    pose = names["Pose"]()
    pose.network = torch.nn.Conv2d(3, 4, 4, stride=4)
    pose.taps, pose.flip_index = names["taps"], [0, 1, 3, 2]
    shapes = [tuple(t.shape) for t in pose(torch.rand(2, 3, 64, 48), torch.rand(2, 2, 3))]
    assert shapes == [(2, 4, 2), (2, 4)]

    decoded, _ = darkpose_ext.numpy.decode(names["maps"].numpy(), names["taps"])
    assert decoded.tolist() == coords.tolist()

    checkpoint = next(demo.glob("runs-*/unbiased-*/checkpoints/last.ckpt"))
    annotations = next(demo.glob("people-*/annotations/person_keypoints_val.json"))
    people = json.loads(annotations.read_text())
    person, image = people["annotations"][0], people["images"][0]
    assert person["image_id"] == image["id"]
    picture = annotations.parents[1] / "images" / "val" / image["file_name"]
    found = darkpose.Predictor.from_checkpoint(checkpoint)(picture, [person["bbox"]]).keypoints
    print(f"keypoints {found.shape} in {picture.name}, the first at {found[0, 0].tolist()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
