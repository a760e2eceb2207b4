# SPDX-License-Identifier: Apache-2.0
"""`darkpose_ext.decode_peaks`: several maxima of a map."""

from collections.abc import Sequence

import torch
from torch import Tensor

from darkpose_ext import _checks


@_checks.refusing
def decode_peaks(
    heatmaps: Tensor,  # [B..., K, H, W]
    taps: Sequence[float],
    k: int,
    *,
    radius: int,
    threshold: float = 0.0,
    flipped: Tensor | None = None,  # [B..., K, H, W]
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
    transform: Tensor | None = None,  # [B..., 2, 3]
    border: str = "stay",
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the k highest local maxima of each heatmap, each with the step of `decode`.

    For networks whose maps hold several animals, and for a joint's second answer. A local maximum
    is a pixel above `threshold` that is the highest of the square within `radius` round it; of
    equal ones the first in row-major order. The highest come first, of equal ones the first. A NaN
    anywhere in a map gives NaN coordinates and scores, and count 0.

    A rectangle of equal heights is one maximum, at its first pixel. So is any plateau of which
    each pixel but the first has an earlier one within the radius; each that has none is one, too: a
    disc's rows begin further left than the row above, by more than 1 at its top, which a radius of
    1 takes for further maxima.

    With k = 1 coordinates and scores are those of `decode` to the bit, whatever the radius, for
    maps whose maximum is above `threshold`.

    Args:
        heatmaps: [B..., K, H, W], the network's output.
        taps: of the modulation, `gaussian_taps(training sigma)`; empty for none. At most 63.
        k: how many are given; there may be fewer in a map, and fewer pixels.
        radius: in heatmap pixels, 0 or more; 0 gives the k highest pixels. Two maxima are further
            apart than this in x or y.
        threshold: below or at which nothing is a maximum; of the raw map's heights, or the
            average's.
        flipped, flip_index, flip_shift, max_shift, transform, border: as in `decode`.

    Returns:
        coords [B..., K, k, 2] and scores [B..., K, k] (the raw heights), float32 (float64 for
        float64), NaN and 0 where there are fewer; count [B..., K], int64, of those that are there.
        Not differentiable.

    Raises:
        TypeError, ValueError: for a wrong type, shape, device or value, before anything is
            allocated.

    >>> joints = torch.tensor([[3.3, 2.8], [12.1, 5.6]])
    >>> maps, _ = torch.ops.dark.encode(joints, torch.ones(2), 9, 16, 1.0)
    >>> both = maps[:1] + 0.5 * maps[1:]
    >>> coords, scores, count = decode_peaks(both, [], k=3, radius=2, threshold=0.1)
    >>> [[round(x, 2) for x in point] for point in coords[0, : count[0]].tolist()]
    [[3.3, 2.8], [12.1, 5.6]]
    """
    _checks.check_decode(
        "decode_peaks",
        heatmaps,
        taps,
        flipped,
        transform,
        "dark",
        flip_index,
        flip_shift,
        max_shift,
        border,
    )
    _checks.check_search(k, radius, threshold)
    return torch.ops.dark.decode_peaks(
        heatmaps,
        taps,
        k,
        flipped,
        transform,
        radius=radius,
        threshold=threshold,
        flip_index=flip_index,
        flip_shift=flip_shift,
        max_shift=max_shift,
        border=border,
    )
