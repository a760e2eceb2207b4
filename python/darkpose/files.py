# SPDX-License-Identifier: Apache-2.0
"""Files by the names that users give them, complete or not there: never half a file."""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from darkpose.values import shown


class _Output(io.FileIO):
    """A file that remembers what went wrong with it: what writes to it may say something else."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


_MOST_VALUES = 100_000  # of a YAML file

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


def read_yaml(path: str | Path) -> Any:
    """Return the plain values of a YAML file in UTF-8.

    Raises:
        OSError: there is no such file.
        ValueError: it is not YAML, or has more than 100,000 values, each counted as often as an
            alias names it, which is without end if one names itself.
    """
    import yaml

    # PyYAML's constructors of dates, numbers and the like let all but the first through.
    broken = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
    except broken as error:
        problem = getattr(error, "problem", None) or str(error)
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise ValueError(f"{path} must be YAML, got an error{where}: {shown(problem)}") from None
    waiting, count = [content], 0
    while waiting:
        each = waiting.pop()
        count += 1
        if count > _MOST_VALUES:
            raise ValueError(
                f"{path} must have at most {_MOST_VALUES} values, got more: does an alias name "
                "itself?"
            )
        if isinstance(each, dict | list | tuple | set):
            waiting += each.values() if isinstance(each, dict) else each
    return content


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
