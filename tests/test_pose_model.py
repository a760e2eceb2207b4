# SPDX-License-Identifier: Apache-2.0
"""A pose model without a trainer: saved, loaded, and with other people's network or decoder."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from darkpose import Predictor
from darkpose.codec import HeatmapCodec
from darkpose.data.joint_sets import COCO
from darkpose.decoders import DECODERS, decoder_names, flip_average
from darkpose.models.pose import PoseModel

_THEIRS = '''
from pathlib import Path
import torch
from torch import nn

Path("imported").touch()

class Half(nn.Module):
    """Heatmaps of half the input, with positions that depend on its size."""

    def __init__(self, num_joints, input_size):
        super().__init__()
        width, height = input_size
        self.convolution = nn.Conv2d(3, num_joints, 3, 2, padding=1)
        self.positions = nn.Parameter(torch.zeros(num_joints, height // 2, width // 2))

    def forward(self, image):
        return self.convolution(image) + self.positions

def make(num_joints, input_size):
    return Half(num_joints, input_size)

def nothing(num_joints, input_size):
    return "a network"

def center(heatmaps, codec):
    width, height = codec.heatmap_size
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    return middle.expand(*heatmaps.shape[:2], 2), heatmaps.amax((-2, -1))

def wrong(heatmaps, codec):
    return heatmaps, heatmaps
'''
CODEC = HeatmapCodec((32, 64), heatmap_size=(16, 32))


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of other people's code in the current folder, by its name."""
    name = f"theirs_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(_THEIRS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


def test_a_model_comes_back_from_its_file(tmp_path: Path) -> None:
    model = PoseModel(HeatmapCodec((64, 64), padding=1.1), COCO, color="bgr").eval()
    model.save(tmp_path / "pose.ckpt", note="plain values travel along")
    found = PoseModel.load(tmp_path / "pose.ckpt")
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(found(crops), model(crops)) and not found.training
    assert (found.codec, found.spec, found.color) == (model.codec, COCO, "bgr")


def test_a_network_of_other_peoples_code_has_any_stride_and_no_attributes(theirs: str) -> None:
    name = f"{theirs}:make"
    model = PoseModel(CODEC, COCO, name)
    assert model(torch.zeros(2, 64, 32, 3, dtype=torch.uint8)).shape == (2, 17, 32, 16)
    with pytest.raises(ValueError, match=f"must be 16 x 32, what network {name} gives"):
        PoseModel(HeatmapCodec((32, 64)), COCO, name)
    with pytest.raises(ValueError, match="must return an nn.Module, got str"):
        PoseModel(CODEC, COCO, f"{theirs}:nothing")
    with pytest.raises(ValueError, match="has no absent to call"):
        PoseModel(CODEC, COCO, f"{theirs}:absent")


def test_a_checkpoint_does_not_choose_what_is_imported(theirs: str, tmp_path: Path) -> None:
    """A file from a stranger names code; without the caller's word it is not even looked for."""
    name = f"{theirs}:make"
    PoseModel(CODEC, COCO, name).save(tmp_path / "theirs.ckpt")
    del sys.modules[theirs]
    (tmp_path / "imported").unlink()
    for load in (PoseModel.load, Predictor.from_checkpoint):
        with pytest.raises(ValueError, match=f"other people's code, {name}, which is only import"):
            load(tmp_path / "theirs.ckpt")
        with pytest.raises(ValueError, match=f"must have network other:make, got {name}"):
            load(tmp_path / "theirs.ckpt", network="other:make")
    assert theirs not in sys.modules and not (tmp_path / "imported").exists()
    assert isinstance(PoseModel.load(tmp_path / "theirs.ckpt", network=name).network, nn.Module)
    assert (tmp_path / "imported").exists()


def test_a_decoder_of_other_peoples_code_reads_the_averaged_maps(theirs: str) -> None:
    codec = HeatmapCodec((64, 64), flip_index=(1, 0))
    heatmaps, flipped = torch.rand(2, 3, 2, 16, 16)[:2]
    to_image = torch.tensor([[2.0, 0, 1], [0, 2, 3]]).expand(3, 2, 3)
    points, scores = codec.decode(heatmaps, to_image, decoder=f"{theirs}:center", flipped=flipped)
    assert torch.equal(points, torch.tensor([16.0, 18.0]).expand(3, 2, 2))
    assert torch.equal(scores, flip_average(codec, heatmaps, flipped).amax((-2, -1)))
    with pytest.raises(ValueError, match="must return coordinates .* and scores"):
        codec.decode(heatmaps, decoder=f"{theirs}:wrong")


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_finds_a_peak_and_its_mirror_image(name: str) -> None:
    """The oracle of the whole table: the flip test of a symmetric person changes nothing."""
    codec = HeatmapCodec((64, 64), flip_index=(0,))
    if DECODERS[name].regresses:
        codec = HeatmapCodec((64, 64), encoding="ipr", flip_index=(0,))
    assert name in codec.decoders and name in decoder_names(regresses=codec.regresses)
    x, y = torch.arange(16.0), torch.arange(16.0)[:, None]
    maps: Tensor = (-((x - 9) ** 2 + (y - 4) ** 2) / 2).exp()[None, None]
    maps = 30 * maps if codec.regresses else maps
    alone, _ = codec.decode(maps, decoder=name)
    both, _ = codec.decode(maps, decoder=name, flipped=maps.flip(-1))
    torch.testing.assert_close(alone, torch.tensor([[[9.0, 4.0]]]), atol=0.1, rtol=0)
    torch.testing.assert_close(both, alone)
