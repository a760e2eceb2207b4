# SPDX-License-Identifier: Apache-2.0
"""Runs of two epochs of two steps in forked processes, killed where a test says."""

import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from torch import nn

from darkpose.cli.main import main

KILLED = 9


class Point(NamedTuple):
    """Where a process is killed."""

    place: str
    count: int
    """Its how many-th visit there kills it."""


PLACES = {"before": 4, "in": 4, "after": 4, "validation": 2, "writing": 8}
POINTS = [Point(place, count) for place, most in PLACES.items() for count in range(1, most + 1)]


def tiny(joints: int, input_size: tuple[int, int]) -> nn.Module:
    """Return a network that trains in milliseconds, to heatmaps of a quarter."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, joints, 3, 2, 1)
    )


class Kill(Callback):
    """End the process without warning at a point, as a lack of memory does, or send it a signal.

    The signal is sent to its group, which its workers belong to.
    """

    def __init__(self, place: str, count: int, number: int = 0) -> None:
        self.place, self.left, self.number = place, count, number
        save = torch.save

        def unfinished(*arguments: Any) -> None:
            save(*arguments)
            self.visit("writing")  # before the file has its name

        torch.save = unfinished

    def visit(self, place: str) -> None:
        self.left -= place == self.place
        if self.left == 0:
            self.left = -1
            end(self.number)

    def on_train_batch_start(self, *_: object) -> None:  # type: ignore[override]
        self.visit("before")

    def on_before_zero_grad(self, *_: object) -> None:  # type: ignore[override]
        self.visit("in")

    def on_train_batch_end(self, *_: object) -> None:  # type: ignore[override]
        self.visit("after")

    def on_validation_batch_start(self, trainer: Trainer, *_: object) -> None:  # type: ignore[override]
        if not trainer.sanity_checking:
            self.visit("validation")


def end(number: int) -> None:
    if not number:
        os._exit(KILLED)
    os.killpg(0, number)
    time.sleep(25)  # a signal that is not heeded shows


def forked(
    run: Callable[[], None], said: Path, processes: int = 1, wait: bool = False
) -> int | set[int]:
    """Return the first exit status but 0 of a function in forked processes; then all are ended.

    Wait: return those of all. What they say goes to a file. Each has a group of its own.
    """
    port = free_port() if processes > 1 else 0
    children = [_child(run, said, rank, port) for rank in range(processes)]
    statuses = set()
    try:
        while children:
            ended, status = os.waitpid(-1 if processes > 1 else children[0], 0)
            children.remove(ended)
            statuses.add(os.waitstatus_to_exitcode(status))
            if status and not wait:
                break
        return statuses if wait else max(statuses, key=abs)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _child(run: Callable[[], None], said: Path, rank: int, port: int) -> int:
    """Fork a process that runs a function; return its id. A port: it is one of several."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
        torch.set_num_threads(1)
        if port:
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
            os.environ.update(place)
        run()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
        if status == 1:
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Runs(NamedTuple):
    """Runs of one configuration with some options."""

    config: Path
    options: tuple[str, ...] = ()
    processes: int = 1

    def command(self, out: Path, **kill: Any) -> list[str]:
        """Return the command that begins a run, or goes on with it, to be killed somewhere."""
        last = out / "checkpoints" / "last.ckpt"
        more = [f"--ckpt_path={last}"] if last.exists() else []
        if kill:
            callback = {"class_path": "killing.Kill", "init_args": kill}
            more.append(f"--trainer.callbacks={json.dumps([callback])}")
        if self.processes > 1:
            more += [f"--trainer.devices={self.processes}", "--trainer.strategy=ddp"]
        small = ["--model.network=killing:tiny", "--model.flip_test=false"]
        small += ["--trainer.logger=false", "--data.batch_size=16"]
        named = ["--config", str(self.config), "--out", str(out)]
        return ["fit", *named, *small, *self.options, *more]

    def go(self, out: Path, point: Point | None = None) -> int:
        """Begin a run, or go on with it; return the exit status."""
        command = self.command(out, **point._asdict() if point else {})
        status = forked(lambda: main(command), out.with_suffix(".said"), self.processes)
        assert isinstance(status, int)
        return status

    def told(self, out: Path, place: str, count: int, number: int) -> tuple[set[int], str]:
        """Send a run a signal; return the exit statuses of its processes, and what they said."""
        command = self.command(out, place=place, count=count, number=number)
        said = out.with_suffix(".told")
        statuses = forked(lambda: main(command), said, self.processes, wait=True)
        assert isinstance(statuses, set)
        return statuses, said.read_text()

    def killed(self, out: Path, *points: Point) -> None:
        """Kill a run at each point in turn, and let it end."""
        for point in points:
            status = self.go(out, point)
            assert status in (0, KILLED), out.with_suffix(".said").read_text()
        assert self.go(out) == 0, out.with_suffix(".said").read_text()


def assert_same_run(out: Path, whole: Path) -> None:
    """Its last and best weights, its steps and epochs, and what the best one scored."""
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (
            torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (out, whole)
        )
        unequal = [
            key
            for key, value in theirs["state_dict"].items()
            if not torch.equal(value, ours["state_dict"][key])
        ]
        assert unequal == []
        assert [ours[key] for key in ("epoch", "global_step", "callbacks")] == [
            theirs[key] for key in ("epoch", "global_step", "callbacks")
        ]
