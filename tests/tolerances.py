# SPDX-License-Identifier: Apache-2.0
"""Every tolerance of the op tests, with its reason. Tests never hold a number of their own."""

from typing import Any

import torch

# Kernel and twin do the same float32 arithmetic in another order.
TARGETS = {
    torch.float64: 1e-12,
    torch.float32: 1e-6,
    torch.float16: 5e-4,  # half a unit in the last place below 1
    torch.bfloat16: 4e-3,
}

# Pixels. Against the released algorithm, which keeps its blurred map in float32.
RELEASED = 1e-3
# Pixels. The same algorithm in float64 from end to end: rounding only, scaled by the Hessian.
RELEASED_FLOAT64 = 1e-7
# Relative: a Hessian whose eigenvalues differ by more than this, or a value as near to the clamp as
# this, may be judged either way by float32.
UNDECIDED = 1e-3

# Pixels. Kernel against twin, and one layout, element type or number of threads against another.
PIXELS = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-4, torch.bfloat16: 1e-4}
# Pixels. A Taylor step on an unblurred Gaussian is exact up to the rounding of the logarithm.
TAYLOR = 1e-4
# Image pixels, for coordinates that went through a transform with entries of a few units.
TRANSFORMED = 1e-3

# Blurred values of maps of order one: sums of up to 63 * 63 products in float32.
BLURRED = {torch.float64: 1e-12, torch.float32: 5e-6, torch.float16: 5e-6, torch.bfloat16: 5e-6}

# Relative, for losses and gradients: means over a map in another order.
LOSS = {torch.float64: 1e-10, torch.float32: 1e-5, torch.float16: 1e-5, torch.bfloat16: 1e-5}
# Absolute, for gradients of losses of order one. Those stored in half precision are held to one
# unit in the last place: rounded once more, they may go either way.
GRADIENT = {
    torch.float64: 1e-12,
    torch.float32: 1e-7,
}

# Two-sided p of a bootstrap over persons, for "one decoder is better than another".
SIGNIFICANCE = 0.01
# Absolute, for taps computed twice in float64.
TAPS = 1e-15
# Pixels. Exact results after one rounding to float32 at coordinates below 128.
ROUNDED = 1e-5

# Pixels, by method of decode, without blur against NumPy in float64.
_EXACT = {torch.float32: 0.0, torch.float64: 0.0}
DECODED = {
    "argmax": _EXACT,
    "standard": _EXACT,
    "second_max": {torch.float32: ROUNDED, torch.float64: ROUNDED},
    "dark": {torch.float32: RELEASED, torch.float64: RELEASED_FLOAT64},
}


def assert_within(
    actual: Any, expected: Any, tolerance: float, relative: float = 0.0, **options: Any
) -> None:
    """Compare tensors of any device, or tuples of them: shapes, types, and values."""
    torch.testing.assert_close(
        actual, expected, rtol=relative, atol=tolerance, check_device=False, **options
    )
