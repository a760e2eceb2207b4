# SPDX-License-Identifier: Apache-2.0
"""An exported file finds the joints that its checkpoint finds, and says how to crop for it."""

import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("onnxscript", reason="needs darkpose[onnx]")
pytest.importorskip("onnxruntime", reason="needs darkpose[onnx]")

from darkpose.data.drawing import skeleton_colors  # noqa: E402
from darkpose.data.joint_sets import COCO  # noqa: E402
from darkpose.deploy import check, onnx, pt2  # noqa: E402
from darkpose.deploy.check import Comparison, compare, people_crops  # noqa: E402
from darkpose.deploy.export import export  # noqa: E402
from darkpose.deploy.program import CropsToKeypoints, parse_metadata  # noqa: E402
from darkpose.models.pose import PoseModel
from untrained import write_checkpoint  # noqa: E402

CHECKPOINTS: dict[str, dict[str, Any]] = {
    "hrnet_small": {"convention": "hrnet", "encoding": "biased"},
    "simple_small": {"task": {"color": "bgr", "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)}},
    "hourglass_small": {"input_size": (64, 64), "modulation": 3, "border": "fit"},
}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare on fewer people, where it is not the comparison that is tested."""
    monkeypatch.setattr(check, "BATCHES", (1, 2, 5))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("small") / "last.ckpt", convention="hrnet")


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Path:
    """Of that checkpoint, with flip test."""
    export(checkpoint, checkpoint.with_name("pose.onnx"), flip_test=True)
    return checkpoint.with_name("pose.onnx")


# ---- what is computed ----------------------------------------------------------------------------


@pytest.mark.parametrize("network", CHECKPOINTS)
def test_onnx_file_finds_what_the_checkpoint_finds(
    tmp_path: Path, few: None, network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", network, **CHECKPOINTS[network])
    export(checkpoint, tmp_path / "pose.onnx", flip_test=True)
    joints = 8 * COCO.num_joints
    said = re.search(rf"pose.onnx: (\d+) of {joints} joints within 0.001", capsys.readouterr().out)
    assert said and int(said[1]) >= joints - 1  # of untrained maps one may hang on rounding
    about = onnx.OnnxModel(tmp_path / "pose.onnx").metadata
    assert about["network"] == network
    assert about["border"] == CHECKPOINTS[network].get("border", "stay")


@pytest.mark.parametrize("encoding", ["dsnt", "ipr"])
def test_coordinate_regression_is_exported_too(tmp_path: Path, few: None, encoding: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", convention="hrnet", encoding=encoding)
    export(checkpoint, tmp_path / "pose.onnx", flip_test=True)
    assert onnx.OnnxModel(tmp_path / "pose.onnx").metadata["decoder"] == "expectation"


@pytest.mark.parametrize(("decoder", "parts"), [("argmax", 1), ("standard", 4)])
def test_another_decoder_is_exported_if_it_is_asked_for(
    tmp_path: Path, few: None, checkpoint: Path, decoder: Any, parts: int
) -> None:
    export(checkpoint, tmp_path / "pose.onnx", decoder=decoder)
    model = onnx.OnnxModel(tmp_path / "pose.onnx")
    assert model.metadata["decoder"] == decoder and model.metadata["flip_test"] is False
    crops, _ = people_crops(PoseModel.load(checkpoint).codec, 4)
    coords, _ = model(crops, torch.eye(2, 3).repeat(4, 1, 1))
    assert torch.equal(parts * coords, (parts * coords).round())
    assert parts == 1 or not torch.equal(coords, coords.round())


def test_program_is_bit_equal_to_the_evaluation_path(checkpoint: Path) -> None:
    task = PoseModel.load(checkpoint)
    crops, to_image = people_crops(task.codec, 5)
    with torch.inference_mode():
        ours = CropsToKeypoints(task)(crops, to_image)
        theirs = task.codec.decode(task.heatmaps(crops)[0], to_image)
    assert all(map(torch.equal, ours, theirs))


def test_an_unknown_decoder_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="must be one of argmax, .* got expectation"):
        CropsToKeypoints(PoseModel.load(checkpoint), "expectation")


# ---- the check -----------------------------------------------------------------------------------


def moved(x: float) -> Any:
    """Return a runner for ONNX files that is off by so many pixels for one joint in two."""

    class Moved(onnx.OnnxModel):
        def __call__(self, crops: Tensor, to_image: Tensor) -> tuple[Tensor, Tensor]:
            coords, scores = super().__call__(crops, to_image)
            coords[:, ::2, 0] += x
            return coords, scores

    return Moved


def test_a_file_that_disagrees_is_not_left(
    tmp_path: Path, few: None, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "OnnxModel", moved(0.01))
    out = tmp_path / "folder" / "pose.onnx"
    with pytest.raises(ValueError, match=r"pose.onnx is not written: \d+ of \d+ joints are not"):
        export(checkpoint, out)
    assert not out.exists()
    out.parent.mkdir(exist_ok=True)
    out.write_text("an older one")
    with pytest.raises(ValueError, match="is not written"):
        export(checkpoint, out)
    assert out.read_text() == "an older one" and list(out.parent.iterdir()) == [out]


class _Peaks(torch.nn.Module):
    """In place of a network: two peaks in every map, nearly or clearly of different height."""

    stride = smallest = 32

    def __init__(self, lower: float) -> None:
        super().__init__()
        self.lower = lower

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.zeros(len(x), COCO.num_joints, 32, 24)
        maps[..., 8, 8], maps[..., 20, 12] = 1.0, self.lower
        return maps


@pytest.mark.parametrize(("lower", "explained"), [(1 - 1e-7, True), (0.99, False)])
def test_near_ties_explain_another_maximum_and_nothing_else_does(
    checkpoint: Path, few: None, lower: float, explained: bool
) -> None:
    task = PoseModel.load(checkpoint)
    task.network = _Peaks(lower)
    program = CropsToKeypoints(task, "argmax")

    def other(crops: Tensor, to_image: Tensor) -> tuple[Tensor, Tensor]:
        coords, scores = program(crops, to_image)
        coords[:, 0] += to_image[:, :, :2] @ torch.tensor([4.0, 12.0])
        return coords, scores

    found = compare(program, other)
    people = sum(check.BATCHES)
    assert found.joints - found.agreeing == people
    assert found.undecided == (people if explained else 0)
    assert found.passed == explained


def test_a_comparison_passes_by_what_does_not_hang_on_rounding() -> None:
    assert Comparison(2000, 2000, 0, 1e-4).passed
    assert Comparison(2000, 1998, 2, 1e-4).passed
    assert Comparison(37632, 37592, 40, 1e-3).passed
    assert Comparison(2000, 1000, 1000, 1e-4).passed
    assert not Comparison(2000, 1998, 1, 1e-4).passed  # one is wrong
    assert "1001 of 2000 joints hang on rounding" in Comparison(2000, 999, 1001, 1e-4).fault
    assert "of the other 2, 2 hang on rounding" in str(Comparison(2000, 1998, 2, 1e-4))


def test_people_are_drawn_where_the_matrices_say(checkpoint: Path) -> None:
    codec = PoseModel.load(checkpoint).codec
    crops, to_image = people_crops(codec, 6)
    assert crops.shape == (6, 128, 96, 3) and crops.dtype == torch.uint8
    assert to_image.shape == (6, 2, 3) and (crops.float().std((1, 2, 3)) > 10).all()


# ---- what the file says --------------------------------------------------------------------------


def test_metadata_hold_all_that_cropping_and_drawing_need(exported: Path) -> None:
    about = onnx.OnnxModel(exported).metadata
    assert about["input_size"] == [96, 128] and about["heatmap_size"] == [24, 32]
    assert about["convention"] == "hrnet" and about["padding"] == 1.25
    assert about["enlarging"] == "bilinear" and about["border"] == "stay"
    assert about["names"] == list(COCO.names)
    assert about["skeleton"] == [list(limb) for limb in COCO.skeleton]
    assert about["flip_pairs"] == [list(pair) for pair in COCO.flip_pairs]
    colors = skeleton_colors(COCO)
    assert about["joint_colors"] == [list(color) for color in colors.joints]
    assert about["limb_colors"] == [list(color) for color in colors.limbs]
    assert about["decoder"] == "dark" and about["flip_test"] is True


def test_metadata_of_others_are_refused() -> None:
    with pytest.raises(ValueError, match="x.onnx must be written by `darkpose export`"):
        parse_metadata({"author": "someone"}, "x.onnx")
    with pytest.raises(ValueError, match="must be of format 1, got 2"):
        parse_metadata({"format": "2", "convention": '"udp"'}, "x.onnx")
    for broken in ("udp", "[" * 100_000):
        with pytest.raises(ValueError, match="x.onnx must have metadata in JSON, got"):
            parse_metadata({"format": "1", "convention": broken}, "x.onnx")


def test_inputs_and_outputs_are_named_and_any_number_of_people_goes_in(exported: Path) -> None:
    session = onnx.OnnxModel(exported).session
    inputs = {value.name: (value.type, value.shape[1:]) for value in session.get_inputs()}
    assert inputs == {
        "crops": ("tensor(uint8)", [128, 96, 3]),
        "to_image": ("tensor(float)", [2, 3]),
    }
    assert [value.name for value in session.get_outputs()] == ["coords", "scores"]
    assert all(isinstance(value.shape[0], str) for value in session.get_inputs())


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "to", "words"),
    [
        ("pose.bin", None, r"out must end in .pt2 or .onnx, got \S*pose.bin"),
        ("pose.onnx", "pt2", r"out must end in .pt2, got \S*pose.onnx"),
        ("pose", "onnx", r"out must end in .onnx, got"),
    ],
)
def test_a_name_that_does_not_fit_the_format_is_refused(
    checkpoint: Path, tmp_path: Path, out: str, to: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        export(checkpoint, tmp_path / out, to)
    assert not list(tmp_path.iterdir())


def test_a_missing_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing.ckpt"):
        export(tmp_path / "missing.ckpt", tmp_path / "pose.onnx")
    (tmp_path / "other.ckpt").write_text("nothing")
    with pytest.raises(ValueError, match="must be a complete checkpoint"):
        export(tmp_path / "other.ckpt", tmp_path / "pose.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["other.ckpt"]


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_a_package_export_says_which(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package}: pip install 'darkpose\[onnx\]'"):
        export(checkpoint, tmp_path / "pose.onnx")
    assert not list(tmp_path.iterdir())


def test_without_a_compiler_export_to_pt2_says_so(checkpoint: Path, tmp_path: Path) -> None:
    import torch._inductor.config as config

    with (
        config.patch({"cpp.cxx": ("/none/g++",)}),
        pytest.raises(OSError, match=r"export to pt2 needs a C\+\+ compiler: install g\+\+"),
    ):
        export(checkpoint, tmp_path / "pose.pt2")
    assert not list(tmp_path.iterdir())


def test_archives_that_torch_would_unpickle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pose.pt2"
    path.write_text("no archive")
    with pytest.raises(ValueError, match="pose.pt2 must be a .pt2 package, got a file that is no"):
        pt2.Pt2Model(path)
    for name in ("data/weights/weight_0", "models/model.json", "data/constants/constant_0"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("pose/data/aotinductor/model/model.so", b"")
            archive.writestr(f"pose/{name}", b"cos\nsystem\n(S'true'\ntR.")
        with pytest.raises(ValueError, match=f"must hold one compiled program, got {name}"):
            pt2.Pt2Model(path)
