# SPDX-License-Identifier: Apache-2.0
"""What torch must know of each op besides its kernels: fakes, gradients or their absence, vmap.

Fakes are in Python since a C++ Meta kernel would recompile for every batch size.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from darkpose_ext import _checks
from darkpose_ext._crop_checks import check_crop
from darkpose_ext._library import OPS
from darkpose_ext.reference import arithmetic_dtype

_implementations = torch.library.Library("dark", "IMPL")

# ---- fakes: the same checks as everywhere, then the outputs' shapes and types --------------------


@torch.library.register_fake("dark::encode")
def _encode_fake(
    joints: Tensor,
    weights: Tensor,
    height: int,
    width: int,
    sigma: float,
    transform: Tensor | None = None,
    *,
    rounding: str = "none",
    truncate: bool = False,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    _checks.check_encode(joints, weights, height, width, sigma, transform, rounding, dtype)
    _checks.check_extent("encode", [*joints.shape[:-1], height, width])
    arithmetic = arithmetic_dtype(joints.dtype)
    heatmaps = joints.new_empty(*joints.shape[:-1], height, width, dtype=dtype or arithmetic)
    return heatmaps, weights.new_empty(weights.shape, dtype=arithmetic)


@torch.library.register_fake("dark::modulate")
def _modulate_fake(heatmaps: Tensor, taps: Sequence[float], *, rescale: str = "minmax") -> Tensor:
    _checks.check_modulate(heatmaps, taps, rescale)
    _checks.check_extent("modulate", heatmaps.shape)
    return heatmaps.new_empty(heatmaps.shape, dtype=arithmetic_dtype(heatmaps.dtype))


@torch.library.register_fake("dark::decode")
def _decode_fake(
    heatmaps: Tensor,
    taps: Sequence[float],
    flipped: Tensor | None = None,
    transform: Tensor | None = None,
    *,
    method: str = "dark",
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
    border: str = "stay",
) -> tuple[Tensor, Tensor]:
    op = "decode"
    _checks.check_decode(
        op, heatmaps, taps, flipped, transform, method, flip_index, flip_shift, max_shift, border
    )
    _checks.check_extent(op, heatmaps.shape)
    arithmetic = arithmetic_dtype(heatmaps.dtype)
    coords = heatmaps.new_empty(*heatmaps.shape[:-2], 2, dtype=arithmetic)
    return coords, heatmaps.new_empty(heatmaps.shape[:-2], dtype=arithmetic)


@torch.library.register_fake("dark::decode_peaks")
def _decode_peaks_fake(
    heatmaps: Tensor,
    taps: Sequence[float],
    k: int,
    flipped: Tensor | None = None,
    transform: Tensor | None = None,
    *,
    radius: int,
    threshold: float = 0.0,
    flip_index: Sequence[int] | None = None,
    flip_shift: int = 0,
    max_shift: float = 3.0,
    border: str = "stay",
) -> tuple[Tensor, Tensor, Tensor]:
    op = "decode_peaks"
    _checks.check_decode(
        op, heatmaps, taps, flipped, transform, "dark", flip_index, flip_shift, max_shift, border
    )
    _checks.check_search(k, radius, threshold)
    _checks.check_extent(op, heatmaps.shape)
    shape = (*heatmaps.shape[:-2], k)
    _checks.check_extent(op, (*shape, 2), "coords", "numbers")
    scores = heatmaps.new_empty(shape, dtype=arithmetic_dtype(heatmaps.dtype))
    count = heatmaps.new_empty(shape[:-1], dtype=torch.int64)
    return scores.new_empty(*shape, 2), scores, count


@torch.library.register_fake("dark::heatmap_mse")
def _heatmap_mse_fake(
    heatmaps: Tensor,
    joints: Tensor,
    weights: Tensor,
    sigma: float,
    transform: Tensor | None = None,
    *,
    rounding: str = "none",
    truncate: bool = False,
) -> Tensor:
    _checks.check_heatmap_mse("heatmap_mse", heatmaps, joints, weights, sigma, transform, rounding)
    _checks.check_extent("heatmap_mse", heatmaps.shape)
    return heatmaps.new_empty(heatmaps.shape[:-2], dtype=arithmetic_dtype(heatmaps.dtype))


@torch.library.register_fake("dark::heatmap_mse_backward")
def _heatmap_mse_backward_fake(
    grad: Tensor,
    heatmaps: Tensor,
    joints: Tensor,
    weights: Tensor,
    sigma: float,
    transform: Tensor | None = None,
    *,
    rounding: str = "none",
    truncate: bool = False,
) -> Tensor:
    _checks.check_heatmap_mse_backward(grad, heatmaps, joints, weights, sigma, transform, rounding)
    _checks.check_extent("heatmap_mse_backward", heatmaps.shape)
    return torch.empty_like(heatmaps)


@torch.library.register_fake("dark::crop")
def _crop_fake(
    images: Sequence[Tensor],
    index: Tensor,
    transform: Tensor,
    height: int,
    width: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str = "bilinear",
    dtype: torch.dtype | None = None,
) -> Tensor:
    check_crop(images, index, transform, height, width, mean, std, interpolation, dtype)
    shape = (index.shape[0], height, width, images[0].shape[2])
    crops = images[0].new_empty(shape, dtype=dtype or torch.uint8)
    return crops if dtype is None else crops.permute(0, 3, 1, 2)


# ---- gradients -----------------------------------------------------------------------------------


def _heatmap_mse_setup_context(
    ctx: Any, inputs: tuple[Any, ...], keyword_only_inputs: dict[str, Any], output: Tensor
) -> None:
    heatmaps, joints, weights, sigma, transform = (*inputs, None)[:5]
    tensors = (heatmaps, joints, weights, transform)
    ctx.save_for_backward(*(tensors if ctx.needs_input_grad[0] else (None,) * 4))
    ctx.sigma, ctx.options, ctx.inputs = sigma, dict(keyword_only_inputs), len(inputs)


def _heatmap_mse_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    heatmaps, joints, weights, transform = ctx.saved_tensors
    gradient = None
    if heatmaps is not None:
        gradient = torch.ops.dark.heatmap_mse_backward(
            grad, heatmaps, joints, weights, ctx.sigma, transform, **ctx.options
        )
    return (gradient,) + (None,) * (ctx.inputs - 1)


torch.library.register_autograd(
    "dark::heatmap_mse", _heatmap_mse_backward, setup_context=_heatmap_mse_setup_context
)


def _no_second_derivative(ctx: Any, grad: Tensor) -> None:
    raise RuntimeError("heatmap_mse: second derivatives are not implemented")


torch.library.register_autograd("dark::heatmap_mse_backward", _no_second_derivative)


def _refuse_tangents(name: str, key: str) -> None:
    """Put a check before what `register_autograd` made of an op, which would drop tangents."""
    kernel = torch.library.get_kernel(f"dark::{name}", key)

    def checked(keys: Any, *args: Any, **kwargs: Any) -> Tensor:
        tensors = (value for value in args if isinstance(value, Tensor))
        if any(unpack_dual(tensor).tangent is not None for tensor in tensors):
            raise NotImplementedError(f"{name}: forward-mode derivatives are not given")
        return kernel.call_boxed(keys, *args, **kwargs)

    # Of one device: on the key of all of them torch would warn of a kernel that is replaced.
    _implementations.impl(name, checked, key, with_keyset=True)


for _name in ("heatmap_mse", "heatmap_mse_backward"):
    for _key in ("AutogradCPU", "AutogradCUDA", "AutogradMeta"):
        _refuse_tangents(_name, _key)

# The others have no gradient: without this their outputs would claim one and fail, with a mere
# warning, in backward.
for _name in ("encode", "modulate", "decode", "decode_peaks", "crop"):
    _implementations.impl(_name, torch.library.fallthrough_kernel, "Autograd")

# ---- vmap: the mapped dimension is one more leading dimension ------------------------------------


def _as_leading_dimension(name: str) -> Callable[..., Any]:
    op = getattr(torch.ops.dark, name)

    def batched(info: Any, in_dims: tuple[Any, ...], *args: Any, **kwargs: Any) -> Any:
        def lead(value: Any, dim: int | None) -> Any:
            if not isinstance(value, Tensor):
                return value
            return (
                value.expand(info.batch_size, *value.shape)
                if dim is None
                else value.movedim(dim, 0)
            )

        values = [
            lead(value, dim if isinstance(value, Tensor) else None)
            for value, dim in zip(args, in_dims, strict=True)
        ]
        result = op(*values, **kwargs)
        return result, (0,) * len(result) if isinstance(result, tuple) else 0

    return batched


def _no_vmap(*args: Any, **kwargs: Any) -> None:
    raise NotImplementedError("crop: vmap is not given, index and transform have all crops at once")


for _name in OPS:
    if _name != "crop":
        torch.library.register_vmap(f"dark::{_name}", _as_leading_dimension(_name))
torch.library.register_vmap("dark::crop", _no_vmap)
