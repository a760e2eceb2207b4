# SPDX-License-Identifier: Apache-2.0
"""The released algorithms once more, in NumPy and OpenCV, as slow and as literal as possible.

Neither the kernels nor their torch twins were consulted for this file: it restates what the public
DarkPose and HRNet implementations compute, so that a mistake shared by kernel and twin still shows.
Everything is float64 unless the released code stores float32. Points are (x, y), pixel centers at
integers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, trunc

import cv2
import numpy as np

from tolerances import UNDECIDED

CLAMP = 1e-10  # the released floor under the logarithm


@dataclass
class Decoded:
    """What the released DARK decode returns, and whether it could be trusted, per map."""

    coords: np.ndarray  # [N, 2] (x, y), as released: no guard, no limit
    scores: np.ndarray  # [N] maximum of the raw map
    argmax: np.ndarray  # [N, 2] where the step starts
    interior: np.ndarray  # [N] bool: at least two pixels from the border, so a step is taken
    negative_definite: np.ndarray  # [N] bool: the Hessian of the logarithm at the argmax
    unclamped: np.ndarray  # [N] bool: every blurred value of the stencil is above CLAMP
    step: np.ndarray  # [N] length of the step in pixels
    flatness: np.ndarray  # [N] larger eigenvalue of the Hessian over the larger magnitude of both
    lowest: np.ndarray  # [N] smallest blurred value of the stencil, before rescaling

    def sound(self) -> np.ndarray:
        """Where a step can be trusted."""
        return self.interior & self.negative_definite & self.unclamped

    def steps_within(self, max_shift: float) -> np.ndarray:
        """Where released and guarded decoding have to agree: a sound step, not too long."""
        return self.sound() & (self.step <= max_shift)

    def undecided(self, margin: float) -> np.ndarray:
        """Where float32 may judge otherwise: a Hessian nearly singular or a value near CLAMP."""
        near_clamp = np.abs(self.lowest - CLAMP) <= margin * CLAMP
        return self.interior & ((np.abs(self.flatness) < margin) | near_clamp)

    def guarded(self, max_shift: float) -> np.ndarray:  # [N, 2]
        """What darkpose promises: a sound step, shortened to max_shift, or else the argmax."""
        step = np.where(self.sound()[:, None], self.coords - self.argmax, 0.0)
        shorten = np.minimum(1.0, max_shift / np.maximum(self.step, 1e-300))
        return self.argmax + step * shorten[:, None]


def opencv_taps(k: int) -> np.ndarray:  # [k]
    """Return the 1-D taps OpenCV uses where only the kernel's size is given."""
    return cv2.getGaussianKernel(k, 0).ravel()


