# SPDX-License-Identifier: Apache-2.0
"""What a person reads in a terminal: names from files neither control it nor end a command.

Everything that is printed or logged goes through here, so that a sentence need not know whether a
name in it comes from a stranger, nor whether the terminal can show it.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from darkpose.values import escaped, one_line

_MOST = 100_000  # characters of a line


def say(text: str, error: bool = False) -> None:
    """Print lines to the standard output, or the standard error output."""
    file = sys.stderr if error else sys.stdout
    print("\n".join(escaped(line) for line in text.split("\n")), file=file)


class _Lines(logging.Formatter):
    """Each message on one line; a traceback keeps its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        return one_line(super().formatMessage(record), _MOST)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        lines = super().formatException(ei).split("\n")
        return "\n".join(escaped(line) for line in lines)


class _Handler(logging.StreamHandler[Any]):
    """Writes to the standard error output of the moment, which a progress bar may have taken."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(_Lines("%(message)s"))

    @property
    def stream(self) -> Any:  # type: ignore[override]
        return sys.stderr


@contextmanager
def console() -> Iterator[None]:
    """Log and warn in single lines inside, and print what the terminal has no letters for escaped.

    Handlers that the program has given its root logger stay the only ones.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.INFO, handlers=[_Handler()])
    before = warnings.showwarning
    warnings.showwarning = _warn
    try:
        yield
    finally:
        warnings.showwarning = before


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    logging.getLogger("py.warnings").warning("%s", message)
