# SPDX-License-Identifier: Apache-2.0
"""The public functions: `torch.ops.dark.*` with checked arguments, types and documentation.

Pixel centers are at integers and a point is (x, y). B... are any leading dimensions (none, one or
more), K joints, maps of H x W pixels. Tensors may be float16, bfloat16, float32 or float64 and of
any layout; arithmetic is in float32 (float64 for float64). In model code
`torch.ops.dark.decode(...)` does the same; there a bad argument is a RuntimeError with the words of
the ValueError or TypeError raised here. `darkpose_ext.reference` has each op in plain torch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from darkpose_ext import _checks
from darkpose_ext._crop_checks import check_crop
from darkpose_ext._decode_gradient import DifferentiableDecode
from darkpose_ext._peaks import decode_peaks as decode_peaks


@_checks.refusing
def encode(
    joints: Tensor,  # [B..., K, 2]
    weights: Tensor,  # [B..., K]
    height: int,
    width: int,
    sigma: float,
    *,
    rounding: str = "none",
    truncate: bool = False,
    transform: Tensor | None = None,  # [B..., 2, 3]
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Render a Gaussian heatmap for each joint (Eq 12 to 14, with peak 1).

    DarkPose's unbiased targets are `rounding="none"` on the full map; HRNet's biased ones
    `rounding="round", truncate=True`. A joint counts if its weight is positive and its 3 sigma
    square reaches the map (the released rule); any other, one with a NaN coordinate included, gets
    weight 0 and an empty map.

    Args:
        joints: [B..., K, 2] (x, y) in heatmap pixels, or in the pixels that `transform` maps from.
            Pass float32: float16 and bfloat16 round a coordinate between 64 and 128 by up to 1/32
            and 1/4 pixel, and twice as much with every doubling.
        weights: [B..., K], 0 for a joint that is not labeled.
        height, width: of the heatmaps, in pixels.
        sigma: of the Gaussian, in heatmap pixels.
        rounding: "none" centers the Gaussian at the sub-pixel position; "floor", "ceil" and "round"
            (half up) quantize it first (Eq 13).
        truncate: cut the Gaussian to the square within 3 sigma of the pixel nearest to its center.
        transform: [B..., 2, 3], from the joints' pixels to heatmap pixels (Eq 12). A number beyond
            float32's range is refused, infinity and NaN are not; on a GPU nobody looks.
        dtype: of the heatmaps alone; float32 (float64 for float64 joints) if None.

    Returns:
        heatmaps [B..., K, H, W] and the weights that count [B..., K], float32 (float64 for float64
        joints).

    Raises:
        TypeError, ValueError: for a wrong type, shape, device or value, before anything is
            allocated.

    >>> maps, weights = encode(torch.tensor([[2.0, 1.0]]), torch.ones(1), 3, 4, sigma=1.0)
    >>> maps.shape, maps[0, 1, 2].item()
    (torch.Size([1, 3, 4]), 1.0)
    """
    _checks.check_encode(joints, weights, height, width, sigma, transform, rounding, dtype)
    return torch.ops.dark.encode(
        joints,
        weights,
        height,
        width,
        sigma,
        transform,
        rounding=rounding,
        truncate=truncate,
        dtype=dtype,
    )


@_checks.refusing
def modulate(heatmaps: Tensor, taps: Sequence[float], *, rescale: str = "minmax") -> Tensor:
    """Smooth each heatmap with the taps in both directions and restore its height (Eq 10, 11).

    Zeros are assumed outside the map.

    Args:
        heatmaps: [..., H, W].
        taps: an odd number of symmetric values, at most 63: `gaussian_taps(training sigma)`.
        rescale: "minmax" is Eq 11; "max" what was released, h' max(h) / max(h'); "none" leaves h'.
            A map for which the formula would divide by zero, overflow or turn the map over (max(h)
            not positive) stays as convolved, and so does one that is flat but for rounding: max(h')
            and min(h') differ by no more than 64 units in the last place.

    Returns:
        [..., H, W], contiguous, float32 (float64 for float64): a second rounding to half precision
        would cost 0.04 pixels on decoding.

    Raises:
        TypeError, ValueError: for a wrong type, shape or value, before anything is allocated.

    >>> modulate(torch.eye(3), [0.25, 0.5, 0.25]).max().item()
    1.0
    """
    _checks.check_modulate(heatmaps, taps, rescale)
    return torch.ops.dark.modulate(heatmaps, taps, rescale=rescale)


