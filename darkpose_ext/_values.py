# SPDX-License-Identifier: Apache-2.0
"""The rules of plain arguments (numbers, lists, choices), with torch and without it.

A wrong type raises TypeError, a wrong value ValueError; both name the argument, what was expected
and what came.
"""

from collections.abc import Sequence
from typing import Any

INTEGERS: tuple[type, ...] = (int,)
NUMBERS: tuple[type, ...] = (int, float)
try:
    from torch import SymFloat, SymInt
except ModuleNotFoundError:  # `darkpose_ext.numpy` does without
    pass
else:
    INTEGERS, NUMBERS = (*INTEGERS, SymInt), (*NUMBERS, SymInt, SymFloat)

MAX_TAPS = 63  # lists travel to CUDA kernels by value
MAX_JOINTS = 1024
MAX_PIXELS = 2**60  # products of sizes, times what an element costs, must fit in 64 bits
MAX_SIDE = 2**29  # rows or columns of what crop reads and writes
MAX_FLOAT = (2 - 2**-23) * 2.0**127  # float32's largest
MIN_FLOAT = 2.0**-126  # its smallest normal number
FLOATING_NAMES = "float16, bfloat16, float32 or float64"
METHODS = ("argmax", "standard", "second_max", "dark")
ROUNDINGS = ("none", "floor", "ceil", "round")
RESCALES = ("minmax", "max", "none")
INTERPOLATIONS = ("bilinear", "bicubic")
BORDERS = ("stay", "fit")


def check_number(op: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, NUMBERS):
        raise TypeError(f"{op}: {name} must be a number, got {type(value).__name__}")


def check_integer(op: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, INTEGERS):
        raise TypeError(f"{op}: {name} must be an integer, got {type(value).__name__}")
    if isinstance(value, int) and not -(2**63) <= value <= 2**63 - 1:
        raise ValueError(f"{op}: {name} must fit in 64 bits, got {value}")


def check_numbers(op: str, name: str, values: Any, kinds: tuple[type, ...] = NUMBERS) -> None:
    what = "integers" if kinds is INTEGERS else "numbers"
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(f"{op}: {name} must be a list of {what}, got {type(values).__name__}")
    for value in values:
        if not isinstance(value, kinds):
            raise TypeError(
                f"{op}: {name} must be a list of {what}, got one with {type(value).__name__}"
            )


def check_taps(op: str, taps: Sequence[float]) -> None:
    check_numbers(op, "taps", taps)
    n = len(taps)
    if n % 2 == 0 or n > MAX_TAPS:
        raise ValueError(f"{op}: taps must be an odd number of values, at most {MAX_TAPS}, got {n}")
    if not all(-MAX_FLOAT <= t <= MAX_FLOAT for t in taps) or list(taps) != list(taps)[::-1]:
        raise ValueError(f"{op}: taps must be finite and symmetric, got {_numbers(taps)}")


def _numbers(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"


def check_sigma(op: str, sigma: float) -> None:
    check_number(op, "sigma", sigma)
    if not 1e-37 < sigma < 1e37:  # in float32 too
        raise ValueError(f"{op}: sigma must be positive and finite, got {sigma:g}")


def check_choice(op: str, name: str, value: str, choices: Sequence[str]) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{op}: {name} must be a string, got {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{op}: {name} must be one of {', '.join(choices)}, got {value}")


def check_decoding(
    op: str,
    taps: Sequence[float],
    flip_index: Sequence[int] | None,
    flip_shift: int,
    max_shift: float,
    border: str,
) -> None:
    """Of decode and decode_peaks, what is no array."""
    check_numbers(op, "taps", taps)
    if flip_index is not None:
        check_numbers(op, "flip_index", flip_index, INTEGERS)
        for joint in (min(flip_index, default=0), max(flip_index, default=0)):
            check_integer(op, "flip_index", joint)
    check_integer(op, "flip_shift", flip_shift)
    check_number(op, "max_shift", max_shift)
    check_choice(op, "border", border, BORDERS)


def check_channel_values(
    name: str, values: Sequence[float] | None, has_dtype: bool, channels: int
) -> None:
    """Of crop: a value for each channel, by which its gray levels are normalized."""
    if values is None:
        return
    check_numbers("crop", name, values)
    if not has_dtype:
        raise ValueError(f"crop: {name} must go with a dtype, got none")
    if len(values) != channels:
        raise ValueError(
            f"crop: {name} must have {channels} values, one a channel, got {len(values)}"
        )
    known = all(-MAX_FLOAT <= value <= MAX_FLOAT for value in values)
    if name == "std" and not (known and min(values) >= MIN_FLOAT):
        raise ValueError(f"crop: std must be positive and finite, got {_numbers(values)}")
    if not known:
        raise ValueError(f"crop: {name} must be finite, got {_numbers(values)}")
