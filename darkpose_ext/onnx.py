# SPDX-License-Identifier: Apache-2.0
"""`torch.ops.dark`'s decode and crop in standard ONNX operators, so that files need no library.

    from darkpose_ext.onnx import OPSET, TRANSLATIONS

    torch.onnx.export(model, inputs, "pose.onnx", dynamo=True, opset_version=OPSET,
                      custom_translation_table=TRANSLATIONS)

All arguments of `decode` and all its types are served. What runs is the arithmetic of `csrc/step.h`
and `csrc/peak.h`, guards included. Only the window round each maximum is smoothed: it is gathered,
and one matrix product with the taps gives the 13 values that the Taylor step reads. `crop` is
served for one image.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from darkpose_ext import _library  # noqa: F401  (loads torch.ops.dark)
from darkpose_ext._onnx_crop import crop
from darkpose_ext._onnx_graph import Graph

OPSET = 18
"""The version of ONNX's operators that are used."""

# The places round the maximum that a Taylor step reads, (x, y), in the order in which it does:
# one ahead and one behind in x and y, two ahead and two behind, itself, the corners.
_PLACES = (
    *((1, 0), (0, 1), (-1, 0), (0, -1)),
    *((2, 0), (0, 2), (-2, 0), (0, -2)),
    (0, 0),
    *((1, 1), (1, -1), (-1, -1), (-1, 1)),
)
_LOWEST = 1e-10  # of a value under the logarithm


def decode(
    heatmaps: Any,
    taps: Sequence[float],
    flipped: Any = None,
    transform: Any = None,
    method: str = "dark",
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
) -> tuple[Any, Any]:
    """Add the operators of `torch.ops.dark.decode` to the graph that is being made.

    `torch.onnx.export` calls this; arguments are those of the op, values of the graph for tensors.

    Raises:
        ImportError: without onnx and onnxscript.
    """
    graph = Graph(heatmaps.dtype)
    op, maps = graph.op, graph.cast(heatmaps)
    if flipped is not None:
        mirrored = _mirror_back(graph, flipped, flip_index, flip_shift)
        maps = op.Mul(op.Add(maps, mirrored), graph.numbers(0.5))
    peak = _Peak(graph, maps)
    coords = graph.cast(peak.point)
    if method != "argmax":
        step = _STEPS[method](graph, peak, taps, max_shift)
        can_step = op.And(
            op.Greater(peak.score, graph.numbers(0.0)), op.Less(peak.score, graph.numbers(np.inf))
        )
        coords = op.Add(coords, op.Where(can_step, step, graph.numbers(0.0)))
    if transform is not None:
        coords = _apply(graph, graph.cast(transform), coords)
    nan = graph.numbers(np.nan)
    coords = op.Where(peak.nan, nan, coords)
    scores = op.Squeeze(op.Where(peak.nan, nan, peak.score), graph.integers([-1]))
    return coords, scores


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.dark.decode.default: decode,
    torch.ops.dark.crop.default: crop,
}
"""For the argument `custom_translation_table` of `torch.onnx.export`."""


class _Peak:
    """Each map's highest value and its first place, [B..., K, 1] all; mirrors `csrc/peak.h`."""

    def __init__(self, graph: Graph, maps: Any) -> None:
        op, self._graph = graph.op, graph
        self.height = op.Shape(maps, start=-2, end=-1)  # [1], as are the next two
        self.width = op.Shape(maps, start=-1)
        self.size = op.Mul(self.height, self.width)
        leading = op.Shape(maps, start=0, end=-2)
        self.flat = op.Reshape(maps, op.Concat(leading, self.size, axis=0))  # [B..., K, HW]
        # Row by row, then within the row: a reduction is many times as fast as ArgMax.
        rows = op.ReduceMax(maps, graph.integers([-1]), keepdims=0)
        self.y = op.ArgMax(rows, axis=-1, keepdims=1, select_last_index=0)
        columns = graph.numbered(self.width)
        row = op.GatherElements(self.flat, op.Add(op.Mul(self.y, self.width), columns), axis=-1)
        self.x = op.ArgMax(row, axis=-1, keepdims=1, select_last_index=0)
        self.index = op.Add(op.Mul(self.y, self.width), self.x)
        self.score = op.GatherElements(row, self.x, axis=-1)
        # ArgMax says nothing of NaN. A sum of magnitudes is NaN if one of them is, and only then.
        magnitude = op.ReduceSum(op.Abs(self.flat), graph.integers([-1]), keepdims=1)
        self.nan = op.IsNaN(magnitude)
        self.point = op.Concat(self.x, self.y, axis=-1)  # [B..., K, 2]

    def inside(self, left: int, right: int) -> Any:
        """Whether it lies `left` pixels or more from the first row and column, `right` from the
        last ones' far side."""
        op, integers = self._graph.op, self._graph.integers
        last = op.Concat(self.width, self.height, axis=0)
        far = op.And(
            op.GreaterOrEqual(self.point, integers([left, left])),
            op.Less(self.point, op.Sub(last, integers([right, right]))),
        )
        x, y = (op.Gather(far, integers([i]), axis=-1) for i in (0, 1))
        return op.And(x, y)

    def at(self, index: Any) -> Any:
        """Return the values at flat indices [B..., K, N]; anything for one outside."""
        op, integers = self._graph.op, self._graph.integers
        last = op.Sub(self.size, integers([1]))
        index = op.Min(op.Max(index, integers([0])), last)
        return op.GatherElements(self.flat, index, axis=-1)


