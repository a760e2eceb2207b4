# SPDX-License-Identifier: Apache-2.0
"""The progress bar of training: one line on 80 columns, whole, however long the run."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
import rich

from darkpose.train.bar import OneLineBar
from darkpose.train.trainer import make_trainer


def test_the_longest_line_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"width": 80, "force_terminal": True, "file": io.StringIO()}
    monkeypatch.setattr(rich, "_console", rich.console.Console(**options))
    bar = OneLineBar(console_kwargs=options)
    shown = {"val/PCKh@0.5": 0.12345}
    trainer: Any = SimpleNamespace(
        state=SimpleNamespace(fn="fit"), sanity_checking=False, training=True,
        progress_bar_callback=bar, progress_bar_metrics=shown,
    )  # fmt: skip
    bar._init_progress(trainer)
    assert bar.progress is not None and bar._metric_component is not None
    bar.train_progress_bar_id = bar.progress.add_task("Epoch 199/209", total=12345, completed=999)
    bar._metric_component.update(bar.get_metrics(trainer, None))  # type: ignore[arg-type]
    console = rich.console.Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(bar.progress.get_renderable())
    bar.progress.stop()
    (line,) = captured.get().splitlines()
    assert line.startswith("Epoch 199/209 ") and " 999/12345 " in line
    assert line.rstrip().endswith("it/s PCKh@0.5: 0.123") and len(line) <= 80


def test_a_bar_that_was_asked_for_stays_the_only_one(tmp_path: Any) -> None:
    own = OneLineBar()
    assert make_trainer(tmp_path, [own], accelerator="cpu").progress_bar_callback is own
    none = make_trainer(tmp_path, accelerator="cpu", enable_progress_bar=False)
    assert none.progress_bar_callback is None