def argmax(heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # [N, H, W]
    """Return coordinates [N, 2] and values [N] of the maxima, the first of equal ones."""
    n, _, width = heatmaps.shape
    flat = heatmaps.reshape(n, -1)
    index = flat.argmax(1)
    return np.stack([index % width, index // width], 1).astype(float), flat.max(1)


def standard_shift(heatmaps: np.ndarray) -> np.ndarray:  # [N, H, W] -> [N, 2]
    """HRNet's shift: a quarter pixel along the sign of the neighbors' difference, per axis."""
    height, width = heatmaps.shape[1:]
    coords, scores = argmax(heatmaps)
    for h, p, score in zip(heatmaps, coords, scores, strict=True):
        x, y = int(p[0]), int(p[1])
        if score > 0 and 1 < x < width - 1 and 1 < y < height - 1:
            p[0] += 0.25 * np.sign(h[y, x + 1] - h[y, x - 1])
            p[1] += 0.25 * np.sign(h[y + 1, x] - h[y - 1, x])
    return coords


def second_max(heatmaps: np.ndarray) -> np.ndarray:  # [N, H, W] -> [N, 2]
    """Eq 1 as printed: a quarter pixel from the highest towards the second highest value."""
    width = heatmaps.shape[2]
    coords, scores = argmax(heatmaps)
    for h, p, score in zip(heatmaps, coords, scores, strict=True):
        order = np.argsort(-h.ravel(), kind="stable")
        if score > 0 and order.size > 1:
            s = np.array([order[1] % width, order[1] // width], dtype=float)
            p += 0.25 * (s - p) / np.linalg.norm(s - p)
    return coords


def blur(heatmap: np.ndarray, k: int) -> np.ndarray:  # [H, W] -> [H, W] float64
    """OpenCV's Gaussian of size k after (k - 1) / 2 zeros were put on every side."""
    border = (k - 1) // 2
    height, width = heatmap.shape
    padded = np.zeros((height + 2 * border, width + 2 * border))
    padded[border : border + height, border : border + width] = heatmap
    padded = cv2.GaussianBlur(padded, (k, k), 0)
    return padded[border : border + height, border : border + width].copy()


def _stencil(x: int, y: int) -> list[tuple[int, int]]:
    """List the thirteen (row, column) the released stencil reads round (x, y)."""
    around = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    far = [(0, 2), (0, -2), (2, 0), (-2, 0)]
    return [(y + dy, x + dx) for dy, dx in around + far]


def dark(heatmaps: np.ndarray, k: int | None, storage: type = np.float32) -> Decoded:
    """Decode [N, H, W] as the released DarkPose does; k None leaves the map unblurred.

    ``storage`` is the type the blurred map and its logarithm are kept in: float32 as released.
    Maps without a positive value keep their argmax here (the release moves them to (0, 0)).
    """
    n, height, width = heatmaps.shape
    coords, scores = argmax(heatmaps)
    out = Decoded(
        coords=coords.copy(),
        scores=scores,
        argmax=coords,
        interior=np.zeros(n, bool),
        negative_definite=np.zeros(n, bool),
        unclamped=np.zeros(n, bool),
        step=np.zeros(n),
        flatness=np.zeros(n),
        lowest=np.zeros(n),
    )
    for i, (raw, p, peak) in enumerate(zip(heatmaps, coords, scores, strict=True)):
        x, y = int(p[0]), int(p[1])
        if not peak > 0 or not (1 < x < width - 2 and 1 < y < height - 2):
            continue
        out.interior[i] = True
        smooth = (blur(raw, k) if k else raw).astype(storage)
        out.lowest[i] = min(smooth[at] for at in _stencil(x, y))
        out.unclamped[i] = out.lowest[i] > CLAMP
        log = np.log(np.maximum(smooth * storage(peak / smooth.max()), storage(CLAMP)))
        log = log.astype(float)
        dx = (log[y, x + 1] - log[y, x - 1]) / 2
        dy = (log[y + 1, x] - log[y - 1, x]) / 2
        dxx = (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2]) / 4
        dyy = (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x]) / 4
        dxy = (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]) / 4
        hessian = np.array([[dxx, dxy], [dxy, dyy]])
        if dxx * dyy - dxy * dxy == 0:
            continue
        step = -np.linalg.inv(hessian) @ np.array([dx, dy])
        eigenvalues = np.linalg.eigvalsh(hessian)
        out.coords[i] = p + step
        out.step[i] = np.hypot(*step)
        out.negative_definite[i] = eigenvalues.max() < 0
        out.flatness[i] = eigenvalues.max() / np.abs(eigenvalues).max()
    return out


def _all_decided(
    method: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    return lambda heatmaps: (method(heatmaps), np.ones(len(heatmaps), bool))


def _guarded_dark(heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    decoded = dark(heatmaps, None, np.float64)
    return decoded.guarded(3.0), ~decoded.undecided(UNDECIDED)


# By method of decode, without blur: heatmaps [N, H, W] -> coordinates [N, 2], and which of them [N]
# float32 can be held to. A method without an oracle is a test that fails.
METHODS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "argmax": _all_decided(lambda heatmaps: argmax(heatmaps)[0]),
    "standard": _all_decided(standard_shift),
    "second_max": _all_decided(second_max),
    "dark": _guarded_dark,
}

# By rounding of encode.
ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda centers: centers,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": lambda centers: np.floor(centers + 0.5),
}


def _to_full_range(smooth: np.ndarray, peak: float) -> np.ndarray:
    return (smooth - smooth.min()) / (smooth.max() - smooth.min()) * peak


# By rescaling of modulate: the smoothed map [H, W] and the highest value before.
RESCALES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "minmax": _to_full_range,
    "max": lambda smooth, peak: smooth * (peak / smooth.max()),
    "none": lambda smooth, peak: smooth,
}


def modulate(heatmap: np.ndarray, taps: np.ndarray, rescale: str) -> np.ndarray:  # [H, W]
    """Eq 10 and 11: convolve with taps x taps, zeros outside, then restore the range.

    Without a positive maximum before and, where that is divided by, after, there is none.
    """
    radius = len(taps) // 2
    padded = np.pad(heatmap.astype(float), radius)
    rows = np.array([np.convolve(row, taps, "valid") for row in padded])
    smooth = np.array([np.convolve(column, taps, "valid") for column in rows.T]).T
    divisor = {"max": smooth.max(), "minmax": np.ptp(smooth)}.get(rescale, 1.0)
    return RESCALES[rescale](smooth, heatmap.max()) if min(heatmap.max(), divisor) > 0 else smooth


# Of (x, y), weight, width, height and sigma: a target and the weight that it counts with.
Target = Callable[[Sequence[float], float, int, int, float], tuple[np.ndarray, float]]


def darkpose_target(
    center: Sequence[float], weight: float, width: int, height: int, sigma: float
) -> tuple[np.ndarray, float]:
    """DarkPose's target [H, W] float32 and weight: a full Gaussian at the unrounded center."""
    x, y = center
    left, top = trunc(x - 3 * sigma), trunc(y - 3 * sigma)
    right, bottom = trunc(x + 3 * sigma + 1), trunc(y + 3 * sigma + 1)
    target = np.zeros((height, width), np.float32)
    if left >= width or top >= height or right < 0 or bottom < 0:
        return target, 0.0
    if weight > 0:
        for row in range(height):
            for column in range(width):
                squared = (column - x) ** 2 + (row - y) ** 2
                target[row, column] = np.exp(-squared / (2 * sigma**2))
    return target, weight


def hrnet_target(
    center: Sequence[float], weight: float, width: int, height: int, sigma: int
) -> tuple[np.ndarray, float]:
    """HRNet's target [H, W] float32 and weight: a square patch pasted at the rounded center.

    The release truncates x + 0.5 towards zero, which pulls (-1.5, -0.5) into column 0; x + 0.5 is
    floored here, on purpose.
    """
    x, y = floor(center[0] + 0.5), floor(center[1] + 0.5)
    radius = 3 * sigma
    left, top, right, bottom = x - radius, y - radius, x + radius + 1, y + radius + 1
    target = np.zeros((height, width), np.float32)
    if left >= width or top >= height or right < 0 or bottom < 0:
        return target, 0.0
    if weight > 0:
        axis = np.arange(-radius, radius + 1, dtype=float)
        patch = np.exp(-(axis[None] ** 2 + axis[:, None] ** 2) / (2 * sigma**2))
        x0, x1 = max(0, left), max(0, min(right, width))
        y0, y1 = max(0, top), max(0, min(bottom, height))
        target[y0:y1, x0:x1] = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    return target, weight


def squared_error(predicted: np.ndarray, target: np.ndarray, weight: float) -> float:
    """HRNet's loss of one joint: half the mean over the map of (weight * difference) squared."""
    difference = weight * (predicted.astype(float) - target.astype(float))
    return 0.5 * float(np.mean(difference**2))
