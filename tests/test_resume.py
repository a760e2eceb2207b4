# SPDX-License-Identifier: Apache-2.0
"""Killed runs: whatever the step, resuming ends with the weights of a run that never stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback

from darkpose.cli.main import main
from training_runs import weights, write_config

_STEPS = 8  # 2 epochs of 4 steps with 8 of 37 people


class Killed(Exception):
    """What ends a run in this process."""


class Kill(Callback):
    """Ends a run before a step: by an exception, or without warning as a lack of memory does."""

    def __init__(self, step: int, outright: bool = False) -> None:
        self.step, self.outright = step, outright

    def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:  # type: ignore[override]
        if trainer.global_step == self.step:
            if self.outright:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed


def options(config: Path, out: Path, every: int, *more: str) -> list[str]:
    """Return the command that trains for two epochs, with a checkpoint `every` so many steps."""
    saved = [f"--checkpoint_steps={every}", "--data.batch_size=8"]
    return ["fit", "--config", str(config), "--out", str(out), *saved, *more]


def kill_at(step: int, outright: bool = False) -> str:
    arguments = {"step": step, "outright": outright}
    callback = {"class_path": "test_resume.Kill", "init_args": arguments}
    return f"--trainer.callbacks={json.dumps([callback])}"


def last(out: Path) -> Path:
    return out / "checkpoints" / "last.ckpt"


def assert_equal(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.fixture(scope="module")
def small(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(people, tmp_path_factory.mktemp("small") / "config.yaml")


@pytest.fixture(scope="module")
def whole(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts, of one thread."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with one_thread():
        main(options(small, out, 100))
    assert torch.load(last(out), weights_only=True)["global_step"] == _STEPS
    return out


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("step", "every"), [(5, 3), (4, 4)])
def test_a_run_killed_before_any_step_ends_with_the_same_weights(
    small: Path, whole: Path, tmp_path: Path, step: int, every: int
) -> None:
    """Checkpoints in the middle of an epoch and at its very end, where both kinds coincide; every
    step, and two kills of a run, are in test_killed_twice."""
    out = tmp_path / "run"
    with one_thread():
        with pytest.raises(Killed):
            main(options(small, out, every, kill_at(step)))
        main(options(small, out, every, "--ckpt_path", str(last(out))))
    assert_equal(last(out), last(whole))


def test_workers_do_not_change_where_a_run_goes_on(
    small: Path, whole: Path, tmp_path: Path
) -> None:
    """They have read ahead of the checkpoint when the run is killed."""
    out, read_ahead = tmp_path / "run", "--data.workers=2"
    with one_thread():
        with pytest.raises(Killed):
            main(options(small, out, 1, read_ahead, kill_at(6)))
        main(options(small, out, 1, read_ahead, "--ckpt_path", str(last(out))))
    assert_equal(last(out), last(whole))


# ---- two processes -------------------------------------------------------------------------------


def two_processes(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in two gloo processes of one thread each."""
    with socket.socket() as found:
        found.bind(("", 0))
        port = found.getsockname()[1]
    launcher = ["torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    command = [sys.executable, "-m", *launcher, "-m", "darkpose", *arguments]
    command += ["--trainer.devices=2", "--trainer.strategy=ddp"]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path[1:]])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def together(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of two processes."""
    out = tmp_path_factory.mktemp("together") / "run"
    run = two_processes(*options(small, out, 100))
    assert run.returncode == 0, run.stderr
    return out


def test_two_processes_killed_outright_end_with_the_same_weights(
    small: Path, together: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    killed = two_processes(*options(small, out, 2, kill_at(7, outright=True)))
    assert killed.returncode != 0
    assert torch.load(last(out), weights_only=True)["global_step"] == 6
    run = two_processes(*options(small, out, 2, "--ckpt_path", str(last(out))))
    assert run.returncode == 0, run.stderr
    assert_equal(last(out), last(together))


def test_two_processes_count_nobody_twice_and_lose_nobody(
    small: Path, together: Path, tmp_path: Path
) -> None:
    """Nineteen people do not divide by two: a sampler that pads would count one of them twice."""
    command = ["validate", "--config", str(small), "--ckpt_path", str(last(together))]
    command += ["--data.batch_size=8"]
    main([*command, "--out", str(tmp_path / "alone")])
    run = two_processes(*command, "--out", str(tmp_path / "two"))
    assert run.returncode == 0, run.stderr
    alone, two = (tmp_path / name / "results.json" for name in ("alone", "two"))
    assert json.loads(two.read_text()) == json.loads(alone.read_text())
    figures = [json.loads(path.with_name("figures.json").read_text()) for path in (alone, two)]
    assert figures[0] == figures[1]
