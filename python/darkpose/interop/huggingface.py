# SPDX-License-Identifier: Apache-2.0
"""ViTPose and Sapiens2 of Hugging Face's transformers, decoded by DARK.

    outputs = model(**processor(image, boxes=[boxes], return_tensors="pt"))
    coords, scores = decode_vitpose(outputs.heatmaps, boxes)  # [N, K, 2] in image pixels, [N, K]

or, in place of an image processor's method, with its arguments and results of its structure,

    results = vitpose_post_process_pose_estimation(outputs, boxes=[boxes])
    results = sapiens2_post_process_pose_estimation(outputs, boxes=[boxes])

Of Sapiens2's maps `darkpose.decode_topdown(maps, boxes, convention="udp", sigma=6.0)` makes
coordinates and scores. Boxes are those that the processor was given. Both of its classes cut out
the box, enlarged to the input's aspect ratio and then by 1.25, in the `udp` convention
(`darkpose.geometry`).

Where the library's own post-processing departs from DARK, this does not follow it. Both:

- refine within two sigma of a map's border from values that they make up;
- give a map without a positive value no coordinates of its own: here it has its argmax.

ViTPose's, besides,

- smooths with sigma 0.8 whatever `kernel_size` says, where ViTPose was trained with 2, and so
  lets twice as much of a map's noise into the coordinates;
- is wrong from the 300th person of a call on, of 17 joints and 64x48, by up to 2 pixels;
- with one joint, two people or more are an error there;
- `bbox` is made of the crop's center and scale: here it is the box;
- `target_sizes` are documented as (height, width), as they are understood here, but used as
  (width, height).

Sapiens2's smooths with the 11 taps of sigma 2 where it was trained with 6, and `kernel_size` means
that here too, also for what is near the border; None, which is not a value there, is the Gaussian
of sigma 6.

Nothing of transformers is imported: heatmaps and boxes are all that is needed.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from darkpose.interop.border import Floats, Maps
from darkpose.topdown import Boxes, all_boxes, check_maps, decode_topdown, plain
from darkpose.values import finite

PADDING = 1.25
"""Of people's boxes, the default of `box_to_center_and_scale` and of `boxes_to_crop_params` in
transformers' two image processors. Both crop by the convention `udp`: the crop's first and last
pixels' centers lie on the box's borders (`get_warp_matrix`, `crop_and_resize`)."""
SAPIENS2_SIGMA = 6.0
"""Of its training, in pixels of its heatmaps, 256 x 192."""
COCO_FLIP_PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
"""Joints of COCO that change places in a mirror."""


class PoseOutput(Protocol):
    """What the models return, as far as it is read here."""

    heatmaps: Any


def decode_vitpose(
    heatmaps: Maps,  # [N, K, H, W]
    boxes: Boxes,
    *,
    flipped: Maps | None = None,  # [N, K, H, W]
    flip_pairs: Any = None,
    sigma: float | None = None,
    padding: float = PADDING,
) -> tuple[Maps, Maps]:  # [N, K, 2], [N, K]
    """Return joints (x, y) in image pixels, pixel centers at integers, and their scores.

    Args:
        heatmaps: of `VitPoseForPoseEstimation`, one person each.
        boxes: of these people, as the image processor was given them: (x, y, width, height) in
            image pixels, [N, 4], or one such list for each image.
        flipped: for the flip test, the heatmaps of `pixel_values.flip(-1)`, as they are: from a
            model that was not given `flip_pairs` itself.
        flip_pairs: with `flipped`, the joints that change places in the mirror: `COCO_FLIP_PAIRS`
            if they are COCO's.
        sigma: of the Gaussians that the model was trained with, in heatmap pixels. The default is
            every released ViTPose's: 2 for maps of 64 rows, and in proportion.
        padding: by which the processor enlarged the boxes.

    Returns:
        coords [N, K, 2] and scores [N, K], see `darkpose.topdown.decode_topdown`.

    Raises:
        TypeError, ValueError: for a wrong shape, type or value.

    >>> maps = torch.zeros(1, 1, 64, 48)
    >>> maps[0, 0, 32, 24] = 0.5
    >>> coords, scores = decode_vitpose(maps, [(0.0, 0.0, 94.0, 126.0)])
    >>> [round(x, 2) for x in coords[0, 0].tolist()], scores.tolist()
    ([48.26, 64.25], [[0.5]])
    """
    if flipped is not None and flip_pairs is None:
        raise ValueError(
            "flipped needs flip_pairs, the joints that change places in the mirror: "
            "darkpose.interop.huggingface.COCO_FLIP_PAIRS if they are COCO's 17"
        )
    return decode_topdown(
        heatmaps,
        boxes,
        convention="udp",
        sigma=_vitpose_sigma(heatmaps) if sigma is None else sigma,
        padding=padding,
        flipped=flipped,
        flip_pairs=flip_pairs,
    )


def vitpose_post_process_pose_estimation(
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
    counts, flat = [len(all_boxes(one)) for one in plain(boxes)], all_boxes(boxes)
    if target_sizes is not None:
        flat = flat * np.tile(_sizes(target_sizes, "target_sizes", len(flat), "boxes"), 2)
    coords, scores = decode_topdown(
        outputs.heatmaps,
        flat,
        convention="udp",
        sigma=_vitpose_sigma(outputs.heatmaps),
        taps=kernel_size,
    )
    return _results(counts, flat, coords.cpu(), scores.cpu(), threshold)


post_process_pose_estimation = vitpose_post_process_pose_estimation
"""Its name before Sapiens2 had one, too."""


def sapiens2_post_process_pose_estimation(
    outputs: PoseOutput,
    boxes: Boxes,
    outputs_flipped: PoseOutput | None = None,
    kernel_size: int | None = 11,
    threshold: float | None = None,
    source_sizes: Any = None,  # [images, 2]
    target_sizes: Any = None,  # [images, 2]
) -> list[list[dict[str, Tensor]]]:
    """Return what `Sapiens2ImageProcessor.post_process_pose_estimation` would, decoded by DARK.

    Args:
        outputs: of `Sapiens2ForPoseEstimation`; `heatmaps` [N, K, H, W] are read.
        boxes: a list of (x, y, width, height) for each image, as the processor was given them.
        outputs_flipped: of `model(pixel_values.flip(-1), flip_pairs=...)`, which has mirrored its
            heatmaps back. `decode_topdown` takes those of a model that was not given `flip_pairs`,
            and needs less time and memory.
        kernel_size: of the modulation, with the sigma that OpenCV takes for it: 2 for 11. None:
            the Gaussian of the training's, 6, by which 0.4 times as much noise comes in.
        threshold: joints of no higher score are left out of a person's result.
        source_sizes: (height, width) of each image; needed with target_sizes.
        target_sizes: (height, width) to which each image's keypoints and boxes are scaled.

    Returns:
        As `vitpose_post_process_pose_estimation`, on the heatmaps' device.

    Raises:
        TypeError, ValueError: for a wrong shape, type or value.
    """
    counts, flat = [len(all_boxes(one)) for one in plain(boxes)], all_boxes(boxes)
    if target_sizes is not None and source_sizes is None:
        raise ValueError("target_sizes need source_sizes, (height, width) of each image, got none")
    factors = np.ones((len(counts), 2))
    if source_sizes is not None:
        source = _sizes(source_sizes, "source_sizes", len(counts), "images")
        if target_sizes is not None:
            factors = _sizes(target_sizes, "target_sizes", len(counts), "images") / source
    factors = factors.repeat(counts, 0)  # [N, 2]
    coords, scores = decode_topdown(
        outputs.heatmaps,
        flat,
        convention="udp",
        sigma=SAPIENS2_SIGMA,
        taps=kernel_size,
        flipped=None if outputs_flipped is None else outputs_flipped.heatmaps,
        mirrored_back=True,
    )
    coords = coords * coords.new_tensor(factors)[:, None]
    return _results(counts, flat * np.tile(factors, 2), coords, scores, threshold)


def _vitpose_sigma(heatmaps: Any) -> float:
    check_maps(heatmaps)
    return float(heatmaps.shape[2] / 32)


def _sizes(value: Any, name: str, count: int, of: str) -> Floats:  # [count, 2]
    """Return (width, height) of sizes given as (height, width)."""
    listed = [plain(size) for size in plain(value)]
    if np.shape(listed) != (count, 2):
        raise ValueError(
            f"{name} must be (height, width) for each of {count} {of}, "
            f"got shape {list(np.shape(listed))}"
        )
    sizes = finite(listed, name, count, 2)
    if not (sizes > 0).all():
        raise ValueError(f"{name} must be positive, got {sizes.min():g}")
    return sizes[:, ::-1]


def _results(
    counts: Sequence[int],  # of boxes in each image
    boxes: Floats,  # [N, 4]
    coords: Tensor,  # [N, K, 2]
    scores: Tensor,  # [N, K]
    threshold: float | None,
) -> list[list[dict[str, Tensor]]]:
    """Return theirs for each image and each of its boxes."""
    corners = torch.from_numpy(np.hstack((boxes[:, :2], boxes[:, :2] + boxes[:, 2:])))
    labels = torch.arange(scores.shape[1], device=scores.device)
    people = []
    for own, score, box in zip(coords, scores, corners.float().to(coords.device), strict=True):
        keep = slice(None) if threshold is None else score > threshold
        result = {"keypoints": own[keep], "scores": score[keep], "labels": labels[keep]}
        people.append({**result, "bbox": box})
    rest = iter(people)
    return [list(islice(rest, count)) for count in counts]
