# SPDX-License-Identifier: Apache-2.0
"""DARK's encode, modulate and decode as torch ops.

Three names side by side: `_C.so` (the library), `torch.ops.dark` (its namespace), `darkpose_ext`
(this package).
"""

from darkpose_ext import _library, _registrations  # noqa: F401  isort: skip  the library first
from darkpose_ext.ops import decode, encode, gaussian_taps, heatmap_mse, modulate, opencv_taps

__all__ = ["decode", "encode", "gaussian_taps", "heatmap_mse", "modulate", "opencv_taps"]
