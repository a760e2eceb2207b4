# SPDX-License-Identifier: Apache-2.0
"""Files by the names that users give them, complete or not there: never half a file."""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class _Output(io.FileIO):
    """A file that remembers what went wrong with it: what writes to it may say something else."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


_unfinished: set[Path] = set()  # files that have not got their names yet


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` to write to, and give it that name once all is written.

    Missing folders are made. After an error an older file of that name is as it was. What is not a
    file of its own, such as `/dev/null` and `/dev/stdout`, is written to as it is.

    Raises:
        OSError: it cannot be written; the message has the cause and the file's name.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    raw: _Output | None = None
    filled = False
    try:
        if is_special(final):
            raw = _Output(final, "w")
            with io.BufferedWriter(raw) as file:
                yield file
                filled = True
            return
        with unfinished(final) as beside:
            raw = _Output(beside, "x")
            with io.BufferedWriter(raw) as file:
                yield file
                filled = True
                file.flush()
                os.fsync(raw.fileno())
            beside.replace(final)
    except Exception as error:
        # What is written may fail for reasons of its own, such as another file's.
        cause = error if raw is None or filled else raw.error
        if isinstance(cause, OSError):
            raise OSError(cause.errno, cause.strerror, str(final)) from error
        raise


@contextmanager
def unfinished(path: Path, suffix: str = "") -> Iterator[Path]:
    """Give a hidden name beside a file, of no other writer, and remove what is left there."""
    # Names have 255 bytes at most, and a letter up to four.
    beside = path.with_name(f".{path.name[:50]}.{secrets.token_hex(8)}{suffix}")
    _unfinished.add(beside)
    try:
        yield beside
    finally:
        beside.unlink(missing_ok=True)
        _unfinished.discard(beside)


def remove_unfinished() -> None:
    """Remove what was being written when this process was told to end."""
    for beside in [*_unfinished]:
        beside.unlink(missing_ok=True)


def is_special(path: Path) -> bool:
    """Whether a path is there and is neither a file's nor a folder's own name: a device, a pipe, or
    what this process has open already, as `/dev/stdout` is, whatever it is directed to."""
    link = path.parent / path.readlink() if path.is_symlink() else path
    if any(each.parent.resolve().match("/proc/*/fd") for each in (path, link)):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


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
