# SPDX-License-Identifier: Apache-2.0
"""The comparison with what people run reads every peer in the same pixels."""

import numpy as np
import torch

from benchmarks import local_peaks
from benchmarks import what_people_run as compared


def test_every_peer_that_is_here_finds_clean_gaussians() -> None:
    """In heatmap pixels: a wrong way back from the image would miss by more."""
    points, maps = compared.people_of(3, 0.0)
    for name in compared.present():
        reader = compared.PEERS[name](maps)
        found = reader.points(reader.call())
        assert found.shape == points.shape
        limit = 20 if name == "kornia `spatial_soft_argmax2d`" else 0.3  # it says the middle
        assert (found - points).norm(dim=-1).mean() < limit, name


def test_the_centroid_is_the_center_of_mass_of_25_pixels() -> None:
    _, maps = compared.people_of(1, 0.02)
    found = compared.centroid(maps).call()
    for joint, values in enumerate(maps[0].double().numpy()):
        y, x = np.unravel_index(values.argmax(), values.shape)
        patch = values[y - 2 : y + 3, x - 2 : x + 3]
        rows, columns = np.mgrid[y - 2 : y + 3, x - 2 : x + 3]
        center = [(columns * patch).sum(), (rows * patch).sum()] / patch.sum()
        assert torch.allclose(found[0, joint].double(), torch.from_numpy(center), atol=1e-5)  # type: ignore[index]


def test_every_way_to_local_peaks_that_is_here_finds_both_gaussians_of_a_map() -> None:
    for name in local_peaks.present():
        way = local_peaks.WAYS[name](local_peaks.predicted())
        assert local_peaks.error(way) < (0.1 if name == local_peaks.OURS else 0.5), name
