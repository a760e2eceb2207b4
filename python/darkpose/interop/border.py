# SPDX-License-Identifier: Apache-2.0
"""DARK inside a heatmap, and near its border the Gaussian that `decode` fits by `border="fit"`.

Other libraries refine there all the same, from repeated or mirrored values, and so the drop-ins for
them have to be good there too.

Maps are tensors, decoded where they are, or NumPy arrays, for which no torch is needed.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Maps = TypeVar("Maps", bound="Tensor | NDArray[Any]")
Floats = NDArray[np.float64]


def decode_to_the_border(
    heatmaps: Maps,  # [B..., K, H, W]
    taps: Sequence[float],
    **flip_test: Any,
) -> tuple[Maps, Maps]:  # [B..., K, 2], [B..., K]
    """Return `darkpose_ext.decode` with `border="fit"`, or without taps, which tell no sigma, as it
    is. `flip_test`: its `flipped`, `flip_index`, `flip_shift`."""
    border = "fit" if len(taps) else "stay"
    return decode_of(heatmaps)(heatmaps, taps, border=border, **flip_test)


# ---- tensors and arrays --------------------------------------------------------------------------


def decode_of(maps: Any) -> Callable[..., tuple[Any, Any]]:
    """Return `decode` for maps of this kind."""
    if isinstance(maps, np.ndarray):
        from darkpose_ext.numpy import decode as decode_array

        return decode_array
    from darkpose_ext import decode

    return decode


def as_array(values: Any) -> Floats:
    """Return a tensor or an array in main memory, float64."""
    plain = values if isinstance(values, np.ndarray) else values.detach().cpu().double().numpy()
    return plain.astype(np.float64, copy=False)


def like(array: Floats, other: Any) -> Any:
    """Return an array as what `other` is, of its type and on its device."""
    is_array = isinstance(other, np.ndarray)
    return array.astype(other.dtype) if is_array else other.new_tensor(array)
