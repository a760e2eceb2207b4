# SPDX-License-Identifier: Apache-2.0
"""`benchmarks/encoding.py`: labels are where the object is drawn, and figures say what they say."""

import numpy as np
import pytest
import torch

from benchmarks import encoding_figures as figures
from benchmarks.encoding import FIRST, Average
from benchmarks.encoding_scenes import JOINTS, STRIDE, Scenes


def test_labels_are_where_the_object_is_drawn() -> None:
    images, joints = Scenes(3).batch(5, 200)
    again = Scenes(3).batch(5, 200)
    assert torch.equal(images, again[0]) and not torch.equal(images, Scenes(3).batch(6, 200)[0])
    height, width = images.shape[-2:]
    grid = 2 * STRIDE * joints / (torch.tensor([width, height]) - 1) - 1
    found = torch.nn.functional.grid_sample(images, grid[:, :, None], align_corners=True)
    colors = found[..., 0].mT  # [N, K, 3], as the object has them but for gain and brightness
    mean = colors.mean(0)
    for own in colors:
        gain = ((own - own.mean()) * (mean - mean.mean())).sum() / (
            mean - mean.mean()
        ).square().sum()
        left = own - own.mean() - gain * (mean - mean.mean())
        assert left.std() < 0.2 * own.std()
    margin = torch.tensor([width, height]) / STRIDE - 3
    assert (joints >= 2 - 1e-4).all() and (joints <= margin + 1e-4).all()


def test_the_slope_tells_rounded_positions_from_true_ones() -> None:
    random = np.random.default_rng(0)
    joints = random.uniform(2, 20, (200, JOINTS, 2))
    noise = random.normal(0, 0.1, joints.shape)
    own = figures.rounding(joints, "round")
    for share in (0.0, 0.3, 1.0):
        residual = share * own + noise
        low, high = figures.interval(lambda s, r=residual: figures.repeated(r[s], own[s]), 200)
        assert low <= share <= high and high - low < 0.05
    assert figures.own_errors(joints)["round"] == pytest.approx(0.40, abs=0.02)


def test_a_floor_less_its_mean_shift_is_a_rounding() -> None:
    joints = np.random.default_rng(0).uniform(2, 20, (500, JOINTS, 2))
    counts = np.array([FIRST])
    found = {"unbiased": joints + [0.01, 0.0], "floor": np.floor(joints)}
    runs = {(t, 0): {"joints": joints, "counts": counts, "dark": x[None]} for t, x in found.items()}
    rows = {row["target"]: row for row in figures.rows_of(runs, ["dark"])}
    assert rows["unbiased"]["median"] == pytest.approx(0.01)
    assert rows["unbiased"]["within 0.1"] == 1
    own = figures.own_errors(joints)
    assert rows["floor"]["median"] == pytest.approx(own["floor"])
    assert rows[figures.UNSHIFTED]["median"] == pytest.approx(own["round"], abs=0.01)
    low, high = rows["floor"]["difference interval"]
    assert low < own["floor"] - 0.01 < high
    text = figures.tables(list(rows.values()), "dark")
    assert f"| {counts[0]} | 0.010 | {own['floor']:.3f} |" in text
    figures.picture(list(rows.values()), "dark", own)


def test_the_average_is_that_of_the_last_tenth() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = Average(network)
    for step in range(1, 1001):
        torch.nn.init.constant_(network.weight, step)
        average.update(network)
    assert average.state["weight"].item() == pytest.approx(900, abs=5)
