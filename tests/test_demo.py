# SPDX-License-Identifier: Apache-2.0
"""The demo, short: every step of it runs and leaves what it promises."""

import json
from pathlib import Path

import cv2
import pytest
import torch

from darkpose.codec import HeatmapCodec
from darkpose.paper.demo import _example, demo


def test_a_short_demo_prints_the_table_and_draws_the_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(tmp_path, train_images=60, val_images=20, epochs=2)
    printed = capsys.readouterr().out
    assert "darkpose fit --config lspet.yaml" in printed

    table = (tmp_path / "table.md").read_text().splitlines()
    rows = [row.split("|")[1:3] for row in table[2:]]
    assert [[cell.strip() for cell in row] for row in rows] == [
        [encoding, decoding]
        for encoding in ("biased", "unbiased")
        for decoding in ("argmax", "standard", "dark")
    ]
    for name in ("skeletons", "modulation", "quantization", "training"):
        picture = cv2.imread(str(tmp_path / f"{name}.png"))
        assert picture is not None and picture.std() > 10

    runs = sorted(tmp_path.glob("**/run.json"))
    assert [json.loads(run.read_text())["name"] for run in runs] == ["biased", "unbiased"]
    times = [run.stat().st_mtime_ns for run in runs]
    demo(tmp_path, train_images=60, val_images=20, epochs=2)  # finds everything done
    assert [run.stat().st_mtime_ns for run in runs] == times


def test_the_example_is_a_blurred_map_that_is_right() -> None:
    wide, narrow = (HeatmapCodec((96, 128), sigma=sigma) for sigma in (2.0, 1.0))
    joints = torch.full((2, 2, 2), 12.3)
    maps = torch.cat([narrow.encode(joints[:1], torch.ones(1, 2))[0]] * 2)
    maps[1] = wide.encode(joints[1], torch.ones(2))[0]
    points, _ = narrow.decode(maps)
    labeled = torch.tensor([[True, True], [False, True]])
    assert _example(maps, points, joints.double().numpy(), labeled) == (1, 1)
    joints[1, 1] += 3  # now wrong by as much
    assert _example(maps, points, joints.double().numpy(), labeled)[0] == 0
