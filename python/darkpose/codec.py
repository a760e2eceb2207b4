# SPDX-License-Identifier: Apache-2.0
"""Coordinates to heatmaps and back, with everything that must agree between training and inference.

A network's heatmaps mean something only together with the input size, the sigma and the pixel
convention they were trained with. `HeatmapCodec` holds these and calls the ops with them, or, for
the coordinate regression that the paper compares with, the functions of `darkpose.regression`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from darkpose.decoders import DECODERS, Border, decoder_names, find_decoder
from darkpose.encodings import ENCODINGS, HEATMAP_ENCODINGS, EncodingName
from darkpose.geometry import (
    Convention,
    Crop,
    Enlarging,
    Matrix,
    box_to_crop,
    check_aspect,
    heatmap_to_image,
    image_to_heatmap,
    image_to_input,
    input_to_image,
    transform_points,
)
from darkpose.values import finite, integers, shown
from darkpose_ext import encode, gaussian_taps, heatmap_mse, opencv_taps

__all__ = ["DECODERS", "ENCODINGS", "HEATMAP_ENCODINGS", "HeatmapCodec", "released_sigma"]


_MOST_PIXELS = 2**24  # of an input that a file names


def released_sigma(input_size: tuple[int, int]) -> float:
    """Return the sigma of the released configurations, in heatmap pixels: 1, 2, 3 for an input
    128, 256, 384 pixels high, in proportion for other sizes."""
    return input_size[1] / 128


@dataclass(frozen=True)
class HeatmapCodec:
    """Write joints into heatmaps and read them back, from and to image coordinates.

    Args:
        input_size: (width, height) of the network's input in pixels.
        heatmap_size: (width, height) of its heatmaps; a quarter of the input if None.
        sigma: of the Gaussians in heatmap pixels; `released_sigma(input_size)` if None.
        convention: how image, input and heatmap correspond (`darkpose.geometry`).
        encoding: "unbiased" (Gaussians at sub-pixel positions), "biased" (rounded and cut off),
            or coordinate regression: "dsnt" or "ipr" (`darkpose.regression`).
        padding: factor by which a person's box is enlarged on both sides.
        modulation: size of the OpenCV kernel that "dark" smooths with, as the released
            configurations name it; a Gaussian of `sigma` if None.
        flip_index: for the flip test, the joint that each joint becomes in the mirror.
        enlarging: how crops are interpolated that are smaller than the input in both directions
            (`darkpose.data.images.crop_people`); others always bilinearly.
        border: of "dark" where a maximum is near the heatmap's border, see `darkpose_ext.decode`.
            Other decoders have no such choice.

    Raises:
        ValueError: for a size that is not positive, sizes of different aspect ratio, or an unknown
            name or kernel size.

    >>> codec = HeatmapCodec((192, 256))
    >>> codec.heatmap_size, codec.sigma
    ((48, 64), 2.0)
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int] | None = None
    sigma: float | None = None
    convention: Convention = Convention.darkpose
    encoding: EncodingName = "unbiased"
    padding: float = 1.25
    modulation: int | None = None
    flip_index: tuple[int, ...] | None = None
    enlarging: Enlarging = "bilinear"
    border: Border = "stay"

    def __post_init__(self) -> None:
        width, height = self.input_size
        heatmap_width, heatmap_height = self.heatmap_size or (width // 4, height // 4)
        if min(width, height, heatmap_width, heatmap_height) < 1:
            raise ValueError(
                "input_size and heatmap_size must be positive, "
                f"got {self.input_size} and {self.heatmap_size}"
            )
        check_aspect((width, height), (heatmap_width, heatmap_height))
        if not self.padding > 0:
            raise ValueError(f"padding must be positive, got {self.padding}")
        names = {
            "encoding": tuple(ENCODINGS),
            "enlarging": get_args(Enlarging),
            "border": get_args(Border),
        }
        for name, known in names.items():
            if (got := getattr(self, name)) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {got}")
        if self.modulation is not None:
            opencv_taps(self.modulation)  # raises for an impossible size
        sigma = released_sigma(self.input_size) if self.sigma is None else self.sigma
        gaussian_taps(sigma)  # raises for an impossible sigma
        set_ = object.__setattr__  # the customary way to normalize a frozen dataclass
        set_(self, "input_size", (width, height))
        set_(self, "heatmap_size", (heatmap_width, heatmap_height))
        set_(self, "sigma", float(sigma))
        set_(self, "convention", Convention(self.convention))
        if self.flip_index is not None:
            set_(self, "flip_index", tuple(self.flip_index))

    # ---- geometry: where a crop's pixels lie -----------------------------------------------------

    def crop(self, box: ArrayLike) -> Crop:
        """Return the region that the network sees of a person's box (x, y, w, h), image pixels."""
        return box_to_crop(box, self.input_size, self.convention, self.padding)

    def image_to_input(self, crop: Crop) -> Matrix:
        """Return the matrix [2, 3] from image to input pixels."""
        return image_to_input(crop, self.input_size, self.convention)

    def input_to_image(self, crop: Crop) -> Matrix:
        """Return the matrix [2, 3] from input to image pixels: `darkpose_ext.crop` takes it."""
        return input_to_image(crop, self.input_size, self.convention)

    def image_to_heatmap(self, crop: Crop) -> Matrix:
        """Return the matrix [2, 3] from image to heatmap pixels (Eq 12)."""
        return image_to_heatmap(crop, self.input_size, self._heatmap_size, self.convention)

    def heatmap_to_image(self, crop: Crop) -> Matrix:
        """Return the matrix [2, 3] from heatmap to image pixels (Eq 2)."""
        return heatmap_to_image(crop, self.input_size, self._heatmap_size, self.convention)

    # ---- joints to heatmaps ----------------------------------------------------------------------

    def encode(
        self,
        joints: Tensor,  # [B..., K, 2]
        weights: Tensor,  # [B..., K]
        to_heatmap: Tensor | None = None,  # [B..., 2, 3]
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:  # [B..., K, H, W], [B..., K]
        """Return target heatmaps and the weights that count, see `darkpose_ext.encode`.

        joints are (x, y) in the pixels that `to_heatmap` maps from, in heatmap pixels without it.

        Raises:
            ValueError: coordinate regression has no target heatmaps.
        """
        options = ENCODINGS[self.encoding].targets
        if options is None:
            raise ValueError(f"encoding {self.encoding} regresses coordinates: it has no heatmaps")
        width, height = self._heatmap_size
        given = {**options, "transform": to_heatmap, "dtype": dtype}
        return encode(joints, weights, height, width, self._sigma, **given)

    def loss(
        self,
        heatmaps: Tensor,  # [B..., K, H, W]
        joints: Tensor,  # [B..., K, 2]
        weights: Tensor,  # [B..., K]
        to_heatmap: Tensor | None = None,  # [B..., 2, 3]
    ) -> Tensor:  # [B..., K]
        """Return each joint's loss, whose mean is the loss of the method's authors.

        For heatmaps it is that against the target `encode` would give, never stored.
        """
        self._check_size(heatmaps)
        encoding = ENCODINGS[self.encoding]
        if encoding.loss is not None:
            points = joints if to_heatmap is None else transform_points(to_heatmap, joints)
            return encoding.loss(heatmaps, points, weights, self._sigma)
        options = {**(encoding.targets or {}), "transform": to_heatmap}
        return heatmap_mse(heatmaps, joints, weights, self._sigma, **options)

    # ---- heatmaps to joints ----------------------------------------------------------------------

    def decode(
        self,
        heatmaps: Tensor,  # [B..., K, H, W]
        to_image: Tensor | None = None,  # [B..., 2, 3]
        *,
        decoder: str | None = None,
        flipped: Tensor | None = None,  # [B..., K, H, W]
    ) -> tuple[Tensor, Tensor]:  # [B..., K, 2], [B..., K]
        """Return coordinates and scores, see `darkpose_ext.decode`.

        Args:
            heatmaps: the network's output.
            to_image: from heatmap to image pixels (Eq 2); None leaves coordinates in the heatmap's.
            decoder: one of `decoders`, or `module:function` of your own code, see
                `darkpose.decoders.find_decoder`; the last of `decoders` if None. Heatmaps have
                "argmax", "standard", "dark_unmodulated" and "dark", the rows of Tables 1 and 2.
            flipped: the output for the mirrored input: the flip test.
        """
        self._check_size(heatmaps)
        if flipped is not None and self.flip_index is None:
            raise ValueError(
                "flipped needs a codec with flip_index, "
                "the joint that each joint becomes in the mirror; got none"
            )
        return find_decoder(self, decoder or self.decoders[-1])(self, heatmaps, flipped, to_image)

    @property
    def regresses(self) -> bool:
        """Whether the network's maps stand for coordinates, not for Gaussians."""
        return ENCODINGS[self.encoding].targets is None

    @property
    def decoders(self) -> tuple[str, ...]:
        """The ways to read this network's maps (`darkpose.decoders`), the best one last."""
        return decoder_names(regresses=self.regresses)

    @property
    def taps(self) -> list[float]:
        """What "dark" smooths with."""
        return opencv_taps(self.modulation) if self.modulation else gaussian_taps(self._sigma)

    # ---- as a part of a checkpoint ---------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint or a JSON file."""
        return {**asdict(self), "convention": self.convention.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "HeatmapCodec":
        """Return the codec that `to_dict` described, whoever wrote the values.

        Raises:
            ValueError: a value is missing, unknown, or not what such a value can be.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"codec must be a mapping, got {shown(values)}")
        known = [field.name for field in fields(cls)]
        if values.get("input_size") is None or not set(known).issuperset(values):
            wanted = f"codec must have input_size and others of {', '.join(known)}"
            raise ValueError(f"{wanted}, got {shown(list(values))}")
        return cls(**{name: _read(v, name) for name, v in values.items() if v is not None})

    # ---- what __post_init__ has filled in --------------------------------------------------------

    @property
    def _heatmap_size(self) -> tuple[int, int]:
        assert self.heatmap_size is not None
        return self.heatmap_size

    @property
    def _sigma(self) -> float:
        assert self.sigma is not None
        return self.sigma

    def _check_size(self, heatmaps: Tensor) -> None:
        width, height = self._heatmap_size
        if tuple(heatmaps.shape[-2:]) != (height, width):
            raise ValueError(
                f"heatmaps must be {height} x {width} for an input of "
                f"{self.input_size[1]} x {self.input_size[0]}, got {list(heatmaps.shape)}"
            )


def _read(value: Any, name: str) -> Any:
    """Return a value from a checkpoint for the field of this name; ValueError if it is not one."""
    if name == "flip_index":
        return tuple(integers(value, name, (-1,)).tolist())
    if name == "modulation":
        return integers([value], name, (1,)).item()
    if name in ("sigma", "padding"):
        return finite([value], name, 1).item()
    if name in ("input_size", "heatmap_size"):
        width, height = integers(value, name, (2,)).tolist()
        if width * height > _MOST_PIXELS:
            raise ValueError(f"{name} must have at most {_MOST_PIXELS} pixels, got {shown(value)}")
        return width, height
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a name, got {shown(value)}")
    return value
