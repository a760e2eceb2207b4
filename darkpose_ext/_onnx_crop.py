# SPDX-License-Identifier: Apache-2.0
"""`torch.ops.dark.crop` in standard ONNX operators."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from darkpose_ext._onnx_graph import Graph

_FAR = 2.0**29  # pixels: beyond every image
_OUTSIDE = 4.0  # in half images from the center: two pixels or more past the border of any


def crop(
    images: Sequence[Any],
    index: Any,
    transform: Any,
    height: int,
    width: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str = "bilinear",
    dtype: Any = None,
) -> Any:
    """Add the operators of `torch.ops.dark.crop` to the graph that is being made.

    GridSample reads an image through one grid: the crops are one below the other in it. The only
    copy of the image in float32 is the one it reads. Values are within a gray level of the op's:
    coordinates are float32, counted from the image's center, where they are shortest.

    `torch.onnx.export` calls this; arguments are those of the op, values of the graph for tensors.
    There is one image, whatever `index` says.

    Raises:
        ImportError: without onnx and onnxscript.
        ValueError: there are several images, or the crops' size is not known when exporting.
    """
    if len(images) != 1 or not isinstance(height, int) or not isinstance(width, int):
        raise ValueError(
            "crop becomes ONNX for one image and crops of a fixed size, "
            f"got {len(images)} images and {height} x {width} pixels"
        )
    graph = Graph()
    op, integers = graph.op, graph.integers
    # Turned while it is of bytes: a float copy in both orders would be eight times the image.
    planes = op.Transpose(op.Unsqueeze(images[0], integers([0])), perm=[0, 3, 1, 2])
    grid = _grid(graph, graph.cast(transform), op.Shape(images[0]), height, width)
    values = op.GridSample(
        graph.cast(planes), grid, mode=interpolation, padding_mode="zeros", align_corners=0
    )
    if interpolation == "bicubic":
        values = op.Clip(values, graph.numbers(0.0), graph.numbers(255.0))
    shape = op.Concat(op.Shape(images[0], start=2), integers([-1, height, width]), axis=0)
    values = op.Reshape(op.Round(values), shape)  # to even, where it is half
    if dtype is None:
        return op.Transpose(op.Cast(values, to=graph.bytes), perm=[1, 2, 3, 0])
    graph = Graph(dtype)
    values = op.Div(graph.cast(op.Transpose(values, perm=[1, 0, 2, 3])), graph.numbers(255.0))
    for each, apply in ((mean, op.Sub), (std, op.Div)):
        if each is not None:
            values = apply(values, graph.numbers(np.reshape(each, (-1, 1, 1))))
    return op.Cast(values, to=dtype)


def _grid(graph: Graph, transform: Any, shape: Any, height: int, width: int) -> Any:
    """Return where in the image each crop's pixels lie, [1, N * height, width, 2], from -1 to 1.

    These are the image's outer borders, half a pixel past its last pixels' centers. A crop of whose
    map a number is infinite or NaN lies outside.
    """
    op, integers, numbers = graph.op, graph.integers, graph.numbers
    zeros = op.ReduceSum(op.Mul(transform, numbers(0.0)), integers([1, 2]), keepdims=1)
    transform = op.Where(op.IsNaN(zeros), numbers(_FAR), transform)
    transform = op.Clip(transform, numbers(-_FAR), numbers(_FAR))

    def part(column: int, *axes: int) -> Any:
        return op.Unsqueeze(op.Gather(transform, integers(column), axis=2), integers([*axes]))

    size = graph.cast(op.Gather(shape, integers([1, 0])))  # width, height
    half = op.Div(size, numbers(2.0))
    # The crop's center, from the image's: large numbers cancel before small ones are added.
    middle = [(width - 1) / 2, (height - 1) / 2]
    across, down, offset = (part(column, 1, 2) for column in (0, 1, 2))  # [N, 1, 1, 2]
    centered = op.Sub(offset, op.Sub(half, numbers(0.5)))
    turned = op.Add(op.Mul(across, numbers(middle[0])), op.Mul(down, numbers(middle[1])))
    center = op.Add(centered, turned)
    columns = np.arange(width)[:, None] - middle[0]  # [width, 1]
    rows = np.arange(height)[:, None, None] - middle[1]  # [height, 1, 1]
    row = op.Add(op.Mul(down, numbers(rows)), center)
    places = op.Div(op.Add(op.Mul(across, numbers(columns)), row), half)
    places = op.Clip(places, numbers(-_OUTSIDE), numbers(_OUTSIDE))
    return op.Reshape(places, integers([1, -1, width, 2]))
