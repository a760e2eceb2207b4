# SPDX-License-Identifier: Apache-2.0
"""The ops against what people use instead: the torch twin and a NumPy/OpenCV loop over joints.

    python -m pytest benchmarks/bench_peers.py

One thread, 32 people, 17 joints, maps of 64 x 48 with noise, float32. The decoding loop is the
tests' oracle of the released DarkPose code.
"""

import cv2
import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from darkpose_ext import gaussian_taps, opencv_taps, reference
from tests import oracles

PEOPLE, JOINTS, HEIGHT, WIDTH, SIGMA = 32, 17, 64, 48, 2.0


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)


def targets() -> tuple[torch.Tensor, torch.Tensor]:
    joints = torch.rand(PEOPLE, JOINTS, 2) * torch.tensor((WIDTH, HEIGHT))
    return joints, torch.ones(PEOPLE, JOINTS)


@pytest.mark.parametrize("who", ["op", "torch twin", "NumPy loop"])
@pytest.mark.benchmark(group="decode")
def test_decode(benchmark: BenchmarkFixture, who: str) -> None:
    maps, _ = reference.encode(*targets(), HEIGHT, WIDTH, SIGMA)
    maps += 0.05 * torch.rand_like(maps)
    loop = maps.flatten(0, 1).numpy()
    call = {
        "op": lambda: torch.ops.dark.decode(maps, opencv_taps(11)),
        "torch twin": lambda: reference.decode(maps, opencv_taps(11)),
        "NumPy loop": lambda: oracles.dark(loop, 11),
    }[who]
    with torch.inference_mode():
        benchmark(call)


def numpy_target(x: float, y: float) -> np.ndarray:  # [H, W]
    """Render one target as a training loop in NumPy does."""
    columns, rows = np.arange(WIDTH), np.arange(HEIGHT)[:, None]
    squared = (columns - x) ** 2 + (rows - y) ** 2
    return np.exp(-squared / (2 * SIGMA**2)).astype(np.float32)


@pytest.mark.parametrize("who", ["op", "torch twin", "NumPy loop"])
@pytest.mark.benchmark(group="encode")
def test_encode(benchmark: BenchmarkFixture, who: str) -> None:
    joints, weights = targets()
    loop = joints.flatten(0, 1).tolist()
    call = {
        "op": lambda: torch.ops.dark.encode(joints, weights, HEIGHT, WIDTH, SIGMA),
        "torch twin": lambda: reference.encode(joints, weights, HEIGHT, WIDTH, SIGMA),
        "NumPy loop": lambda: [numpy_target(x, y) for x, y in loop],
    }[who]
    with torch.inference_mode():
        benchmark(call)


@pytest.mark.parametrize("who", ["op", "torch twin"])
@pytest.mark.benchmark(group="modulate")
def test_modulate(benchmark: BenchmarkFixture, who: str) -> None:
    maps, _ = reference.encode(*targets(), HEIGHT, WIDTH, SIGMA)
    call = {"op": torch.ops.dark.modulate, "torch twin": reference.modulate}[who]
    with torch.inference_mode():
        benchmark(call, maps, gaussian_taps(SIGMA))


@pytest.mark.parametrize("who", ["op", "torch twin"])
@pytest.mark.benchmark(group="heatmap_mse, forward and backward")
def test_heatmap_mse(benchmark: BenchmarkFixture, who: str) -> None:
    joints, weights = targets()
    maps = torch.rand(PEOPLE, JOINTS, HEIGHT, WIDTH, requires_grad=True)
    loss = {"op": torch.ops.dark.heatmap_mse, "torch twin": reference.heatmap_mse}[who]

    def step() -> None:
        maps.grad = None
        loss(maps, joints, weights, SIGMA).mean().backward()

    benchmark(step)
