# SPDX-License-Identifier: Apache-2.0
"""The documentation site as it is built: without torch, without a warning, complete, by itself."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import serving
from site_pages import DOCS, ROOT

for package in ("mkdocs", "material", "mkdocstrings"):
    pytest.importorskip(package, reason="the documentation is built with it")

pytestmark = pytest.mark.slow

BUILT = "index getting-started conventions results api/ops api/predictor benchmarks/index".split()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, by an interpreter that has no torch."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "absent").mkdir()
    (folder / "absent" / "torch.py").write_text("raise ImportError('no torch here')\n")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder / "site")]
    environment = {**os.environ, "PYTHONPATH": str(folder / "absent")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.mark.parametrize("page", sorted(path.stem for path in (DOCS / "api").glob("*.md")))
def test_an_api_page_documents_something(site: Path, page: str) -> None:
    text = (site / "api" / f"{page}.html").read_text()
    assert re.search(r'class="doc doc-object doc-(?:function|class)"', text)
    assert "&gt;&gt;&gt;</p>" not in text and "<blockquote>" not in text, "examples are code"


def test_every_page_is_reached_from_the_first(site: Path) -> None:
    home = (site / "index.html").read_text()
    reached = set(re.findall(r'href="([\w/.-]+\.html)"', home))
    made = {path.relative_to(site).as_posix() for path in site.rglob("*.html")} - {"404.html"}
    assert made == reached | {"index.html"}


def test_a_search_can_find_the_ops(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text()
    for word in ("heatmap_mse", "PCKh@0.11", "flip_index"):
        assert word in index


# ---- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """Where the site is served."""
    with serving(site) as address:
        yield address


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", BUILT)
def test_a_page_asks_for_nothing_elsewhere_and_keeps_to_its_width(
    served: str, browser: Any, name: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: failed.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(f"{served}{name}.html", wait_until="networkidle")
    assert failed == []
    assert [url for url in asked if not url.startswith((served, "data:", "blob:"))] == []
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_typing_into_the_search_field_finds_an_op(served: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(f"{served}index.html", wait_until="networkidle")
    page.click("input.md-search__input")
    page.keyboard.type("heatmap_mse", delay=20)
    found = page.wait_for_selector(".md-search-result__item a", timeout=15000)
    assert "api/ops.html" in page.inner_html(".md-search-result__list") and found
    page.close()
