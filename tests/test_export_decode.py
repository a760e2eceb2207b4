# SPDX-License-Identifier: Apache-2.0
"""decode in standard ONNX operators gives what the op gives, wherever a map may lead it."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

onnx = pytest.importorskip("onnx", reason="needs darkpose[onnx]")
pytest.importorskip("onnxscript", reason="needs darkpose[onnx]")
pytest.importorskip("onnxruntime", reason="needs darkpose[onnx]")

import oracles  # noqa: E402
from darkpose_ext import gaussian_taps  # noqa: E402
from darkpose_ext._values import METHODS  # noqa: E402
from darkpose_ext.onnx import OPSET, TRANSLATIONS  # noqa: E402
from exported_decode import ExportedDecode, Ways  # noqa: E402
from samples import DTYPES, MADE, STRANGE, gaussians, made_maps, random_centers  # noqa: E402
from tolerances import PIXELS, RELEASED, ROUNDED, TRANSFORMED, UNDECIDED  # noqa: E402

SHAPES = ((64, 48), (24, 32), (13, 9), (5, 5), (4, 9), (1, 7), (7, 1), (2, 2), (1, 1))
COUNT = 24
WAYS: Ways = {
    **{method: {"method": method} for method in METHODS},
    "dark 3": {"taps": [0.25, 0.5, 0.25]},
    "dark 11": {"taps": gaussian_taps(2.0)},
    "dark 17": {"taps": gaussian_taps(3.0)},
    "fit": {"taps": gaussian_taps(2.0), "border": "fit"},
    **{f"dark within {limit}": {"max_shift": limit} for limit in (0.0, 0.25, math.inf)},
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx") / "ways.onnx"


@pytest.fixture(scope="module")
def exported(file: Path) -> ExportedDecode:
    return ExportedDecode(file, WAYS)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest distance along an axis; NaN must meet NaN."""
    assert ours.dtype == theirs.dtype and torch.equal(ours.isnan(), theirs.isnan())
    return float((ours - theirs).nan_to_num().abs().max())


def undecided(maps: Tensor, options: dict[str, Any]) -> Tensor:
    """Return which of [N, 1, H, W] float32 leaves to the order of its sums."""
    if options.get("method", "dark") != "dark":
        return torch.zeros(len(maps), dtype=torch.bool)
    k = len(options["taps"]) or None
    return torch.from_numpy(oracles.dark(maps[:, 0].double().numpy(), k).undecided(UNDECIDED))


def assert_equals_the_op(
    exported: ExportedDecode, *tensors: Tensor, within: float = PIXELS[torch.float32]
) -> None:
    given = dict(zip(exported.names, tensors, strict=True))
    for name, (coords, scores) in exported(*tensors).items():
        expected, heights = torch.ops.dark.decode(**given, **exported.ways[name])
        assert difference(coords, expected) <= within, name
        assert difference(scores, heights) == 0, name


def maps_of(kind: str, *shape: int) -> Tensor:
    """Make [..., H, W] of one kind."""
    return made_maps(kind, math.prod(shape[:-2]), *shape[-2:]).float().view(shape)


@pytest.mark.parametrize("kind", MADE)
def test_onnx_equals_the_op_for_every_method_and_kind_of_map(
    exported: ExportedDecode, kind: str
) -> None:
    for size in SHAPES:
        maps = maps_of(kind, COUNT, 1, *size)
        for name, (coords, scores) in exported(maps).items():
            options = exported.ways[name]
            if "max_shift" in options:  # without it rounding, too, would be of any length
                continue
            expected, heights = torch.ops.dark.decode(maps, **options)
            sure = ~undecided(maps, options)
            assert sure.any()
            # Noise has Hessians that stretch the rounding of a smoothed value, as in the release.
            tolerance = RELEASED if options["taps"] else PIXELS[torch.float32]
            assert difference(coords[sure], expected[sure]) <= tolerance, name
            assert torch.equal(scores, heights), name


@pytest.mark.parametrize("what", STRANGE)
def test_onnx_equals_the_op_on_maps_that_are_no_peaks(exported: ExportedDecode, what: str) -> None:
    assert_equals_the_op(exported, STRANGE[what][:, None])


def test_onnx_gives_ties_to_the_first_place(exported: ExportedDecode) -> None:
    for places in ((7, 100), (0, 479), (19, 20), (13, 14, 300)):
        maps = torch.zeros(1, 1, 24 * 20)
        maps[..., list(places)] = 1.0
        x, y = exported(maps.view(1, 1, 24, 20))["argmax"][0].flatten().tolist()
        assert 20 * y + x == places[0]


