# SPDX-License-Identifier: Apache-2.0
"""What a report's parts are written with: HTML that shows any text as text."""

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2

_WIDE = ' class="wide"'


def text(value: object) -> str:
    """Return anything as text of a page: what a name holds is never read as HTML."""
    # A file's name may hold bytes that are no text at all.
    return html.escape(str(value).encode("utf-8", "replace").decode())


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    sortable: bool = False,
    best: Sequence[int] = (),
) -> str:
    """Return a table of cells that are plain text; the first of each row is its name.

    The highest numbers of the columns `best` are marked.
    """
    lines = [list(row) for row in rows]
    marked = {column: max((_value(row[column]) for row in lines), default=0.0) for column in best}
    columns = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    body = []
    for row in lines:
        cells = [
            f'<td class="best">{text(cell)}</td>'
            if i in marked and len(lines) > 1 and _value(cell) == marked[i]
            else f"<td>{text(cell)}</td>"
            for i, cell in enumerate(row)
        ]
        body.append(f'<tr><th scope="row">{text(row[0])}</th>{"".join(cells[1:])}</tr>')
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}">'
        f"<table{kind}><caption>{text(caption)}</caption>"
        f"<thead><tr>{columns}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _value(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return -math.inf


def percent(share: float) -> str:
    """Return a share in percent, a dash for the mean of none."""
    return number(100 * share, 1)


def number(value: float, digits: int = 3) -> str:
    """Return a number, a dash for the mean of none."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def facts(values: Mapping[str, object]) -> str:
    """Return what is known of an evaluation as a list of names and values."""
    items = (
        f"<div{_WIDE if len(str(v)) > 32 else ''}><dt>{text(k)}</dt><dd>{text(v)}</dd></div>"
        for k, v in values.items()
    )
    return f"<dl>{''.join(items)}</dl>"


def picture(pixels: Any, kind: str, *options: int) -> str:
    """Return pixels [H, W, 3], in OpenCV's BGR, as the address of a "jpeg" or "png" in a page."""
    _, data = cv2.imencode(f".{kind}", pixels, options)
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
