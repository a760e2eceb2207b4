# SPDX-License-Identifier: Apache-2.0
"""The rules of every op's tensors, for public functions and fakes. Mirrors `csrc/checks.h`.

Everything is looked at before anything is allocated. A wrong type raises TypeError, a wrong value
ValueError; both name the argument, what was expected and what came.
"""

import math
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from darkpose_ext._values import (
    BORDERS,
    FLOATING_NAMES,
    INTEGERS,
    MAX_JOINTS,
    MAX_PIXELS,
    METHODS,
    RESCALES,
    ROUNDINGS,
    check_choice,
    check_integer,
    check_number,
    check_numbers,
    check_sigma,
    check_taps,
)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def refusing(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Raise as ValueError what the op that is called as the function refuses, and only it."""
    refusal = re.compile(rf"{function.__name__}: \w+ must ")

    @wraps(function)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except RuntimeError as error:
            if refusal.match(str(error)):
                raise ValueError(str(error)) from None
            raise

    return checked


def _dtype_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _shape(t: Tensor) -> str:
    return str(list(t.shape))


def check_floating(op: str, name: str, t: Tensor) -> None:
    if not isinstance(t, Tensor):
        raise TypeError(f"{op}: {name} must be a tensor, got {type(t).__name__}")
    if t.dtype not in FLOATING:
        raise TypeError(f"{op}: {name} must be {FLOATING_NAMES}, got {_dtype_name(t.dtype)}")


def check_extent(op: str, sizes: Sequence[int], what: str = "heatmaps", of: str = "pixels") -> None:
    """For fakes and twins: the public functions leave it to the op, which costs them nothing.

    A size of 0 counts as 1: products of the others are formed too. Symbols are left out: they would
    be limited in what is compiled.
    """
    known = [max(1, size) for size in sizes if not isinstance(size, torch.SymInt)]
    if math.prod(known) >= MAX_PIXELS:
        raise ValueError(
            f"{op}: {what} must have fewer than 2^60 {of}, a size of 0 taken as 1, "
            f"got {list(sizes)}"
        )


def check_heatmaps(op: str, heatmaps: Tensor, least_dims: int) -> None:
    check_floating(op, "heatmaps", heatmaps)
    if heatmaps.dim() < least_dims:
        shape = "[..., K, H, W]" if least_dims == 3 else "[..., H, W]"
        raise ValueError(f"{op}: heatmaps must be {shape}, got {_shape(heatmaps)}")
    if heatmaps.shape[-2] < 1 or heatmaps.shape[-1] < 1:
        raise ValueError(
            f"{op}: heatmaps must have at least one row and one column, got {_shape(heatmaps)}"
        )


def check_like(
    op: str, name: str, t: Tensor, shape: Sequence[int], first_name: str, first: Tensor
) -> None:
    """Another floating-point argument: its shape, and the device of the op's first one."""
    check_floating(op, name, t)
    if t.dim() != len(shape) or any(a != b for a, b in zip(t.shape, shape, strict=True)):
        raise ValueError(
            f"{op}: {name} must be {list(shape)} to go with {first_name} {_shape(first)}, "
            f"got {_shape(t)}"
        )
    if t.device != first.device:
        raise ValueError(
            f"{op}: {name} must be on the device of {first_name}, {first.device}, got {t.device}"
        )


def check_transform(
    op: str, transform: Tensor | None, first_name: str, first: Tensor, own_dims: int
) -> None:
    if transform is not None:
        shape = [*first.shape[: first.dim() - own_dims], 2, 3]
        check_like(op, "transform", transform, shape, first_name, first)


def check_targets(
    op: str,
    joints: Tensor,
    weights: Tensor,
    sigma: float,
    transform: Tensor | None,
    rounding: str,
) -> None:
    check_floating(op, "joints", joints)
    if joints.dim() < 2 or joints.shape[-1] != 2:
        raise ValueError(f"{op}: joints must be [..., K, 2], got {_shape(joints)}")
    check_like(op, "weights", weights, list(joints.shape[:-1]), "joints", joints)
    check_sigma(op, sigma)
    check_choice(op, "rounding", rounding, ROUNDINGS)
    check_transform(op, transform, "joints", joints, 2)


def check_encode(
    joints: Tensor,
    weights: Tensor,
    height: int,
    width: int,
    sigma: float,
    transform: Tensor | None,
    rounding: str,
    dtype: torch.dtype | None,
) -> None:
    check_targets("encode", joints, weights, sigma, transform, rounding)
    check_integer("encode", "height", height)
    check_integer("encode", "width", width)
    if height < 1 or width < 1:
        raise ValueError(f"encode: height and width must be at least 1, got {height} and {width}")
    if dtype is not None and dtype not in FLOATING:
        raise TypeError(f"encode: dtype must be {FLOATING_NAMES}, got {_dtype_name(dtype)}")


def check_modulate(heatmaps: Tensor, taps: Sequence[float], rescale: str) -> None:
    check_heatmaps("modulate", heatmaps, 2)
    check_taps("modulate", taps)
    check_choice("modulate", "rescale", rescale, RESCALES)


def check_flip(
    op: str,
    heatmaps: Tensor,
    flipped: Tensor | None,
    flip_index: Sequence[int] | None,
    flip_shift: int,
) -> None:
    joints = heatmaps.shape[-3]
    if flipped is None:
        if flip_index is not None or flip_shift != 0:
            raise ValueError(f"{op}: flip_index and flip_shift need flipped, got none")
        return
    check_like(op, "flipped", flipped, list(heatmaps.shape), "heatmaps", heatmaps)
    if flipped.dtype != heatmaps.dtype:
        raise TypeError(
            f"{op}: flipped must have the type of heatmaps, {_dtype_name(heatmaps.dtype)}, "
            f"got {_dtype_name(flipped.dtype)}"
        )
    check_integer(op, "flip_shift", flip_shift)
    if flip_shift < 0:
        raise ValueError(f"{op}: flip_shift must not be negative, got {flip_shift}")
    if joints > MAX_JOINTS:
        raise ValueError(f"{op}: flipped serves at most {MAX_JOINTS} joints, got {joints}")
    if flip_index is not None:
        check_numbers(op, "flip_index", flip_index, INTEGERS)
    if flip_index is not None and sorted(flip_index) != list(range(joints)):
        raise ValueError(
            f"{op}: flip_index must be a permutation of 0 to {joints - 1}, got {list(flip_index)}"
        )


def check_border(
    taps: Sequence[float], border: str, method: str = "dark", op: str = "decode"
) -> None:
    """What decode does near a map's border: a fit needs the sigma of taps, only dark has them."""
    check_choice(op, "border", border, BORDERS)
    if border == "fit" and method != "dark":
        raise ValueError(f"{op}: border must be stay with method {method}, got {border}")
    if border == "fit" and len(taps) == 0:
        raise ValueError(f"{op}: border must be stay without taps, got {border}")


def check_decode(
    op: str,
    heatmaps: Tensor,
    taps: Sequence[float],
    flipped: Tensor | None,
    transform: Tensor | None,
    method: str,
    flip_index: Sequence[int] | None,
    flip_shift: int,
    max_shift: float,
    border: str,
) -> None:
    """Of decode and decode_peaks."""
    check_heatmaps(op, heatmaps, 3)
    check_choice(op, "method", method, METHODS)
    check_numbers(op, "taps", taps)
    if method != "dark" and len(taps) > 0:
        raise ValueError(f"{op}: taps belong to method dark, got {len(taps)} with {method}")
    if len(taps) > 0:
        check_taps(op, taps)
    if border != "stay":
        check_border(taps, border, method, op)
    check_flip(op, heatmaps, flipped, flip_index, flip_shift)
    check_number(op, "max_shift", max_shift)
    if not max_shift >= 0:
        raise ValueError(f"{op}: max_shift must not be negative, got {max_shift:g}")
    check_transform(op, transform, "heatmaps", heatmaps, 3)


def check_search(k: int, radius: int, threshold: float) -> None:
    """What `decode_peaks` looks for."""
    op = "decode_peaks"
    for name, number in (("k", k), ("radius", radius)):
        check_integer(op, name, number)
    if k < 1:
        raise ValueError(f"{op}: k must be at least 1, got {k}")
    if radius < 0:
        raise ValueError(f"{op}: radius must not be negative, got {radius}")
    check_number(op, "threshold", threshold)
    if threshold != threshold:
        raise ValueError(f"{op}: threshold must be a number, got {threshold:g}")


def check_differentiable(method: str, transform: Tensor | None) -> None:
    if method != "dark":
        raise ValueError(
            f"decode: differentiable must be False with method {method}, whose coordinates jump "
            "from pixel to pixel"
        )
    if transform is not None and transform.requires_grad:
        raise ValueError(
            "decode: transform must not require a gradient, differentiable gives none for it"
        )


def check_heatmap_mse(
    op: str,
    heatmaps: Tensor,
    joints: Tensor,
    weights: Tensor,
    sigma: float,
    transform: Tensor | None,
    rounding: str,
) -> None:
    check_heatmaps(op, heatmaps, 3)
    check_like(op, "joints", joints, [*heatmaps.shape[:-2], 2], "heatmaps", heatmaps)
    check_targets(op, joints, weights, sigma, transform, rounding)


def check_heatmap_mse_backward(
    grad: Tensor,
    heatmaps: Tensor,
    joints: Tensor,
    weights: Tensor,
    sigma: float,
    transform: Tensor | None,
    rounding: str,
) -> None:
    op = "heatmap_mse_backward"
    check_heatmap_mse(op, heatmaps, joints, weights, sigma, transform, rounding)
    check_like(op, "grad", grad, list(heatmaps.shape[:-2]), "heatmaps", heatmaps)
