# SPDX-License-Identifier: Apache-2.0
"""SIGTERM and Ctrl-C: a command says in a sentence that it was ended, and so does its status."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from darkpose.console import say
from darkpose.files import remove_unfinished

_PATIENCE = 3.0
"""Seconds in which further signals are the same wish: a launcher sends on what all were sent."""


class Stopped(BaseException):
    """A signal has asked this process to end."""


_signal: signal.Signals | None = None
_since = 0.0
_process = 0


def stop(number: int, _frame: FrameType | None) -> None:
    """Raise Stopped; end at once if that was asked for before, and nothing has come of it.

    A process forked from this one, as a data loader's worker, leaves the sentence to this one.
    """
    global _signal, _since
    if os.getpid() != _process:
        if number == signal.SIGTERM:
            os._exit(128 + number)
        return
    if _signal is None:
        _signal, _since = signal.Signals(number), time.monotonic()
        raise Stopped
    if time.monotonic() - _since > _PATIENCE:
        remove_unfinished()
        os._exit(128 + number)


def check() -> None:
    """Raise Stopped if a signal came where Python drops exceptions, as in a destructor."""
    if _signal is not None:
        raise Stopped


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGINT raise Stopped inside, where signals can be handled."""
    global _signal, _process
    _signal, _process = None, os.getpid()
    before = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and `&` have it
                before[number] = signal.signal(number, stop)
    except ValueError:  # not in the main thread
        pass
    try:
        yield
    finally:
        _signal, _process = None, 0
        for number, handler in before.items():
            signal.signal(number, handler)


def asked(error: BaseException) -> signal.Signals | None:
    """Return the signal that an error comes of, if one does.

    Where a whole group of processes is sent a signal, others may end first, and their end is what
    is noticed: a data loader's worker, or another process of the run.
    """
    others = _process and isinstance(error, RuntimeError | ConnectionError | EOFError)
    waited = time.monotonic() + (_PATIENCE / 3 if others else 0.0)
    try:
        while _signal is None and time.monotonic() < waited:
            time.sleep(0.01)
    except Stopped:
        pass
    return _signal


def leave(said: str = "") -> NoReturn:
    """End this process with the status that a shell shows for the signal.

    Where other processes take part nobody waits for them: they have been asked, too.
    """
    assert _signal is not None
    status = 128 + _signal
    remove_unfinished()
    if said:
        say(said, error=True)
    if not _several():
        sys.exit(status)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _several() -> bool:
    distributed = sys.modules.get("torch.distributed")
    return bool(distributed and distributed.is_available() and distributed.is_initialized())
