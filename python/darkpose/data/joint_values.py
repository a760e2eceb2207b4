# SPDX-License-Identifier: Apache-2.0
"""What files and callers say of a keypoint set: values of any kind in, checked ones out."""

import logging
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

from darkpose.data.sides import finder, listed
from darkpose.files import read_yaml
from darkpose.values import number, shown

YAML_KEYS = {
    *("names", "flip_pairs", "skeleton", "oks_sigmas", "upper_body"),
    *("joint_colors", "limb_colors"),
}
_COLOR = re.compile("#[0-9a-f]{6}", re.IGNORECASE)

_logger = logging.getLogger(__name__)


def read_spec_yaml(path: str | Path) -> dict[str, Any]:
    """Read a keypoint YAML, and check that it has only the keys `darkpose.data.spec` shows.

    Raises:
        OSError: there is no such file.
        ValueError: it is not a mapping of those keys.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        from darkpose.data.joint_sets import JOINT_SETS

        raise FileNotFoundError(
            f"{path} must be a YAML file of joints, or one of {', '.join(JOINT_SETS)}, "
            "got no such file"
        ) from None
    if not isinstance(content, dict) or not content.keys() <= YAML_KEYS:
        got = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{path} must be a mapping with keys of {sorted(YAML_KEYS)}, got {shown(got)}"
        )
    return content


def as_list(value: Any, field: str) -> list[Any]:
    """Return what must be a list, or another sequence.

    Raises:
        ValueError: it is not; `field` is what the message calls it, here and below.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError(f"{field} must be a list, got {shown(value)}")
    return list(value)


def as_names(value: Any, field: str) -> list[str]:
    """Return what must be a list of names; numbers are names too.

    Raises:
        ValueError: it is not.
    """
    names = as_list(value, field)
    for name in names:
        if not isinstance(name, str | int | float):
            raise ValueError(f"{field} must be a list of names, got {shown(name)} in it")
    return [str(name) for name in names]


def as_indices(value: Any, field: str, count: int) -> tuple[int, ...]:
    """Return what must be a list of indices below `count`.

    Raises:
        ValueError: it is not.
    """
    indices = []
    for index in as_list(value, field):
        try:
            indices.append(operator.index(index))
        except TypeError:
            raise ValueError(f"{field} must be indices of joints, got {shown(index)}") from None
        if not 0 <= indices[-1] < count:
            raise ValueError(f"{field} must index {count} joints, got {shown(index)}")
    return tuple(indices)


def as_pairs(
    value: Any, field: str, ends: Callable[[Any, str], Sequence[int]]
) -> tuple[tuple[int, int], ...]:
    """Return what must be a list of pairs of joints; `ends` reads the two of a pair.

    Raises:
        ValueError: it is not.
    """
    pairs = []
    for pair in as_list(value, field):
        if isinstance(pair, str | Mapping) or not isinstance(pair, Sized) or len(pair) != 2:
            raise ValueError(f"{field} must be pairs of names, got {shown(pair)}")
        first, second = ends(pair, field)
        pairs.append((first, second))
    return tuple(pairs)


def places(names: Sequence[str]) -> Callable[[Any, str], list[int]]:
    """Return what reads a list of names, however spelled, as indices into `names`."""
    find = finder(names)

    def read(value: Any, field: str) -> list[int]:
        found = []
        for name in as_names(value, field):
            place = find(name)
            if place is None:
                raise ValueError(f"{field} must use the names {listed(names)}, got {shown(name)}")
            found.append(place)
        return found

    return read


def sigmas(
    given: Any,
    known: Sequence[float | None],  # K
    read: Callable[[Any, str], Sequence[int]],
) -> list[float | None]:
    """Return K OKS sigmas: what is given, else what is known, None where that is nothing.

    Args:
        given: K numbers, numbers by name, one for all, or nothing.
        known: by joint.
        read: of `places`.

    Raises:
        ValueError: a value is no positive number, a name is unknown, or there are not K numbers.
    """
    field, count = "oks_sigmas", len(known)
    if isinstance(given, Mapping):
        values = dict(zip(read(list(given), field), given.values(), strict=True))
    elif isinstance(given, str) or not isinstance(given, Iterable):
        values = dict.fromkeys(range(count), given)
    else:
        values = dict(enumerate(given))
        if len(values) != count:
            raise ValueError(
                f"{field} must be {count} positive numbers, got {len(values)}: {shown(given)}"
            )
    found = list(known)
    for place, value in values.items():
        sigma = number(value, field)
        if not (0 < sigma < math.inf or value is None):
            raise ValueError(f"{field} must be {count} positive numbers, got {shown(value)}")
        found[place] = found[place] if value is None else sigma
    return found


def colors(value: Any, field: str, count: int) -> tuple[str, ...]:
    """Return what must be that many colors, or none.

    Raises:
        ValueError: it is not.
    """
    found = as_list(value, field)
    wrong = [one for one in found if not (isinstance(one, str) and _COLOR.fullmatch(one))]
    if wrong or len(found) not in (0, count):
        got = f"{shown(wrong[0])} in it" if wrong else f"{len(found)} of them"
        raise ValueError(f'{field} must be {count} colors, each as "#ff8000", got {got}')
    return tuple(found)


def limb_colors(
    limbs: Sequence[tuple[int, int]],
    skeleton: Sequence[tuple[int, int]],
    colors: Sequence[str],
    joint_colors: Sequence[str],
) -> tuple[str, ...]:
    """Return the colors of limbs as a skeleton has them, for others those of their second joints;
    none, if joints have no colors."""
    known = dict(zip(map(frozenset, skeleton), colors, strict=False))
    return tuple(
        known.get(frozenset(limb), joint_colors[limb[1]]) for limb in limbs if joint_colors
    )


def limbs(skeleton: Any, names: Sequence[str], file: object) -> tuple[tuple[int, int], ...]:
    """Return the limbs of a category's skeleton, as pairs of indices into its K names.

    It counts joints from 1, from 0 if there is a 0, or names them. Limbs are for drawing: those
    that are no pair of joints are left out with a warning.
    """
    given = skeleton if isinstance(skeleton, list | tuple) else [skeleton]
    find = finder(names)
    ends = [_ends(limb, find) for limb in given] if skeleton is not None else []
    first = 0 if any((0, True) in pair for pair in ends) else 1
    found = [tuple(place - first if counted else place for place, counted in pair) for pair in ends]
    good = [len(pair) == 2 and all(0 <= k < len(names) for k in pair) for pair in found]
    if not all(good):
        _logger.warning(
            "%s%d of %d limbs of the skeleton are not drawn, as they are no pairs of the %d joints,"
            " the first one %s",
            "" if file is None else f"{file}: ",
            *(good.count(False), len(good), len(names), shown(given[good.index(False)])),
        )
    return tuple((pair[0], pair[1]) for pair, usable in zip(found, good, strict=True) if usable)


def _ends(limb: Any, find: Callable[[str], int | None]) -> list[tuple[int, bool]]:
    """Return of each end which joint it names or counts to, and whether it counts; [] if neither.

    A number that is a joint's name, as text, is that name.
    """
    ends = []
    for end in limb if isinstance(limb, list | tuple) else []:
        place = find(end) if isinstance(end, str) else None
        try:
            count = number(end, "") if place is None and not isinstance(end, bool) else math.nan
        except ValueError:
            count = math.nan
        if place is not None:
            ends.append((place, False))
        elif count.is_integer():
            ends.append((int(count), True))
        else:
            return []
    return ends