def test_onnx_shortens_steps_as_the_op_does(exported: ExportedDecode) -> None:
    maps = gaussians(random_centers(64, 24, 20, 4.0), 24, 20, 2.0).float()[:, None]
    maps[:, :, 12, 10] = 1.01  # far from the Gaussian's top as well
    sure, coords = ~undecided(maps, {"taps": []}), exported(maps)
    lengths = [
        (coords[f"dark within {limit}"][0] - coords["argmax"][0])[sure].norm(dim=-1).max()
        for limit in (0.0, 0.25, math.inf)
    ]
    assert lengths[0] == 0 and 0.2 < lengths[1] <= 0.25 + PIXELS[torch.float32]
    assert lengths[2] > 0.5


def test_onnx_fits_near_the_border_as_the_op_does(exported: ExportedDecode) -> None:
    centers = torch.cat([random_centers(100, 24, 20, margin) for margin in (0.0, 5.0)])
    maps = gaussians(centers, 24, 20, 2.0)[:, None].float()
    found = {name: exported(maps)[name][0] for name in ("dark 11", "fit")}
    expected, _ = torch.ops.dark.decode(maps, **exported.ways["fit"])
    assert difference(found["fit"], expected) <= ROUNDED
    near = ((found["fit"] - found["dark 11"]).abs() > 10 * ROUNDED).any(-1)[:, 0]
    assert 20 < near.sum() < 100
    stays, fits = ((c[:, 0] - centers)[near].norm(dim=-1).mean() for c in found.values())
    assert fits < 0.01 < 0.1 < stays


def test_onnx_flip_test_equals_the_op(tmp_path: Path) -> None:
    order = {"flip_index": [2, 1, 0, 3]}
    smooth = {"taps": gaussian_taps(2.0), **order}
    ways: Ways = {f"{method} 1": {"method": method, **order, "flip_shift": 1} for method in METHODS}
    ways |= {f"smoothed {shift}": {**smooth, "flip_shift": shift} for shift in (0, 1, 100)}
    flips = ExportedDecode(tmp_path / "flip.onnx", {**ways, "no order": {}}, 4, flipped=True)
    for size in ((64, 48), (13, 9), (3, 2)):
        assert_equals_the_op(flips, *(maps_of("noisy", 6, 4, *size) for _ in "ab"))


def test_onnx_recovers_each_person_in_the_image_as_the_op_does(tmp_path: Path) -> None:
    smooth = {"": {"taps": gaussian_taps(2.0)}}
    placed = ExportedDecode(tmp_path / "transform.onnx", smooth, 3, transform=True)
    maps, matrices = maps_of("clean", 5, 3, 64, 48), 4 * torch.randn(5, 2, 3)
    assert_equals_the_op(placed, maps, matrices, within=TRANSFORMED)
    ((coords, scores),) = placed(torch.rand(0, 3, 24, 20), torch.rand(0, 2, 3)).values()
    assert coords.shape == (0, 3, 2) and scores.shape == (0, 3)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != torch.float32], ids=str)
def test_onnx_computes_in_the_types_of_the_op(tmp_path: Path, dtype: torch.dtype) -> None:
    fit = ("fit",) if dtype == torch.float64 else ()
    ways = {name: WAYS[name] for name in ("dark 11", *fit, *METHODS) if name != "dark"}
    typed = ExportedDecode(tmp_path / "dtype.onnx", ways, transform=True, dtype=dtype)
    maps = maps_of("noisy", COUNT, 1, 24, 20).to(dtype)
    matrices = torch.eye(2, 3, dtype=typed.dtype).repeat(COUNT, 1, 1)
    assert_equals_the_op(typed, maps, matrices, within=PIXELS[dtype])


@pytest.mark.parametrize("leading", [(), (2, 5)], ids=str)
def test_onnx_serves_any_leading_dimensions(tmp_path: Path, leading: tuple[int, ...]) -> None:
    path, count = tmp_path / "leading.onnx", len(leading)
    led = ExportedDecode(path, {"dark": {}}, 3, leading=count, transform=True)
    maps, matrices = maps_of("clean", *leading, 3, 24, 20), torch.randn(*leading, 2, 3)
    assert_equals_the_op(led, maps, matrices, within=PIXELS[torch.float32] * 10)


def test_onnx_uses_standard_operators_of_one_version_alone(
    exported: ExportedDecode, file: Path
) -> None:
    model = onnx.load(file)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    onnx.checker.check_model(model, full_check=True)


def test_onnx_files_hold_no_paths_of_the_machine_that_wrote_them(
    exported: ExportedDecode, file: Path
) -> None:
    content = file.read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b".py" not in content


def test_translation_without_onnx_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    translate = TRANSLATIONS[torch.ops.dark.decode.default]
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"needs onnxscript: pip install 'darkpose\[onnx\]'"):
        translate(torch.rand(1, 1, 5, 5), [])
