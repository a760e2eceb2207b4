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
from untrained import write_checkpoint

pytestmark = pytest.mark.slow

CHECKPOINTS: dict[str, dict[str, Any]] = {
    "small": {"convention": "hrnet", "encoding": "biased"},
    "hrnet_small": {"convention": "udp"},
    "simple_small": {"encoding": "dsnt"},
    "hourglass_small": {"input_size": (64, 64), "task": {"color": "bgr"}},
}


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
