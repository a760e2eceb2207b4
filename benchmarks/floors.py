# SPDX-License-Identifier: Apache-2.0
"""The least time an op can take on this machine: bytes that must move, operations to be done.

Every tensor of maps is read or written once, which is what a fused kernel can reach; coordinates,
weights and scores are left out, 0.1 % of the bytes. Operations are those of the direct formula,
mirrored values added before they are multiplied with their common tap: a multiplication with the
addition that uses it counts as one, a logarithm or exponential as `ELEMENTARY`, other additions and
comparisons as none, since processors do them beside. What the machine does in a second is measured
beside the op, at the same size: torch's amax, full and copy for bytes, its matrix product for
operations.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.cases import Case
from benchmarks.harness import Figure, elapsed

ELEMENTARY = 10  # multiplications in a polynomial of float32 accuracy, with its range reduction


@dataclass(frozen=True)
class Work:
    """What an op must do."""

    read: int  # bytes
    written: int  # bytes
    operations: int


def work(case: Case) -> Work:
    """Return the work of a case; `heatmap_mse` is forward and backward."""
    radius = len(case.taps) // 2
    blur = radius + 1  # multiplications, in one direction
    # The stencil is 13 pixels of a 5 x 5 square: blurred along rows first, then along columns.
    stencil = (5 + 2 * radius) * 5 * blur + 13 * blur + 13 * ELEMENTARY
    size = getattr(torch, case.dtype).itemsize
    result = max(size, 4)  # modulate returns float32 or wider
    n, maps = case.pixels, case.maps
    edges = maps * (case.height + case.width) * ELEMENTARY  # a Gaussian's factors by row and column
    return {
        "decode": Work(n * size, 0, maps * stencil),
        "decode_peaks": Work(n * size, 0, maps * stencil),  # of one maximum each
        "flip_decode": Work(2 * n * size, 0, maps * stencil),
        "modulate": Work(n * size, n * result, n * (2 * blur + 1)),  # with the rescaling
        "encode": Work(0, n * size, n + edges),
        # The target is computed twice, since it is not stored.
        "heatmap_mse": Work(2 * n * size, n * size, 4 * n + 2 * edges),
        "heatmap_mse_forward": Work(n * size, 0, 2 * n + edges),
    }[case.op]


@dataclass(frozen=True)
class Rates:
    """What the machine does: bytes, or operations, in a microsecond."""

    read: float
    write: float
    copy: float  # read and written, both counted
    operations: float


def rates(case: Case, figures: Mapping[str, Figure], operations: float) -> Rates:
    """Return the rates from the figures of amax, full and copy at this case's size."""
    size = case.pixels * getattr(torch, case.dtype).itemsize
    microseconds = {name: figures[name].median for name in ("amax", "full", "copy")}
    return Rates(
        size / microseconds["amax"],
        size / microseconds["full"],
        2 * size / microseconds["copy"],
        operations,
    )


def floor(work: Work, rates: Rates) -> float:
    """Return microseconds: the longer one of moving bytes and computing.

    Bytes that are written while as many are read move as fast as in a copy.
    """
    copied = min(work.read, work.written)
    moving = 2 * copied / rates.copy
    moving += (work.read - copied) / rates.read + (work.written - copied) / rates.write
    return max(moving, work.operations / rates.operations)


def operation_rate(device: str = "cpu", size: int = 384, processor_time: bool = False) -> float:
    """Return the float32 multiply-adds of a microsecond, by a matrix product from the cache."""
    if device == "cuda":
        size = 4096
    left, right = (torch.rand(size, size, device=device) for _ in range(2))
    out = torch.empty_like(left)

    def product() -> Tensor:
        return torch.mm(left, right, out=out)

    best = min(elapsed(product, 4, device, processor_time) for _ in range(10))
    return size**3 / best
