# SPDX-License-Identifier: Apache-2.0
"""Bad arguments through every path: the public function, the op itself, its fake.

Each must answer with one sentence that names the argument, the same on every path.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import darkpose_ext
from bad_arguments import PUBLIC, PUBLIC_OPS, PYTHON, TABLE, Bad, value
from darkpose_ext import reference

SOURCE_PATH = re.compile(r"\.(h|cpp|cuh?|py)\b|/")


def assert_refused(bad: Bad, call: Callable[..., object], error: Any, device: str = "cpu") -> None:
    with pytest.raises(error) as caught:
        call(**bad.arguments(device))
    message = str(caught.value)
    assert message.startswith(f"{bad.op}: {bad.says}"), message
    assert "\n" not in message
    assert not SOURCE_PATH.search(message), message


@pytest.mark.parametrize("op", PUBLIC_OPS)
def test_good_arguments_are_accepted_by_every_path(op: str, device: str) -> None:
    # What the table below changes must be the only thing wrong with a call.
    arguments = value(op, "").arguments(device)
    getattr(darkpose_ext, op)(**arguments)
    getattr(torch.ops.dark, op)(**arguments)
    torch.ops.dark.heatmap_mse_backward(**value("heatmap_mse_backward", "").arguments(device))


@pytest.mark.parametrize("bad", [*PUBLIC, *PYTHON], ids=str)
def test_public_function_names_the_bad_argument(bad: Bad, device: str) -> None:
    assert_refused(bad, getattr(darkpose_ext, bad.op), bad.error, device)


@pytest.mark.parametrize("bad", TABLE, ids=str)
def test_op_says_the_same_without_a_source_path(bad: Bad, device: str) -> None:
    # A call with any meta tensor goes to the fake, which raises what the public function does.
    error = (RuntimeError, bad.error) if "device" in bad.says else RuntimeError
    assert_refused(bad, getattr(torch.ops.dark, bad.op), error, device)


# Fake tensors of two devices are refused by torch before the op is asked.
@pytest.mark.parametrize("bad", [bad for bad in TABLE if "device" not in bad.says], ids=str)
def test_fake_says_the_same(bad: Bad) -> None:
    with FakeTensorMode() as mode:

        def call(**arguments: Any) -> object:
            fakes = {
                name: mode.from_tensor(value) if isinstance(value, Tensor) else value
                for name, value in arguments.items()
            }
            return getattr(torch.ops.dark, bad.op)(**fakes)

        assert_refused(bad, call, bad.error)


def test_tensors_of_two_devices_are_named_by_both(device: str) -> None:
    joints, other = torch.rand(2, 3, 2, device=device), "meta" if device == "cpu" else "cpu"
    words = f"encode: weights must be on the device of joints, {joints.device}, got {other}$"
    for of in (darkpose_ext, torch.ops.dark):
        with pytest.raises((ValueError, RuntimeError), match=words):
            of.encode(joints, torch.ones(2, 3, device=other), 8, 6, 1.0)


WITH_TRANSFORM = ["encode", "decode", "heatmap_mse", "heatmap_mse_backward"]


@pytest.mark.parametrize("laid", [Tensor.contiguous, lambda t: t.mT.contiguous().mT])
@pytest.mark.parametrize("number", [1e300, -1e300, 3.41e38])
@pytest.mark.parametrize("op", WITH_TRANSFORM)
def test_a_transform_that_is_finite_in_float64_alone_is_refused(
    op: str, number: float, laid: Callable[[Tensor], Tensor]
) -> None:
    transform = torch.eye(2, 3, dtype=torch.float64).repeat(2, 1, 1)
    transform[1, 0, 2] = number
    words = f"transform must have no number that is finite in float64 alone, got {number:g}"
    bad = value(op, words, transform=laid(transform))
    assert_refused(bad, getattr(torch.ops.dark, op), RuntimeError)
    if op in PUBLIC_OPS:
        assert_refused(bad, getattr(darkpose_ext, op), ValueError)


def test_a_mapped_transform_is_looked_at_too() -> None:
    maps, high = torch.rand(2, 3, 8, 6), torch.full((2, 2, 3), 1e300, dtype=torch.float64)
    with pytest.raises(ValueError, match="^decode: transform must have no number that is finite"):
        torch.vmap(lambda h, t: darkpose_ext.decode(h, [], transform=t))(maps, high)


@pytest.mark.parametrize("op", WITH_TRANSFORM)
def test_a_transform_of_numbers_of_float32_is_taken(op: str, device: str) -> None:
    for number in (torch.finfo(torch.float32).max, -math.inf, math.nan):
        for dtype in (torch.float32, torch.float64):
            transform = torch.full((2, 2, 3), number, dtype=dtype)
            getattr(torch.ops.dark, op)(**value(op, "", transform=transform).arguments(device))


def test_the_largest_taps_of_float32_are_taken(device: str) -> None:
    maps, largest = torch.rand(1, 2, 5, 5, device=device), torch.finfo(torch.float32).max
    smooth = darkpose_ext.modulate(maps * 1e-30, [largest], rescale="none")
    expected = maps.double() * 1e-30 * largest**2
    assert torch.allclose(smooth.double(), torch.where(expected > largest, math.inf, expected))


@pytest.mark.parametrize("name", ["height", "width"])
@pytest.mark.parametrize("size", [2**63, 2**70, -(2**64)])
def test_a_size_that_is_not_64_bits_is_refused(name: str, size: int) -> None:
    bad = value("encode", f"{name} must fit in 64 bits, got {size}", **{name: size})
    assert_refused(bad, darkpose_ext.encode, ValueError)


def test_sizes_below_the_limit_are_taken_where_nothing_is_stored(device: str) -> None:
    none, ones = torch.ones(0, 2, device=device), torch.ones(0, device=device)
    for height, width in ((2**60 - 1, 1), (1, 2**60 - 1), (2**30, 2**30 - 1)):
        heatmaps, weights = darkpose_ext.encode(none, ones, height, width, 2.0)
        assert heatmaps.shape == (0, height, width) and weights.shape == (0,)


def test_the_twin_refuses_the_same_sizes() -> None:
    for bad in PUBLIC:
        if "2^60" in bad.says and bad.op == "encode":
            assert_refused(bad, reference.encode, ValueError)


def test_numbers_of_any_kind_are_numbers() -> None:
    maps = torch.rand(2, 3, 8, 6)
    expected = darkpose_ext.decode(maps, [0.0, 1.0, 0.0], max_shift=3.0)
    actual = darkpose_ext.decode(maps, (0, 1, 0), max_shift=3)
    assert all(map(torch.equal, actual, expected))


@pytest.mark.parametrize("size", [0, -1, 2, 64, 65])
def test_opencv_taps_refuse_sizes_out_of_range(size: int) -> None:
    with pytest.raises(ValueError, match=f"opencv_taps: size must be odd .* got {size}$"):
        darkpose_ext.opencv_taps(size)


@pytest.mark.parametrize("sigma", [0.0, -2.0, math.nan, math.inf, 12.5])
def test_gaussian_taps_refuse_sigmas_out_of_range(sigma: float) -> None:
    with pytest.raises(ValueError, match="gaussian_taps: sigma"):
        darkpose_ext.gaussian_taps(sigma)


def test_taps_refuse_what_is_no_number() -> None:
    with pytest.raises(TypeError, match="^gaussian_taps: sigma must be a number, got str$"):
        darkpose_ext.gaussian_taps("2")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^opencv_taps: size must be an integer, got float$"):
        darkpose_ext.opencv_taps(11.0)  # type: ignore[arg-type]


def test_a_refused_call_leaves_its_arguments_alone(device: str) -> None:
    arguments = value("decode", "", max_shift=-1.0).arguments(device)
    before = arguments["heatmaps"].clone()
    with pytest.raises(RuntimeError):
        torch.ops.dark.decode(**arguments)
    assert torch.equal(arguments["heatmaps"], before)
