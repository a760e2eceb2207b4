# SPDX-License-Identifier: Apache-2.0
"""From heatmaps and boxes to keypoints in the image, in one call, for anyone's top-down network.

    coords, scores = decode_topdown(heatmaps, boxes, convention="udp", sigma=2.0)

Heatmaps are tensors, on any device, or NumPy arrays, as ONNX Runtime gives them: the answer is of
that kind, and the same. For arrays no torch is needed.

Two things must be known of a network, as of a checkpoint here (`darkpose.codec`): the sigma of its
targets, and the convention of its crops (`darkpose.geometry`). Of the input's size only the aspect
ratio matters, and heatmaps have it, too.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from darkpose import affine
from darkpose.geometry import Convention, flip_shift
from darkpose.interop.border import Floats, Maps, decode_of, decode_to_the_border, like
from darkpose.values import integers, numbers, shown
from darkpose_ext import gaussian_taps, opencv_taps

if TYPE_CHECKING:
    from torch import Tensor

Boxes: TypeAlias = "Tensor | NDArray[Any] | Sequence[Any]"
"""(x, y, width, height) in image pixels: [N, 4], or one such list for each image."""

DECODERS = {"argmax": "argmax", "standard": "standard", "dark_unmodulated": "dark", "dark": "dark"}
"""The methods of `darkpose_ext.decode` by their names in `darkpose.decoders`."""
_AT_ONCE = 2**20  # pixels of heatmaps that are averaged, 4 MB


def decode_topdown(
    heatmaps: Maps,  # [N, K, H, W]
    boxes: Boxes,
    *,
    convention: Convention | str,
    sigma: float,
    padding: float = 1.25,
    taps: Sequence[float] | int | None = None,
    decoder: str = "dark",
    flipped: Maps | None = None,  # [N, K, H, W]
    flip_pairs: "Tensor | NDArray[Any] | Sequence[Any] | None" = None,
    mirrored_back: bool = False,
) -> tuple[Maps, Maps]:  # [N, K, 2], [N, K]
    """Return joints (x, y) in image pixels, pixel centers at integers, and their scores.

    Args:
        heatmaps: one person each, a tensor or an array of any floating type.
        boxes: of these people, as their crops were cut by: (x, y, width, height) in image pixels,
            [N, 4], or one such list for each image.
        convention: how image and heatmap correspond: "hrnet", "darkpose" or "udp".
        sigma: of the Gaussians that the network was trained with, in heatmap pixels.
        padding: by which boxes were enlarged, after they had been to the input's aspect ratio.
        taps: that DARK smooths with, or a kernel's size with the sigma that OpenCV takes for it; a
            Gaussian of `sigma` if None.
        decoder: "dark", near the border a fit (`border` of `darkpose_ext.decode`, by the sigma of
            `taps`); or one of the others that it is compared with: "argmax", "standard",
            "dark_unmodulated".
        flipped: for the flip test, the network's output for the mirrored crops.
        flip_pairs: with `flipped`, the joints that change places in the mirror: pairs [P, 2], none
            if empty; or the joint that each one becomes [K], the `flip_index` of codecs and specs.
        mirrored_back: `flipped` has been mirrored, and its joints exchanged, already.

    Returns:
        coords [N, K, 2] and scores [N, K], the heatmaps' maxima, float32 (float64 for float64) on
        the heatmaps' device; both NaN for a map with a NaN. No gradient.

    Raises:
        TypeError, ValueError: for a wrong shape, type or value.

    >>> maps = np.zeros((1, 1, 64, 48), np.float32)
    >>> maps[0, 0, 32, 24] = 0.5
    >>> coords, scores = decode_topdown(maps, [(0, 0, 94, 126)], convention="udp", sigma=2.0)
    >>> [round(x, 2) for x in coords[0, 0].tolist()], scores.tolist()
    ([48.26, 64.25], [[0.5]])
    """
    check_maps(heatmaps)
    people, joints, height, width = heatmaps.shape
    matrices = heatmaps_to_image(all_boxes(boxes), (width, height), convention, padding)
    if len(matrices) != people:
        raise ValueError(
            f"boxes must be one for each of the {people} people of heatmaps, got {len(matrices)}"
        )
    own = gaussian_taps(sigma)  # raises for an impossible sigma
    smooth: Any = own if taps is None else plain(taps)
    if not isinstance(smooth, Sequence):
        smooth = opencv_taps(smooth)
    if decoder not in DECODERS:
        raise ValueError(f"decoder must be one of {', '.join(DECODERS)}, got {decoder}")
    read: Callable[..., Any] = partial(decode_to_the_border, taps=smooth)
    if decoder != "dark":
        read = partial(decode_of(heatmaps), taps=[], method=DECODERS[decoder])
    if flipped is None:
        coords, scores = read(heatmaps)
    elif mirrored_back:
        coords, scores = _read_averages(read, heatmaps, _alike(flipped, heatmaps))
    else:
        index, shift = _flip_index(flip_pairs, joints), flip_shift(convention)
        mirror = _alike(flipped, heatmaps)
        coords, scores = read(heatmaps, flipped=mirror, flip_index=index, flip_shift=shift)
    scale, offset = matrices[:, None, [0, 1], [0, 1]], matrices[:, None, :, 2]
    return coords * like(scale, coords) + like(offset, coords), scores


def heatmaps_to_image(
    boxes: Floats,  # [N, 4]
    heatmap_size: tuple[int, int],
    convention: Convention | str,
    padding: float = 1.25,
) -> Floats:  # [N, 2, 3]
    """Return `darkpose.geometry.heatmap_to_image` of many boxes at once, each made a crop by
    `box_to_crop`; the input has the aspect ratio of heatmap_size, (width, height).

    Raises:
        ValueError: a box has no positive, finite size, or the padding is not positive.
    """
    convention = Convention(convention)
    if not 0 < padding < np.inf:
        raise ValueError(f"padding must be positive, got {padding}")
    wrong = ~np.isfinite(boxes).all(1) | ~(boxes[:, 2:] > 0).all(1)
    if wrong.any():
        raise ValueError(
            "boxes must be finite (x, y, width, height) with positive width and height, "
            f"got {boxes[wrong][0].tolist()}"
        )
    centers, sizes = affine.box_centers_sizes(boxes, heatmap_size, convention, padding)
    if convention is Convention.darkpose and len(sizes) and sizes[:, 0].min() <= 1:
        raise ValueError(
            f"darkpose needs crops wider than 1 pixel, got one of {sizes[:, 0].min():g}"
        )
    return affine.target_to_image(centers, sizes, heatmap_size, convention)


# ---- what is given -------------------------------------------------------------------------------


def check_maps(heatmaps: Any, name: str = "heatmaps") -> None:
    """Raise TypeError or ValueError if these are not heatmaps [N, K, H, W]."""
    if not isinstance(heatmaps, np.ndarray) and not hasattr(heatmaps, "new_tensor"):
        kind = type(heatmaps).__name__
        raise TypeError(f"{name} must be a tensor or a NumPy array, got {kind}")
    if heatmaps.ndim != 4 or min(heatmaps.shape[2:]) < 2:
        raise ValueError(
            f"{name} must be [N, K, H, W] of at least 2x2 pixels, got {list(heatmaps.shape)}"
        )


def all_boxes(boxes: Boxes) -> Floats:
    """Return the boxes [N, 4] of one image or, one after the other, of several.

    Raises:
        ValueError: they are not of four numbers.
    """
    listed, parts = plain(boxes), [np.empty((0, 4))]
    if not isinstance(listed, Sequence):
        raise TypeError(f"boxes must be a list of (x, y, width, height), got {shown(boxes)}")
    for one in listed:
        part = numbers(plain(one), "each of boxes")
        part = part[None] if part.shape == (4,) else part.reshape(0, 4) if not part.size else part
        if part.ndim != 2 or part.shape[1] != 4:
            raise ValueError(f"boxes must be (x, y, width, height), got shape {list(part.shape)}")
        parts.append(part)
    return np.concatenate(parts)


def plain(values: Any) -> Any:
    """Return a tensor or an array as nested lists, anything else as it is."""
    return values.tolist() if hasattr(values, "tolist") else values


def _alike(flipped: Any, heatmaps: Any) -> Any:
    check_maps(flipped, "flipped")
    arrays = [isinstance(maps, np.ndarray) for maps in (heatmaps, flipped)]
    if arrays[0] != arrays[1] or flipped.shape != heatmaps.shape:
        kinds = ("an array" if array else "a tensor" for array in arrays)
        shapes = (list(maps.shape) for maps in (heatmaps, flipped))
        expected, got = (f"{kind} {shape}" for kind, shape in zip(kinds, shapes, strict=True))
        raise ValueError(f"flipped must be what heatmaps are, {expected}, got {got}")
    return flipped


def _flip_index(pairs: Any, joints: int) -> list[int]:
    if pairs is None:
        raise ValueError(
            "flipped needs flip_pairs, the joints that change places in the mirror: "
            "pairs [P, 2], or the joint that each one becomes [K]"
        )
    given = plain(pairs)
    if len(given) and np.ndim(given[0]) == 0:
        return [int(joint) for joint in integers(given, "flip_pairs", (joints,))]
    index = list(range(joints))
    for left, right in integers(given, "flip_pairs", (-1, 2)).tolist():
        if not (0 <= left < joints and 0 <= right < joints):
            raise ValueError(f"flip_pairs must be of joints 0 to {joints - 1}, got {left}, {right}")
        index[left], index[right] = right, left
    return index


# ---- the flip test with maps that are mirrored back ----------------------------------------------


def _read_averages(read: Callable[..., Any], maps: Any, other: Any) -> tuple[Any, Any]:
    """Read the means of two sets of maps, of which only a few exist at a time."""
    people, joints = maps.shape[:2]
    sample = _arithmetic(maps[:0, :0])
    coords, scores = (like(np.zeros((people, joints, *more)), sample) for more in ((2,), ()))
    for part in _parts(*maps.shape):
        mean = _arithmetic(maps[part]) + _arithmetic(other[part])
        mean /= 2
        coords[part], scores[part] = read(mean)
        del mean  # before the next one is made
    return coords, scores


def _parts(people: int, joints: int, height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Yield slices of people and of joints that hold a bounded number of pixels."""
    count = max(1, _AT_ONCE // (height * width))  # maps
    for_people, for_joints = max(1, count // max(1, joints)), min(count, max(1, joints))
    for person in range(0, people, for_people):
        for joint in range(0, joints, for_joints):
            yield slice(person, person + for_people), slice(joint, joint + for_joints)


def _arithmetic(maps: Any) -> Any:
    """Return maps in the type that decoding computes with: float64 as it is, others float32."""
    if maps.dtype.itemsize == 8:
        return maps
    return maps.astype(np.float32) if isinstance(maps, np.ndarray) else maps.float()
