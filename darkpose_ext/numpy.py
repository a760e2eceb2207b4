# SPDX-License-Identifier: Apache-2.0
"""`crop`, `encode`, `modulate` and `decode` for NumPy arrays, without torch.

The same kernels as `torch.ops.dark` on a CPU, bit for bit, for programs that run a network by ONNX
Runtime, TensorRT or OpenVINO, and for data loaders. Arrays are read where they lie, whatever their
strides; only what is misaligned, reversed or in another byte order is copied first. The
interpreter's lock is released while they work.

Pixel centers are at integers and a point is (x, y). B... are any leading dimensions (none, one or
more), K joints, maps of H x W pixels. Arrays may be float16, float32 or float64, or the bfloat16 of
ml_dtypes; arithmetic is in float32 (float64 for float64). `darkpose_ext.ops` says more of each
argument; `threads` is how many threads a call may use: 1 is right where others work beside it.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from darkpose_ext import _values
from darkpose_ext.taps import gaussian_taps, opencv_taps

try:
    from darkpose_ext import _numpy
except ImportError as error:
    raise ImportError(
        f"The compiled functions for NumPy do not load: {error}. "
        "Build them in the source folder: python setup.py develop"
    ) from error

__all__ = [
    "crop",
    "decode",
    "decode_peaks",
    "encode",
    "gaussian_taps",
    "modulate",
    "opencv_taps",
]

Array: TypeAlias = NDArray[Any]


def encode(
    joints: ArrayLike,  # [B..., K, 2]
    weights: ArrayLike,  # [B..., K]
    height: int,
    width: int,
    sigma: float,
    *,
    rounding: str = "none",
    truncate: bool = False,
    transform: ArrayLike | None = None,  # [B..., 2, 3]
    dtype: DTypeLike | None = None,
    threads: int = 1,
) -> tuple[Array, Array]:
    """Render a Gaussian heatmap for each joint (Eq 12 to 14), see `darkpose_ext.encode`.

    Returns:
        heatmaps [B..., K, H, W] of type `dtype` and the weights that count [B..., K]; float32
        (float64 for float64 joints) if it is None.

    Raises:
        TypeError, ValueError: for a wrong type, shape or value, before anything is allocated.

    >>> maps, weights = encode([[2.0, 1.0]], [1.0], 3, 4, sigma=1.0)
    >>> maps.shape, float(maps[0, 1, 2])
    ((1, 3, 4), 1.0)
    """
    op = "encode"
    _values.check_integer(op, "height", height)
    _values.check_integer(op, "width", width)
    _values.check_sigma(op, sigma)
    _values.check_choice(op, "rounding", rounding, _values.ROUNDINGS)
    return _numpy.encode(
        _array(op, "joints", joints),
        _array(op, "weights", weights),
        height,
        width,
        sigma,
        _optional_array(op, "transform", transform),
        rounding,
        bool(truncate),
        None if dtype is None else _floating(op, "dtype", np.dtype(dtype)),
        _threads(op, threads),
    )


def modulate(
    heatmaps: ArrayLike, taps: Sequence[float], *, rescale: str = "minmax", threads: int = 1
) -> Array:
    """Smooth each heatmap [..., H, W], restore its height (Eq 10, 11): `darkpose_ext.modulate`.

    Returns:
        [..., H, W], contiguous, float32 (float64 for float64).

    Raises:
        TypeError, ValueError: for a wrong type, shape or value, before anything is allocated.

    >>> float(modulate(np.eye(3), [0.25, 0.5, 0.25]).max())
    1.0
    """
    op = "modulate"
    maps = _array(op, "heatmaps", heatmaps)
    _values.check_taps(op, taps)
    _values.check_choice(op, "rescale", rescale, _values.RESCALES)
    return _numpy.modulate(maps, list(taps), rescale, _threads(op, threads))


def decode(
    heatmaps: ArrayLike,  # [B..., K, H, W]
    taps: Sequence[float],
    *,
    method: str = "dark",
    flipped: ArrayLike | None = None,  # [B..., K, H, W]
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
    transform: ArrayLike | None = None,  # [B..., 2, 3]
    border: str = "stay",
    threads: int = 1,
) -> tuple[Array, Array]:
    """Find each joint's sub-pixel position (Eq 1 to 9, 2), see `darkpose_ext.decode`.

    Returns:
        coords [B..., K, 2] and scores [B..., K], float32 (float64 for float64).

    Raises:
        TypeError, ValueError: for a wrong type, shape or value, before anything is allocated.

    >>> maps, _ = encode([[3.3, 2.8]], [1.0], 7, 8, sigma=1.0)
    >>> decode(maps, [])[0].round(3).tolist()
    [[3.3, 2.8]]
    """
    op = "decode"
    maps = _array(op, "heatmaps", heatmaps)
    mirrored = _optional_array(op, "flipped", flipped)
    _values.check_choice(op, "method", method, _values.METHODS)
    _values.check_decoding(op, taps, flip_index, flip_shift, max_shift, border)
    return _numpy.decode(
        maps,
        list(taps),
        mirrored,
        _optional_array(op, "transform", transform),
        method,
        None if flip_index is None else list(flip_index),
        flip_shift,
        max_shift,
        border,
        _threads(op, threads),
    )


def decode_peaks(
    heatmaps: ArrayLike,  # [B..., K, H, W]
    taps: Sequence[float],
    k: int,
    *,
    radius: int,
    threshold: float = 0.0,
    flipped: ArrayLike | None = None,  # [B..., K, H, W]
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
    transform: ArrayLike | None = None,  # [B..., 2, 3]
    border: str = "stay",
    threads: int = 1,
) -> tuple[Array, Array, Array]:
    """Find the k highest local maxima of each heatmap, see `darkpose_ext.decode_peaks`.

    Returns:
        coords [B..., K, k, 2] and scores [B..., K, k], float32 (float64 for float64), NaN and 0
        where there are fewer; count [B..., K], int64.

    Raises:
        TypeError, ValueError: for a wrong type, shape or value, before anything is allocated.

    >>> maps, _ = encode([[3.3, 2.8]], [1.0], 7, 8, sigma=1.0)
    >>> coords, scores, count = decode_peaks(maps, [], k=2, radius=2, threshold=0.1)
    >>> coords.round(3).tolist(), count.tolist()
    ([[[3.3, 2.8], [nan, nan]]], [1])
    """
    op = "decode_peaks"
    maps = _array(op, "heatmaps", heatmaps)
    mirrored = _optional_array(op, "flipped", flipped)
    _values.check_decoding(op, taps, flip_index, flip_shift, max_shift, border)
    _values.check_integer(op, "k", k)
    _values.check_integer(op, "radius", radius)
    _values.check_number(op, "threshold", threshold)
    return _numpy.decode_peaks(
        maps,
        list(taps),
        k,
        mirrored,
        _optional_array(op, "transform", transform),
        radius,
        threshold,
        None if flip_index is None else list(flip_index),
        flip_shift,
        max_shift,
        border,
        _threads(op, threads),
    )


def crop(
    images: Sequence[ArrayLike],  # uint8 [H_i, W_i, C]
    index: ArrayLike,  # [N]
    transform: ArrayLike,  # [N, 2, 3]
    height: int,
    width: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str = "bilinear",
    dtype: DTypeLike | None = None,
    threads: int = 1,
) -> Array:
    """Cut people out of images, see `darkpose_ext.crop`.

    Returns:
        uint8 [N, height, width, C] without a dtype; else [N, C, height, width] of that dtype in
        channels-last memory, (level / 255 - mean) / std.

    Raises:
        TypeError, ValueError: for a wrong type, shape or value, before anything is allocated.

    >>> image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    >>> crop([image], [0], [[[1.0, 0.0, 1.0], [0.0, 1.0, 0.5]]], 2, 2).squeeze().tolist()
    [[3, 4], [7, 8]]
    """
    op = "crop"
    pictures = [np.asarray(image) for image in images]
    for picture in pictures:
        if picture.dtype != np.uint8:
            raise TypeError(f"{op}: images must be uint8, got {picture.dtype.name}")
    numbers = np.asarray(index)
    if numbers.dtype.kind not in "iu" and numbers.size:
        raise TypeError(f"{op}: index must be integers, got {numbers.dtype.name}")
    _values.check_integer(op, "height", height)
    _values.check_integer(op, "width", width)
    _values.check_choice(op, "interpolation", interpolation, _values.INTERPOLATIONS)
    channels = pictures[0].shape[-1] if pictures and pictures[0].ndim else 0
    _values.check_channel_values("mean", mean, dtype is not None, channels)
    _values.check_channel_values("std", std, dtype is not None, channels)
    return _numpy.crop(
        pictures,
        np.ascontiguousarray(numbers, np.int64),
        _array(op, "transform", transform),
        height,
        width,
        None if mean is None else list(mean),
        None if std is None else list(std),
        interpolation,
        None if dtype is None else _floating(op, "dtype", np.dtype(dtype)),
        _threads(op, threads),
    )


# ---- what the compiled functions are given -------------------------------------------------------


def _array(op: str, name: str, value: ArrayLike) -> Array:
    """Return an array whose elements the kernels can read, the same one if they can."""
    array = np.asarray(value)
    type_ = _floating(op, name, array.dtype)
    backward = any(stride < 0 or stride % array.itemsize for stride in array.strides)
    if type_ != array.dtype or backward or not array.flags.aligned:
        return np.array(array, type_, order="C")  # ascontiguousarray leaves misaligned ones alone
    return array


def _optional_array(op: str, name: str, value: ArrayLike | None) -> Array | None:
    return None if value is None else _array(op, name, value)


def _floating(op: str, name: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in this machine's byte order, if it is one that the kernels compute with."""
    known = dtype.kind == "f" and dtype.itemsize in (2, 4, 8)
    if not known and dtype.name != "bfloat16":
        raise TypeError(f"{op}: {name} must be {_values.FLOATING_NAMES}, got {dtype.name}")
    return dtype.newbyteorder("=") if known else dtype


def _threads(op: str, threads: int) -> int:
    _values.check_integer(op, "threads", threads)
    if threads < 1:
        raise ValueError(f"{op}: threads must be at least 1, got {threads}")
    return threads
