# SPDX-License-Identifier: Apache-2.0
"""One table of bad arguments of every op, each with the sentence that refuses it."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from darkpose_ext._values import BORDERS, METHODS, RESCALES, ROUNDINGS

MAPS = (2, 3, 8, 6)  # [B, K, H, W]
UNIT = [0.25, 0.5, 0.25]
FLIPPED = torch.rand(MAPS)
PUBLIC_OPS = ("encode", "modulate", "decode", "decode_peaks", "heatmap_mse")


def good(op: str) -> dict[str, Any]:
    """Return arguments by name that the op accepts."""
    maps, weights = torch.rand(MAPS), torch.ones(2, 3)
    targets = {"joints": torch.rand(2, 3, 2), "weights": weights}
    return {
        "encode": {**targets, "height": 8, "width": 6, "sigma": 2.0},
        "modulate": {"heatmaps": maps, "taps": UNIT},
        "decode": {"heatmaps": maps, "taps": UNIT},
        "decode_peaks": {"heatmaps": maps, "taps": UNIT, "k": 2, "radius": 1},
        "heatmap_mse": {"heatmaps": maps, **targets, "sigma": 2.0},
        "heatmap_mse_backward": {"grad": weights, "heatmaps": maps, **targets, "sigma": 2.0},
    }[op]


@dataclass
class Bad:
    """One wrong call: what differs from a good one, and what the message has to say."""

    op: str
    says: str  # the message begins so, after the name of the op
    change: dict[str, Any]
    error: type[Exception] = ValueError

    def arguments(self, device: str = "cpu") -> dict[str, Any]:
        """Return all arguments, the real tensors on a device."""
        return {
            name: value.to(device) if isinstance(value, Tensor) and not value.is_meta else value
            for name, value in {**good(self.op), **self.change}.items()
        }

    def __str__(self) -> str:
        return f"{self.op}-{'-'.join(self.change)}-{self.says.split(', got')[-1].strip()}"


def value(op: str, says: str, **change: Any) -> Bad:
    return Bad(op, says, change)


def kind(op: str, says: str, **change: Any) -> Bad:
    return Bad(op, says, change, TypeError)


def element(op: str, name: str, wrong: Tensor | torch.dtype) -> Bad:
    """A tensor whose elements are no floating-point numbers, or such a type."""
    dtype = str(wrong if isinstance(wrong, torch.dtype) else wrong.dtype).removeprefix("torch.")
    words = f"{name} must be float16, bfloat16, float32 or float64, got {dtype}"
    return kind(op, words, **{name: wrong})


def ints(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.int64)


def meta(*shape: int) -> Tensor:
    return torch.ones(shape, device="meta")


def one_of(names: tuple[str, ...], wrong: str) -> str:
    return f"must be one of {', '.join(names)}, got {wrong}"


def too_many(*sizes: int, what: str = "heatmaps", of: str = "pixels") -> str:
    return f"{what} must have fewer than 2^60 {of}, a size of 0 taken as 1, got {list(sizes)}"


def target_rows(op: str) -> list[Bad]:
    """List what encode and heatmap_mse share."""
    sigma = "sigma must be positive and finite, got"
    transform = "transform must be [2, 2, 3] to go with joints [2, 3, 2], got"
    weights = "weights must be [2, 3] to go with joints [2, 3, 2], got"
    return [
        *(
            value(op, f"{sigma} {wrong:g}", sigma=wrong)
            for wrong in (0.0, -1.0, math.nan, math.inf)
        ),
        element(op, "joints", ints(2, 3, 2)),
        element(op, "weights", ints(2, 3)),
        element(op, "weights", ints(2, 3) > 0),
        element(op, "transform", ints(2, 2, 3)),
        value(op, f"{weights} [2, 4]", weights=torch.ones(2, 4)),
        value(op, f"{weights} [2, 3, 1]", weights=torch.ones(2, 3, 1)),
        value(op, f"rounding {one_of(ROUNDINGS, 'up')}", rounding="up"),
        value(op, f"{transform} [2, 3]", transform=torch.ones(2, 3)),
        value(op, f"{transform} [2, 3, 3]", transform=torch.ones(2, 3, 3)),
        value(op, "weights must be on the device of", weights=meta(2, 3)),
        value(op, "transform must be on the device of", transform=meta(2, 2, 3)),
    ]


def nobody(weights: Tensor) -> dict[str, Any]:
    """Return the joints of weights [B..., K], and them."""
    return {"joints": torch.ones(*weights.shape, 2), "weights": weights}


def map_rows(op: str, shape: str, **others: Any) -> list[Bad]:
    """List what modulate, decode and heatmap_mse share; others go with no maps [0, 3]."""
    empty, no_maps = (
        "heatmaps must have at least one row and one column, got",
        torch.ones(0, 3, 1, 1),
    )
    return [
        *(
            value(op, too_many(0, 3, *sizes), heatmaps=no_maps.expand(0, 3, *sizes), **others)
            for sizes in ((2**62, 6), (2**60, 1), (2**31, 2**31))
        ),
        element(op, "heatmaps", ints(*MAPS)),
        element(op, "heatmaps", ints(*MAPS).byte()),
        element(op, "heatmaps", ints(*MAPS) > 0),
        value(op, f"heatmaps must be {shape}, got [5]", heatmaps=torch.rand(5)),
        value(op, f"heatmaps must be {shape}, got []", heatmaps=torch.rand(())),
        value(op, f"{empty} [2, 3, 0, 6]", heatmaps=torch.rand(2, 3, 0, 6)),
        value(op, f"{empty} [2, 3, 8, 0]", heatmaps=torch.rand(2, 3, 8, 0)),
    ]


def tap_rows(op: str) -> list[Bad]:
    count = "taps must be an odd number of values, at most 63, got"
    values = "taps must be finite and symmetric, got"
    return [
        value(op, f"{count} 2", taps=[0.5, 0.5]),
        value(op, f"{count} 65", taps=[1 / 65] * 65),
        value(op, f"{values} [0.5, 0.25, 0.25]", taps=[0.5, 0.25, 0.25]),
        value(op, f"{values} [nan]", taps=[math.nan]),
        value(op, f"{values} [0, inf, 0]", taps=[0.0, math.inf, 0.0]),
        value(op, f"{values} [1e+300]", taps=[1e300]),  # infinite in float32
        value(op, f"{values} [-3.41e+38, 1, -3.41e+38]", taps=[-3.41e38, 1.0, -3.41e38]),
    ]


def encode_rows(op: str = "encode") -> list[Bad]:
    least = "height and width must be at least 1, got"
    return [
        *target_rows(op),
        value(op, "joints must be [..., K, 2], got [2]", joints=torch.ones(2)),
        value(op, "joints must be [..., K, 2], got [2, 3, 3]", joints=torch.ones(2, 3, 3)),
        value(op, f"{least} 0 and 6", height=0),
        value(op, f"{least} 8 and -1", width=-1),
        element(op, "dtype", torch.int64),
        *(
            value(op, too_many(*one.shape, *sizes), **nobody(one), **two)
            for one in (torch.ones(0), torch.ones(0, 3), torch.ones(5, 0), torch.ones(2, 3))
            for sizes in ((2**62, 1), (1, 2**60), (2**31, 2**31), (2**63 - 1, 2**63 - 1))
            for two in (dict(zip(("height", "width"), sizes, strict=True)),)
        ),
    ]


def modulate_rows(op: str = "modulate") -> list[Bad]:
    return [
        *map_rows(op, "[..., H, W]"),
        *tap_rows(op),
        value(op, "taps must be an odd number of values, at most 63, got 0", taps=[]),
        value(op, f"rescale {one_of(RESCALES, 'min')}", rescale="min"),
    ]


def decode_rows(op: str = "decode") -> list[Bad]:
    transform = "transform must be [2, 2, 3] to go with heatmaps [2, 3, 8, 6], got"
    permutation = "flip_index must be a permutation of 0 to 2, got"
    needs = "flip_index and flip_shift need flipped, got none"
    flipped = "flipped must be [2, 3, 8, 6] to go with heatmaps [2, 3, 8, 6], got"
    types = "flipped must have the type of heatmaps, float32, got float64"
    many = torch.rand(1025, 1, 1)
    return [
        *map_rows(op, "[..., K, H, W]"),
        *tap_rows(op),
        value(op, "heatmaps must be [..., K, H, W], got [8, 6]", heatmaps=torch.rand(8, 6)),
        value(op, f"method {one_of(METHODS, 'taylor')}", method="taylor"),
        *(
            value(op, f"taps belong to method dark, got 3 with {other}", method=other)
            for other in METHODS
            if other != "dark"
        ),
        value(op, needs, flip_index=[0, 1, 2]),
        value(op, needs, flip_shift=1),
        *(
            value(op, f"{permutation} {wrong}", flipped=FLIPPED, flip_index=wrong)
            for wrong in ([0, 1], [0, 1, 1], [0, 1, 3], [-1, 0, 1])
        ),
        value(op, "flip_shift must not be negative, got -1", flipped=FLIPPED, flip_shift=-1),
        value(op, f"{flipped} [2, 3, 8, 5]", flipped=torch.rand(2, 3, 8, 5)),
        kind(op, types, flipped=FLIPPED.double()),
        element(op, "flipped", ints(*MAPS)),
        value(op, "flipped must be on the device of heatmaps", flipped=meta(*MAPS)),
        value(op, "flipped serves at most 1024 joints, got 1025", heatmaps=many, flipped=many),
        value(op, "max_shift must not be negative, got -1", max_shift=-1.0),
        value(op, "max_shift must not be negative, got nan", max_shift=math.nan),
        value(op, f"border {one_of(BORDERS, 'mirror')}", border="mirror"),
        value(op, "border must be stay without taps, got fit", taps=[], border="fit"),
        *(
            value(
                op,
                f"border must be stay with method {other}, got fit",
                **{"taps": [], "method": other, "border": "fit"},
            )
            for other in METHODS
            if other != "dark"
        ),
        value(op, f"{transform} [2, 3]", transform=torch.ones(2, 3)),
        value(op, f"{transform} [3, 2, 3]", transform=torch.ones(3, 2, 3)),
        element(op, "transform", ints(2, 2, 3)),
        value(op, "transform must be on the device of", transform=meta(2, 2, 3)),
    ]


def peaks_rows(op: str = "decode_peaks") -> list[Bad]:
    """List what decode does not have, and of what it has some by the other name."""
    many = too_many(2, 3, 2**60, 2, what="coords", of="numbers")
    return [
        *(value(op, f"k must be at least 1, got {wrong}", k=wrong) for wrong in (0, -1)),
        value(op, many, k=2**60),
        value(op, "radius must not be negative, got -1", radius=-1),
        value(op, "threshold must be a number, got nan", threshold=math.nan),
        value(op, "flip_index and flip_shift need flipped, got none", flip_shift=1),
        value(op, "max_shift must not be negative, got nan", max_shift=math.nan),
        value(op, "border must be stay without taps, got fit", taps=[], border="fit"),
        value(op, "heatmaps must be [..., K, H, W], got [8, 6]", heatmaps=torch.rand(8, 6)),
        element(op, "transform", ints(2, 2, 3)),
    ]


def mse_rows(op: str) -> list[Bad]:
    joints = "joints must be [2, 3, 2] to go with heatmaps [2, 3, 8, 6], got"
    grad = {"grad": torch.ones(0, 3)} if op == "heatmap_mse_backward" else {}
    return [
        *map_rows(op, "[..., K, H, W]", **nobody(torch.ones(0, 3)), **grad),
        *target_rows(op),
        value(op, "heatmaps must be [..., K, H, W], got [8, 6]", heatmaps=torch.rand(8, 6)),
        value(op, f"{joints} [2, 4, 2]", joints=torch.ones(2, 4, 2)),
        value(op, f"{joints} [3, 2]", joints=torch.ones(3, 2)),
        value(op, "joints must be on the device of heatmaps", joints=meta(2, 3, 2)),
    ]


def backward_rows(op: str = "heatmap_mse_backward") -> list[Bad]:
    words = "grad must be [2, 3] to go with heatmaps [2, 3, 8, 6], got [2]"
    return [
        *mse_rows(op),
        value(op, words, grad=torch.ones(2)),
        element(op, "grad", ints(2, 3)),
        value(op, "grad must be on the device of", grad=meta(2, 3)),
    ]


PUBLIC = [
    *encode_rows(),
    *modulate_rows(),
    *decode_rows(),
    *peaks_rows(),
    *mse_rows("heatmap_mse"),
]
TABLE = [*PUBLIC, *backward_rows()]
# What only the public functions can be given.
PYTHON = [
    *(
        kind(op, f"{first} must be a tensor, got list", **{first: [[1.0]]})
        for op, first in ((op, next(iter(good(op)))) for op in PUBLIC_OPS)
    ),
    kind("decode", "taps must be a list of numbers, got NoneType", taps=None),
    kind("decode", "taps must be a list of numbers, got one with str", taps=["1"]),
    kind("decode", "taps must be a list of numbers, got Tensor", taps=torch.ones(3)),
    kind("decode", "max_shift must be a number, got str", max_shift="3"),
    kind("decode", "method must be a string, got NoneType", method=None),
    kind("decode", "border must be a string, got NoneType", border=None),
    kind(
        "decode",
        "flip_index must be a list of integers, got one with float",
        flipped=FLIPPED,
        flip_index=[0.0, 1.0, 2.0],
    ),
    kind("decode", "flip_shift must be an integer, got float", flipped=FLIPPED, flip_shift=1.0),
    kind("decode_peaks", "k must be an integer, got float", k=2.0),
    kind("decode_peaks", "radius must be an integer, got bool", radius=True),
    kind("decode_peaks", "threshold must be a number, got str", threshold="0"),
    kind("encode", "height must be an integer, got float", height=8.0),
    kind("encode", "sigma must be a number, got str", sigma="2"),
]
