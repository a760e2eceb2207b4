# SPDX-License-Identifier: Apache-2.0
"""What joints' names say: which side a joint is of, which is its mirror image, which are the same.

`left_eye`, `Left Eye`, `eye-L`, `LEye` and `lefteye` are one joint to people, and `L` alone, or the
`left` in `cleft`, is a side only where another name has the other side in its place. So names are
read together: a side that is not a word of its own counts if its partner is there.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from darkpose.values import printable

Words = tuple[str, ...]

_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}
_SIDES = {"left": "left", "right": "right", "l": "left", "r": "right"}
_NEW_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # LHip, eyeL
_WORD = re.compile(r"[^\W\d_]+|\d+")
_LISTED = 5


class Sided(NamedTuple):
    """What one name says among the names of its keypoint set."""

    side: str
    """`left`, `right`, or nothing."""
    joint: str
    """The other words in lower case, joined by `_`, such as `big_toe`."""
    partners: tuple[int, ...]
    """Positions of the names that may be its mirror image: one, if the names are clear."""
    clear: bool
    """Whether its side needs no partner to be seen: `lefteye`, `eye_l`, but not `leye`."""


class _Mark(NamedTuple):
    """A side within a name."""

    position: int  # of the word
    side: str
    mirrored: str  # the word with the other side
    rest: str  # the word without a side


def sides(names: Sequence[str]) -> list[Sided]:
    """Return what each of K names says of its joint."""
    words = [_words(name) for name in names]
    places: dict[Words, list[int]] = {}
    for place, own in enumerate(words):
        places.setdefault(own, []).append(place)
    read = [_read(own, places) for own in words]
    clear: dict[tuple[str, str], set[int]] = {}
    for place, one in enumerate(read):
        if one.clear:
            clear.setdefault(one[:2], set()).add(place)
    found = []
    for place, one in enumerate(read):
        if one.clear:  # `left_ear` and `ear-R` are partners, too
            partners = clear.get((_OTHER[one.side], one.joint), set()).union(one.partners)
            found.append(one._replace(partners=tuple(sorted(partners))))
        else:  # `light` has no side for `right` being there, whose partner is `left`
            mutual = any(place in read[other].partners for other in one.partners)
            found.append(one if mutual else _plain(words[place]))
    return found


def flip_pairs(names: Sequence[str]) -> tuple[list[tuple[int, int]], list[str]]:
    """Return the pairs (left, right) that a mirror exchanges, and what is unclear, in sentences."""
    found = sides(names)
    pairs, alone, unclear = [], [], []
    for place, one in enumerate(found):
        if not one.side:
            continue
        if not one.partners:
            alone.append(names[place])
        elif len(one.partners) > 1:
            candidates = " and ".join(printable(names[other]) for other in one.partners)
            unclear.append(f"{printable(names[place])} may be the mirror image of {candidates}")
        elif found[one.partners[0]].partners == (place,) and one.side == "left":
            pairs.append((place, one.partners[0]))
    notes = []
    if alone:
        notes.append(f"no joint is the mirror image of {listed(alone)}: a mirror leaves it alone")
    if unclear:
        notes.append(f"{listed(unclear)}: a mirror leaves them alone")
    if not pairs and not notes and len(names) > 1:
        notes.append("no joint's name has a side: a mirror exchanges none of them")
    return pairs, notes


def same_joints(names: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """Return the positions (in names, in others) of joints that are the same, in order of `names`.

    Those are names that are equal, and of the rest those of one side and joint, however spelled.
    """
    exact = {name: place for place, name in enumerate(others)}
    same = [(place, exact[name]) for place, name in enumerate(names) if name in exact]
    taken, found = ({pair[end] for pair in same} for end in (0, 1))
    meant, meanings = (_unique(names, taken), _unique(others, found))
    same += [(place, meanings[key]) for key, place in meant.items() if key in meanings]
    return sorted(same)


def finder(names: Sequence[str]) -> Callable[[str], int | None]:
    """Return what finds the position of a name, however it is spelled; None if it is not there."""
    exact = {name: place for place, name in enumerate(names)}
    meanings = _unique(names, set())

    def find(name: str) -> int | None:
        one = sides([name])[0]
        return exact.get(name, meanings.get((one.side, one.joint)))

    return find


def listed(names: Sequence[str]) -> str:
    """Return names for a message, at most five of them."""
    shown = ", ".join(printable(name) for name in names[:_LISTED])
    more = len(names) - _LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def _words(name: str) -> Words:
    return tuple(word.lower() for word in _WORD.findall(_NEW_WORD.sub(" ", name))) or (name,)


def _unique(names: Sequence[str], taken: set[int]) -> dict[tuple[str, str], int]:
    """Return by side and joint the positions that are not taken, of those that one name has."""
    keys = [one[:2] for one in sides(names)]
    counts = Counter(keys)
    places = enumerate(keys)
    return {key: place for place, key in places if counts[key] == 1 and place not in taken}


def _read(words: Words, places: dict[Words, list[int]]) -> Sided:
    """Return what a name says: its first mirror image that is there, else its first clear side."""
    for images in _mirrored(words):
        found = [marks for marks in images if marks and _swapped(words, marks) in places]
        if found:
            partners = [place for marks in found for place in places[_swapped(words, marks)]]
            side, joint = _without(words, found[0])
            return Sided(side, joint, tuple(sorted(partners)), _is_clear(words, found[0]))
    for mark in (*_whole(words), *_glued(words)):
        if _is_clear(words, [mark]):
            return Sided(*_without(words, [mark]), (), True)
    return _plain(words)


def _plain(words: Words) -> Sided:
    return Sided("", "_".join(words), (), False)


def _mirrored(words: Words) -> Iterator[list[list[_Mark]]]:
    """Yield the sides to exchange for a mirror image, the likelier ways first."""
    whole = _whole(words)
    yield [[mark for mark in whole if len(words[mark.position]) > 1]]  # left, right
    yield [whole]  # with l, r
    yield [[mark] for mark in whole]  # rear_left: r_l
    yield [[mark] for mark in _glued(words)]


def _whole(words: Words) -> list[_Mark]:
    """Return the words that are a side, the full ones first."""
    places = [place for place, word in enumerate(words) if word in _SIDES]
    places.sort(key=lambda place: len(words[place]) == 1)
    return [_Mark(i, _SIDES[words[i]], _OTHER[words[i]], "") for i in places]


def _glued(words: Words) -> Iterator[_Mark]:
    """Yield the sides that words begin or end with."""
    for i, word in enumerate(words):
        for mark, side in _SIDES.items():
            if word != mark and word.startswith(mark):
                rest = word[len(mark) :]
                yield _Mark(i, side, _OTHER[mark] + rest, rest)
            if word != mark and word.endswith(mark):
                rest = word[: -len(mark)]
                yield _Mark(i, side, rest + _OTHER[mark], rest)


def _swapped(words: Words, marks: Sequence[_Mark]) -> Words:
    changed = list(words)
    for mark in marks:
        changed[mark.position] = mark.mirrored
    return tuple(changed)


def _without(words: Words, marks: Sequence[_Mark]) -> tuple[str, str]:
    """Return the side and the joint of a name.

    Further sides are said by the first, so that the outer corner of either eye is one joint.
    """
    rest: list[str] = list(words)
    for mark in marks:
        rest[mark.position] = "same" if mark.side == marks[0].side else "other"
    rest[marks[0].position] = marks[0].rest
    return marks[0].side, "_".join(word for word in rest if word)


def _is_clear(words: Words, marks: Sequence[_Mark]) -> bool:
    """Whether a word begins with `left` or `right`, or is `l` or `r` beside one with letters."""
    word = words[marks[0].position]
    return word.startswith(("left", "right")) or (
        word in _SIDES and any(other.isalpha() for other in words if other not in _SIDES)
    )