@_checks.refusing
def decode(
    heatmaps: Tensor,  # [B..., K, H, W]
    taps: Sequence[float],
    *,
    method: str = "dark",
    flipped: Tensor | None = None,  # [B..., K, H, W]
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
    transform: Tensor | None = None,  # [B..., 2, 3]
    border: str = "stay",
    differentiable: bool = False,
) -> tuple[Tensor, Tensor]:
    """Find each joint's sub-pixel position in its heatmap (Eq 1 to 9).

    With `transform` it is recovered in the image (Eq 2) at once.

    `dark` steps from the raw map's maximum by Eq 9 on the logarithm of the map convolved with
    `taps`, as the authors' `inference.py` does, and stands still where that is unsafe: within 2
    pixels of the border, where a value of the stencil is at most 1e-10, where the Hessian is not
    negative definite. The paper to the letter is `decode(modulate(heatmaps, taps), [])`. No method
    steps from a maximum that is not positive or is infinite. A NaN anywhere in a map gives NaN
    coordinates and score. Ties go to the first maximum in row-major order.

    Args:
        heatmaps: [B..., K, H, W], the network's output.
        taps: of the modulation, `gaussian_taps(training sigma)`; empty for none (Table 2's first
            row). At most 63.
        method: "argmax", "standard" (HRNet's quarter pixel along the sign of the neighbors'
            difference), "second_max" (Eq 1 as printed) or "dark".
        flipped: [B..., K, H, W], the output for the mirrored input: mirrored back and averaged in
            while it is read.
        flip_index: the joint whose flipped map belongs to each joint, a permutation of 0 to K-1;
            None: the same.
        flip_shift: columns to move the mirrored map to the right, its edge repeated: 1 in HRNet's
            convention.
        max_shift: a longer Taylor step is shortened to this many heatmap pixels; float("inf") lifts
            the limit.
        transform: [B..., 2, 3], from heatmap pixels to the image's, of numbers as in `encode`.
        border: "stay", or "fit" for `dark` with taps: from a maximum within two sigma of the
            border, of which the smoothing makes too little, a step to the peak of the Gaussian
            fitted to the pixels within 1.5 sigma, in float64; sigma is the root of the taps'
            variance. Where the pixels tell no such peak, or one further than max(1, sigma / 2) in x
            or y, and everywhere else it is "stay" to the bit.
        differentiable: give `heatmaps` and `flipped` the gradient of dark's step or the fit's, from
            a maximum held where it is; 0 where there is no step or a shortened one. The score's is
            1 at the maximum, 0 if that is infinite or NaN. First derivatives, backward, alone.

    Returns:
        coords [B..., K, 2] and scores [B..., K] (the raw maximum), float32 (float64 for float64).

    Raises:
        TypeError, ValueError: for a wrong type, shape, device or value, before anything is
            allocated.

    >>> maps, _ = encode(torch.tensor([[3.3, 2.8]]), torch.ones(1), 7, 8, sigma=1.0)
    >>> [round(x, 3) for x in decode(maps, [])[0][0].tolist()]
    [3.3, 2.8]
    """
    _checks.check_decode(
        "decode",
        heatmaps,
        taps,
        flipped,
        transform,
        method,
        flip_index,
        flip_shift,
        max_shift,
        border,
    )
    if differentiable:
        _checks.check_differentiable(method, transform)
        return DifferentiableDecode.apply(
            heatmaps, flipped, transform, taps, flip_index, flip_shift, max_shift, border
        )
    return torch.ops.dark.decode(
        heatmaps,
        taps,
        flipped,
        transform,
        method=method,
        flip_index=flip_index,
        flip_shift=flip_shift,
        max_shift=max_shift,
        border=border,
    )


