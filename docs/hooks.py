# SPDX-License-Identifier: Apache-2.0
"""Brings the repository's own Markdown into the site, where its pages link to it.

Pages are written to be read in the repository too, where `../benchmarks/README.md` is a place. In
the site, the files of `PAGES` stand at the same paths below the top.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "benchmarks/results/resources.md",
    "benchmarks/results/goals-cpu.json",
    "benchmarks/results/goals-large-cpu.json",
    "benchmarks/results/instructions.md",
    "benchmarks/results/launches.md",
    "benchmarks/results/goals-peaks-cpu.json",
    "benchmarks/results/local-peaks-cpu.json",
    "benchmarks/results/encoding.svg",
    "benchmarks/results/speed.svg",
    "benchmarks/results/scaling.svg",
)

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the repository's files to those of `docs`."""
    for name in PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links between `docs` and the rest of the repository."""
    here = page.file.src_uri
    folder = posixpath.dirname(here)
    in_repository = posixpath.join("" if here in PAGES else "docs", folder)

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(in_repository, match[1]))
        uri = target.removeprefix("docs/") if target.startswith("docs/") else target
        if uri not in PAGES and not target.startswith("docs/"):
            return match[1]  # nowhere in the site: the build says so
        return posixpath.relpath(uri, folder or ".")

    return _LINK.sub(moved, markdown)
