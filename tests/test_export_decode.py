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
from darkpose_ext.onnx import OPSET, TRANSLATIONS  # noqa: E402
from exported_decode import ExportedDecode  # noqa: E402
from samples import MADE, gaussians, made_maps, random_centers  # noqa: E402
from tolerances import PIXELS, RELEASED, TRANSFORMED, UNDECIDED  # noqa: E402

SHAPES = ((64, 48), (24, 32), (13, 9), (5, 5), (4, 9), (1, 7), (7, 1), (2, 2), (1, 1))
COUNT = 24
WAYS: dict[str, dict[str, Any]] = {
    "argmax": {"method": "argmax"},
    "standard": {"method": "standard"},
    "second_max": {"method": "second_max"},
    "dark": {},
    "dark 3": {"taps": [0.25, 0.5, 0.25]},
    "dark 11": {"taps": gaussian_taps(2.0)},
    "dark 17": {"taps": gaussian_taps(3.0)},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest, folder: Path) -> tuple[ExportedDecode, dict[str, Any]]:
    options = WAYS[request.param]
    return ExportedDecode(folder / "way.onnx", **options), options


def op(maps: Tensor, *, taps: tuple[float, ...] = (), **options: Any) -> tuple[Tensor, Tensor]:
    return torch.ops.dark.decode(maps, list(taps), **options)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest distance along an axis; NaN must meet NaN."""
    assert torch.equal(ours.isnan(), theirs.isnan())
    return float((ours - theirs).nan_to_num().abs().max())


def decided(maps: Tensor, options: dict[str, Any]) -> Tensor:
    """Return which of [N, H, W] float32 does not leave to the order of its sums."""
    if options.get("method", "dark") != "dark":
        return torch.ones(len(maps), dtype=torch.bool)
    k = len(options.get("taps", [])) or None
    return torch.from_numpy(~oracles.dark(maps.double().numpy(), k).undecided(UNDECIDED))


@pytest.mark.parametrize("kind", MADE)
def test_onnx_equals_the_op_for_every_method_and_kind_of_map(
    way: tuple[ExportedDecode, dict[str, Any]], kind: str
) -> None:
    exported, options = way
    for height, width in SHAPES:
        maps = made_maps(kind, COUNT, height, width).float()
        coords, scores = exported(maps[:, None])
        expected, heights = op(maps[:, None], **options)
        sure = decided(maps, options)
        assert sure.any()
        # Noise has Hessians that stretch the rounding of a smoothed value, as in the release.
        tolerance = RELEASED if options.get("taps") else PIXELS[torch.float32]
        assert difference(coords[sure], expected[sure]) <= tolerance
        assert torch.equal(scores, heights)


def spoiled(values: dict[tuple[int, int], float]) -> Tensor:
    """Return a Gaussian at (10, 9) of 24 x 20 pixels with other values at some (x, y)."""
    maps = gaussians(torch.tensor([[10.3, 9.2]]), 24, 20, 2.0).float()
    for (x, y), value in values.items():
        maps[0, y, x] = value
    return maps


STRANGE = {
    "NaN in a corner": spoiled({(0, 0): math.nan}),
    "NaN at the end": spoiled({(19, 23): math.nan}),
    "NaN at the peak": spoiled({(10, 9): math.nan}),
    "NaN alone": torch.full((1, 24, 20), math.nan),
    "NaN and inf": spoiled({(3, 3): math.nan, (4, 4): math.inf}),
    "inf": spoiled({(5, 6): math.inf}),
    "two inf": spoiled({(5, 6): math.inf, (9, 6): math.inf}),
    "-inf alone": torch.full((1, 24, 20), -math.inf),
    "-inf beside the peak": spoiled({(11, 9): -math.inf}),
    "-inf in the window": spoiled({(14, 9): -math.inf}),
    "-inf in the window's corner": spoiled({(17, 16): -math.inf}),
    "-inf on both sides": spoiled({(9, 9): -math.inf, (11, 9): -math.inf}),
    "all else -inf": torch.full((1, 24, 20), -math.inf).index_fill(1, torch.tensor([0]), 1.0),
    "the first above -inf": torch.where(torch.arange(480).view(1, 24, 20) == 0, 1.0, -math.inf),
    "zero": torch.zeros(1, 24, 20),
    "negative": spoiled({}) - 2,
    "all alike": torch.ones(1, 24, 20),
    "two tops": spoiled({(4, 4): 5.0, (12, 12): 5.0}),
    "a flat top": spoiled({(10, 9): 1.5, (11, 9): 1.5, (10, 10): 1.5}),
    "subnormal": 1e-40 * spoiled({}),
    "huge": 1e38 * spoiled({}),
    "steep": spoiled({}) ** 40,
}


@pytest.mark.parametrize("what", STRANGE)
def test_onnx_equals_the_op_on_maps_that_are_no_peaks(
    way: tuple[ExportedDecode, dict[str, Any]], what: str
) -> None:
    exported, options = way
    coords, scores = exported(STRANGE[what][:, None])
    expected, heights = op(STRANGE[what][:, None], **options)
    assert difference(coords, expected) <= PIXELS[torch.float32]
    assert torch.equal(scores.nan_to_num(-1), heights.nan_to_num(-1))


def test_onnx_gives_ties_to_the_first_place(folder: Path) -> None:
    exported = ExportedDecode(folder / "ties.onnx", method="argmax")
    for places in ((7, 100), (0, 479), (19, 20), (13, 14, 300)):
        maps = torch.zeros(1, 1, 24 * 20)
        maps[..., list(places)] = 1.0
        x, y = exported(maps.view(1, 1, 24, 20))[0].flatten().tolist()
        assert 20 * y + x == places[0]


@pytest.mark.parametrize(
    ("method", "shift"), [("dark", 0), ("dark", 1), ("dark", 100), ("standard", 1)]
)
def test_onnx_flip_test_equals_the_op(folder: Path, method: str, shift: int) -> None:
    joints, order = 4, [2, 1, 0, 3]
    options: dict[str, Any] = {"method": method, "flip_index": order, "flip_shift": shift}
    if method == "dark":
        options["taps"] = gaussian_taps(2.0)
    exported = ExportedDecode(folder / "flip.onnx", joints, flipped=True, **options)
    for height, width in ((64, 48), (13, 9), (3, 2)):
        maps, mirrored = (
            made_maps("noisy", 6 * joints, height, width).float().view(6, joints, height, width)
            for _ in range(2)
        )
        coords, scores = exported(maps, mirrored)
        expected, heights = op(maps, flipped=mirrored, **options)
        assert difference(coords, expected) <= PIXELS[torch.float32]
        assert torch.equal(scores, heights)


def test_onnx_flip_test_without_an_order_of_joints_equals_the_op(folder: Path) -> None:
    exported = ExportedDecode(folder / "flip.onnx", 2, flipped=True)
    maps, mirrored = torch.rand(2, 3, 2, 16, 12)
    expected, _ = op(maps, flipped=mirrored)
    assert difference(exported(maps, mirrored)[0], expected) <= PIXELS[torch.float32]


def test_onnx_recovers_each_person_in_the_image_as_the_op_does(folder: Path) -> None:
    taps = gaussian_taps(2.0)
    exported = ExportedDecode(folder / "transform.onnx", 3, transform=True, taps=taps)
    maps = made_maps("clean", 15, 64, 48).float().view(5, 3, 64, 48)
    matrices = 4 * torch.randn(5, 2, 3)
    expected, _ = op(maps, taps=tuple(taps), transform=matrices)
    assert difference(exported(maps, matrices)[0], expected) <= TRANSFORMED


@pytest.mark.parametrize("limit", [0.0, 0.25, math.inf])
def test_onnx_shortens_steps_as_the_op_does(folder: Path, limit: float) -> None:
    exported = ExportedDecode(folder / "limit.onnx", max_shift=limit)
    maps = gaussians(random_centers(64, 24, 20, 4.0), 24, 20, 2.0).float()
    maps[:, 12, 10] = 1.01  # far from the Gaussian's top as well
    sure = decided(maps, {})
    coords, _ = exported(maps[:, None])
    expected, _ = op(maps[:, None], max_shift=limit)
    assert difference(coords[sure], expected[sure]) <= PIXELS[torch.float32]
    steps = (coords - coords.round()).norm(dim=-1)
    assert limit > 0 or steps.max() == 0


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("dark 11", torch.float16),
        ("dark 11", torch.bfloat16),
        ("dark 11", torch.float64),
        ("second_max", torch.float64),
        ("standard", torch.float64),
    ],
    ids=str,
)
def test_onnx_computes_in_the_types_of_the_op(folder: Path, name: str, dtype: torch.dtype) -> None:
    options = WAYS[name]
    exported = ExportedDecode(folder / "dtype.onnx", transform=True, dtype=dtype, **options)
    maps = made_maps("noisy", COUNT, 24, 20)[:, None].to(dtype)
    matrices = torch.eye(2, 3, dtype=exported.dtype).repeat(COUNT, 1, 1)
    expected, heights = op(maps, transform=matrices, **options)
    coords, scores = exported(maps, matrices)
    assert coords.dtype == expected.dtype and scores.dtype == heights.dtype
    assert difference(coords, expected) <= PIXELS[dtype]
    assert torch.equal(scores, heights)


@pytest.mark.parametrize("leading", [0, 2])
def test_onnx_serves_any_leading_dimensions(folder: Path, leading: int) -> None:
    exported = ExportedDecode(folder / "leading.onnx", 3, leading=leading, transform=True)
    shape = (2, 5)[:leading]
    maps = made_maps("clean", 3 * math.prod(shape), 24, 20).float().view(*shape, 3, 24, 20)
    matrices = torch.randn(*shape, 2, 3)
    expected, _ = op(maps, transform=matrices)
    assert difference(exported(maps, matrices)[0], expected) <= PIXELS[torch.float32] * 10


def test_onnx_serves_no_people(folder: Path) -> None:
    exported = ExportedDecode(folder / "none.onnx", 3, transform=True, taps=gaussian_taps(1.0))
    coords, scores = exported(torch.rand(0, 3, 24, 20), torch.rand(0, 2, 3))
    assert coords.shape == (0, 3, 2) and scores.shape == (0, 3)


def test_onnx_uses_standard_operators_of_one_version_alone(
    way: tuple[ExportedDecode, dict[str, Any]], folder: Path
) -> None:
    model = onnx.load(folder / "way.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    onnx.checker.check_model(model, full_check=True)


def test_onnx_files_hold_no_paths_of_the_machine_that_wrote_them(folder: Path) -> None:
    ExportedDecode(folder / "paths.onnx", taps=gaussian_taps(2.0))
    content = (folder / "paths.onnx").read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b".py" not in content


def test_translation_without_onnx_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    (translate,) = TRANSLATIONS.values()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"needs onnxscript: pip install 'darkpose\[onnx\]'"):
        translate(torch.rand(1, 1, 5, 5), [])
