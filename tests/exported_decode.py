# SPDX-License-Identifier: Apache-2.0
"""torch.ops.dark.decode as ONNX Runtime computes it from `darkpose_ext.onnx`, for tests."""

from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor

from darkpose.deploy.onnx import write

DTYPES = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}
"""What maps of each type are handed over as: NumPy has no bfloat16."""


class _Decode(torch.nn.Module):
    def __init__(self, names: tuple[str, ...], dtype: torch.dtype, options: dict[str, Any]) -> None:
        super().__init__()
        self.names, self.dtype, self.options = names, dtype, options

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        given = dict(zip(self.names, tensors, strict=True))
        maps = given.pop("heatmaps").to(self.dtype)
        if "flipped" in given:
            given["flipped"] = given["flipped"].to(self.dtype)
        options = dict(self.options)
        return torch.ops.dark.decode(maps, options.pop("taps", []), **given, **options)


class ExportedDecode:
    """The op with its arguments fixed, exported for maps of any size."""

    def __init__(
        self,
        path: Path,
        joints: int = 1,
        *,
        leading: int = 1,
        flipped: bool = False,
        transform: bool = False,
        dtype: torch.dtype = torch.float32,
        **options: Any,
    ) -> None:
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
        inputs = tuple(torch.rand(*lead, *own) for lead, own in shapes.values())
        self.dtype = DTYPES[dtype]
        inputs = tuple(value.to(self.dtype) for value in inputs)
        module = _Decode(self.names, dtype, options).eval()
        write(
            module,
            inputs,
            path,
            input_names=list(self.names),
            dynamic_shapes=(tuple(dimensions.values()),),
        )
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(path), settings, providers=["CPUExecutionProvider"]
        )

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        given = {
            name: tensor.to(self.dtype).contiguous().numpy()
            for name, tensor in zip(self.names, tensors, strict=True)
        }
        coords, scores = self.session.run(None, given)
        return torch.from_numpy(coords), torch.from_numpy(scores)
