# SPDX-License-Identifier: Apache-2.0
"""What is left out of a file, assumed or odd in it: counted, and each kind said once.

A message for each of ten thousand people is read by nobody, and none at all hides what a figure is
of. So reading counts, and says at its end how many there were and which was the first.
"""

import logging
from mmap import mmap

from darkpose.values import printable

_logger = logging.getLogger(__name__)
_SAID: set[str] = set()


class Tally:
    """Counts kinds of things in a file.

    Args:
        file: that messages begin with.
    """

    def __init__(self, file: object) -> None:
        self.file = file
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}
        self._notes: list[str] = []

    def note(self, sentence: str) -> None:
        """Keep a sentence to say with the counts."""
        self._notes.append(sentence)

    def add(self, kind: str, example: object, count: int = 1) -> None:
        """Count one more of a kind.

        Args:
            kind: what they are: "people without a labeled joint, left out".
            example: what messages call this one; the first of each kind is named.
            count: how many it stands for.
        """
        if kind not in self._counts:
            self._first[kind] = printable(str(example))
        self._counts[kind] = self._counts.get(kind, 0) + count

    def count(self, kind: str) -> int:
        """Return how many of a kind there have been."""
        return self._counts.get(kind, 0)

    def say(self, *, once: bool = False) -> None:
        """Say the notes, and each kind on a line of its own, and forget them.

        With `once`, not what this process has said before: an evaluation is after each epoch.
        """
        counts = self._counts.items()
        kinds = [f"{kind}: {count}, the first: {self._first[kind]}" for kind, count in counts]
        for line in (f"{self.file}: {each}" for each in (*self._notes, *kinds)):
            if not (once and line in _SAID):
                _logger.warning("%s", line)
            _SAID.add(line)
        self._counts.clear()
        self._first.clear()
        self._notes.clear()


class Once:
    """Says the first of some notes, and no other, in all processes forked from here."""

    def __init__(self) -> None:
        self._said = mmap(-1, 1)  # of no file: /dev/shm, which torch shares by, may not be there

    def __reduce__(self) -> tuple[type["Once"], tuple[()]]:
        return Once, ()

    def say(self, note: str) -> None:
        """Log a note, if it is one and the first."""
        if note and not self._said[0]:
            self._said[0] = 1
            _logger.warning("%s; others like it are not named", note)
