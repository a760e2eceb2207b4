# SPDX-License-Identifier: Apache-2.0
"""What went wrong, on one line that a terminal can show."""

import os
import re

from darkpose.values import one_line

_KEY = re.compile(r'Parser key "(.*?)_?":')
_EXPECTED = re.compile(r"(?:Expected an? |Not of type \w+: )(.*?)(?:\. Got value: (.*))?$")
_GIVEN = re.compile(r"Given value: (.*)$")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "Iterable": "a list",
    "dict": "a mapping",
}
_LIMITS = {">": "above", ">=": "at least", "<": "below", "<=": "at most"}


def sentence(error: Exception) -> str:
    """Return what an error says on one line; of one from a worker, without its traceback, of one
    from jsonargparse, the option, what it may be and what it was."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return one_line(f"{os.path.abspath(error.filename)} must be there, got no such file")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any(line.endswith("Traceback (most recent call last):") for line in lines):
        return one_line(lines[-1].partition(": ")[2])
    return one_line(_option(lines) or " ".join(lines))


def _option(lines: list[str]) -> str | None:
    """Return what jsonargparse says of an option's value, None if it says something else."""
    keys = [key for line in lines for key in _KEY.findall(line)]
    found = [match for line in lines if (match := _EXPECTED.search(line))]
    given = [match[2] for match in found if match[2] is not None]
    given += [match[1] for line in lines if (match := _GIVEN.match(line))]
    if not keys or not found or not given:
        return None
    wanted = [_in_words(match[1]) for match in found if match[1] != "<class 'NoneType'>"]
    choices = list(dict.fromkeys(choice for each in wanted for choice in each))
    key = ".".join(dict.fromkeys(keys))  # those of an object are said after its own
    last = f" or {choices[-1]}" if len(choices) > 1 else choices[-1]
    return f"{key} must be {', '.join(choices[:-1])}{last}, got {given[0]}"


def _in_words(kind: str) -> list[str]:
    """Return what a value may be, as jsonargparse names types."""
    if match := re.fullmatch(r"typing\.Literal\[(.*)\]", kind):
        return [choice.strip("'\"") for choice in match[1].split(", ")]
    if match := re.fullmatch(r"member of <enum .*>: \{(.*)\}", kind):
        return match[1].split(",")
    if match := re.fullmatch(r"tuple with (\d+) elements?", kind):
        return [f"a list of {match[1]}"]
    if match := re.fullmatch(r"does not conform to restriction v([<>]=?)(\S+)", kind):
        return [f"a number {_LIMITS[match[1]]} {match[2]}"]
    if match := re.fullmatch(r"<class '(?:.*\.)?(\w+)'>", kind):
        return [_WORDS.get(match[1], f"a {match[1]}")]
    return ["an import path" if kind.startswith("dot import path") else kind]
