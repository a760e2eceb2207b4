# SPDX-License-Identifier: Apache-2.0
"""On clean Gaussians of the training, ours and transformers' decoding say the same place."""

import pytest
import torch

from benchmarks.huggingface_decoding import NETWORKS, Network

ALIKE = 0.01  # heatmap pixels


@pytest.fixture(params=NETWORKS, ids=lambda network: network.name)
def network(request: pytest.FixtureRequest) -> Network:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("flip", [False, True])
def test_inside_the_map_it_is_the_truth_and_what_the_library_says(
    network: Network, flip: bool
) -> None:
    points, maps = network.people_of(1, 0.0)
    mirrored = network.people_of(1, 0.0)[1] if flip else None
    found = [network.ours(maps, mirrored), network.ours(maps, mirrored, network.taps)]
    if flip:
        found.append(network.mirrored_back(maps, mirrored))
    if not network.missing:
        theirs = network.theirs(maps, mirrored)
        assert max((each - theirs).norm(dim=-1).max() for each in found) < ALIKE
    assert max((each - points).norm(dim=-1).max() for each in found) < ALIKE


def test_with_many_people_in_one_call_ours_still_is() -> None:
    """The library's is not: its index into all the maps is float32."""
    network = NETWORKS[0]
    points, maps = network.people_of(330, 0.0)
    assert (network.ours(maps) - points).norm(dim=-1).max() < ALIKE
    if not network.missing:
        assert (network.theirs(maps) - points).norm(dim=-1).max() > 1


@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_noise_moves_ours_less(network: Network, noise: float) -> None:
    points, maps = network.people_of(1, noise)
    plain, wide = (
        (network.ours(maps, None, taps) - points).norm(dim=-1).mean()
        for taps in (network.taps, None)
    )
    assert wide < 0.65 * plain


def test_half_precision_and_the_border_keep_it_near(network: Network) -> None:
    points, maps = network.people_of(1, 0.0)
    assert (network.ours(maps.half()) - points).norm(dim=-1).max() < ALIKE
    points, maps = network.people_of(1, 0.0, border=True)
    assert (network.ours(maps) - points).norm(dim=-1).mean() < ALIKE
    assert torch.isfinite(network.ours(maps)).all()
