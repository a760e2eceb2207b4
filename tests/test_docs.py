# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is what the code does."""

import doctest
import re
from pathlib import Path

import pytest
import torch

import darkpose.codec
import darkpose.paper.recipes
import darkpose_ext.ops

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("module", [darkpose_ext.ops, darkpose.codec, darkpose.paper.recipes])
def test_the_examples_in_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module, extraglobs={"torch": torch})  # type: ignore[arg-type]
    assert result.attempted > 0 and result.failed == 0


def test_the_readmes_first_example_returns_what_its_comments_say() -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    names: dict[str, object] = {}
    exec(block[1].replace("coords, _ =", "peak, _ ="), names)
    coords = torch.tensor([[[20.2998, 31.8001]]])
    torch.testing.assert_close(names["coords"], coords, atol=1e-4, rtol=0)
    torch.testing.assert_close(names["scores"], torch.tensor([[0.9839]]), atol=1e-4, rtol=0)
    assert torch.equal(names["peak"], torch.tensor([[[20.0, 32.0]]]))  # type: ignore[arg-type]
    assert names["loss"].shape == (1, 1)  # type: ignore[attr-defined]


def test_every_figure_of_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    assert "@@" not in text and "@@" not in (ROOT / "docs" / "results.md").read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text)
    local = [link for link in links if not link.startswith("http")]
    assert local
    assert [link for link in local if not (ROOT / link).exists()] == []
