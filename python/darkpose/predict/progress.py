# SPDX-License-Identifier: Apache-2.0
"""How far a prediction is, for whoever waits for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Pace:
    """Counts images, and shows their number, images per second and the time left."""

    def __init__(self, progress: Progress, total: int | None) -> None:
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
def pace(total: int | None, console: Console | None = None) -> Iterator[Pace]:
    """Show progress on a console, the standard error output if None, if that is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    console = console or Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Pace(progress, total)
