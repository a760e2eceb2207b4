# SPDX-License-Identifier: Apache-2.0
"""One table of bad arguments, through every path: the public function, the op itself, its fake.

Each must answer with one sentence that names the argument, the same on every path.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import darkpose_ext

MAPS = (2, 3, 8, 6)  # [B, K, H, W]


def good(op: str) -> dict[str, Any]:
    """Return arguments by name that the op accepts."""
    maps = torch.rand(MAPS)
    joints, weights = torch.rand(2, 3, 2), torch.ones(2, 3)
    targets = {"joints": joints, "weights": weights}
    return {
        "encode": {**targets, "height": 8, "width": 6, "sigma": 2.0},
        "modulate": {"heatmaps": maps, "taps": [0.25, 0.5, 0.25]},
        "decode": {"heatmaps": maps, "taps": [0.25, 0.5, 0.25]},
        "heatmap_mse": {"heatmaps": maps, **targets, "sigma": 2.0},
        "heatmap_mse_backward": {"grad": weights, "heatmaps": maps, **targets, "sigma": 2.0},
    }[op]


@dataclass
class Bad:
    """One wrong call: what differs from a good one, and what the message has to say."""

    op: str
    says: str  # the message begins so, after the name of the op
    error: type[Exception] = ValueError
    change: dict[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        return {**good(self.op), **self.change}

    def __str__(self) -> str:
        return f"{self.op}-{'-'.join(self.change)}-{self.says.split(', got')[-1].strip()}"


def ints(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.int64)


def meta(*shape: int) -> Tensor:
    return torch.ones(shape, device="meta")


FLOATING = "must be float16, bfloat16, float32 or float64, got"
FLIPPED = torch.rand(MAPS)
UNIT = [0.25, 0.5, 0.25]


def sigma_rows(op: str) -> list[Bad]:
    says = "sigma must be positive and finite, got"
    values = [(0.0, "0"), (-1.0, "-1"), (math.nan, "nan"), (math.inf, "inf")]
    return [Bad(op, f"{says} {text}", change={"sigma": value}) for value, text in values]


def target_rows(op: str) -> list[Bad]:
    """List what encode and heatmap_mse share."""
    rounding = "rounding must be one of none, floor, ceil, round, got"
    transform = "transform must be [2, 2, 3] to go with joints [2, 3, 2], got"
    weights = "weights must be [2, 3] to go with joints [2, 3, 2], got"
    return [
        *sigma_rows(op),
        Bad(op, f"joints {FLOATING} int64", TypeError, {"joints": ints(2, 3, 2)}),
        Bad(op, f"weights {FLOATING} int64", TypeError, {"weights": ints(2, 3)}),
        Bad(op, f"weights {FLOATING} bool", TypeError, {"weights": ints(2, 3) > 0}),
        Bad(op, f"{weights} [2, 4]", change={"weights": torch.ones(2, 4)}),
        Bad(op, f"{weights} [2, 3, 1]", change={"weights": torch.ones(2, 3, 1)}),
        Bad(op, f"{rounding} up", change={"rounding": "up"}),
        Bad(op, f"{transform} [2, 3]", change={"transform": torch.ones(2, 3)}),
        Bad(op, f"{transform} [2, 3, 3]", change={"transform": torch.ones(2, 3, 3)}),
        Bad(op, f"transform {FLOATING} int64", TypeError, {"transform": ints(2, 2, 3)}),
        Bad(op, "weights must be on the device of", change={"weights": meta(2, 3)}),
        Bad(op, "transform must be on the device of", change={"transform": meta(2, 2, 3)}),
    ]


def map_rows(op: str, shape: str) -> list[Bad]:
    """List what modulate, decode and heatmap_mse share."""
    empty = "heatmaps must have at least one row and one column, got"
    return [
        Bad(op, f"heatmaps {FLOATING} int64", TypeError, {"heatmaps": ints(*MAPS)}),
        Bad(op, f"heatmaps {FLOATING} uint8", TypeError, {"heatmaps": ints(*MAPS).byte()}),
        Bad(op, f"heatmaps {FLOATING} bool", TypeError, {"heatmaps": ints(*MAPS) > 0}),
        Bad(op, f"heatmaps must be {shape}, got [5]", change={"heatmaps": torch.rand(5)}),
        Bad(op, f"heatmaps must be {shape}, got []", change={"heatmaps": torch.rand(())}),
        Bad(op, f"{empty} [2, 3, 0, 6]", change={"heatmaps": torch.rand(2, 3, 0, 6)}),
        Bad(op, f"{empty} [2, 3, 8, 0]", change={"heatmaps": torch.rand(2, 3, 8, 0)}),
    ]


def tap_rows(op: str) -> list[Bad]:
    count = "taps must be an odd number of values, at most 63, got"
    values = "taps must be finite and symmetric, got"
    return [
        Bad(op, f"{count} 2", change={"taps": [0.5, 0.5]}),
        Bad(op, f"{count} 65", change={"taps": [1 / 65] * 65}),
        Bad(op, f"{values} [0.5, 0.25, 0.25]", change={"taps": [0.5, 0.25, 0.25]}),
        Bad(op, f"{values} [nan]", change={"taps": [math.nan]}),
        Bad(op, f"{values} [0, inf, 0]", change={"taps": [0.0, math.inf, 0.0]}),
    ]


ENCODE = [
    *target_rows("encode"),
    Bad("encode", "joints must be [..., K, 2], got [2]", change={"joints": torch.ones(2)}),
    Bad(
        "encode",
        "joints must be [..., K, 2], got [2, 3, 3]",
        change={"joints": torch.ones(2, 3, 3)},
    ),
    Bad("encode", "height and width must be at least 1, got 0 and 6", change={"height": 0}),
    Bad("encode", "height and width must be at least 1, got 8 and -1", change={"width": -1}),
    Bad("encode", f"dtype {FLOATING} int64", TypeError, {"dtype": torch.int64}),
]
MODULATE = [
    *map_rows("modulate", "[..., H, W]"),
    *tap_rows("modulate"),
    Bad("modulate", "taps must be an odd number of values, at most 63, got 0", change={"taps": []}),
    Bad("modulate", "rescale must be one of minmax, max, none, got min", change={"rescale": "min"}),
]
_METHOD = "method must be one of argmax, standard, second_max, dark, got"
_TRANSFORM = "transform must be [2, 2, 3] to go with heatmaps [2, 3, 8, 6], got"
_PERMUTATION = "flip_index must be a permutation of 0 to 2, got"
_NEEDS = "flip_index and flip_shift need flipped, got none"
DECODE = [
    *map_rows("decode", "[..., K, H, W]"),
    *tap_rows("decode"),
    Bad(
        "decode",
        "heatmaps must be [..., K, H, W], got [8, 6]",
        change={"heatmaps": torch.rand(8, 6)},
    ),
    Bad("decode", f"{_METHOD} taylor", change={"method": "taylor"}),
    Bad("decode", "taps belong to method dark, got 3 with standard", change={"method": "standard"}),
    Bad("decode", "taps belong to method dark, got 3 with argmax", change={"method": "argmax"}),
    Bad("decode", _NEEDS, change={"flip_index": [0, 1, 2]}),
    Bad("decode", _NEEDS, change={"flip_shift": 1}),
    Bad("decode", f"{_PERMUTATION} [0, 1]", change={"flipped": FLIPPED, "flip_index": [0, 1]}),
    Bad(
        "decode", f"{_PERMUTATION} [0, 1, 1]", change={"flipped": FLIPPED, "flip_index": [0, 1, 1]}
    ),
    Bad(
        "decode", f"{_PERMUTATION} [0, 1, 3]", change={"flipped": FLIPPED, "flip_index": [0, 1, 3]}
    ),
    Bad(
        "decode",
        f"{_PERMUTATION} [-1, 0, 1]",
        change={"flipped": FLIPPED, "flip_index": [-1, 0, 1]},
    ),
    Bad(
        "decode",
        "flip_shift must not be negative, got -1",
        change={"flipped": FLIPPED, "flip_shift": -1},
    ),
    Bad(
        "decode",
        "flipped must be [2, 3, 8, 6] to go with heatmaps [2, 3, 8, 6], got [2, 3, 8, 5]",
        change={"flipped": torch.rand(2, 3, 8, 5)},
    ),
    Bad(
        "decode",
        "flipped must have the type of heatmaps, float32, got float64",
        TypeError,
        {"flipped": FLIPPED.double()},
    ),
    Bad("decode", f"flipped {FLOATING} int64", TypeError, {"flipped": ints(*MAPS)}),
    Bad("decode", "flipped must be on the device of heatmaps", change={"flipped": meta(*MAPS)}),
    Bad(
        "decode",
        "flipped serves at most 1024 joints, got 1025",
        change={"heatmaps": torch.rand(1025, 1, 1), "flipped": torch.rand(1025, 1, 1)},
    ),
    Bad("decode", "max_shift must not be negative, got -1", change={"max_shift": -1.0}),
    Bad("decode", "max_shift must not be negative, got nan", change={"max_shift": math.nan}),
    Bad("decode", f"{_TRANSFORM} [2, 3]", change={"transform": torch.ones(2, 3)}),
    Bad("decode", f"{_TRANSFORM} [3, 2, 3]", change={"transform": torch.ones(3, 2, 3)}),
    Bad("decode", f"transform {FLOATING} int64", TypeError, {"transform": ints(2, 2, 3)}),
    Bad("decode", "transform must be on the device of", change={"transform": meta(2, 2, 3)}),
]
_JOINTS = "joints must be [2, 3, 2] to go with heatmaps [2, 3, 8, 6], got"
MSE = [
    bad
    for op in ("heatmap_mse", "heatmap_mse_backward")
    for bad in (
        *map_rows(op, "[..., K, H, W]"),
        *target_rows(op),
        Bad(
            op, "heatmaps must be [..., K, H, W], got [8, 6]", change={"heatmaps": torch.rand(8, 6)}
        ),
        Bad(op, f"{_JOINTS} [2, 4, 2]", change={"joints": torch.ones(2, 4, 2)}),
        Bad(op, f"{_JOINTS} [3, 2]", change={"joints": torch.ones(3, 2)}),
        Bad(op, "joints must be on the device of heatmaps", change={"joints": meta(2, 3, 2)}),
    )
]
_GRAD = "grad must be [2, 3] to go with heatmaps [2, 3, 8, 6], got"
BACKWARD = [
    Bad("heatmap_mse_backward", f"{_GRAD} [2]", change={"grad": torch.ones(2)}),
    Bad("heatmap_mse_backward", f"grad {FLOATING} int64", TypeError, {"grad": ints(2, 3)}),
    Bad("heatmap_mse_backward", "grad must be on the device of", change={"grad": meta(2, 3)}),
]
TABLE = [*ENCODE, *MODULATE, *DECODE, *MSE, *BACKWARD]
PUBLIC = [bad for bad in TABLE if bad.op != "heatmap_mse_backward"]
SOURCE_PATH = re.compile(r"\.(h|cpp|cuh?|py)\b|/")


def to_device(arguments: dict[str, Any], device: str) -> dict[str, Any]:
    """Move every real tensor."""
    return {
        name: value.to(device) if isinstance(value, Tensor) and not value.is_meta else value
        for name, value in arguments.items()
    }


def message_of(call: Callable[..., object], error: Any, arguments: dict[str, Any]) -> str:
    with pytest.raises(error) as caught:
        call(**arguments)
    return str(caught.value)


def assert_says(bad: Bad, message: str) -> None:
    assert message.startswith(f"{bad.op}: {bad.says}"), message
    assert "\n" not in message
    assert not SOURCE_PATH.search(message), message


@pytest.mark.parametrize("op", ["encode", "modulate", "decode", "heatmap_mse"])
def test_good_arguments_are_accepted_by_every_path(op: str, device: str) -> None:
    # What the table below changes must be the only thing wrong with a call.
    arguments = to_device(good(op), device)
    getattr(darkpose_ext, op)(**arguments)
    getattr(torch.ops.dark, op)(**arguments)
    torch.ops.dark.heatmap_mse_backward(**to_device(good("heatmap_mse_backward"), device))


@pytest.mark.parametrize("bad", PUBLIC, ids=str)
def test_public_function_names_the_bad_argument(bad: Bad, device: str) -> None:
    arguments = to_device(bad.arguments(), device)
    assert_says(bad, message_of(getattr(darkpose_ext, bad.op), bad.error, arguments))


@pytest.mark.parametrize("bad", TABLE, ids=str)
def test_op_says_the_same_without_a_source_path(bad: Bad, device: str) -> None:
    # A call with any meta tensor goes to the fake, which raises what the public function does.
    error = (RuntimeError, bad.error) if "device" in bad.says else RuntimeError
    arguments = to_device(bad.arguments(), device)
    assert_says(bad, message_of(getattr(torch.ops.dark, bad.op), error, arguments))


@pytest.mark.parametrize("bad", TABLE, ids=str)
def test_fake_says_the_same(bad: Bad) -> None:
    # Fake tensors of different devices are refused by torch before the op is asked.
    if "device" in bad.says:
        pytest.skip("torch itself refuses fake tensors of two devices")
    with FakeTensorMode() as mode:
        arguments = {
            name: mode.from_tensor(value) if isinstance(value, Tensor) else value
            for name, value in bad.arguments().items()
        }
        message = message_of(getattr(torch.ops.dark, bad.op), bad.error, arguments)
    assert_says(bad, message)


@pytest.mark.parametrize("op", ["encode", "modulate", "decode", "heatmap_mse"])
def test_public_function_refuses_what_is_no_tensor(op: str) -> None:
    first = next(iter(good(op)))
    arguments = {**good(op), first: [[1.0, 2.0]]}
    message = message_of(getattr(darkpose_ext, op), TypeError, arguments)
    assert message == f"{op}: {first} must be a tensor, got list"


@pytest.mark.parametrize("size", [0, -1, 2, 64, 65])
def test_opencv_taps_refuse_sizes_out_of_range(size: int) -> None:
    with pytest.raises(ValueError, match=f"opencv_taps: size must be odd .* got {size}$"):
        darkpose_ext.opencv_taps(size)


@pytest.mark.parametrize("sigma", [0.0, -2.0, math.nan, math.inf, 12.5])
def test_gaussian_taps_refuse_sigmas_out_of_range(sigma: float) -> None:
    with pytest.raises(ValueError, match="gaussian_taps: sigma"):
        darkpose_ext.gaussian_taps(sigma)


def test_a_refused_call_leaves_its_arguments_alone(device: str) -> None:
    arguments = to_device({**good("decode"), "max_shift": -1.0}, device)
    before = arguments["heatmaps"].clone()
    message_of(torch.ops.dark.decode, RuntimeError, arguments)
    assert torch.equal(arguments["heatmaps"], before)
