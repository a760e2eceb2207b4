# SPDX-License-Identifier: Apache-2.0
from typing import Any

from numpy import dtype
from numpy.typing import NDArray

Array = NDArray[Any]

def encode(
    joints: Array,
    weights: Array,
    height: int,
    width: int,
    sigma: float,
    transform: Array | None,
    rounding: str,
    truncate: bool,
    dtype: dtype[Any] | None,
    threads: int,
) -> tuple[Array, Array]: ...
def modulate(heatmaps: Array, taps: list[float], rescale: str, threads: int) -> Array: ...
def decode(
    heatmaps: Array,
    taps: list[float],
    flipped: Array | None,
    transform: Array | None,
    method: str,
    flip_index: list[int] | None,
    flip_shift: int,
    max_shift: float,
    border: str,
    threads: int,
) -> tuple[Array, Array]: ...
def decode_peaks(
    heatmaps: Array,
    taps: list[float],
    k: int,
    flipped: Array | None,
    transform: Array | None,
    radius: int,
    threshold: float,
    flip_index: list[int] | None,
    flip_shift: int,
    max_shift: float,
    border: str,
    threads: int,
) -> tuple[Array, Array, Array]: ...
def crop(
    images: list[Array],
    index: Array,
    transform: Array,
    height: int,
    width: int,
    mean: list[float] | None,
    std: list[float] | None,
    interpolation: str,
    dtype: dtype[Any] | None,
    threads: int,
) -> Array: ...
