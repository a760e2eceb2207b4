# SPDX-License-Identifier: Apache-2.0
"""Prints what pytest-benchmark measured as tables with every ratio, and keeps the figures.

    python -m pytest benchmarks/bench_*.py --benchmark-json build/bench.json
    python benchmarks/table.py build/bench.json [--json benchmarks/results/ops-cpu.json]

Without `--json` the argument may also be a file that was kept before.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import harness  # noqa: E402  from the folder this file is in
from benchmarks.cases import Case  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402

Row = dict[str, Any]
"""`who`, a case's fields that are not as usual, microseconds: `median`, quartiles, `floor`."""

CASE = {field.name: field.default for field in fields(Case)}
MEMORY = ("amax", "full", "copy", "decode")  # whom ours is a multiple of, not the reverse


def compact(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return pytest-benchmark's content with medians and quartiles in place of samples."""
    rows = []
    for benchmark in measured["benchmarks"]:
        stats, given = benchmark["stats"], benchmark["extra_info"]
        times = {"median": stats["median"], "low": stats["q1"], "high": stats["q3"]}
        row = {name: given[name] for name, usual in CASE.items() if given[name] != usual}
        row |= {name: 1e6 * seconds for name, seconds in times.items()}
        rows.append(row | {"floor": given["floor"], "who": given["who"]})
    return {"machine": measured["machine_info"], "rows": rows}


def tables(rows: Iterable[Row]) -> Iterator[str]:
    """Yield an op's name with its table: a line for each case, a ratio of times in each column."""
    for op, of_op in groupby(sorted(rows, key=lambda row: str(row["op"])), lambda row: row["op"]):
        cases: dict[Case, dict[str, Row]] = {}
        for row in of_op:
            case = Case(**{name: row[name] for name in CASE.keys() & row.keys()})
            cases.setdefault(case, {})[row["who"]] = row
        peers = dict.fromkeys(who for whos in cases.values() for who in whos if who != "this")
        head = ["people x joints x map", "this (quartiles)", "floor", "this / floor"]
        head += [f"this / {who}" if who in MEMORY else f"{who} / this" for who in peers]
        lines = [_line(case, whos, peers) for case, whos in cases.items() if "this" in whos]
        yield f"**{op}**\n\n{table(head, lines)}\n"


def _line(case: Case, whos: Mapping[str, Row], peers: Iterable[str]) -> list[str]:
    this = whos["this"]
    low, high = (time(this[name], like=this["median"]) for name in ("low", "high"))
    cells = [str(case), f"{time(this['median'])} ({low} to {high})"]
    cells += [time(this["floor"]), f"{this['median'] / this['floor']:.2f}x"]
    for who in peers:
        times = this["median"] / whos[who]["median"] if who in whos else None
        shown = "" if times is None else f"{times if who in MEMORY else 1 / times:.3g}x"
        cells.append(shown)
    return cells


def time(microseconds: float, like: float = 0.0) -> str:
    """Return a time with three digits and its unit, or without, in that of another time.

    >>> time(4.2), time(1234.0), time(2.5e6), time(999.0, like=1234.0)
    ('4.2 µs', '1.23 ms', '2.5 s', '0.999')
    """
    units = (("s", 1e6), ("ms", 1e3), ("µs", 1.0))
    largest = like or microseconds
    unit, size = next((u for u in units if largest >= u[1]), units[-1])
    return f"{microseconds / size:.3g}" + (f" {unit}" if not like else "")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("measured", type=Path)
    parser.add_argument("--json", type=Path, help="file to keep the figures in")
    options = parser.parse_args()
    content = json.loads(options.measured.read_text())
    if "benchmarks" in content:
        content = compact(content)
    if options.json:
        harness.write(options.json, content)
    print(*(f"{key} {value}" for key, value in content["machine"].items()), sep=" | ", end="\n\n")
    for text in tables(content["rows"]):
        print(text)


if __name__ == "__main__":
    main()
