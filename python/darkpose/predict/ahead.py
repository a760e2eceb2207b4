# SPDX-License-Identifier: Apache-2.0
"""Work done ahead of where it is needed, by threads, in order and never too far."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition
from typing import TypeVar

from darkpose.data.containers import stored_size

SMALL = 2**25
"""Bytes of a decoded image of which as many may be held as are read ahead."""

_MOST = 2**30

T = TypeVar("T")
R = TypeVar("R")


def read_ahead(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yield `function(item)` for each item in order, computed by threads.

    At most twice as many results as threads are held, and as many items have been taken from
    `items`, which may be endless.

    Args:
        threads: 0 calls the function when its result is asked for.
    """
    if threads < 1:
        yield from map(function, items)
        return
    pool, ahead = ThreadPoolExecutor(threads), deque[Future[R]]()
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) >= 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Room:
    """Room for decoded images that threads work on: 1 GiB of all that are not small, or one image.

    Images up to `SMALL` are not counted: with those read ahead by 16 threads, that is 1 GiB too.
    """

    def __init__(self) -> None:
        self._changed, self._held = Condition(), 0

    @contextmanager
    def take(self, data: bytes) -> Iterator[None]:
        """Wait until there is room for what an image file decodes to, and keep it for a while."""
        size = stored_size(data)  # where a header does not tell, it is taken for a large one
        cost = _MOST if size is None else min(_MOST, 4 * size[0] * size[1])
        if cost <= SMALL:
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: self._held + cost <= _MOST)
            self._held += cost
        try:
            yield
        finally:
            with self._changed:
                self._held -= cost
                self._changed.notify_all()