def _mirror_back(graph: Graph, flipped: Any, flip_index: Any, flip_shift: int) -> Any:
    # Mirrors `reference.mirror_back`.
    op, integers = graph.op, graph.integers
    rank, flipped = len(flipped.shape), graph.cast(flipped)
    if flip_index is not None:
        flipped = op.Gather(flipped, integers(list(flip_index)), axis=-3)
    width = op.Shape(flipped, start=-1)
    back = op.Max(op.Sub(graph.numbered(width), integers([flip_shift])), integers([0]))
    columns = op.Sub(op.Sub(width, integers([1])), back)
    # Whole rows are gathered many times as fast as single values.
    turn = [*range(rank - 2), rank - 1, rank - 2]
    turned = op.Gather(op.Transpose(flipped, perm=turn), columns, axis=-2)
    return op.Transpose(turned, perm=turn)


def _apply(graph: Graph, matrix: Any, points: Any) -> Any:
    # Eq 2. No matrix product: a GPU may round the coordinates for it.
    op, integers = graph.op, graph.integers
    linear = op.Unsqueeze(op.Gather(matrix, integers([0, 1]), axis=-1), integers([-3]))
    offset = op.Unsqueeze(op.Gather(matrix, integers(2), axis=-1), integers([-2]))
    products = op.Mul(linear, op.Unsqueeze(points, integers([-2])))  # [B..., K, 2, 2]
    return op.Add(op.ReduceSum(products, integers([-1]), keepdims=0), offset)


# ---- steps, [B..., K, 2]; whatever they are where the peak cannot step ---------------------------


def _standard_step(graph: Graph, peak: _Peak, taps: Sequence[float], limit: float) -> Any:
    op, integers = graph.op, graph.integers
    row = op.Concat(integers([1]), peak.width, axis=0)
    ahead, behind = (peak.at(to) for to in (op.Add(peak.index, row), op.Sub(peak.index, row)))
    # Not Sign of the difference, which is NaN between infinities.
    up, down = graph.cast(op.Greater(ahead, behind)), graph.cast(op.Less(ahead, behind))
    step = op.Mul(op.Sub(up, down), graph.numbers(0.25))
    return op.Where(peak.inside(2, 1), step, graph.numbers(0.0))


def _second_max_step(graph: Graph, peak: _Peak, taps: Sequence[float], limit: float) -> Any:
    op, integers = graph.op, graph.integers
    is_peak = op.Equal(graph.numbered(peak.size), peak.index)
    others = op.Where(is_peak, graph.numbers(-np.inf), peak.flat)
    second = op.ArgMax(others, axis=-1, keepdims=1, select_last_index=0)
    # Where all others are -inf too, the first place may be the peak's own: then the next one is
    # second, if there is one.
    after = op.Min(integers([1]), op.Sub(peak.size, integers([1])))
    second = op.Where(op.Equal(second, peak.index), after, second)
    x, y = op.Mod(second, peak.width), op.Div(second, peak.width)
    toward = graph.cast(op.Sub(op.Concat(x, y, axis=-1), peak.point))
    length = op.Sqrt(op.ReduceSumSquare(toward, integers([-1]), keepdims=1))
    step = op.Div(op.Mul(toward, graph.numbers(0.25)), op.Max(length, graph.numbers(1.0)))
    return step


def _taylor_step(graph: Graph, peak: _Peak, taps: Sequence[float], limit: float) -> Any:
    """Mirrors `taylor_step` of `csrc/step.h`."""
    op, numbers = graph.op, graph.numbers
    values = _smoothed(graph, peak, taps)  # [B..., K, 13]
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
        peak.inside(2, 2),
    )
    return op.Where(sound, op.Mul(step, shortening), zero)


def _smoothed(graph: Graph, peak: _Peak, taps: Sequence[float]) -> Any:
    """Return the map convolved with the taps at `_PLACES`, zeros outside: [B..., K, 13]."""
    op, integers = graph.op, graph.integers
    weights = _window(taps)
    dx, dy = (integers([place[i] for place in weights]) for i in (0, 1))
    x, y = op.Add(peak.x, dx), op.Add(peak.y, dy)  # [B..., K, N]
    inside = graph.every(
        op.GreaterOrEqual(x, integers([0])),
        op.Less(x, peak.width),
        op.GreaterOrEqual(y, integers([0])),
        op.Less(y, peak.height),
    )
    window = op.Where(inside, peak.at(op.Add(op.Mul(y, peak.width), x)), graph.numbers(0.0))
    # The product multiplies by zero what lies out of a place's reach: -inf must not be there.
    window = op.Max(window, graph.numbers(np.finfo(graph.dtype).min))
    return op.MatMul(window, graph.numbers(list(weights.values())))


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


_STEPS: dict[str, Callable[[Graph, _Peak, Sequence[float], float], Any]] = {
    "standard": _standard_step,
    "second_max": _second_max_step,
    "dark": _taylor_step,
}