@_checks.refusing
def heatmap_mse(
    heatmaps: Tensor,  # [B..., K, H, W]
    joints: Tensor,  # [B..., K, 2]
    weights: Tensor,  # [B..., K]
    sigma: float,
    *,
    rounding: str = "none",
    truncate: bool = False,
    transform: Tensor | None = None,  # [B..., 2, 3]
) -> Tensor:
    """Return each joint's 1/2 mean over its map of (w (p - g))^2, the target g never stored.

    g and w are what `encode` gives for the same arguments. The mean over joints is HRNet's loss
    (`JointsMSELoss`); single values serve hard-joint mining. A joint that does not count has loss
    and gradient 0, whatever the map holds.

    Args:
        heatmaps: [B..., K, H, W], the prediction p; the only argument with a gradient. There is no
            second derivative and none in forward mode, and torch.func's grad does not know this
            one: each is refused. The gradient lies in memory as `torch.empty_like(heatmaps)` does:
            channels-last maps have such a gradient.
        joints, weights, sigma, rounding, truncate, transform: as in `encode`.

    Returns:
        [B..., K], float32 (float64 for float64 heatmaps).

    Raises:
        TypeError, ValueError: for a wrong type, shape, device or value, before anything is
            allocated.
        NotImplementedError: an argument has a tangent of forward mode.

    >>> joints, weights = torch.tensor([[2.0, 1.0]]), torch.ones(1)
    >>> maps, _ = encode(joints, weights, 3, 4, sigma=1.0)
    >>> heatmap_mse(maps, joints, weights, sigma=1.0).item()
    0.0
    """
    _checks.check_heatmap_mse("heatmap_mse", heatmaps, joints, weights, sigma, transform, rounding)
    return torch.ops.dark.heatmap_mse(
        heatmaps, joints, weights, sigma, transform, rounding=rounding, truncate=truncate
    )


@_checks.refusing
def crop(
    images: Sequence[Tensor],  # uint8 [H_i, W_i, C]
    index: Tensor,  # [N]
    transform: Tensor,  # [N, 2, 3]
    height: int,
    width: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str = "bilinear",
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Cut people out of images: exact interpolation, black beyond the border.

    Pixels lie within one gray level of interpolation in float64, whatever the affine map, and have
    the same bits from this op, `darkpose_ext.reference`, `darkpose_ext.numpy` and exported `.pt2`
    programs on one device. There is no vmap, since a list of images has none: `index` and
    `transform` have all crops at once. Of a compiled program the number of images is a part, their
    sizes and the number of crops are not.

    Args:
        images: uint8 [H_i, W_i, C] with a C of 1, 3 or 4, of any sizes and strides (planar ones,
            views of a frame), one or more, on one device.
        index: int64 [N], the image that each crop is of.
        transform: [N, 2, 3], from crop pixels to image pixels, the direction of `decode`'s;
            float64, or float32, which says where a pixel is to 1/1000 in an image 20,000 wide.
        height, width: of the crops, in pixels.
        mean, std: a value for each channel; 0 and 1 if None.
        interpolation: "bilinear", or "bicubic" with a = -0.75, cut off at 0 and 255.
        dtype: None leaves gray levels; else they are normalized.

    Returns:
        uint8 [N, height, width, C] without a dtype; else [N, C, height, width] of that dtype in
        channels-last memory, (level / 255 - mean) / std.

    Raises:
        TypeError, ValueError: for a wrong type, shape, device or value, before anything is
            allocated. On a GPU nobody looks at the numbers in index and transform: there an index
            out of range and a number that is not finite give a crop of zeros.

    >>> image = torch.arange(12, dtype=torch.uint8).reshape(3, 4, 1)
    >>> moved = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.5]]])
    >>> crop([image], torch.tensor([0]), moved, 2, 2).squeeze().tolist()
    [[3, 4], [7, 8]]
    """
    check_crop(images, index, transform, height, width, mean, std, interpolation, dtype)
    return torch.ops.dark.crop(
        images,
        index,
        transform,
        height,
        width,
        mean=mean,
        std=std,
        interpolation=interpolation,
        dtype=dtype,
    )
