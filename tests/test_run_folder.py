# SPDX-License-Identifier: Apache-2.0
"""What a run finds in its folder: the best checkpoint so far, another run, what a kill left."""

import errno
import fcntl
import shutil
from pathlib import Path

import pytest
import torch
from lightning import Trainer

from darkpose.train.keeping import score_of
from darkpose.train.lock import run_folder
from killing import KILLED, Point, Runs
from training_runs import write_config


@pytest.fixture(scope="module")
def config(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(people, tmp_path_factory.mktemp("tiny") / "config.yaml")


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose best checkpoint says that it scored 0.75."""
    out = tmp_path_factory.mktemp("done") / "run"
    assert Runs(config).go(out) == 0
    best = out / "checkpoints" / "best.ckpt"
    content = torch.load(best, weights_only=True)
    for state in content["callbacks"].values():
        if "best_model_score" in state:
            state["best_model_score"] = 0.75
    torch.save(content, best)
    return out


def longer(config: Path) -> Runs:
    return Runs(config, ("--trainer.max_epochs=3",))


def test_a_moved_run_keeps_its_best_checkpoint(config: Path, run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    before = (moved / "checkpoints" / "best.ckpt").read_bytes()
    assert longer(config).go(moved) == 0
    assert (moved / "checkpoints" / "best.ckpt").read_bytes() == before
    best = moved / "checkpoints" / "best.ckpt"
    assert moved.with_suffix(".said").read_text() == f"the best checkpoint is {best}: AP 0.7500\n"
    last = torch.load(moved / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 2 and last["global_step"] == 6


def test_where_no_best_checkpoint_lies_the_next_is_written(
    config: Path, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "moved" / "checkpoints").mkdir(parents=True)
    shutil.copy(run / "checkpoints" / "last.ckpt", tmp_path / "moved" / "checkpoints")
    assert longer(config).go(tmp_path / "moved") == 0
    best = torch.load(tmp_path / "moved" / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == 6


def test_a_run_that_begins_anew_replaces_no_better_checkpoint(
    config: Path, run: Path, tmp_path: Path
) -> None:
    """As after a kill before there was a `last.ckpt`."""
    best = tmp_path / "kept" / "checkpoints" / "best.ckpt"
    best.parent.mkdir(parents=True)
    shutil.copy(run / "checkpoints" / "best.ckpt", best)
    before = best.read_bytes()
    assert Runs(config).go(tmp_path / "kept") == 0
    assert best.read_bytes() == before
    assert best.with_name("last.ckpt").exists()


def test_the_score_of_an_earlier_best_checkpoint_is_read(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    score = {"monitor": "val/score", "best_model_score": torch.tensor(0.5)}
    last = {"monitor": None, "best_model_score": None}
    content["callbacks"] = {"ModelCheckpoint{1}": last, "ModelCheckpoint{2}": score}
    torch.save(content, tmp_path / "best.ckpt")
    assert score_of(tmp_path / "best.ckpt") == 0.5
    assert score_of(checkpoint) is None


def test_a_second_run_is_refused_while_the_first_lives(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with run_folder(out, Trainer(logger=False, enable_checkpointing=False)):
        assert Runs(config).go(out) == 1
        refusal = f"another run is writing to {out}: let it end, or name another --out"
        assert out.with_suffix(".said").read_text() == f"darkpose fit: {refusal}\n"
        assert [path.name for path in out.iterdir()] == [".lock"]
    assert not out.exists()


def test_what_a_killed_run_left_is_removed_by_the_next(config: Path, tmp_path: Path) -> None:
    runs, out = Runs(config, ("--checkpoint_steps=1",)), tmp_path / "run"
    assert runs.go(out, Point("writing", 2)) == KILLED
    kept = out / "checkpoints"
    assert len(list(kept.iterdir())) == 2 and (out / ".lock").exists()
    assert runs.go(out) == 0
    assert {path.name for path in kept.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {path.name for path in out.iterdir()} == {"checkpoints", "config.yaml"}


def test_where_there_are_no_locks_a_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with run_folder(tmp_path, Trainer(logger=False, enable_checkpointing=False)):
        assert f"{tmp_path} cannot be locked (No locks available)" in caplog.text
