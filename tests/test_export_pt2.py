# SPDX-License-Identifier: Apache-2.0
"""A compiled package finds the joints that its checkpoint finds."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from darkpose.data.joint_sets import COCO
from darkpose.deploy import check, pt2
from darkpose.deploy.export import export
from darkpose.deploy.program import CropsToKeypoints, ImageToKeypoints
from darkpose.models.pose import PoseModel
from photos import photo
from untrained import write_checkpoint

pytestmark = pytest.mark.slow

CHECKPOINTS: dict[str, dict[str, Any]] = {
    "small": {"convention": "hrnet", "encoding": "biased"},
    "simple_small": {"encoding": "dsnt", "task": {"color": "bgr"}},
}


def test_package_from_an_image_finds_what_the_checkpoint_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "BATCHES", (1, 2, 5))
    how = {"convention": "udp", "enlarging": "bicubic"}
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", "hrnet_small", **how)
    out = tmp_path / "pose.pt2"
    export(checkpoint, out, from_="image", precision="fp16")
    model = pt2.Pt2Model(out)
    assert model.metadata["from"] == "image" and model.metadata["precision"] == "fp16"
    program = ImageToKeypoints(CropsToKeypoints(PoseModel.load(checkpoint)))
    boxes = torch.tensor([[2.0, 3, 40, 60], [19_000, 0, 70, 40], [0, 0, 0, 5]])
    for width, height, people in ((1, 1, 3), (20_000, 9, 3), (60, 90, 0)):
        image = torch.from_numpy(photo((width, height)))
        with torch.inference_mode():
            expected, scores = program(image, boxes[:people])
        found = model(image, boxes[:people])
        assert found[0].shape == (people, COCO.num_joints, 3) and found[1].shape == (people,)
        assert torch.equal(found[0].isnan(), expected.isnan())
        distance = (found[0] - expected)[..., :2].norm(dim=-1).nan_to_num()
        assert not people or distance.quantile(0.9) <= 0.2
        assert torch.allclose(found[1], scores, rtol=0.02)
    for image, words in (
        (torch.zeros(0, 5, 3), r"\[1, 5, 3\]"),
        (torch.zeros(4, 5), r"\[4, 5, 3\]"),
    ):
        with pytest.raises(ValueError, match=f"image must be {words} of torch.uint8, got"):
            model(image.byte(), boxes)
    with pytest.raises(ValueError, match=r"boxes must be \[3, 4\] of torch.float32, got \[3, 3\]"):
        model(torch.zeros(4, 5, 3, dtype=torch.uint8), boxes[:, :3])


@pytest.mark.parametrize("network", CHECKPOINTS)
def test_package_finds_what_the_checkpoint_finds(
    tmp_path: Path,
    network: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(check, "BATCHES", (1, 2, 5))
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", network, **CHECKPOINTS[network])
    out = tmp_path / "pose.pt2"
    export(checkpoint, out, flip_test=True)
    joints = 8 * COCO.num_joints
    assert f"pose.pt2: {joints} of {joints} joints within 0.001" in capsys.readouterr().out
    model = pt2.Pt2Model(out)
    assert model.metadata["network"] == network and model.metadata["names"] == list(COCO.names)
    width, height = model.metadata["input_size"]
    to_image = torch.eye(2, 3)[None]
    with pytest.raises(ValueError, match=rf"crops must be \[1, {height}, {width}, 3\] of torch.u"):
        model(torch.zeros(1, height, width, 3), to_image)
    with pytest.raises(ValueError, match=r"to_image must be \[2, 2, 3\] of torch.float32"):
        model(torch.zeros(2, height, width, 3, dtype=torch.uint8), to_image)
    # Metadata can be read without running the package, too.
    with zipfile.ZipFile(out) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("wrapper_metadata.json"))
        assert json.loads(json.loads(archive.read(name))["input_size"]) == [width, height]
