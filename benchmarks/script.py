# SPDX-License-Identifier: Apache-2.0
"""What scripts that write figures have in common: arguments, the device, rows kept as they come."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import harness

REHEARSED = 2  # people of every case in a rehearsal
Row = dict[str, Any]


def arguments(description: str | None, devices: Sequence[str] = ("cpu", "cuda")) -> ArgumentParser:
    """Return a parser of what every script takes; its first line describes it."""
    parser = ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--device", choices=devices, default=devices[0])
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help=f"go through the rows of a GPU with {REHEARSED} people on the CPU, once",
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    return parser


def start(name: str, options: Namespace) -> str:
    """Set the process up for measuring and return the device, or exit if there is no such one."""
    device: str = "cpu" if options.rehearse else options.device
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"{name}: torch finds no CUDA device")
    harness.prepare()
    return device


def keep(
    rows: Iterable[Row], path: Path | None, about: dict[str, object], name: str = "rows"
) -> Iterator[Row]:
    """Yield each row once the file holds it: a time limit shall not cost the rows before."""
    kept = []
    for row in rows:
        kept.append(row)
        if path:
            harness.write(path, {"machine": about, name: kept})
        yield row
