# SPDX-License-Identifier: Apache-2.0
"""Maps that networks trained by others predicted: faithful decoding, and the order of the paper."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import oracles
from benchmarks.real_heatmaps import FILES, load, oks_by_decoder, per_person
from conftest import Implementation
from darkpose.evaluate.metrics import bootstrap_difference
from darkpose_ext import opencv_taps
from darkpose_ext._values import METHODS
from tolerances import RELEASED, RELEASED_FLOAT64, ROUNDED, SIGNIFICANCE, UNDECIDED


@cache
def released(data: Path, name: str, k: int | None, storage: type) -> oracles.Decoded:
    return oracles.dark(load(data, name).maps(), k, storage)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("k", [None, 3, 7, 11, 17])
@pytest.mark.parametrize("name", FILES)
def test_decode_dark_equals_released_on_every_real_map(
    ops: Implementation, data: Path, name: str, k: int | None, dtype: torch.dtype
) -> None:
    storage, tolerance = (
        (np.float64, RELEASED_FLOAT64) if dtype == torch.float64 else (np.float32, RELEASED)
    )
    expected = released(data, name, k, storage)
    maps = torch.from_numpy(load(data, name).maps())
    # The kernels decode every map; the slower implementations a share of them.
    chosen = slice(None, None, 8 if ops.name == "reference" else len(maps) // ops.count(len(maps)))
    coords, scores = ops.decode(
        maps[chosen, None].to(ops.device, dtype), opencv_taps(k) if k else []
    )
    actual = coords[:, 0].cpu().numpy()
    sound = expected.steps_within(3.0)[chosen]
    assert sound.mean() > 0.9
    assert np.abs(actual - expected.coords[chosen])[sound].max() <= tolerance
    decided = ~expected.undecided(UNDECIDED)[chosen]
    assert np.abs(actual - expected.guarded(3.0)[chosen])[decided].max() <= tolerance
    assert np.array_equal(scores[:, 0].cpu().numpy(), expected.scores[chosen])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FILES)
def test_decode_without_blur_equals_numpy_on_every_real_map(
    ops: Implementation, data: Path, name: str, method: str
) -> None:
    maps = load(data, name).maps()
    maps = maps[:: len(maps) // ops.count(len(maps))]
    expected, decided = oracles.METHODS[method](maps)
    assert decided.mean() > 0.99
    coords, _ = ops.decode(torch.from_numpy(maps)[:, None].to(ops.device), [], method=method)
    difference = np.abs(coords[:, 0].cpu().numpy() - expected)[decided]
    tolerance = {"second_max": ROUNDED, "dark": RELEASED}
    assert difference.max() <= tolerance.get(method, 0)


@pytest.mark.parametrize("better", ["standard", "dark without modulation", "dark"])
@pytest.mark.parametrize("name", FILES)
def test_decoders_rank_as_in_the_paper(device: str, data: Path, name: str, better: str) -> None:
    # Table 1: argmax < standard < DARK; Table 2: DARK without modulation < with.
    similarity = oks_by_decoder(data, name, device)
    order = list(similarity)
    worse = order[order.index(better) - 1]
    gain = bootstrap_difference(per_person(similarity[better]), per_person(similarity[worse]))
    assert gain.mean > 0 and gain.p <= SIGNIFICANCE, gain
