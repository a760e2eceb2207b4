# SPDX-License-Identifier: Apache-2.0
"""DARK's crop, encode, modulate and decode as torch ops.

Three names side by side: `_C.so` (the library), `torch.ops.dark` (its namespace), `darkpose_ext`
(this package). `darkpose_ext.numpy` has the same kernels for NumPy's arrays: where torch is not
installed, it and the taps are all there is.
"""

import importlib.util

from darkpose_ext.taps import gaussian_taps, opencv_taps

if importlib.util.find_spec("torch"):
    from darkpose_ext import _library, _registrations  # noqa: F401  isort: skip  the library first
    from darkpose_ext.ops import crop, decode, decode_peaks, encode, heatmap_mse, modulate
else:

    def __getattr__(name: str) -> object:
        if name in __all__:
            raise ImportError(
                f"darkpose_ext.{name} needs torch: pip install 'torch>=2.10', "
                "or use darkpose_ext.numpy"
            )
        raise AttributeError(f"module 'darkpose_ext' has no attribute {name!r}")


__all__ = [
    "crop",
    "decode",
    "decode_peaks",
    "encode",
    "gaussian_taps",
    "heatmap_mse",
    "modulate",
    "opencv_taps",
]
