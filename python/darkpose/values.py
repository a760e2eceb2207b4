# SPDX-License-Identifier: Apache-2.0
"""Values as files give them: what is a number, what is missing, and how a message shows them.

Files come from a hundred tools. A number may be written as text, `null` stands for what is not
there, and anything at all may be where a number belongs. Everything that reads files asks here, so
that one rule holds for boxes, areas, joints, visibilities, scores and ids, in JSON and in CSV.
"""

import math
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHOWN = 80  # characters of a value in a message
_SHORT = reprlib.Repr()  # lists in lists, again and again the same, are huge when written out
_SHORT.maxlevel = 4
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 40
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 2 * _SHOWN


def number(value: Any, name: str, missing: float = math.nan) -> float:
    """Return a value as a number, NaN and infinities among them.

    Text that spells a number is that number; null and blank text are `missing`.

    Raises:
        ValueError: it is anything else; `name` is what the message calls it.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return missing
    if isinstance(value, int | float | str | np.number):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{name} must be a number, got {shown(value)}")


def numbers(value: Any, name: str, count: int | None = None) -> NDArray[np.float64]:
    """Return a list, or a nested list, as an array of numbers; null in it is NaN.

    Args:
        value: what a file gave.
        name: what the message calls it.
        count: of the numbers; None: any.

    Raises:
        ValueError: it is no list, has other than numbers in it, or not so many.
    """
    if not isinstance(value, list | tuple | np.ndarray):
        raise ValueError(f"{name} must be a list of numbers, got {shown(value)}")
    try:
        found = np.asarray(value, np.float64)  # reads text and null as `number` does
    except (ValueError, TypeError, OverflowError):
        found = _one_by_one(list(value), name)
    if count is not None and found.size != count:
        raise ValueError(f"{name} must be {count} numbers, got {found.size}: {shown(value)}")
    return found


def finite(value: Any, name: str, *shape: int) -> NDArray[np.float64]:
    """Return finite numbers as an array of a shape; a single one for the shape ().

    Raises:
        ValueError: it is not that; `name` is what the message calls it.
    """
    found = numbers(value, name) if shape else np.array(number(value, name))
    if found.shape != shape or not np.isfinite(found).all():
        count = f"{' x '.join(map(str, shape))} finite numbers" if shape else "a finite number"
        raise ValueError(f"{name} must be {count}, got {shown(value)}")
    return found


def integers(value: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return a list, or a nested list, of whole numbers as an array of a shape; -1 in it: of any
    length.

    Raises:
        ValueError: it is not that; `name` is what the message calls it.
    """
    found = numbers(value, name)
    if found.size == 0 and -1 in shape:
        found = found.reshape([max(0, length) for length in shape])
    alike = len(found.shape) == len(shape) and all(
        wanted in (-1, length) for wanted, length in zip(shape, found.shape, strict=True)
    )
    if not alike or not (np.abs(found) < 2**53).all() or (found % 1).any():
        wanted = " x ".join("n" if length == -1 else str(length) for length in shape)
        raise ValueError(f"{name} must be {wanted} whole numbers, got {shown(value)}")
    return found.astype(np.int64)


def flag(value: Any, name: str) -> bool:
    """Return whether a value says yes: a number other than 0, or true; null says no.

    Raises:
        ValueError: it is neither a number nor true, false or null.
    """
    said = number(value, name, missing=0.0)
    if math.isnan(said):
        raise ValueError(f"{name} must be 0 or 1, got {shown(value)}")
    return said != 0


def shown(value: Any) -> str:
    """Return a value for a message: one line, cut where it is long, no control characters."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # an integer of 5,000 digits
        text = f"{type(value).__name__} that cannot be shown"
    return printable(text, _SHOWN)


def printable(text: str, most: int = 300) -> str:
    """Return text from a file for a terminal: what would control it, or its direction, escaped, and
    no more than `most` characters."""
    return escaped(text if len(text) <= most else f"{text[: most - 3]}...")


def escaped(text: str) -> str:
    """Return text for a terminal, but for its length, as `printable`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str, most: int = 4000) -> str:
    """Return lines of a message as one, for a terminal, see `printable`."""
    return printable(" ".join(line.strip() for line in text.splitlines() if line.strip()), most)


def _one_by_one(value: Sequence[Any], name: str) -> NDArray[np.float64]:
    """Return a list that NumPy does not take as a whole, its values flat; name what is wrong."""
    flat: list[float] = []
    for each in value:
        if isinstance(each, list | tuple):
            flat.extend(_one_by_one(each, name).tolist())
        else:
            flat.append(number(each, name))
    return np.array(flat)
