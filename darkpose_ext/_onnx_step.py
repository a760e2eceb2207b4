# SPDX-License-Identifier: Apache-2.0
"""The steps from a pixel to the sub-pixel peak in standard ONNX operators."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from darkpose_ext._decode_reference import LOWEST
from darkpose_ext._onnx_fit import fitted
from darkpose_ext._onnx_maps import Peaks

# The places round the maximum that a Taylor step reads, (x, y), in the order in which it does:
# one ahead and one behind in x and y, two ahead and two behind, itself, the corners.
_PLACES = (
    *((1, 0), (0, 1), (-1, 0), (0, -1)),
    *((2, 0), (0, 2), (-2, 0), (0, -2)),
    (0, 0),
    *((1, 1), (1, -1), (-1, -1), (-1, 1)),
)


def refined(peaks: Peaks, method: str, taps: Sequence[float], max_shift: float, border: str) -> Any:
    """Return where the method's step leads to from each peak, [..., 2], heatmap pixels."""
    graph = peaks.maps.graph
    op, coords = graph.op, graph.cast(peaks.point)
    if method == "argmax":
        return coords
    step = STEPS[method](peaks, taps, max_shift)
    if border == "fit":
        step = fitted(peaks, taps, max_shift, step)
    can_step = op.And(
        op.Greater(peaks.score, graph.numbers(0.0)), op.Less(peaks.score, graph.numbers(np.inf))
    )
    return op.Add(coords, op.Where(can_step, step, graph.numbers(0.0)))


# ---- steps, [..., 2]; whatever they are where the peak cannot step -------------------------------


def _standard_step(peaks: Peaks, taps: Sequence[float], limit: float) -> Any:
    graph, width = peaks.maps.graph, peaks.maps.width
    op, integers = graph.op, graph.integers
    row = op.Concat(integers([1]), width, axis=0)
    ahead, behind = (peaks.at(to) for to in (op.Add(peaks.index, row), op.Sub(peaks.index, row)))
    # Not Sign of the difference, which is NaN between infinities.
    up, down = graph.cast(op.Greater(ahead, behind)), graph.cast(op.Less(ahead, behind))
    step = op.Mul(op.Sub(up, down), graph.numbers(0.25))
    return op.Where(peaks.inside(2, 1), step, graph.numbers(0.0))


def _second_max_step(peaks: Peaks, taps: Sequence[float], limit: float) -> Any:
    graph, maps = peaks.maps.graph, peaks.maps
    op, integers = graph.op, graph.integers
    is_peak = op.Equal(graph.numbered(maps.size), peaks.index)
    others = op.Where(is_peak, graph.numbers(-np.inf), maps.flat)
    second = op.ArgMax(others, axis=-1, keepdims=1, select_last_index=0)
    # Where all others are -inf too, the first place may be the peak's own: then the next one is
    # second, if there is one.
    after = op.Min(integers([1]), op.Sub(maps.size, integers([1])))
    second = op.Where(op.Equal(second, peaks.index), after, second)
    x, y = op.Mod(second, maps.width), op.Div(second, maps.width)
    toward = graph.cast(op.Sub(op.Concat(x, y, axis=-1), peaks.point))
    length = op.Max(graph.length(toward), graph.numbers(1.0))
    return op.Div(op.Mul(toward, graph.numbers(0.25)), length)


def _taylor_step(peaks: Peaks, taps: Sequence[float], limit: float) -> Any:
    """Mirrors `taylor_step` of `csrc/step.h`."""
    graph = peaks.maps.graph
    op, numbers = graph.op, graph.numbers
    values = _smoothed(peaks, taps)  # [..., 13]
    lowest = op.ReduceMin(values, graph.integers([-1]), keepdims=1)

    def part(*places: int) -> Any:
        return op.Gather(values, graph.integers(places), axis=-1)

    def quarter_log(value: Any) -> Any:
        return op.Mul(op.Log(value), numbers(0.25))

    scale = op.Div(numbers(1.0), part(8))
    ahead, behind = (op.Log(op.Mul(part(*two), scale)) for two in ((0, 1), (2, 3)))
    first = op.Mul(op.Sub(ahead, behind), numbers(0.5))  # dx, dy
    far = (op.Mul(part(*two), scale) for two in ((4, 5), (6, 7)))
    second = quarter_log(op.Mul(*far))  # dxx, dyy
    mixed = quarter_log(op.Mul(op.Div(part(9), part(10)), op.Div(part(11), part(12))))  # dxy

    def pick(pair: Any, *order: int) -> Any:
        return op.Gather(pair, graph.integers(order), axis=-1)

    dxx, dyy = pick(second, 0), pick(second, 1)
    determinant = op.Sub(op.Mul(dxx, dyy), op.Mul(mixed, mixed))
    turned, across = pick(first, 1, 0), pick(second, 1, 0)  # dy, dx and dyy, dxx
    adjugate = op.Sub(op.Mul(mixed, turned), op.Mul(across, first))
    step = op.Div(adjugate, determinant)
    length, zero = graph.length(step), numbers(0.0)
    sound = graph.every(
        op.Greater(lowest, numbers(LOWEST)),
        op.Less(dxx, zero),
        op.Greater(determinant, zero),
        op.Less(length, numbers(np.inf)),
        peaks.inside(2, 2),
    )
    return op.Where(sound, op.Mul(step, graph.shortening(length, limit)), zero)


def _smoothed(peaks: Peaks, taps: Sequence[float]) -> Any:
    """Return the map convolved with the taps at `_PLACES`, zeros outside: [..., 13]."""
    graph, weights = peaks.maps.graph, _window(taps)
    # The product multiplies by zero what lies out of a place's reach: -inf must not be there.
    window = graph.op.Max(peaks.around(weights), graph.numbers(np.finfo(graph.dtype).min))
    return graph.op.MatMul(window, graph.numbers(list(weights.values())))


def _window(taps: Sequence[float]) -> dict[tuple[int, int], list[float]]:
    """Return for each pixel round the maximum what it weighs in the 13 values, if in any."""
    taps = list(taps) or [1.0]
    reach = len(taps) // 2
    weights: dict[tuple[int, int], list[float]] = {}
    for number, (x, y) in enumerate(_PLACES):
        for i, down in enumerate(taps):
            for j, across in enumerate(taps):
                pixel = (x + j - reach, y + i - reach)
                weights.setdefault(pixel, [0.0] * len(_PLACES))[number] = down * across
    return weights


STEPS: dict[str, Callable[[Peaks, Sequence[float], float], Any]] = {
    "standard": _standard_step,
    "second_max": _second_max_step,
    "dark": _taylor_step,
}
