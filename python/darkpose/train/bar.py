# SPDX-License-Identifier: Apache-2.0
"""Lightning's progress bar, on one line of 80 columns."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar

try:
    import rich  # noqa: F401

    _Bar: Any = RichProgressBar
except ImportError:
    _Bar = TQDMProgressBar


class Bar(_Bar):  # type: ignore[misc]
    """Without the number of the log's folder, which would break the line."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return what is shown beside the bar."""
        shown: dict[str, Any] = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in shown.items() if name != "v_num"}


def bar(wanted: object, callbacks: list[Any]) -> list[Bar]:
    """Return a bar, unless none is wanted or the user's own is among the callbacks."""
    own = any(isinstance(callback, ProgressBar) for callback in callbacks)
    return [] if own or wanted is False else [Bar()]
