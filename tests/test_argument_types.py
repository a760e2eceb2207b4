# SPDX-License-Identifier: Apache-2.0
"""What only the public functions can be given: arguments of a wrong Python type."""

from collections.abc import Callable

import pytest
import torch

import darkpose_ext as dark

MAPS, JOINTS, WEIGHTS = torch.rand(2, 3, 8, 6), torch.rand(2, 3, 2), torch.ones(2, 3)
TAPS = [0.25, 0.5, 0.25]

WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: dark.decode([[1.0]], TAPS), "decode: heatmaps must be a tensor, got list"),  # type: ignore[arg-type]
    (lambda: dark.decode(MAPS, None), "decode: taps must be a list of numbers, got NoneType"),  # type: ignore[arg-type]
    (lambda: dark.decode(MAPS, ["1"]), "decode: taps must be a list of numbers, got one with str"),  # type: ignore[list-item]
    (
        lambda: dark.decode(MAPS, torch.ones(3)),
        "decode: taps must be a list of numbers, got Tensor",
    ),  # type: ignore[arg-type]
    (lambda: dark.decode(MAPS, TAPS, max_shift="3"), "decode: max_shift must be a number, got str"),  # type: ignore[arg-type]
    (lambda: dark.decode(MAPS, TAPS, method=None), "decode: method must be a string, got NoneType"),  # type: ignore[arg-type]
    (
        lambda: dark.decode(MAPS, TAPS, flipped=MAPS, flip_index=[0.0, 1.0, 2.0]),  # type: ignore[list-item]
        "decode: flip_index must be a list of integers, got one with float",
    ),
    (
        lambda: dark.decode(MAPS, TAPS, flipped=MAPS, flip_shift=1.0),  # type: ignore[arg-type]
        "decode: flip_shift must be an integer, got float",
    ),
    (
        lambda: dark.encode(JOINTS, WEIGHTS, 8.0, 6, 1.0),  # type: ignore[arg-type]
        "encode: height must be an integer, got float",
    ),
    (
        lambda: dark.encode(JOINTS, WEIGHTS, 8, 6, "2"),  # type: ignore[arg-type]
        "encode: sigma must be a number, got str",
    ),
    (lambda: dark.gaussian_taps("2"), "gaussian_taps: sigma must be a number, got str"),  # type: ignore[arg-type]
    (lambda: dark.opencv_taps(11.0), "opencv_taps: size must be an integer, got float"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_wrong_type_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(TypeError) as error:
        call()
    assert str(error.value) == words


def test_numbers_of_any_kind_are_numbers() -> None:
    expected = dark.decode(MAPS, [0.0, 1.0, 0.0], max_shift=3.0)
    actual = dark.decode(MAPS, (0, 1, 0), max_shift=3)
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


def test_tensors_of_two_devices_are_named_by_both(device: str) -> None:
    if device == "cpu":
        with pytest.raises(ValueError, match="on the device of joints, cpu, got meta"):
            dark.encode(JOINTS, WEIGHTS.to("meta"), 8, 6, 1.0)
        return
    words = "encode: weights must be on the device of joints, cuda:0, got cpu"
    with pytest.raises(ValueError, match=words):
        dark.encode(JOINTS.to(device), WEIGHTS, 8, 6, 1.0)
    with pytest.raises(RuntimeError, match=words):
        torch.ops.dark.encode(JOINTS.to(device), WEIGHTS, 8, 6, 1.0)


def test_the_public_functions_compile_with_taps_from_outside() -> None:
    taps = dark.gaussian_taps(1.0)

    def model(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return dark.decode(dark.modulate(maps, taps), taps)

    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch in (6, 9):
        maps = torch.rand(batch, 3, 8, 7)
        for a, b in zip(compiled(maps), model(maps), strict=True):
            torch.testing.assert_close(a, b)
