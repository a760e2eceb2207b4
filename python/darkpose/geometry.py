# SPDX-License-Identifier: Apache-2.0
"""How a person in an image, the network's input and its heatmaps correspond.

A pose network learns one such correspondence and is only right with that one, so this is a property
of a checkpoint. Three are in use; with a crop of w x h image pixels (aspect-fixed and padded) and a
target of W x H pixels, either the network's input or its heatmap:

| convention | factor                                  | the crop's center lands on |
| ---------- | --------------------------------------- | -------------------------- |
| `hrnet`    | W / w in both directions                | (W / 2, H / 2)             |
| `darkpose` | (W - 1) / (w - 1) in both directions    | ((W - 1) / 2, (H - 1) / 2) |
| `udp`      | (W - 1) / w in x, (H - 1) / h in y      | ((W - 1) / 2, (H - 1) / 2) |

The same rule makes the input and the heatmap, from which the rest follows: a heatmap pixel is
input / 4 for `hrnet`, input * (W_h - 1) / (W_i - 1) for `udp`, and for `darkpose` that factor of
the width in both directions, with a constant offset in y. Mixing conventions costs up to 11 image
pixels at 96 x 128. The arithmetic is that of `darkpose.affine`.

Points are (x, y), sizes (width, height), pixel centers lie at integers, matrices are [2, 3].
"""

import typing
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkpose import affine

if typing.TYPE_CHECKING:
    from torch import Tensor

Matrix = NDArray[np.float64]  # [2, 3], acts on (x, y, 1)
Box = tuple[float, float, float, float]  # x, y, width, height in image pixels
Enlarging = Literal["bilinear", "bicubic"]
"""How pixels are interpolated where the network's input is larger than the crop."""

FARTHEST = 2.0**24
"""Pixels from the origin; beyond, float32 does not tell two pixels apart."""


class Convention(str, Enum):
    """The correspondence a network was trained with; see the module's table."""

    hrnet = "hrnet"
    darkpose = "darkpose"
    udp = "udp"

    @classmethod
    def _missing_(cls, value: object) -> "Convention":
        names = ", ".join(cls.__members__)
        raise ValueError(f"convention must be one of {names}, got {value}")


@dataclass(frozen=True)
class Crop:
    """A person's region in the image, before it is mapped to the network."""

    center: tuple[float, float]
    """(x, y) in image pixels."""
    size: tuple[float, float]
    """(width, height) in image pixels, aspect-fixed and padded: 200 times HRNet's `scale`."""
    rotation: float = 0.0
    """Degrees by which the region is turned in the image, from its x axis towards its y axis."""

    def mirrored(self, image_width: int) -> "Crop":
        """Return the same region of the left-right mirrored image."""
        center = (image_width - 1 - self.center[0], self.center[1])
        return Crop(center, self.size, -self.rotation)


# ---- boxes ---------------------------------------------------------------------------------------


def box_to_crop(
    box: ArrayLike,
    input_size: tuple[int, int],
    convention: Convention | str,
    padding: float = 1.25,
) -> Crop:
    """Enlarge a box to the network's aspect ratio, then by `padding`.

    Args:
        box: (x, y, width, height) in image pixels.
        input_size: (width, height) of the network's input; only its ratio matters.
        convention: decides the center: x + (w - 1) / 2 for `darkpose`, x + w / 2 otherwise.
        padding: factor on both sides; 1.25 in all three conventions.

    Raises:
        ValueError: the box has no positive, finite size, or the padding is not positive.
    """
    checked = np.array(_checked_box(box))
    if not padding > 0:
        raise ValueError(f"box_to_crop: padding must be positive, got {padding}")
    centers, sizes = affine.box_centers_sizes(checked, input_size, Convention(convention), padding)
    return Crop(tuple(centers.tolist()), tuple(sizes.tolist()))


def fix_aspect(
    width: float, height: float, aspect: float, padding: float = 1.0
) -> tuple[float, float]:
    """Return the smallest (width, height) of ratio `aspect` that holds the given one, padded."""
    width, height = affine.fix_aspect(np.array([width, height]), aspect, padding).tolist()
    return width, height


def clip_box(
    box: ArrayLike, image_size: tuple[int, int], convention: Convention | str
) -> Box | None:
    """Clean an annotated box as each convention's training code does, before `box_to_crop`.

    `hrnet` and `darkpose` move a box that begins left of or above the image to its border and keep
    its size as far as the image reaches; `hrnet` then counts the distance between the first and the
    last pixel, so that its boxes are one pixel smaller. `udp` clips both corners to the last pixel.

    Returns:
        The box (x, y, width, height), or None where nothing of positive size is left: the
        annotation lies outside the image, and the training codes drop it.
    """
    x, y, width, height = _checked_box(box)
    last_x, last_y = image_size[0] - 1, image_size[1] - 1
    convention = Convention(convention)
    if convention is Convention.udp:
        x1, y1 = float(np.clip(x, 0, last_x)), float(np.clip(y, 0, last_y))
        x2, y2 = float(np.clip(x + width, 0, last_x)), float(np.clip(y + height, 0, last_y))
    else:
        x1, y1 = max(x, 0.0), max(y, 0.0)
        x2, y2 = min(last_x, x1 + max(width - 1, 0)), min(last_y, y1 + max(height - 1, 0))
    pixel = 1.0 if convention is Convention.darkpose else 0.0
    width, height = x2 - x1 + pixel, y2 - y1 + pixel
    return (x1, y1, width, height) if width > 0 and height > 0 else None


