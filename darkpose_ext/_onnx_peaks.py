# SPDX-License-Identifier: Apache-2.0
"""`torch.ops.dark.decode_peaks` in standard ONNX operators.

A local maximum is no lower than its window, and higher than the part of the window that comes
before it, row by row: of equal ones the first counts. Windows are searched along rows, then along
columns.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from darkpose_ext._onnx_decode import averaged, placed
from darkpose_ext._onnx_graph import Graph
from darkpose_ext._onnx_maps import Maps, Peaks
from darkpose_ext._onnx_step import refined

_FARTHEST = 2**24  # pixels: beyond every map


def decode_peaks(
    heatmaps: Any,
    taps: Sequence[float],
    k: Any,
    flipped: Any = None,
    transform: Any = None,
    *,
    radius: int,
    threshold: float = 0.0,
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
    border: str = "stay",
) -> tuple[Any, Any, Any]:
    """Add the operators of `torch.ops.dark.decode_peaks` to the graph that is being made.

    `torch.onnx.export` calls this; arguments are those of the op, values of the graph for tensors
    and for a k that is not known when exporting.

    Raises:
        ImportError: without onnx and onnxscript.
    """
    graph = Graph(heatmaps.dtype)
    op, integers, numbers = graph.op, graph.integers, graph.numbers
    maps = averaged(graph, heatmaps, flipped, flip_index, flip_shift)
    most = integers([k]) if isinstance(k, int) else op.Reshape(k, integers([1]))
    peaks = _Highest(maps, _local_maxima(maps, radius, threshold), most, len(heatmaps.shape))
    coords = refined(peaks, "dark", taps, max_shift, border)  # [B..., K, k, 2]
    if transform is not None:
        each = op.Unsqueeze(graph.cast(transform), integers([-3]))  # [B..., 1, 2, 3]
        coords = placed(graph, each, coords)
    nan, found = numbers(np.nan), op.And(peaks.found, op.Not(peaks.nan))
    coords = op.Where(found, coords, nan)
    scores = op.Where(peaks.nan, nan, op.Where(found, peaks.score, numbers(0.0)))
    counted = op.Cast(op.Squeeze(found, integers([-1])), to=graph.integer)
    count = op.ReduceSum(counted, integers([-1]), keepdims=0)
    return coords, op.Squeeze(scores, integers([-1])), count


def _local_maxima(maps: Maps, radius: int, threshold: float) -> Any:
    """Return the heights of local maxima above a threshold, -inf elsewhere, [B..., K, HW]."""
    graph = maps.graph
    op, lowest = graph.op, graph.numbers(-np.inf)
    count = op.ReduceProd(maps.leading, keepdims=1)
    one = graph.integers([1])
    values = op.Reshape(maps.values, op.Concat(count, one, maps.height, maps.width, axis=0))

    def highest(of: Any, height: int, width: int, *pads: int) -> Any:
        return op.MaxPool(of, kernel_shape=[height, width], pads=pads)[0]

    def moved(of: Any, down: int, right: int) -> Any:
        return op.Pad(of, graph.integers([0, 0, down, right, 0, 0, -down, -right]), lowest)

    radius = min(radius, _FARTHEST)
    bar, side = graph.numbers(threshold), 2 * radius + 1
    window = values
    if radius > 0:
        rows = highest(values, 1, side, 0, radius, 0, radius)
        window = highest(rows, side, 1, radius, 0, radius, 0)
        above = moved(highest(rows, radius, 1, radius - 1, 0, 0, 0), 1, 0)
        left = moved(highest(values, 1, radius, 0, radius - 1, 0, 0), 0, 1)
        bar = op.Max(above, left, bar)
    is_peak = op.And(op.GreaterOrEqual(values, window), op.Greater(values, bar))
    return op.Reshape(op.Where(is_peak, values, lowest), op.Shape(maps.flat))


class _Highest(Peaks):
    """Each map's k highest local maxima, [B..., K, k, 1], of equal ones the first ones."""

    def __init__(self, maps: Maps, heights: Any, k: Any, rank: int) -> None:
        graph, op, self.maps = maps.graph, maps.graph.op, maps
        integers, lowest = graph.integers, graph.numbers(-np.inf)
        pixels = op.Min(k, maps.size)
        tops, index = op.TopK(heights, pixels, axis=-1, largest=1, sorted=1)
        # A map of fewer than k pixels has no more.
        pads = op.Concat(integers([0] * (2 * rank - 3)), op.Sub(k, pixels), axis=0)
        self.score = op.Unsqueeze(op.Pad(tops, pads, lowest), integers([-1]))
        self.index = op.Unsqueeze(op.Pad(index, pads, integers(0)), integers([-1]))
        self.x, self.y = op.Mod(self.index, maps.width), op.Div(self.index, maps.width)
        self.point = op.Concat(self.x, self.y, axis=-1)
        self.found = op.Greater(self.score, lowest)
        self.nan = op.Unsqueeze(maps.nan(), integers([-1]))

    def gather(self, index: Any) -> Any:
        op = self.maps.graph.op
        each = op.Mul(op.Shape(index, start=-2, end=-1), op.Shape(index, start=-1))
        flat = op.Reshape(index, op.Concat(self.maps.leading, each, axis=0))
        return op.Reshape(super().gather(flat), op.Shape(index))
