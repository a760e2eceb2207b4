# SPDX-License-Identifier: Apache-2.0
"""Devices, implementations and data, so that no test decides by itself what it may skip.

- ``device`` runs a test on the CPU and on a GPU. Without a GPU the latter is skipped, or fails if
  ``FAIL_WITHOUT_CUDA=1``: a machine that has one must not pass by skipping.
- ``ops`` runs a test on every implementation of the ops: the torch twins, the CPU and the CUDA
  kernels, and the CUDA kernels' source compiled for the CPU (``DARKPOSE_EMULATED``, the path of
  that library).
- ``data`` is the folder of real data (``DARKPOSE_DATA``).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import darkpose_ext  # noqa: F401  (loads torch.ops.dark)
from darkpose_ext import reference

if TYPE_CHECKING:
    from darkpose.data.annotations import Annotations


def _require_cuda() -> None:
    if torch.cuda.is_available():
        return
    if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        pytest.fail("FAIL_WITHOUT_CUDA=1, but torch finds no CUDA device")
    pytest.skip("no CUDA device (set FAIL_WITHOUT_CUDA=1 to fail instead)")


@dataclass(frozen=True)
class Implementation:
    """One implementation of the ops; attributes are its functions, as in `torch.ops.dark`."""

    name: str
    device: str
    namespace: Any

    def __getattr__(self, op: str) -> Any:
        return getattr(self.namespace, op)

    def count(self, n: int) -> int:
        """Return how many of n samples this implementation can afford."""
        return max(1, n // 16) if self.name == "emulated" else n


_emulated_libraries: set[str] = set()


def implementation(name: str) -> Implementation:
    """Return the implementation called name, or skip the running test with a reason."""
    if name == "reference":
        return Implementation(name, "cpu", reference)
    if name == "emulated":
        path = os.environ.get("DARKPOSE_EMULATED")
        if not path:
            pytest.skip("DARKPOSE_EMULATED does not name the emulated CUDA kernels' library")
        if path not in _emulated_libraries:
            torch.ops.load_library(path)
            _emulated_libraries.add(path)
        return Implementation(name, "cpu", torch.ops.dark_emulated)
    if name == "cuda":
        _require_cuda()
    return Implementation(name, name, torch.ops.dark)


@pytest.fixture(params=["reference", "cpu", "cuda", "emulated"])
def ops(request: pytest.FixtureRequest) -> Implementation:
    return implementation(request.param)


@pytest.fixture(params=["cpu", "cuda", "emulated"])
def kernels(request: pytest.FixtureRequest) -> Implementation:
    """Every implementation but the twins, for tests that compare with those."""
    return implementation(request.param)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda":
        _require_cuda()
    return request.param


@pytest.fixture(scope="session")
def data() -> Path:
    path = os.environ.get("DARKPOSE_DATA")
    if not path:
        pytest.skip("DARKPOSE_DATA does not name the folder of real data")
    return Path(path)


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Give every test its own, repeatable random numbers."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def fresh_compiler(request: pytest.FixtureRequest) -> None:
    """Start without what other tests compiled, where a test counts compilations."""
    if "compil" in request.node.name:
        torch._dynamo.reset()


# Imported only where they are asked for: the ops' tests need none of the training's packages.


@pytest.fixture(scope="session")
def coco(data: Path) -> "Annotations":
    """People of COCO's val2017, with their images."""
    from darkpose.data.annotations import load_annotations

    root = data / "coco_mini"
    return load_annotations(
        root / "annotations/person_keypoints_val2017.json", root / "images/val2017"
    )


@pytest.fixture
def two_photos(tmp_path: Path) -> list[Path]:
    """Two JPEGs of 320 x 240."""
    import cv2

    from photos import photo

    paths = [tmp_path / f"{name}.jpg" for name in "ab"]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), photo((320, 240), seed))
    return paths


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few synthetic people, in COCO layout."""
    from training_runs import draw_people

    return draw_people(tmp_path_factory.mktemp("people") / "set")


@pytest.fixture
def config(people: Path, tmp_path: Path) -> Path:
    """A configuration that trains on them for two short epochs."""
    from training_runs import write_config

    return write_config(people, tmp_path / "config.yaml")
