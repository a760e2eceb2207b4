# SPDX-License-Identifier: Apache-2.0
"""Devices, implementations and data, so that no test decides by itself what it may leave out.

- ``device`` runs a test on the CPU and, where there is one, on a GPU. With ``FAIL_WITHOUT_CUDA=1``
  there has to be one: a machine that has a GPU must not pass without it.
- ``ops`` runs a test on every implementation of the ops that is here: the torch twins, the CPU and
  the CUDA kernels, and the CUDA kernels' source compiled for the CPU (``DARKPOSE_EMULATED``, the
  path of that library). ``kernels`` leaves out the twins, ``gpu`` the CPU's kernels too.
- ``data`` is the folder of real data (``DARKPOSE_DATA``), ``browser`` a Chromium.

A file whose tests would run on something that is not here skips one test that says so.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

import darkpose_ext  # noqa: F401  (loads torch.ops.dark)
from darkpose_ext import reference

if TYPE_CHECKING:
    from darkpose.data.annotations import Annotations
    from darkpose.predict.predictor import Predictor

ABSENT: dict[str, str] = {}
"""What is not here, and why."""
if not torch.cuda.is_available() and os.environ.get("FAIL_WITHOUT_CUDA") != "1":
    ABSENT["cuda"] = "no GPU (with FAIL_WITHOUT_CUDA=1 its tests fail)"
if not os.environ.get("DARKPOSE_EMULATED"):
    ABSENT["emulated"] = "DARKPOSE_EMULATED does not name the emulated CUDA kernels' library"
EVERYWHERE = ("reference", "cpu", "emulated", "cuda")
RUN_ON = {
    "ops": EVERYWHERE,
    "kernels": EVERYWHERE[1:],
    "gpu": EVERYWHERE[2:],
    "device": ("cpu", "cuda"),
}


def present(fixture: str) -> list[str]:
    """Return what a fixture runs tests on."""
    return [name for name in RUN_ON[fixture] if name not in ABSENT]


class Absent(pytest.Item):
    """Says for a file what its tests do not run on."""

    def runtest(self) -> None:
        pytest.skip(f"{self.path.name}: {ABSENT[self.name]}")


@pytest.hookimpl(tryfirst=True)  # -k and -m choose among what is added, too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking: dict[tuple[pytest.Item, str], None] = {}  # in order, unlike a set
    for item in items:
        for fixture, names in RUN_ON.items():
            if fixture in getattr(item, "fixturenames", ()):
                lacking |= {(item.parent, name): None for name in names if name in ABSENT}
    items += [Absent.from_parent(file, name=name) for file, name in lacking]


@dataclass(frozen=True)
class Implementation:
    """One implementation of the ops; attributes are its functions, as in `torch.ops.dark`.

    They take tensors of any device, and return those of their own.
    """

    name: str
    device: str
    namespace: Any

    def __getattr__(self, op: str) -> Callable[..., Any]:
        function = getattr(self.namespace, op)

        def call(*arguments: Any, **options: Any) -> Any:
            moved = {name: self.put(value) for name, value in options.items()}
            return function(*map(self.put, arguments), **moved)

        return call

    def put(self, value: Any) -> Any:
        """Move a tensor to the device of the implementation."""
        return value.to(self.device) if isinstance(value, Tensor) else value

    def count(self, n: int) -> int:
        """Return how many of n samples this implementation can afford."""
        return max(1, n // 16) if self.name == "emulated" else n


@cache
def implementation(name: str) -> Implementation:
    """Return the implementation called name."""
    if name == "reference":
        return Implementation(name, "cpu", reference)
    if name == "emulated":
        torch.ops.load_library(os.environ["DARKPOSE_EMULATED"])
        return Implementation(name, "cpu", torch.ops.dark_emulated)
    if name == "cuda" and not torch.cuda.is_available():
        pytest.fail("FAIL_WITHOUT_CUDA=1, but torch finds no CUDA device")
    return Implementation(name, name, torch.ops.dark)


def _implementations(name: str) -> Any:
    @pytest.fixture(params=present(name), name=name)
    def fixture(request: pytest.FixtureRequest) -> Implementation:
        return implementation(request.param)

    return fixture


ops, kernels, gpu = map(_implementations, ("ops", "kernels", "gpu"))


@pytest.fixture(params=present("device"))
def device(request: pytest.FixtureRequest) -> str:
    return implementation(request.param).device


@pytest.fixture(scope="session")
def data() -> Path:
    path = os.environ.get("DARKPOSE_DATA")
    if not path:
        pytest.skip("DARKPOSE_DATA does not name the folder of real data")
    return Path(path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window, in which pages are opened."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        pytest.skip("no chromium is installed")
    alone = ("background-networking", "component-update", "sync")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    options += [f"--disable-{name}" for name in alone]
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=options)
        yield opened
        opened.close()


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


@pytest.fixture
def photos(two_photos: list[Path], tmp_path: Path) -> Path:
    """A folder of two photos, one of them a folder down, and between them one that is cut short."""
    folder = tmp_path / "photos"
    (folder / "day").mkdir(parents=True)
    two_photos[0].replace(folder / "a.jpg")
    (folder / "b.jpg").write_bytes((folder / "a.jpg").read_bytes()[:-400])
    two_photos[1].replace(folder / "day/c.jpg")
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of COCO's joints."""
    from predicting import save, untrained

    return save(untrained(), tmp_path_factory.mktemp("checkpoint") / "a.ckpt")


@pytest.fixture(scope="module")
def predictor() -> "Predictor":
    """One of an untrained network."""
    from darkpose.predict.predictor import Predictor
    from predicting import BATCH, untrained

    return Predictor(untrained(), device="cpu", batch_size=BATCH)


@pytest.fixture
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
