# SPDX-License-Identifier: Apache-2.0
"""Heatmaps, and pixels of them, in a graph of ONNX."""

from collections.abc import Iterable
from typing import Any

from darkpose_ext._onnx_graph import Graph


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
