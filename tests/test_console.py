# SPDX-License-Identifier: Apache-2.0
"""What commands say: their outcome, in lines that a terminal can show, whatever the names in it."""

import io
import logging
import re
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from darkpose.cli.main import main
from darkpose.console import _Handler, console, say
from darkpose.data.images import decode_bytes
from darkpose.evaluate.writing import figures_table
from training_runs import fit, write_config

_NAME = "a\x1b[31m\u202eb\x07.jpg"
_SHOWN = r"a\x1b[31m\u202eb\x07.jpg"


def test_fit_and_validate_end_with_what_they_found(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = write_config(people, tmp_path / "config.yaml"), tmp_path / "run"
    last = fit(config, out)
    best, seen = last.with_name("best.ckpt"), capsys.readouterr()
    assert re.fullmatch(rf"the best checkpoint is {best}: AP \d\.\d{{4}}\n", seen.out), seen.out
    assert seen.err == ""
    command = ["validate", "--config", str(config), "--ckpt_path", str(last), "--out", str(out)]
    main([*command, "--model.decoders=[argmax,dark]"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| figure   | argmax |   dark |"
    assert re.fullmatch(r"\| AP       \| \d\.\d{4} \| \d\.\d{4} \|", lines[2])
    assert re.fullmatch(rf"people: \d+, val/loss \d\.\d{{6}}, {out}", lines[-1])
    fit(config, tmp_path / "short", "--trainer.limit_val_batches=0")
    last = tmp_path / "short" / "checkpoints" / "last.ckpt"
    assert capsys.readouterr().out == f"nothing was evaluated, the last checkpoint is {last}\n"


def test_figures_are_a_column_for_each_decoder() -> None:
    table = figures_table(
        {"dark": {"AP": 0.5, "AP_L": float("nan")}, "argmax": {"AP": 1, "AP_L": 0}}
    )
    assert table.splitlines() == [
        "| figure |   dark | argmax |",
        "| --- | --- | --- |",
        "| AP     | 0.5000 | 1.0000 |",
        "| AP_L   |      - | 0.0000 |",
    ]
    assert figures_table({"dark": {}}) == ""


def test_synth_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "people"
    for again in ("", ", drawn before"):
        main(["synth", str(out), '{"val": 2}'])
        file = out / "annotations" / "person_keypoints_val.json"
        people = file.read_text().count('"keypoints": [') - 1
        said = f"{file}: 2 images, {people} people{again}\n"
        assert capsys.readouterr().out == said


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".gif", ".tiff"])
def test_opencv_is_quiet(suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)
    whole = cv2.imencode(suffix, pixels)[1].tobytes()
    with pytest.raises(ValueError, match=f"a{suffix} "):
        decode_bytes(whole[: len(whole) // 2], f"a{suffix}")
    assert capfd.readouterr() == ("", "")


def test_names_never_control_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say(f"{_NAME}\nsecond")
    assert capsys.readouterr().out == f"{_SHOWN}\nsecond\n"
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [_Handler()])
    with console():
        logging.getLogger("darkpose.x").warning("%s is\ncut", _NAME)
        warnings.warn(f"of {_NAME}", stacklevel=1)
        try:
            raise RuntimeError(_NAME)
        except RuntimeError:
            logging.getLogger("darkpose.x").exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [f"{_SHOWN} is cut", f"of {_SHOWN}", "failed"]
    assert lines[-1] == f"RuntimeError: {_SHOWN}"


def test_everything_that_is_printed_can_be_shown() -> None:
    """`print` knows nothing of names from files: `say` does."""
    root = Path(main.__code__.co_filename).parents[1]
    allowed = {root / "console.py", root / "__main__.py"}
    found = [path for path in root.rglob("*.py") if re.search(r"(?m)^ *print\(", path.read_text())]
    assert set(found) == allowed


def test_a_name_that_the_console_cannot_print_ends_nothing() -> None:
    code = "from darkpose.console import *\nwith console(): say('ä\\udcff \\u4eba.jpg')"
    environment = {"PYTHONIOENCODING": "ascii:strict", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == rb"\xe4\udcff \u4eba.jpg" + b"\n"


def test_streams_of_a_program_without_letters_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()  # has no `reconfigure`
    monkeypatch.setattr(sys, "stdout", said)
    with console():
        say("人.jpg")
    assert said.getvalue() == "人.jpg\n"


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("fit --config a/b.yaml", "a/b.yaml"),
        ("fit --codec.input_size=[64,64] --data.val=b.json --data.val_images=.", "b.json"),
        ("predict b.ckpt c.jpg --out d.json", "c.jpg"),
        ("convert b.pth c.ckpt", "b.pth"),
        ("export b.ckpt c.onnx", "b.ckpt"),
    ],
)
def test_what_was_not_found_is_shown_absolute(
    command: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(command.split())
    assert f" {tmp_path / place}" in str(end.value) and "\n" not in str(end.value)
    assert not list(tmp_path.iterdir())
