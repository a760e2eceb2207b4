# SPDX-License-Identifier: Apache-2.0
"""Maps that networks trained by others predicted: faithful decoding, and the order of the paper."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import oracles
from benchmarks.ambiguity import peaks
from benchmarks.real_heatmaps import FILES, load, oks_by_decoder, per_person
from conftest import Implementation
from darkpose.decoders import RIVAL_RADIUS
from darkpose.evaluate.metrics import bootstrap_difference, by_ambiguity
from darkpose_ext import opencv_taps
from darkpose_ext._values import METHODS
from tolerances import DECODED, SIGNIFICANCE, UNDECIDED

# Sizes of the modulation, and storage of the released one and element type of ours.
CASES = [*((k, np.float32) for k in (3, 7, 11, 17)), (11, np.float64)]


@cache
def maps_of(data: Path, name: str) -> np.ndarray:
    """Return the maps, [N, H, W]."""
    return load(data, name).maps()


def share(ops: Implementation, count: int) -> slice:
    """Return which of these to decode: kernels every one, the slower implementations fewer."""
    return slice(None, None, 8 if ops.name == "reference" else count // ops.count(count))


@cache
def released(data: Path, name: str, k: int, storage: type) -> oracles.Decoded:
    return oracles.dark(maps_of(data, name), k, storage)


@pytest.mark.parametrize(("k", "storage"), CASES)
@pytest.mark.parametrize("name", FILES)
def test_decode_dark_equals_released_on_real_maps(
    ops: Implementation, data: Path, name: str, k: int, storage: type
) -> None:
    expected = released(data, name, k, storage)
    maps = torch.from_numpy(maps_of(data, name).astype(storage))
    tolerance = DECODED["dark"][maps.dtype]
    chosen = share(ops, len(maps))
    coords, scores = ops.decode(maps[chosen, None], opencv_taps(k))
    actual = coords[:, 0].cpu().numpy()
    sound = expected.steps_within(3.0)[chosen]
    assert sound.mean() > 0.9
    assert np.abs(actual - expected.coords[chosen])[sound].max() <= tolerance
    decided = ~expected.undecided(UNDECIDED)[chosen]
    assert np.abs(actual - expected.guarded(3.0)[chosen])[decided].max() <= tolerance
    assert np.array_equal(scores[:, 0].cpu().numpy(), expected.scores[chosen])


@cache
def without_blur(data: Path, name: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    return oracles.METHODS[method](maps_of(data, name))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FILES)
def test_decode_without_blur_equals_numpy_on_real_maps(
    ops: Implementation, data: Path, name: str, method: str
) -> None:
    maps = maps_of(data, name)
    chosen = share(ops, len(maps))
    expected, decided = (values[chosen] for values in without_blur(data, name, method))
    assert decided.mean() > 0.99
    coords, _ = ops.decode(torch.from_numpy(maps[chosen])[:, None], [], method=method)
    difference = np.abs(coords[:, 0].cpu().numpy() - expected)[decided]
    assert difference.max() <= DECODED[method][torch.float32]


@pytest.mark.parametrize("better", ["standard", "dark without modulation", "dark"])
@pytest.mark.parametrize("name", FILES)
def test_decoders_rank_as_in_the_paper(device: str, data: Path, name: str, better: str) -> None:
    # Table 1: argmax < standard < DARK; Table 2: DARK without modulation < with.
    similarity = oks_by_decoder(data, name, device)
    order = list(similarity)
    worse = order[order.index(better) - 1]
    gain = bootstrap_difference(per_person(similarity[better]), per_person(similarity[worse]))
    assert gain.mean > 0 and gain.p <= SIGNIFICANCE, gain


@pytest.mark.parametrize(("name", "ambiguous", "others"), [(FILES[0], 67, 40), (FILES[1], 79, 37)])
def test_joints_with_a_high_second_peak_are_wrong_more_often(
    data: Path, name: str, ambiguous: int, others: int
) -> None:
    ratio, _ = peaks(data, name, RIVAL_RADIUS)
    doubt = by_ambiguity(oks_by_decoder(data, name)["dark"], ratio)
    assert round(100 * doubt.ambiguous.wrong) == ambiguous
    assert round(100 * doubt.others.wrong) == others
    assert doubt.difference is not None and doubt.difference.p <= SIGNIFICANCE
