# SPDX-License-Identifier: Apache-2.0
"""The Gaussian fitted near a map's border in standard ONNX operators. Mirrors `csrc/fit.h`.

In float64, whatever the maps are. A runtime that has no float64 computes it in float32.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkpose_ext._fit_reference import DETERMINED, LEAST_SIZE
from darkpose_ext._onnx_maps import Peaks
from darkpose_ext.taps import fit_rule

_UNKNOWNS = 4


def fitted(peaks: Peaks, taps: Sequence[float], max_shift: float, otherwise: Any) -> Any:
    """Return the steps [..., 2] from the peaks; `otherwise` where it is not near, or its pixels
    do not tell it."""
    margin, limit, reach = fit_rule(taps)
    graph = peaks.maps.graph
    double = graph.double()
    op, numbers, integers = double.op, double.numbers, double.integers
    offsets = [(i, j) for j in range(-reach, reach + 1) for i in range(-reach, reach + 1)]
    values = op.Div(double.cast(peaks.around(offsets)), double.cast(peaks.score))  # [..., N]
    zero, one = numbers(0.0), numbers(1.0)
    counts = op.Greater(values, zero)
    weights = op.Where(counts, op.Mul(values, values), zero)
    logs = op.Log(op.Where(counts, values, one))
    terms = op.Concat(weights, op.Mul(weights, logs), axis=-1)
    sums = op.MatMul(terms, numbers(_equations(offsets)))  # [..., 20]
    # The right side is divided by the first size, which leaves the ratio b / a and a's sign.
    sizes = op.Sqrt(op.Gather(sums, integers([0, 6, 12, 18, 0]), axis=-1))
    sizes = op.Max(sizes, numbers(LEAST_SIZE))
    size = op.Gather(sizes, integers(range(_UNKNOWNS)), axis=-1)
    shape = op.Concat(op.Shape(sums, end=-1), integers([_UNKNOWNS, _UNKNOWNS + 1]), axis=0)
    left, top = (op.Unsqueeze(s, integers([i])) for s, i in ((size, -1), (sizes, -2)))
    rows = op.Div(op.Div(op.Reshape(sums, shape), left), top)
    answer, determinant = _solved(double, rows)

    def part(*which: int) -> Any:
        return op.Gather(op.Div(answer, size), integers(which), axis=-1)

    curvature = part(3)
    step = op.Div(part(1, 2), curvature)
    longest = op.ReduceMax(op.Abs(step), integers([-1]), keepdims=1)
    pixels = math.ceil(margin)  # a whole number is below the one if it is below the other
    sound = double.every(
        op.Greater(determinant, numbers(DETERMINED)),
        op.Greater(curvature, zero),
        op.LessOrEqual(longest, numbers(limit)),
        op.Not(peaks.inside(pixels, pixels)),
    )
    step = op.Mul(step, double.shortening(double.length(step), max_shift))
    return op.Where(sound, graph.cast(step), otherwise)


def _equations(offsets: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Return what weights and weighted logarithms of the pixels make of the normal equations and
    their right side, row by row: [2 N, 20]."""
    x, y = np.transpose(offsets)
    terms = np.stack((np.ones(len(offsets)), x, y, -(x**2 + y**2) / 2), -1)  # [N, 4]
    matrix = np.zeros((2, len(offsets), _UNKNOWNS, _UNKNOWNS + 1))
    matrix[0, :, :, :-1] = terms[:, :, None] * terms[:, None]
    matrix[1, :, :, -1] = terms
    return matrix.reshape(2 * len(offsets), -1)


def _solved(graph: Any, rows: Any) -> tuple[Any, Any]:
    """Return of equations [..., 4, 5], symmetric and with right sides, the answer [..., 4] and the
    determinant [..., 1]: all elimination needs, without pivoting."""
    op, integers = graph.op, graph.integers
    determinant = graph.numbers([1.0])
    for i in range(_UNKNOWNS):
        unit = np.eye(_UNKNOWNS)[:, i : i + 1]
        row, column = (op.Gather(rows, integers([i]), axis=axis) for axis in (-2, -1))
        pivot = op.Gather(row, integers([i]), axis=-1)  # [..., 1, 1]
        determinant = op.Mul(determinant, op.Squeeze(pivot, integers([-1])))
        others = op.Sub(column, graph.numbers(unit))
        rows = op.Sub(rows, op.Mul(others, op.Div(row, pivot)))
    return op.Gather(rows, integers(_UNKNOWNS), axis=-1), determinant
