# SPDX-License-Identifier: Apache-2.0
"""SIGTERM and Ctrl-C: one sentence, the status that a shell shows, nothing half-written."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from darkpose.cli.main import main
from killing import Runs, end, forked
from training_runs import write_config

STEPS = ("--checkpoint_steps=1",)


@pytest.fixture(scope="module")
def config(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(people, tmp_path_factory.mktemp("tiny") / "config.yaml")


@pytest.mark.parametrize(
    ("number", "place", "count", "options"),
    [
        (signal.SIGTERM, "before", 2, STEPS),
        (signal.SIGINT, "in", 3, STEPS),
        (signal.SIGTERM, "writing", 3, STEPS),
        (signal.SIGTERM, "validation", 1, (*STEPS, "--data.workers=2")),
        (signal.SIGINT, "after", 2, (*STEPS, "--data.workers=2")),
    ],
)
def test_a_run_that_is_told_to_end_names_its_last_checkpoint(
    number: signal.Signals,
    place: str,
    count: int,
    options: tuple[str, ...],
    config: Path,
    tmp_path: Path,
) -> None:
    """Also where the signal ends the loader's workers first; it can then go on."""
    out, runs = tmp_path / "run", Runs(config, options)
    statuses, said = runs.told(out, place, count, number)
    assert statuses == {128 + number}, said
    last = out / "checkpoints" / "last.ckpt"
    assert said == f"darkpose fit: ended by {number.name}, the last checkpoint is {last}\n"
    assert {path.name for path in last.parent.iterdir()} <= {"last.ckpt", "best.ckpt"}
    assert not (out / ".lock").exists()
    assert runs.go(out) == 0


def test_without_a_checkpoint_none_is_named(config: Path, tmp_path: Path) -> None:
    statuses, said = Runs(config).told(tmp_path / "run", "before", 1, signal.SIGTERM)
    assert statuses == {143} and said == "darkpose fit: ended by SIGTERM\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_is_ended_while_it_is_imported(number: signal.Signals) -> None:
    sent = f"import os; os.kill(os.getpid(), {int(number)})"
    code = (
        "import signal, sys; from darkpose.__main__ import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == 'jsonargparse': {sent}\n"
        "sys.meta_path.insert(0, Finder()); sys.argv[1:] = ['fit', '--help']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (128 + number, "")
    assert done.stderr == f"darkpose: ended by {number.name}\n"


def test_two_processes_end_together(config: Path, tmp_path: Path) -> None:
    out, began = tmp_path / "run", time.monotonic()
    statuses, said = Runs(config, STEPS, processes=2).told(out, "validation", 1, signal.SIGTERM)
    assert statuses == {143} and time.monotonic() - began < 30
    last = out / "checkpoints" / "last.ckpt"
    assert said == f"darkpose fit: ended by SIGTERM, the last checkpoint is {last}\n"


@pytest.mark.parametrize("command", ["predict", "export", "validate"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_any_command_says_that_it_was_ended(
    command: str,
    number: signal.Signals,
    config: Path,
    checkpoint: Path,
    two_photos: list[Path],
    tmp_path: Path,
) -> None:
    given = {
        "predict": [str(checkpoint), str(two_photos[0]), "--out", str(tmp_path / "found.json")],
        "export": [str(checkpoint), str(tmp_path / "a.onnx")],
        "validate": [
            *("--config", str(config), f"--ckpt_path={checkpoint}", f"--out={tmp_path}"),
            "--trainer.logger=false",
        ],
    }

    def run() -> None:
        torch.load = lambda *_arguments, **_options: end(number)
        main([command, *given[command]])

    said = tmp_path / "said"
    assert forked(run, said) == 128 + number
    assert said.read_text() == f"darkpose {command}: ended by {number.name}\n"
    assert {path.name for path in tmp_path.iterdir()} == {"said", "a.jpg", "b.jpg"}
