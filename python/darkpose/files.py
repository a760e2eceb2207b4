# SPDX-License-Identifier: Apache-2.0
"""Files by the names that users give them, complete or not there: never half a file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` to write to, and give it that name once all is written.

    Missing folders are made. After an error an older file of that name is as it was.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    beside = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(final)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, complete or not at all, ending in a newline."""
    with replacing(path) as file:
        file.write(f"{text.rstrip()}\n".encode())


def expanded(path: str | Path) -> Path:
    """Return a path with its environment variables and `~` replaced.

    Raises:
        ValueError: an environment variable is not set.
    """
    text = os.path.expanduser(os.path.expandvars(path))
    if "$" in text:
        name = text[text.index("$") :].split("/")[0].strip("${}")
        raise ValueError(f"{path} needs the environment variable {name}, which is not set")
    return Path(text)
