# SPDX-License-Identifier: Apache-2.0
"""Lightning's progress bar on one line of 80 columns."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar

try:
    from rich import get_console
    from rich.progress import BarColumn, ProgressColumn
    from rich.table import Column

    _RICH = True
except ImportError:  # a bar of plain characters
    _RICH = False


class OneLineBar(RichProgressBar if _RICH else TQDMProgressBar):  # type: ignore[misc]
    """Shows the score that the best checkpoint is chosen by; what is too long narrows the bar.

    Where the output is neither a terminal nor a notebook, nothing is shown.
    """

    @property
    def is_enabled(self) -> bool:
        enabled: bool = super().is_enabled
        if not _RICH:
            return enabled
        console = get_console()
        return enabled and (console.is_terminal or console.is_jupyter)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return what is shown: neither the version of the log nor the stage."""
        shown: dict[str, Any] = trainer.progress_bar_metrics
        return {name.rpartition("/")[2]: value for name, value in shown.items()}

    def _init_progress(self, trainer: Trainer) -> None:
        super()._init_progress(trainer)
        if self.progress is not None:
            for column in self.progress.columns:
                if isinstance(column, ProgressColumn) and not isinstance(column, BarColumn):
                    column._table_column = Column(no_wrap=True)


def bar(wanted: object, callbacks: list[Any]) -> list[ProgressBar]:
    """Return a bar, unless none is wanted or the user's own is among the callbacks."""
    own = any(isinstance(callback, ProgressBar) for callback in callbacks)
    return [] if own or wanted is False else [OneLineBar()]
