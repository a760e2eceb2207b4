# SPDX-License-Identifier: Apache-2.0
"""`torch.ops.dark.decode` in standard ONNX operators.

What runs is the arithmetic of `csrc/step.h`, `csrc/peak.h` and `csrc/fit.h`, guards included. Only
the window round each maximum is smoothed: it is gathered, and one matrix product with the taps
gives the 13 values that the Taylor step reads.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from darkpose_ext._onnx_graph import Graph
from darkpose_ext._onnx_maps import Maps, Peaks
from darkpose_ext._onnx_step import refined


def decode(
    heatmaps: Any,
    taps: Sequence[float],
    flipped: Any = None,
    transform: Any = None,
    method: str = "dark",
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
    border: str = "stay",
) -> tuple[Any, Any]:
    """Add the operators of `torch.ops.dark.decode` to the graph that is being made.

    `torch.onnx.export` calls this; arguments are those of the op, values of the graph for tensors.

    Raises:
        ImportError: without onnx and onnxscript.
    """
    graph = Graph(heatmaps.dtype)
    op = graph.op
    peak = _Highest(averaged(graph, heatmaps, flipped, flip_index, flip_shift))
    coords = refined(peak, method, taps, max_shift, border)
    if transform is not None:
        coords = placed(graph, graph.cast(transform), coords)
    nan = graph.numbers(np.nan)
    coords = op.Where(peak.nan, nan, coords)
    scores = op.Squeeze(op.Where(peak.nan, nan, peak.score), graph.integers([-1]))
    return coords, scores


class _Highest(Peaks):
    """Each map's highest value and its first place; mirrors `csrc/peak.h`."""

    def __init__(self, maps: Maps) -> None:
        graph, op, self.maps = maps.graph, maps.graph.op, maps
        # Row by row, then within the row: a reduction is many times as fast as ArgMax.
        rows = op.ReduceMax(maps.values, graph.integers([-1]), keepdims=0)
        self.y = op.ArgMax(rows, axis=-1, keepdims=1, select_last_index=0)
        columns = graph.numbered(maps.width)
        row = op.GatherElements(maps.flat, op.Add(op.Mul(self.y, maps.width), columns), axis=-1)
        self.x = op.ArgMax(row, axis=-1, keepdims=1, select_last_index=0)
        self.index = op.Add(op.Mul(self.y, maps.width), self.x)
        self.score = op.GatherElements(row, self.x, axis=-1)
        self.nan = maps.nan()
        self.point = op.Concat(self.x, self.y, axis=-1)


def averaged(
    graph: Graph, heatmaps: Any, flipped: Any, flip_index: Sequence[int] | None, flip_shift: int
) -> Maps:
    """Return the maps that are searched: the mean of both where there are flipped ones."""
    op, maps = graph.op, graph.cast(heatmaps)
    if flipped is not None:
        mirrored = _mirror_back(graph, flipped, flip_index, flip_shift)
        maps = op.Mul(op.Add(maps, mirrored), graph.numbers(0.5))
    return Maps(graph, maps)


def placed(graph: Graph, matrix: Any, points: Any) -> Any:
    """Return points [..., N, 2] taken through matrices [..., 2, 3] (Eq 2).

    No matrix product: a GPU may round the coordinates for it.
    """
    op, integers = graph.op, graph.integers
    linear = op.Unsqueeze(op.Gather(matrix, integers([0, 1]), axis=-1), integers([-3]))
    offset = op.Unsqueeze(op.Gather(matrix, integers(2), axis=-1), integers([-2]))
    products = op.Mul(linear, op.Unsqueeze(points, integers([-2])))  # [..., N, 2, 2]
    return op.Add(op.ReduceSum(products, integers([-1]), keepdims=0), offset)


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
