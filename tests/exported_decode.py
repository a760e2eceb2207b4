# SPDX-License-Identifier: Apache-2.0
"""What reads maps, decode or decode_peaks, as ONNX Runtime computes it, for tests."""

from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor

from darkpose.deploy.onnx import write
from darkpose_ext.reference import arithmetic_dtype

Ways = dict[str, dict[str, Any]]
"""Arguments of the op that are no tensors, by a name."""


class _Decode(torch.nn.Module):
    def __init__(self, op: Any, names: tuple[str, ...], dtype: torch.dtype, ways: Ways) -> None:
        super().__init__()
        self.op, self.names, self.dtype, self.ways = op, names, dtype, ways

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.names, tensors, strict=True))
        for name in given.keys() - {"transform"}:
            given[name] = given[name].to(self.dtype)
        results = [self.op(**given, **options) for options in self.ways.values()]
        return tuple(tensor for result in results for tensor in result)


class ExportedDecode:
    """The op in several ways at once, exported for maps of any size."""

    def __init__(
        self,
        path: Path,
        ways: Ways,
        joints: int = 1,
        *,
        leading: int = 1,
        flipped: bool = False,
        transform: bool = False,
        dtype: torch.dtype = torch.float32,
        op: Any = torch.ops.dark.decode,
    ) -> None:
        self.op = op
        self.ways = {name: {"taps": [], **options} for name, options in ways.items()}
        shapes = {"heatmaps": ((3,) * leading, (joints, 9, 7))}
        if flipped:
            shapes["flipped"] = shapes["heatmaps"]
        if transform:
            shapes["transform"] = ((3,) * leading, (2, 3))
        self.names = tuple(shapes)
        sizes = [torch.export.Dim(f"batch{i}", min=1) for i in range(leading)]
        sides = [torch.export.Dim(name, min=1) for name in ("height", "width")]
        dimensions = {
            name: dict(enumerate(sizes))
            | ({} if name == "transform" else {leading + 1: sides[0], leading + 2: sides[1]})
            for name in shapes
        }
        self.dtype = arithmetic_dtype(dtype)  # that maps are handed over in: NumPy has no bfloat16
        write(
            _Decode(op, self.names, dtype, self.ways).eval(),
            tuple(torch.rand(*lead, *own, dtype=self.dtype) for lead, own in shapes.values()),
            path,
            input_names=list(self.names),
            dynamic_shapes=(tuple(dimensions.values()),),
        )
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(path), settings, providers=["CPUExecutionProvider"]
        )

    def __call__(self, *tensors: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """Return coordinates and scores, and counts where the op has them, by the way's name."""
        given = {
            name: tensor.to(self.dtype).contiguous().numpy()
            for name, tensor in zip(self.names, tensors, strict=True)
        }
        results = list(map(torch.from_numpy, self.session.run(None, given)))
        each = len(results) // len(self.ways)
        parts = (tuple(results[i : i + each]) for i in range(0, len(results), each))
        return dict(zip(self.ways, parts, strict=True))
