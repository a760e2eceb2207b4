# SPDX-License-Identifier: Apache-2.0
"""Real people's joints through crop, heatmap, decoder and back: what a perfect network would score.

On a share of the people whose tables `benchmarks/oracle.py` makes, and by the same functions.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.oracle import (
    COCO_SIZES,
    ENCODINGS,
    STRICT,
    Found,
    annotated,
    coco_annotations,
    depth,
    load_coco,
    moved_onto_map,
    mpii_dataset,
    on_map,
    oracle_ap,
    oracle_oks,
    oracle_pckh,
    round_trip,
    safe_depth,
)
from darkpose.data.dataset import KeypointDataset
from darkpose.decoders import decoder_names
from darkpose.geometry import Convention, apply

DECODERS = decoder_names()

PEOPLE = 300
# Heatmap pixels: taps that end at 2.5 sigma are not quite a Gaussian, and float32.
EXACT = 1e-3
# Shares. Modulation takes the map as 0 beyond its border, which moves a peak next to it inward;
# without noise that is all it does, and its decoder then comes second to the one without.
NEXT_TO_BORDER = {"OKS": 1e-4, "PCKh": 8e-3}
BESIDE_LIMIT = 1e-3  # mean OKS; the same, and joints outside whose heatmap is nearly empty

by_size = pytest.mark.parametrize("size", COCO_SIZES, ids="{0[1]}x{0[0]}".format)
by_convention = pytest.mark.parametrize("convention", Convention, ids=lambda c: c.value)


def coco_dataset(
    data: Path, size: tuple[int, int], convention: Convention = Convention.darkpose
) -> KeypointDataset:
    people = coco_annotations(load_coco(data, count=PEOPLE))
    return KeypointDataset(people, size, convention=convention)


def heatmap_errors(dataset: KeypointDataset, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the errors [M] in heatmap pixels of the labeled joints that lie deep enough."""
    found = np.stack(
        [apply(dataset.matrices(c)[1], p) for c, p in zip(dataset.crops, points, strict=True)]
    )
    counted = (annotated(dataset)[..., 2] > 0) & (depth(dataset) >= safe_depth(dataset))
    return np.linalg.norm(found - on_map(dataset), axis=-1)[counted]


@cache
def coco_table(data: Path, size: tuple[int, int]) -> dict[tuple[str, str], Found]:
    """Return what is found by encoding and decoding."""
    dataset = coco_dataset(data, size)
    return {
        (encoding, decoder): found
        for encoding in ENCODINGS
        for decoder, found in round_trip(dataset, encoding).items()
    }


def assert_dark_is_best(table: dict[tuple[str, str], float], tie: float) -> None:
    best = table["unbiased", "dark"]
    for (encoding, decoder), figure in table.items():
        if encoding == "biased" or decoder in ("argmax", "standard"):
            assert best > figure, (encoding, decoder)
    assert best >= table["unbiased", "dark_unmodulated"] - tie


@by_size
def test_unbiased_and_dark_are_the_best_cell_of_coco(data: Path, size: tuple[int, int]) -> None:
    dataset = coco_dataset(data, size)
    table = {cell: oracle_oks(dataset, found) for cell, found in coco_table(data, size).items()}
    assert_dark_is_best(table, NEXT_TO_BORDER["OKS"])


def test_rounding_and_argmax_cost_average_precision_at_the_smallest_size(data: Path) -> None:
    # At the larger sizes few of these people's errors still cross one of AP's thresholds.
    dataset, content = coco_dataset(data, COCO_SIZES[0]), load_coco(data, count=PEOPLE)
    table = {
        cell: oracle_ap(dataset, found, content)["AP"]
        for cell, found in coco_table(data, COCO_SIZES[0]).items()
    }
    assert_dark_is_best(table, 0)
    assert table["unbiased", "dark"] - table["biased", "dark"] > 0.05


@by_size
def test_unbiased_and_dark_lose_hardly_more_than_joints_outside_the_map(
    data: Path, size: tuple[int, int]
) -> None:
    dataset = coco_dataset(data, size)
    points, scores = coco_table(data, size)["unbiased", "dark"]
    limit = oracle_oks(dataset, (moved_onto_map(dataset), scores))
    assert 0 < limit - oracle_oks(dataset, (points, scores)) < BESIDE_LIMIT


@by_convention
@by_size
def test_joints_deep_enough_in_the_map_are_exact(
    data: Path, size: tuple[int, int], convention: Convention
) -> None:
    dataset = coco_dataset(data, size, convention)
    points, _ = round_trip(dataset, "unbiased", ["dark"])["dark"]
    errors = heatmap_errors(dataset, points)
    assert len(errors) > 5 * PEOPLE
    assert errors.max() <= EXACT


@by_size
def test_no_decoder_recovers_what_rounding_took(data: Path, size: tuple[int, int]) -> None:
    dataset = coco_dataset(data, size)
    for decoder in DECODERS:
        errors = heatmap_errors(dataset, coco_table(data, size)["biased", decoder][0])
        # The mean distance of a point in a square pixel from the middle is 0.383 of its side.
        assert errors.mean() == pytest.approx(0.383, abs=0.02)
        assert errors.max() <= np.sqrt(0.5) + EXACT


@pytest.fixture(scope="module", params=Convention, ids=lambda c: c.value)
def mpii(request: pytest.FixtureRequest, data: Path) -> KeypointDataset:
    return mpii_dataset(data, request.param)


def test_mpii_joints_deep_enough_in_the_map_score_100_at_every_threshold(
    mpii: KeypointDataset,
) -> None:
    found = round_trip(mpii, "unbiased", ["dark"])["dark"]
    deep = depth(mpii) >= safe_depth(mpii)
    assert deep[annotated(mpii)[..., 2] > 0].mean() > 0.9
    figures = oracle_pckh(mpii, found, deep)
    assert figures == {f"PCKh@{threshold:g}": 1 for threshold in STRICT}


def test_unbiased_and_dark_are_the_best_cell_of_mpii(data: Path) -> None:
    dataset = mpii_dataset(data)
    tables: dict[str, dict[tuple[str, str], float]] = {}
    for encoding in ENCODINGS:
        for decoder, found in round_trip(dataset, encoding).items():
            for name, figure in oracle_pckh(dataset, found).items():
                tables.setdefault(name, {})[encoding, decoder] = figure
    # At half a head every decoder is right wherever the joint is on the map.
    assert np.ptp(list(tables["PCKh@0.5"].values())) < 1e-3
    for name in ("PCKh@0.05", "PCKh@0.02", "PCKh@0.01"):
        assert_dark_is_best(tables[name], NEXT_TO_BORDER["PCKh"])
    assert set(tables["PCKh@0.5"]) == {(e, d) for e in ENCODINGS for d in DECODERS}
