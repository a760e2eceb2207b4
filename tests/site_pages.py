# SPDX-License-Identifier: Apache-2.0
"""What the documentation's pages hold, for the tests that hold them to it."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*DOCS.rglob("*.md")])

NOT_RUN = "not run"
"""A comment before a block that begins so says why no test runs it: `<!-- not run: ... -->`."""

_BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*?) -->\n)?```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<text>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    page: str
    language: str
    title: str
    """The file it is, if the page says so."""
    text: str
    note: str
    """Of the comment before it."""

    @property
    def runs(self) -> bool:
        return not self.note.startswith(NOT_RUN)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[Block]:
    """Return a page's blocks of one language."""
    found = []
    for match in _BLOCK.finditer(read(page)):
        title = re.search(r'title="([^"]+)"', match["options"])
        if match["language"] == language:
            note = match["note"] or ""
            found.append(Block(page, language, title[1] if title else "", match["text"], note))
    return found


def command_lines(page: str) -> Iterator[list[str]]:
    """Yield the words of each command that a page shows, comments left out."""
    for block in blocks(page, "sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if words:
                yield words


def links(page: str) -> list[str]:
    """Return what a page links to or shows, without anchors, but for other sites."""
    text = _BLOCK.sub("", read(page))
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [link.partition("#")[0] for link in found if not re.match(r"[a-z]+:", link)]
    return [link for link in local if link]
