# SPDX-License-Identifier: Apache-2.0
"""decode_peaks in standard ONNX operators gives what the op gives: which pixels, and where to."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("onnx", reason="needs darkpose[onnx]")
pytest.importorskip("onnxscript", reason="needs darkpose[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs darkpose[onnx]")

from darkpose.deploy.onnx import write  # noqa: E402
from darkpose_ext import gaussian_taps  # noqa: E402
from exported_decode import ExportedDecode, Ways  # noqa: E402
from samples import MADE, STRANGE, made_maps  # noqa: E402
from tolerances import PIXELS, RELEASED, assert_within  # noqa: E402

OP: Any = torch.ops.dark.decode_peaks
SHAPES = ((24, 20), (13, 9), (5, 5), (1, 7), (7, 1), (1, 1))
PIXELS_ALONE: Ways = {
    "more": {"k": 10, "radius": 3, "threshold": 0.3, "max_shift": 0.0},
    "far": {"k": 3, "radius": 2**40, "threshold": -math.inf, "max_shift": 0.0},
    "every": {"k": 30, "radius": 0, "threshold": -0.5, "max_shift": 0.0},
}
FIT = {"taps": gaussian_taps(2.0), "k": 4, "radius": 2, "threshold": 0.1, "border": "fit"}
STEPS: Ways = {"fit": FIT}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedDecode:
    path = tmp_path_factory.mktemp("onnx") / "peaks.onnx"
    return ExportedDecode(path, PIXELS_ALONE | STEPS, op=OP)


def assert_equals_the_op(
    exported: ExportedDecode, *tensors: Tensor, ways: Ways = PIXELS_ALONE, within: float = 0.0
) -> None:
    given, results = dict(zip(exported.names, tensors, strict=True)), exported(*tensors)
    for name in ways:
        coords, scores, count = results[name]
        expected = OP(**given, **exported.ways[name])
        assert_within(coords, expected[0], within, equal_nan=True)
        assert_within((scores, count), expected[1:], 0.0, equal_nan=True)


@pytest.mark.parametrize("kind", MADE)
def test_onnx_finds_the_peaks_that_the_op_finds(exported: ExportedDecode, kind: str) -> None:
    for size in SHAPES:
        maps = made_maps(kind, 8, *size).float()[:, None]
        assert_equals_the_op(exported, maps)
        assert_equals_the_op(exported, (4 * maps).round())  # ties of all kinds
        if kind in ("clean", "two_peaks", "borders"):
            assert_equals_the_op(exported, maps, ways=STEPS, within=RELEASED)


@pytest.mark.parametrize("what", STRANGE)
def test_onnx_equals_the_op_on_maps_that_are_no_peaks(exported: ExportedDecode, what: str) -> None:
    ways = PIXELS_ALONE | STEPS
    assert_equals_the_op(exported, STRANGE[what][:, None], ways=ways, within=PIXELS[torch.float32])


def test_onnx_gives_a_plateau_to_its_first_pixel_and_nothing_to_others(
    exported: ExportedDecode,
) -> None:
    maps = torch.zeros(1, 1, 24, 20)
    maps[0, 0, 3:6, 4:8] = maps[0, 0, 12, 12] = 1.0
    coords, scores, count = exported(maps)["more"]
    assert coords[0, 0, :2].tolist() == [[4, 3], [12, 12]] and coords[0, 0, 2:].isnan().all()
    assert scores[0, 0].tolist() == [1.0] * 2 + [0.0] * 8 and count.tolist() == [[2]]


def test_onnx_peaks_are_averaged_over_the_flip_and_placed_in_the_image(tmp_path: Path) -> None:
    ways: Ways = {"fit": {**FIT, "flip_index": [1, 0, 2], "flip_shift": 1}}
    tensors = {"leading": 2, "flipped": True, "transform": True, "dtype": torch.float64}
    file = ExportedDecode(tmp_path / "flip.onnx", ways, 3, op=OP, **tensors)
    maps, flipped = (made_maps("two_peaks", 18, 24, 20).view(2, 3, 3, 24, 20) for _ in range(2))
    matrices = 4 * torch.randn(2, 3, 2, 3).double()
    within = 10 * PIXELS[torch.float64]
    assert_equals_the_op(file, maps, flipped, matrices, ways=ways, within=within)
    ((coords, _, count),) = file(maps[:0], flipped[:0], matrices[:0]).values()
    assert coords.shape == (0, 3, 3, 4, 2) and count.shape == (0, 3, 3)


class _AsManyAs(torch.nn.Module):
    def forward(self, maps: Tensor, like: Tensor) -> Any:
        return OP(maps, FIT["taps"], like.shape[0], radius=1)


def test_onnx_takes_k_from_the_length_of_a_tensor(tmp_path: Path) -> None:
    path, maps = tmp_path / "k.onnx", made_maps("noise", 2, 5, 4).float()[:, None]
    many = ({}, {0: torch.export.Dim("k", min=1)})
    names = ["maps", "like"]
    write(_AsManyAs(), (maps, torch.ones(3)), path, input_names=names, dynamic_shapes=many)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for k in (1, 4, 50):  # of 20 pixels
        found = session.run(None, {"maps": maps.numpy(), "like": torch.ones(k).numpy()})
        expected = OP(maps, FIT["taps"], k, radius=1)
        assert expected[0].shape == (2, 1, k, 2)
        assert_within(tuple(map(torch.from_numpy, found)), expected, RELEASED, equal_nan=True)
