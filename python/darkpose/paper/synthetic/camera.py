# SPDX-License-Identifier: Apache-2.0
"""What a camera does to a scene: uneven light, exposure, blur, sensor noise and compression."""

from statistics import NormalDist

import cv2
import numpy as np

# Gaussian quantiles, so that noise is a table look-up on random bytes: 20 times as fast as
# drawing normal numbers, and as good at eight bits.
_NORMAL = np.array([NormalDist().inv_cdf((level + 0.5) / 256) for level in range(256)])


def photograph(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Return ``scene``, uint8 [h, w, 3], as a camera would record it."""
    image = _light(rng, scene)
    image = _expose(rng, image)
    sigma = rng.uniform(0, 0.6)
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if rng.random() < 0.7:
        image = _add_noise(rng, image, rng.uniform(1, 4))
    if rng.random() < 0.25:
        quality = int(rng.integers(35, 85))
        _, encoded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return image


def _light(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    field = rng.uniform(0.75, 1.0, (2, 2)).astype(np.float32) * 255
    smooth = cv2.resize(field, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    weight = cv2.cvtColor(smooth.astype(np.uint8), cv2.COLOR_GRAY2RGB)
    return cv2.multiply(image, weight, scale=1.2 / 255)


def _expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    gain, gamma = rng.uniform(0.75, 1.2) * rng.uniform(0.93, 1.07, 3), np.exp(rng.normal(0, 0.22))
    levels = (np.arange(256)[:, None] / 255) ** gamma * gain * 255
    return cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8).reshape(1, 256, 3))


def _add_noise(rng: np.random.Generator, image: np.ndarray, sigma: float) -> np.ndarray:
    random = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
    up = np.rint(np.maximum(_NORMAL * sigma, 0)).astype(np.uint8)
    down = np.rint(np.maximum(-_NORMAL * sigma, 0)).astype(np.uint8)
    return cv2.subtract(cv2.add(image, cv2.LUT(random, up)), cv2.LUT(random, down))
