# SPDX-License-Identifier: Apache-2.0
"""Work done ahead of where it is needed, by threads, in order and never too far."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition
from typing import TypeVar

from darkpose.data.containers import stored_size

_HALF = 2**30

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
    """Room for the decoded images that threads hold: 2 GiB, or one image.

    Half of it is for small images, as many as are read ahead: these need not be counted. A large
    one waits until the other half has room for it.

    Args:
        threads: see `read_ahead`.
    """

    def __init__(self, threads: int) -> None:
        self.small = _HALF // max(1, 2 * threads)
        """Bytes of the largest small image."""
        self._changed, self._held = Condition(), 0

    @contextmanager
    def take(self, data: bytes) -> Iterator[None]:
        """Wait until there is room for what an image file decodes to, and keep it for a while."""
        size = stored_size(data)  # where a header does not tell, it is taken for a large one
        cost = _HALF if size is None else min(_HALF, 3 * size[0] * size[1])
        if cost <= self.small:
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: self._held + cost <= _HALF)
            self._held += cost
        try:
            yield
        finally:
            with self._changed:
                self._held -= cost
                self._changed.notify_all()
