# SPDX-License-Identifier: Apache-2.0
"""Configuration files: UTF-8 on every machine, named by what is wrong with them, never endless."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from darkpose.cli.main import main
from darkpose.files import read_yaml


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"data: &a {x: *a}", "must have at most 100000 values, got more: does an alias name"),
        (b"a: [1", "must be YAML, got an error in line 1: "),
        (b"\xff\xfe: 1", "must be YAML, got an error: .*utf-8"),
        (b"a: \x00", "must be YAML, got an error"),
    ],
)
def test_a_broken_configuration_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"mine.yaml {message}"):
        read_yaml(path)
    with pytest.raises(SystemExit, match=f"mine.yaml {message}") as end:
        main(["fit", "--config", str(path)])
    assert str(end.value).isprintable()


def test_what_a_configuration_names_is_read_to_an_end_too(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("val: &a {x: *a}\n")
    (tmp_path / "mine.yaml").write_text("codec: {input_size: [64, 64]}\ndata: data.yaml\n")
    with pytest.raises(SystemExit, match="data.yaml must have at most 100000 values"):
        main(["fit", "--config", str(tmp_path / "mine.yaml")])


def test_configurations_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    """Also files that they name; and the sentence about them can be printed."""
    (tmp_path / "ö.yaml").write_text("# größer\nval: ä.json\nval_images: ä\n", encoding="utf-8")
    content = {"codec": {"input_size": [64, 64]}, "data": "ö.yaml"}
    text = yaml.safe_dump(content, allow_unicode=True)
    (tmp_path / "ä.yaml").write_text(text, encoding="utf-8")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONIOENCODING"} | locale
    command = [sys.executable, "-m", "darkpose", "validate", "--ckpt_path=a", "--config", "ä.yaml"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert rb"\xe4.json must be a file, got no such file" in done.stderr
