# SPDX-License-Identifier: Apache-2.0
"""The graph to which `darkpose_ext.onnx` adds operators."""

from typing import Any

import numpy as np


class Graph:
    """The operators, and constants in the type that an op computes in.

    Args:
        dtype: of what the op is given, as the graph names it; float32 unless that is float64.

    Raises:
        ImportError: without onnx and onnxscript.
    """

    def __init__(self, dtype: Any = None) -> None:
        try:
            import onnx
            from onnxscript import opset18
        except ImportError as error:
            raise ImportError(
                f"darkpose_ext.onnx needs {error.name}: pip install 'darkpose[onnx]'"
            ) from error
        self.op: Any = opset18
        self._tensor = onnx.numpy_helper.from_array
        self.bytes, self.integer = onnx.TensorProto.UINT8, onnx.TensorProto.INT64
        self._double = onnx.TensorProto.DOUBLE
        double = dtype == self._double
        self._type = self._double if double else onnx.TensorProto.FLOAT
        self.dtype = np.dtype(np.float64 if double else np.float32)

    def double(self) -> "Graph":
        """Return the same graph with constants in float64."""
        return Graph(self._double)

    def cast(self, value: Any) -> Any:
        return self.op.Cast(value, to=self._type)

    def numbers(self, values: Any) -> Any:
        return self.op.Constant(value=self._tensor(np.asarray(values, self.dtype)))

    def integers(self, values: Any) -> Any:
        return self.op.Constant(value=self._tensor(np.asarray(values, np.int64)))

    def numbered(self, count: Any) -> Any:
        """Return 0, 1 ... up to a count [1], itself left out."""
        scalar = self.op.Squeeze(count, self.integers([0]))
        return self.op.Range(self.integers(0), scalar, self.integers(1))

    def every(self, *conditions: Any) -> Any:
        result = conditions[0]
        for condition in conditions[1:]:
            result = self.op.And(result, condition)
        return result

    def shortening(self, length: Any, limit: float) -> Any:
        """Return what vectors so long are multiplied by to be no longer than the limit."""
        op, bound = self.op, self.numbers(limit)
        return op.Where(op.Greater(length, bound), op.Div(bound, length), self.numbers(1.0))

    def length(self, vectors: Any) -> Any:
        """Return that of [..., 2]: [..., 1]."""
        squares = self.op.ReduceSumSquare(vectors, self.integers([-1]), keepdims=1)
        return self.op.Sqrt(squares)