def _checked_box(box: ArrayLike) -> Box:
    values = np.asarray(box, dtype=np.float64)
    if values.shape != (4,):
        raise ValueError(f"a box must be (x, y, width, height), got shape {values.shape}")
    if not (np.isfinite(values).all() and (values[2:] > 0).all()):
        raise ValueError(f"a box must be finite with positive width and height, got {box!r}")
    x, y, width, height = (float(value) for value in values)
    return x, y, width, height


# ---- matrices ------------------------------------------------------------------------------------


def image_to_input(crop: Crop, input_size: tuple[int, int], convention: Convention | str) -> Matrix:
    """Return the affine map [2, 3] from image pixels to pixels of the network's input."""
    return affine.image_to_target(*_of(crop, input_size, convention))


def input_to_image(crop: Crop, input_size: tuple[int, int], convention: Convention | str) -> Matrix:
    """Return the affine map [2, 3] from pixels of the network's input to image pixels."""
    return affine.target_to_image(*_of(crop, input_size, convention))


def image_to_heatmap(
    crop: Crop,
    input_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    convention: Convention | str,
) -> Matrix:
    """Return the affine map [2, 3] from image pixels to heatmap pixels (Eq 12 of the DARK paper).

    Raises:
        ValueError: the heatmap does not have the input's aspect ratio. The conventions then no
            longer agree with their own input, each in a different way.
    """
    check_aspect(input_size, heatmap_size)
    return affine.image_to_target(*_of(crop, heatmap_size, convention))


def check_aspect(input_size: tuple[int, int], heatmap_size: tuple[int, int]) -> None:
    """Raise ValueError if the heatmap does not have the input's aspect ratio."""
    if input_size[0] * heatmap_size[1] != input_size[1] * heatmap_size[0]:
        raise ValueError(
            f"heatmap_size must have the aspect ratio of input_size {tuple(input_size)}, "
            f"got {tuple(heatmap_size)}"
        )


def heatmap_to_image(
    crop: Crop,
    input_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    convention: Convention | str,
) -> Matrix:
    """Return the affine map [2, 3] from heatmap pixels to image pixels (Eq 2)."""
    check_aspect(input_size, heatmap_size)
    return affine.target_to_image(*_of(crop, heatmap_size, convention))


def _of(crop: Crop, size: tuple[int, int], convention: Convention | str) -> tuple[Any, ...]:
    """Return what `darkpose.affine` takes of a crop and its target."""
    convention, (width, height) = Convention(convention), size
    if min(size) < (1 if convention is Convention.hrnet else 2):
        raise ValueError(
            f"a target size must be at least 1x1, or 2x2 for darkpose and udp, got {width}x{height}"
        )
    if convention is Convention.darkpose and crop.size[0] <= 1:
        raise ValueError(f"darkpose needs a crop wider than 1 pixel, got {crop.size[0]:g}")
    values = (np.asarray(each, np.float64) for each in (crop.center, crop.size))
    return *values, size, convention, np.float64(crop.rotation) if crop.rotation else None


def mirror(width: int) -> Matrix:
    """Return the affine map [2, 3] x -> width - 1 - x that mirrors an image of that width."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """Return the affine map [2, 3] that applies `inner`, then `outer`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], apply(outer, inner[:, 2])])


def enlarges(matrix: Matrix) -> bool:
    """Return whether an affine map [2, 3] shrinks no direction."""
    return bool(affine.enlarges(invert(matrix)))


def invert(matrix: Matrix) -> Matrix:
    """Return the inverse [2, 3] of an affine map.

    Raises:
        ValueError: the map is singular.
    """
    linear = np.asarray(matrix, dtype=np.float64)[:, :2]
    if not abs(np.linalg.det(linear)) > 0:
        raise ValueError(f"an affine map must be invertible, got {np.asarray(matrix).tolist()}")
    inverse = np.linalg.inv(linear)
    return np.column_stack([inverse, -inverse @ np.asarray(matrix, dtype=np.float64)[:, 2]])


def apply(matrix: ArrayLike, points: ArrayLike) -> NDArray[np.float64]:
    """Map points [..., 2] by an affine map [2, 3], in float64."""
    matrix = np.asarray(matrix, dtype=np.float64)
    mapped: NDArray[np.float64] = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return mapped


def transform_points(
    matrix: "Tensor",  # [B..., 2, 3]
    points: "Tensor",  # [B..., K, 2]
) -> "Tensor":  # [B..., K, 2]
    """Map each person's points by the person's affine map: `apply` for batches of tensors."""
    linear, offset = matrix[..., None, :, :2], matrix[..., None, :, 2]
    # No matrix product: autocast would round the coordinates to half precision for it.
    return (linear * points.unsqueeze(-2)).sum(-1) + offset


def flip_shift(convention: Convention | str) -> int:
    """Return by how many columns the flip test moves the mirrored network's heatmaps to the right.

    Unaligned `hrnet` maps miss each other by 0.75 heatmap pixels, which HRNet's code makes up for
    by one column; in the other conventions a mirrored input has the mirrored heatmap.
    """
    return 1 if Convention(convention) is Convention.hrnet else 0
