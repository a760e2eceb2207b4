# SPDX-License-Identifier: Apache-2.0
"""How far a prediction is, for whoever waits for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Pace:
    """Counts images, and shows their number, images per second and the time left."""

    def __init__(self, progress: Any, total: int | None) -> None:
        self.count, self._began, self._progress = 0, time.perf_counter(), progress
        self._task = progress.add_task("predicting", total=total, rate="")

    def advance(self, count: int = 1) -> None:
        """Count so many images more."""
        self.count += count
        self._progress.update(self._task, advance=count, rate=f"{self.rate:.1f} images/s")

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._began

    @property
    def rate(self) -> float:
        """Images per second so far, reading and writing included."""
        return self.count / max(self.seconds, 1e-9)


@contextmanager
def pace(total: int | None, console: Any = None) -> Iterator[Pace]:
    """Show progress on rich's console, the standard error output if None, if it is a terminal."""
    from rich import console as consoles
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeRemainingColumn(),
    )
    console = console or consoles.Console(stderr=True)
    with bars.Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Pace(progress, total)
