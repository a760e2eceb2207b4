# SPDX-License-Identifier: Apache-2.0
"""ViTPose of Hugging Face's transformers, decoded by DARK.

    outputs = model(**processor(image, boxes=[boxes], return_tensors="pt"))
    coords, scores = decode_vitpose(outputs.heatmaps, boxes)  # [N, 17, 2] in image pixels, [N, 17]

or, in place of the image processor's method of that name and with results of its structure,

    results = post_process_pose_estimation(outputs, boxes=[boxes])

Boxes are those that the processor was given. It cuts out ViTPose's own crops: the box, enlarged to
the input's aspect ratio and then by 1.25, in the `udp` convention (`darkpose.geometry`). Nothing
is left to choose, for the heatmaps have the input's aspect ratio.

Where the library's own post-processing departs from DARK, this does not follow it:

- it smooths with sigma 0.8 whatever `kernel_size` says, where ViTPose was trained with 2, and so
  lets twice as much of a map's noise into the coordinates;
- a map without a positive value gets coordinates from the memory of another: here its argmax;
- with one joint, two people or more are an error there;
- `bbox` is made of the crop's center and scale: here it is the box;
- `target_sizes` are documented as (height, width), as they are understood here, but used as
  (width, height).

Nothing of transformers is imported: heatmaps and boxes are all that is needed.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import released_sigma
from darkpose.geometry import transform_points
from darkpose.interop.border import decode_to_the_border
from darkpose_ext import gaussian_taps, opencv_taps

STRIDE = 4  # input pixels per heatmap pixel, in every ViTPose
PADDING = 1.25
COCO_FLIP_PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
"""Joints of COCO that change places in a mirror."""

Boxes = Tensor | NDArray[Any] | Sequence[Any]
"""(x, y, width, height) in image pixels: [N, 4], or one such list for each image."""


class PoseOutput(Protocol):
    """What `VitPoseForPoseEstimation` returns, as far as it is read here."""

    heatmaps: Any


def decode_vitpose(
    heatmaps: Tensor,  # [N, K, H, W]
    boxes: Boxes,
    *,
    flipped: Tensor | None = None,  # [N, K, H, W]
    flip_pairs: Sequence[Sequence[int]] | Tensor | None = None,
    sigma: float | None = None,
    padding: float = PADDING,
) -> tuple[Tensor, Tensor]:  # [N, K, 2], [N, K]
    """Return joints (x, y) in image pixels, pixel centers at integers, and their scores.

    Args:
        heatmaps: of `VitPoseForPoseEstimation`, one person each, on any device.
        boxes: of these people, as the image processor was given them: (x, y, width, height) in
            image pixels, [N, 4], or one such list for each image.
        flipped: for the flip test, the heatmaps of `pixel_values.flip(-1)`, as they are: from a
            model that was not given `flip_pairs` itself.
        flip_pairs: with `flipped`, the joints that change places in the mirror; for COCO's 17
            joints they are known.
        sigma: of the Gaussians that the model was trained with, in heatmap pixels. The default is
            every released ViTPose's: 2 for maps of 64 rows, and in proportion.
        padding: by which the processor enlarged the boxes.

    Returns:
        coords [N, K, 2] and scores [N, K], the heatmaps' maxima, float32 (float64 for float64) on
        the heatmaps' device.

    Raises:
        TypeError, ValueError: for a wrong shape, type or value.

    >>> maps = torch.zeros(1, 1, 64, 48)
    >>> maps[0, 0, 32, 24] = 0.5
    >>> coords, scores = decode_vitpose(maps, [(0.0, 0.0, 94.0, 126.0)])
    >>> [round(x, 2) for x in coords[0, 0].tolist()], scores.tolist()
    ([48.26, 64.25], [[0.5]])
    """
    _check_heatmaps(heatmaps)
    height, width = heatmaps.shape[2:]
    if sigma is None:
        sigma = released_sigma((STRIDE * width, STRIDE * height))
    taps = gaussian_taps(sigma)
    return _decode(heatmaps, _as_boxes(boxes), taps, sigma, padding, flipped, flip_pairs)


def post_process_pose_estimation(
    outputs: PoseOutput,
    boxes: Boxes,
    kernel_size: int = 11,
    threshold: float | None = None,
    target_sizes: Any = None,  # [N, 2]
) -> list[list[dict[str, Tensor]]]:
    """Return what `VitPoseImageProcessor.post_process_pose_estimation` would, decoded by DARK.

    Args:
        outputs: of `VitPoseForPoseEstimation`; `heatmaps` [N, K, H, W] are read.
        boxes: a list of (x, y, width, height) for each image, as the processor was given them.
        kernel_size: of the modulation, with the sigma that OpenCV takes for it: 2 for 11.
        threshold: joints of no higher score are left out of a person's result.
        target_sizes: (height, width) of each person's image, if boxes are in shares of it.

    Returns:
        For each image and each of its boxes `keypoints` [K, 2] (x, y) in image pixels, `scores`
        [K], `labels` [K], the joints' numbers, and `bbox` [4], the box as (x1, y1, x2, y2); all in
        main memory.

    Raises:
        TypeError, ValueError: for a wrong shape, type or value.
    """
    heatmaps = outputs.heatmaps
    _check_heatmaps(heatmaps)
    images = [_as_boxes(one) for one in boxes]
    flat = np.concatenate([np.empty((0, 4)), *images])
    if target_sizes is not None:
        sizes = np.asarray(torch.as_tensor(target_sizes).cpu(), np.float64)
        if sizes.shape != (len(flat), 2):
            raise ValueError(
                f"target_sizes must be (height, width) for each of {len(flat)} boxes, "
                f"got shape {list(sizes.shape)}"
            )
        flat = flat * sizes[:, [1, 0, 1, 0]]
    sigma = released_sigma((STRIDE * heatmaps.shape[3], STRIDE * heatmaps.shape[2]))
    coords, scores = _decode(heatmaps, flat, opencv_taps(kernel_size), sigma, PADDING, None, None)
    corners = torch.from_numpy(np.hstack((flat[:, :2], flat[:, :2] + flat[:, 2:]))).float()
    people = [
        _result(*person, threshold)
        for person in zip(coords.cpu(), scores.cpu(), corners, strict=True)
    ]
    ends = np.cumsum([len(image) for image in images]).tolist()
    return [people[end - len(image) : end] for image, end in zip(images, ends, strict=True)]


def _result(
    coords: Tensor, scores: Tensor, box: Tensor, threshold: float | None
) -> dict[str, Tensor]:
    labels = torch.arange(len(scores))
    if threshold is not None:
        keep = scores > threshold
        coords, scores, labels = coords[keep], scores[keep], labels[keep]
    return {"keypoints": coords, "scores": scores, "labels": labels, "bbox": box}


def _decode(
    heatmaps: Tensor,
    boxes: NDArray[np.float64],
    taps: Sequence[float],
    sigma: float,
    padding: float,
    flipped: Tensor | None,
    flip_pairs: Sequence[Sequence[int]] | Tensor | None,
) -> tuple[Tensor, Tensor]:
    if len(boxes) != len(heatmaps):
        raise ValueError(
            f"boxes must be one for each of the {len(heatmaps)} people of heatmaps, "
            f"got {len(boxes)}"
        )
    index = None if flipped is None else _flip_index(flip_pairs, heatmaps.shape[1])
    height, width = heatmaps.shape[2:]
    to_image = torch.from_numpy(heatmaps_to_image(boxes, (width, height), padding))
    with torch.no_grad():
        coords, scores = decode_to_the_border(
            heatmaps.detach(), taps, sigma, flipped=flipped, flip_index=index
        )
        return transform_points(to_image.to(coords), coords), scores


def heatmaps_to_image(
    boxes: NDArray[np.float64], heatmap_size: tuple[int, int], padding: float = PADDING
) -> NDArray[np.float64]:  # [N, 2, 3]
    """Return `darkpose.geometry.heatmap_to_image` of the `udp` convention for boxes [N, 4].

    Raises:
        ValueError: a box has no positive, finite size, or the padding is not positive.
    """
    if not padding > 0:
        raise ValueError(f"padding must be positive, got {padding}")
    wrong = ~np.isfinite(boxes).all(1) | ~(boxes[:, 2:] > 0).all(1)
    if wrong.any():
        raise ValueError(
            "boxes must be finite (x, y, width, height) with positive width and height, "
            f"got {boxes[wrong][0].tolist()}"
        )
    width, height = heatmap_size
    center, size, aspect = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:], width / height
    crop = padding * np.maximum(size, size[:, ::-1] * (aspect, 1 / aspect))
    matrices = np.zeros((len(boxes), 2, 3))
    matrices[:, [0, 1], [0, 1]] = crop / (width - 1, height - 1)
    matrices[:, :, 2] = center - crop / 2
    return matrices


def _check_heatmaps(heatmaps: Any) -> None:
    if not isinstance(heatmaps, Tensor):
        raise TypeError(f"heatmaps must be a tensor, got {type(heatmaps).__name__}")
    if heatmaps.dim() != 4 or min(heatmaps.shape[2:]) < 2:
        raise ValueError(
            f"heatmaps must be [N, K, H, W] of at least 2x2 pixels, got {list(heatmaps.shape)}"
        )


def _as_boxes(boxes: Boxes) -> NDArray[np.float64]:
    """Return all boxes [N, 4] of one image or, one after the other, of several."""
    parts = []
    for one in boxes:
        part = np.asarray(one.cpu() if isinstance(one, Tensor) else one, np.float64)
        part = part[None] if part.shape == (4,) else part.reshape(0, 4) if not part.size else part
        if part.ndim != 2 or part.shape[1] != 4:
            raise ValueError(f"boxes must be (x, y, width, height), got shape {list(part.shape)}")
        parts.append(part)
    return np.concatenate(parts) if parts else np.empty((0, 4))


def _flip_index(pairs: Sequence[Sequence[int]] | Tensor | None, joints: int) -> list[int]:
    if pairs is None:
        if joints != 17:
            raise ValueError(
                "flipped needs flip_pairs, the joints that change places in the mirror: "
                f"they are known for COCO's 17 joints, got {joints}"
            )
        pairs = COCO_FLIP_PAIRS
    index = list(range(joints))
    for left, right in pairs.tolist() if isinstance(pairs, Tensor) else pairs:
        if not (0 <= left < joints and 0 <= right < joints):
            raise ValueError(f"flip_pairs must be of joints 0 to {joints - 1}, got {left}, {right}")
        index[left], index[right] = right, left
    return index
