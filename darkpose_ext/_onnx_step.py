# SPDX-License-Identifier: Apache-2.0
"""The steps from a pixel to the sub-pixel peak in standard ONNX operators."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from darkpose_ext._onnx_graph import Graph

# The places round the maximum that a Taylor step reads, (x, y), in the order in which it does:
# one ahead and one behind in x and y, two ahead and two behind, itself, the corners.
_PLACES = (
    *((1, 0), (0, 1), (-1, 0), (0, -1)),
    *((2, 0), (0, 2), (-2, 0), (0, -2)),
    (0, 0),
    *((1, 1), (1, -1), (-1, -1), (-1, 1)),
)
_LOWEST = 1e-10  # of a value under the logarithm


class Maps:
    """Heatmaps [B..., K, H, W] in the type of arithmetic, flat [B..., K, HW] too, their sizes [1]
    and leading sizes."""

    def __init__(self, graph: Graph, values: Any) -> None:
        op, self.graph, self.values = graph.op, graph, values
        self.height = op.Shape(values, start=-2, end=-1)
        self.width = op.Shape(values, start=-1)
        self.size = op.Mul(self.height, self.width)
        self.leading = op.Shape(values, start=0, end=-2)
        self.flat = op.Reshape(values, op.Concat(self.leading, self.size, axis=0))

    def nan(self) -> Any:
        """Return which hold a NaN, [B..., K, 1]."""
        # A sum of magnitudes is NaN if one of them is, and only then. No maximum says that.
        op = self.graph.op
        magnitude = op.ReduceSum(op.Abs(self.flat), self.graph.integers([-1]), keepdims=1)
        return op.IsNaN(magnitude)


class Peaks:
    """The pixels of each map from which steps are taken.

    [..., 1] all but `point`, which is (x, y) [..., 2]; `...` is [B..., K] where a map has one.
    """

    maps: Maps
    x: Any
    y: Any
    index: Any
    score: Any
    point: Any
    nan: Any

    def inside(self, left: int, right: int) -> Any:
        """Whether it lies `left` pixels or more from the first row and column, `right` from the
        last ones' far side."""
        graph, maps = self.maps.graph, self.maps
        op, integers = graph.op, graph.integers
        last = op.Concat(maps.width, maps.height, axis=0)
        far = op.And(
            op.GreaterOrEqual(self.point, integers([left, left])),
            op.Less(self.point, op.Sub(last, integers([right, right]))),
        )
        x, y = (op.Gather(far, integers([i]), axis=-1) for i in (0, 1))
        return op.And(x, y)

    def at(self, index: Any) -> Any:
        """Return the values at flat indices [..., N]; anything for one outside."""
        graph, op = self.maps.graph, self.maps.graph.op
        last = op.Sub(self.maps.size, graph.integers([1]))
        index = op.Min(op.Max(index, graph.integers([0])), last)
        return self.gather(index)

    def gather(self, index: Any) -> Any:
        """Return the values at flat indices [..., N] within the maps."""
        return self.maps.graph.op.GatherElements(self.maps.flat, index, axis=-1)

    def around(self, offsets: Iterable[tuple[int, int]]) -> Any:
        """Return the values at so many (x, y) from it, [..., N], 0 for one outside."""
        graph, maps = self.maps.graph, self.maps
        op, integers = graph.op, graph.integers
        dx, dy = (integers(axis) for axis in zip(*offsets, strict=True))
        x, y = op.Add(self.x, dx), op.Add(self.y, dy)
        inside = graph.every(
            op.GreaterOrEqual(x, integers([0])),
            op.Less(x, maps.width),
            op.GreaterOrEqual(y, integers([0])),
            op.Less(y, maps.height),
        )
        index = op.Add(op.Mul(y, maps.width), x)
        return op.Where(inside, self.at(index), graph.numbers(0.0))


def refined(peaks: Peaks, method: str, taps: Sequence[float], max_shift: float) -> Any:
    """Return where the method's step leads to from each peak, [..., 2], heatmap pixels."""
    graph = peaks.maps.graph
    op, coords = graph.op, graph.cast(peaks.point)
    if method == "argmax":
        return coords
    step = STEPS[method](peaks, taps, max_shift)
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
    length = op.Sqrt(op.ReduceSumSquare(toward, integers([-1]), keepdims=1))
    return op.Div(op.Mul(toward, graph.numbers(0.25)), op.Max(length, graph.numbers(1.0)))


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
    length = op.Sqrt(op.ReduceSumSquare(step, graph.integers([-1]), keepdims=1))
    bound, zero = numbers(limit), numbers(0.0)
    shortening = op.Where(op.Greater(length, bound), op.Div(bound, length), numbers(1.0))
    sound = graph.every(
        op.Greater(lowest, numbers(_LOWEST)),
        op.Less(dxx, zero),
        op.Greater(determinant, zero),
        op.Less(length, numbers(np.inf)),
        peaks.inside(2, 2),
    )
    return op.Where(sound, op.Mul(step, shortening), zero)


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
