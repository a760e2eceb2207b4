# SPDX-License-Identifier: Apache-2.0
"""A run that is killed twice, anywhere, ends as the run that was not killed."""

import random
import shutil
from pathlib import Path

import pytest
import torch

from killing import KILLED, POINTS, Point, Runs, assert_same_run
from training_runs import write_config


@pytest.fixture(scope="module")
def config(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(people, tmp_path_factory.mktemp("tiny") / "config.yaml")


@pytest.fixture(scope="module")
def whole(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    Runs(config).killed(out)
    return out


def options(order: int) -> tuple[str, ...]:
    """Return with or without steps between checkpoints, and now and then workers."""
    steps = [(), ("--checkpoint_steps=1",), ("--checkpoint_steps=2",)][order % 3]
    return (*steps, *(["--data.workers=2"] if order % 5 == 0 else []))


@pytest.mark.parametrize("order", range(20))
def test_an_order_of_two_kills(order: int, config: Path, whole: Path, tmp_path: Path) -> None:
    points = random.Random(order).choices(POINTS, k=2)
    Runs(config, options(order)).killed(tmp_path / "run", *points)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.slow
def test_every_order_of_two_kills(config: Path, whole: Path, tmp_path: Path) -> None:
    """Folders that are alike go on alike: each state is gone on from once."""
    runs, known = Runs(config, ("--checkpoint_steps=1",)), {}  # most checkpoints

    def after(folder: Path | None, point: Point) -> Path:
        out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        if folder is not None:
            shutil.copytree(folder, out)
        assert runs.go(out, point) in (0, KILLED), out.with_suffix(".said").read_text()
        return known.setdefault(state(out), out)

    once = {after(None, point) for point in POINTS}
    twice = {after(folder, point) for folder in once for point in POINTS}
    assert len(once) > 2
    for folder in once | twice:
        runs.killed(folder)
        assert_same_run(folder, whole)


def state(out: Path) -> str:
    """Return what a run's checkpoints say but their numbers."""
    said = []
    for path in sorted(out.glob("checkpoints/*.ckpt")):
        content = torch.load(path, weights_only=True)
        said += [path.name, *(content[key] for key in ("epoch", "global_step", "loops"))]
        said.append(content["callbacks"])
    return str(said)


# ---- two processes -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def together(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of two processes."""
    out = tmp_path_factory.mktemp("together") / "run"
    Runs(config, processes=2).killed(out)
    return out


@pytest.mark.parametrize(
    "points",
    [
        (Point("validation", 1), Point("before", 2)),
        *(
            pytest.param(points, marks=pytest.mark.slow)
            for points in (
                (Point("in", 2), Point("writing", 1)),
                (Point("after", 3), Point("validation", 1)),
                (Point("writing", 2), Point("after", 1)),
            )
        ),
    ],
)
def test_an_order_of_two_kills_of_two_processes(
    points: tuple[Point, ...], config: Path, together: Path, tmp_path: Path
) -> None:
    Runs(config, ("--checkpoint_steps=1",), processes=2).killed(tmp_path / "run", *points)
    assert_same_run(tmp_path / "run", together)
