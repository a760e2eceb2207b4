# SPDX-License-Identifier: Apache-2.0
"""How a network's maps are read: the decoders by name, and whoever's else by import path.

What stands in `DECODERS` is checked, shown by the report and tested; nothing else is to be done.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from torch import Tensor

from darkpose.geometry import flip_shift, transform_points
from darkpose.importing import imported, is_import_path
from darkpose.regression import decode_expectation, expectation
from darkpose_ext import decode, decode_peaks
from darkpose_ext.reference import mirror_back

if TYPE_CHECKING:
    from darkpose.codec import HeatmapCodec

Found = tuple[Tensor, Tensor]  # coordinates [B..., K, 2], scores [B..., K]
Read = Callable[["HeatmapCodec", Tensor, Tensor | None, Tensor | None], Found]
"""From a codec, maps [B..., K, H, W], those of the mirrored input and `to_image` [B..., 2, 3]."""
Border = Literal["stay", "fit"]
"""What "dark" does near a heatmap's border, see `darkpose_ext.decode`."""


class Decoder(NamedTuple):
    """One way to read maps."""

    read: Read
    regresses: bool = False
    """Whether it reads the maps of coordinate regression, not Gaussians."""


def _op(method: str, *, modulated: bool = False) -> Decoder:
    """Return the decoder that is one call of `darkpose_ext.decode`."""

    def read(
        codec: "HeatmapCodec", heatmaps: Tensor, flipped: Tensor | None, to_image: Tensor | None
    ) -> Found:
        taps = codec.taps if modulated else []
        return decode(
            heatmaps,
            taps,
            method=method,
            transform=to_image,
            border=codec.border if modulated else "stay",
            **_flip_options(codec, flipped),
        )

    return Decoder(read)


def _flip_options(codec: "HeatmapCodec", flipped: Tensor | None) -> dict[str, Any]:
    """Return the ops' arguments for the mirrored input's maps, if there are any."""
    if flipped is None:
        return {}
    shift = flip_shift(codec.convention)
    return {"flipped": flipped, "flip_index": codec.flip_index, "flip_shift": shift}


def _expectation(
    codec: "HeatmapCodec", heatmaps: Tensor, flipped: Tensor | None, to_image: Tensor | None
) -> Found:
    assert codec.sigma is not None
    shift = flip_shift(codec.convention) if flipped is not None else 0
    points, scores = decode_expectation(heatmaps, codec.sigma, flipped, codec.flip_index, shift)
    return points if to_image is None else transform_points(to_image, points), scores


DECODERS: dict[str, Decoder] = {
    "argmax": _op("argmax"),
    "standard": _op("standard"),
    "dark_unmodulated": _op("dark"),
    "dark": _op("dark", modulated=True),
    "expectation": Decoder(_expectation, regresses=True),
}
"""By name; of those that read a network's maps the last one is the best."""


AMBIGUOUS = 0.5
"""The height of a second peak, over that of the first, above which a joint may well be there."""
RIVAL_RADIUS = 2
"""Heatmap pixels: a second peak is further than this from the first, in x or y
(`benchmarks/ambiguity.py`)."""


def decoder_names(*, regresses: bool = False) -> tuple[str, ...]:
    """Return the decoders of heatmaps, or of coordinate regression, the best one last."""
    return tuple(name for name, decoder in DECODERS.items() if decoder.regresses is regresses)


def find_decoder(codec: "HeatmapCodec", name: str) -> Read:
    """Return how a codec's maps are read: by `DECODERS`, or by a function of other people's code.

    The latter, named `package.module:function`, takes heatmaps [B, K, H, W], averaged over the
    mirrored input if there is one, and the codec; it returns coordinates [B, K, 2] (x, y) in
    heatmap pixels and scores [B, K].

    Raises:
        ImportError: there is no such module.
        ValueError: the codec's encoding has no such decoder.
    """
    if is_import_path(name):
        return _theirs(name)
    if name not in codec.decoders:
        raise ValueError(
            f"decoder of encoding {codec.encoding} must be one of {', '.join(codec.decoders)}, "
            f"or module:function, got {name}"
        )
    return DECODERS[name].read


def _theirs(name: str) -> Read:
    function = imported(name, "decoder")

    def read(
        codec: "HeatmapCodec", heatmaps: Tensor, flipped: Tensor | None, to_image: Tensor | None
    ) -> Found:
        maps = flip_average(codec, heatmaps, flipped)
        shape = maps.shape[:-2]
        points, scores = function(maps.reshape(-1, *maps.shape[-3:]), codec)
        if points.numel() != 2 * scores.numel() or scores.numel() != shape.numel():
            raise ValueError(
                f"decoder {name} must return coordinates [B, K, 2] and scores [B, K] for heatmaps "
                f"{list(maps.shape)}, got {list(points.shape)} and {list(scores.shape)}"
            )
        points, scores = points.reshape(*shape, 2), scores.reshape(shape)
        return points if to_image is None else transform_points(to_image, points), scores

    return read


def ambiguity(
    codec: "HeatmapCodec",
    heatmaps: Tensor,  # [B..., K, H, W]
    flipped: Tensor | None,  # [B..., K, H, W]
) -> Tensor:  # [B..., K]
    """Return the height of each map's second peak over that of its first.

    0 of a map with one peak; NaN of one without a positive value, and of coordinate regression,
    whose maps' heights say nothing. Joints over `AMBIGUOUS` are more often wrong than others.
    """
    if codec.regresses:
        return heatmaps.new_full(heatmaps.shape[:-2], math.nan)
    options = _flip_options(codec, flipped)
    _, heights, _ = decode_peaks(heatmaps, [], 2, radius=RIVAL_RADIUS, **options)
    return heights[..., 1] / heights[..., 0]


def flip_average(
    codec: "HeatmapCodec",
    heatmaps: Tensor,  # [B..., K, H, W]
    flipped: Tensor | None,  # [B..., K, H, W]
) -> Tensor:  # [B..., K, H, W]
    """Return what a decoder reads: the mean with the mirrored input's output, if there is one.

    The op averages while it reads; this is for those who want to see the average, or decode it
    themselves. Of coordinate regression it is the probability of each place, the maps' softmax.

    Raises:
        ValueError: the codec has no `flip_index`, the joint that each joint becomes in the mirror.
    """
    if codec.regresses:
        heatmaps = expectation(heatmaps)[1]
        flipped = None if flipped is None else expectation(flipped)[1]
    if flipped is None:
        return heatmaps.float()
    if codec.flip_index is None:
        raise ValueError("flipped needs a codec with flip_index, got none")
    shift = flip_shift(codec.convention)
    return 0.5 * (heatmaps.float() + mirror_back(flipped.float(), codec.flip_index, shift))
