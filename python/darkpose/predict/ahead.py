# SPDX-License-Identifier: Apache-2.0
"""Work done ahead of where it is needed, by threads, in order and never too far."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
