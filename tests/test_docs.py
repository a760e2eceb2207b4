# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is what the code does."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

import darkpose.codec
import darkpose.paper.recipes
import darkpose_ext.ops
import pretrained
from photos import photo

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("module", [darkpose_ext.ops, darkpose.codec, darkpose.paper.recipes])
def test_the_examples_in_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module, extraglobs={"torch": torch})  # type: ignore[arg-type]
    assert result.attempted > 0 and result.failed == 0


def test_the_readmes_first_example_returns_what_its_comments_say() -> None:
    block = _block("import torch, darkpose_ext as dark")
    names: dict[str, object] = {}
    exec(block.replace("coords, _ =", "peak, _ ="), names)
    coords = torch.tensor([[[20.2998, 31.8001]]])
    torch.testing.assert_close(names["coords"], coords, atol=1e-4, rtol=0)
    torch.testing.assert_close(names["scores"], torch.tensor([[0.9839]]), atol=1e-4, rtol=0)
    assert torch.equal(names["peak"], torch.tensor([[[20.0, 32.0]]]))  # type: ignore[arg-type]
    assert names["loss"].shape == (1, 1)  # type: ignore[attr-defined]


def test_the_readmes_first_lines_find_keypoints(tmp_path: Path) -> None:
    """With a model of random weights where transformers keeps what it has downloaded."""
    kept = tmp_path / "hub/models--usyd-community--vitpose-base-simple"
    pretrained.vitpose(kept / "snapshots/abc")
    (kept / "refs").mkdir()
    (kept / "refs/main").write_text("abc")
    cv2.imwrite(str(tmp_path / "photo.jpg"), photo((320, 240)))
    *lines, last = _block("from darkpose import Predictor").strip().splitlines()
    program = "\n".join([*lines, f"print(({last.partition('#')[0].strip()}).shape)"])
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.stdout == "(1, 17, 3)\n", ran.stderr


def _block(beginning: str) -> str:
    """Return the README's Python example that begins so."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return next(block for block in blocks if block.startswith(beginning))


def test_every_figure_of_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    assert "@@" not in text and "@@" not in (ROOT / "docs" / "results.md").read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text)
    local = [link for link in links if not link.startswith("http")]
    assert local
    assert [link for link in local if not (ROOT / link).exists()] == []
