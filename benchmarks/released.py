# SPDX-License-Identifier: Apache-2.0
"""The work of the released DarkPose evaluation and training code in NumPy and OpenCV, to be timed.

Written from its published description, with the same loops over people and joints, the same calls
of OpenCV and the same element types, and without what `tests/oracles.py` records for the tests.
"""

from collections.abc import Sequence
from math import trunc

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darkpose.models.pose import MEAN, STD

Maps = NDArray[np.float32]  # [B, K, H, W]
FLOOR = 1e-10  # under the logarithm


def flip_back(flipped: Maps, pairs: Sequence[tuple[int, int]]) -> Maps:
    """Undo the mirroring of an output, joints swapped pair by pair."""
    back = flipped[..., ::-1].copy()
    for left, right in pairs:
        held = back[:, left].copy()
        back[:, left] = back[:, right]
        back[:, right] = held
    return back


def decode(
    maps: Maps, size: int, transform: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], Maps]:
    """Return coordinates [B, K, 2] and maxima [B, K, 1], Gaussian of `size` taps.

    `transform` [B, 2, 3] takes each person's joints to the image, one by one.
    """
    people, joints, height, width = maps.shape
    flat = maps.reshape(people, joints, -1)
    index, scores = flat.argmax(2), flat.max(2)
    coords = np.stack((index % width, index // width), 2).astype(np.float64)
    coords *= scores[..., None] > 0
    smooth = np.log(np.maximum(_blur(maps, size), FLOOR))
    for person in range(people):
        for joint in range(joints):
            _step(smooth[person, joint], coords[person, joint])
    if transform is not None:
        for matrix, points in zip(transform, coords, strict=True):
            for point in points:
                point[:] = matrix @ np.array((point[0], point[1], 1.0))
    return coords, scores[..., None]


def evaluate(
    maps: Tensor, flipped: Tensor, pairs: Sequence[tuple[int, int]], size: int, transform: Tensor
) -> tuple[NDArray[np.float64], Maps]:
    """Return what `decode` does of the average over the flip test; maps may be on a GPU."""
    back = torch.from_numpy(flip_back(flipped.float().cpu().numpy(), pairs)).to(maps.device)
    averaged = (maps + back) * 0.5
    return decode(averaged.cpu().numpy(), size, transform.cpu().numpy().astype(np.float64))


def _blur(maps: Maps, size: int) -> Maps:
    """Return blurred copies, each rescaled to the maximum it had."""
    out, border = maps.copy(), (size - 1) // 2
    height, width = maps.shape[2:]
    for person in range(maps.shape[0]):
        for joint in range(maps.shape[1]):
            peak = maps[person, joint].max()
            padded = np.zeros((height + 2 * border, width + 2 * border))
            padded[border : border + height, border : border + width] = maps[person, joint]
            padded = cv2.GaussianBlur(padded, (size, size), 0)
            out[person, joint] = padded[border : border + height, border : border + width]
            with np.errstate(invalid="ignore"):  # a map of zeros
                out[person, joint] *= peak / out[person, joint].max()
    return out


def _step(log: Maps, point: NDArray[np.float64]) -> None:
    x, y = int(point[0]), int(point[1])
    height, width = log.shape
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return
    dx = 0.5 * (log[y, x + 1] - log[y, x - 1])
    dy = 0.5 * (log[y + 1, x] - log[y - 1, x])
    dxx = 0.25 * (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2])
    dyy = 0.25 * (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x])
    mixed = log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]
    hessian = np.array([[dxx, 0.25 * mixed], [0.25 * mixed, dyy]])
    if dxx * dyy - hessian[0, 1] ** 2 != 0:
        point -= np.linalg.inv(hessian) @ np.array([dx, dy])


def encode(joints: NDArray[np.float32], height: int, width: int, sigma: float) -> Maps:
    """Render a full map for each joint of [B, K, 2], one by one."""
    maps = np.zeros((*joints.shape[:2], height, width), np.float32)
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    for person in range(joints.shape[0]):
        for joint in range(joints.shape[1]):
            x, y = joints[person, joint].tolist()
            left, top = trunc(x - 3 * sigma), trunc(y - 3 * sigma)
            right, bottom = trunc(x + 3 * sigma + 1), trunc(y + 3 * sigma + 1)
            if left < width and top < height and right >= 0 and bottom >= 0:
                squared = (columns - x) ** 2 + (rows - y) ** 2
                maps[person, joint] = np.exp(-squared / (2 * sigma**2))
    return maps


def normalized(crop: NDArray[np.uint8]) -> Tensor:
    """Return a crop [H, W, 3] as float32 [3, H, W], each channel of mean 0 and deviation 1."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    planes = torch.from_numpy(crop).permute(2, 0, 1).contiguous()
    return planes.float().div_(255).sub_(mean).div_(std)
