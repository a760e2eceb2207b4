"""Numbers as files give them: one rule, wherever they stand."""

import math

import numpy as np
import pytest

from darkpose.values import finite, flag, number, numbers, printable, shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (900, 900.0),
        (1.5, 1.5),
        ("900", 900.0),
        (" 1e3 ", 1000.0),
        (np.float32(0.5), 0.5),
        (True, 1.0),
    ],
)
def test_a_number_may_be_text(value: object, expected: float) -> None:
    assert number(value, "x") == expected


@pytest.mark.parametrize("value", [None, "", "  "])
def test_null_and_blank_text_are_missing(value: object) -> None:
    assert math.isnan(number(value, "x"))
    assert number(value, "x", missing=3.0) == 3.0


@pytest.mark.parametrize("value", ["many", [], {}, [1], 1j, b"1", 10**400, object])
def test_anything_else_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="^area must be a number, got "):
        number(value, "area")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, "2", 3.5], [1, 2, 3.5]),
        ((1, None, "nan"), [1, math.nan, math.nan]),
        ([1, "", "2"], [1, math.nan, 2]),
        ([[1, 2], [3, "4"]], [[1, 2], [3, 4]]),
        ([[1, 2], ["", 4], [5]], [1, 2, math.nan, 4, 5]),
        ([], []),
    ],
)
def test_lists_of_numbers(value: object, expected: object) -> None:
    np.testing.assert_array_equal(numbers(value, "x"), np.array(expected, np.float64))


@pytest.mark.parametrize("value", [None, "1,2", 3, {"a": 1}])
def test_what_is_no_list_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="^bbox must be a list of numbers, got "):
        numbers(value, "bbox")


def test_a_list_with_other_things_is_named_by_them() -> None:
    with pytest.raises(ValueError, match="^bbox must be a number, got 'wide'$"):
        numbers([1, 2, "wide"], "bbox")
    with pytest.raises(ValueError, match=r"^bbox must be 4 numbers, got 3: \[1, 2, 3\]$"):
        numbers([1, 2, 3], "bbox", 4)
    with pytest.raises(ValueError, match="^bbox must be a number, got {}$"):
        numbers([1, 2, {}], "bbox")
    with pytest.raises(ValueError, match="^bbox must be a number, got 1000"):
        numbers([1, 2, 10**400], "bbox")


@pytest.mark.parametrize("value", [[1, 2, 3, None], [1, 2, 3, math.inf], [[1, 2], [3, 4]]])
def test_finite_numbers(value: object) -> None:
    with pytest.raises(ValueError, match="^bbox must be 4 finite numbers, got "):
        finite(value, "bbox", 4)
    assert finite(["1", 2, 3, 4], "bbox", 4).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("value", "expected"), [(0, False), (1, True), ("0", False), ("1", True), (True, True)]
)
def test_flags(value: object, expected: bool) -> None:
    assert flag(value, "iscrowd") is expected


def test_null_is_no_flag_and_words_are_refused() -> None:
    assert flag(None, "iscrowd") is False
    for value in ("false", [], math.nan):
        with pytest.raises(ValueError, match="^iscrowd must be "):
            flag(value, "iscrowd")


def test_messages_are_one_printable_line() -> None:
    assert shown("a\x1b[31m\u202eb\n") == r"'a\x1b[31m\u202eb\n'"
    assert len(shown(list(range(1000)))) == 80
    assert shown(10**5000) == "int that cannot be shown"
    assert printable("kn\u00ebe\u202e") == r"knëe\u202e"


def test_lists_within_lists_are_shown_at_once() -> None:
    value: list[object] = []
    for _ in range(60):  # 2^60 of them, written out
        value = [value, value]
    assert len(shown(value)) <= 80
    value.append(value)
    assert len(shown(value)) <= 80
