# SPDX-License-Identifier: Apache-2.0
"""Orders that put people of one image one after another, so that it is decoded once for them.

In evaluation the order changes nothing, and all people of an image can go together. In training
they share light, camera and scene: the more of them a batch has, the less it tells. Hence the limit
on how many go together there.
"""

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]  # [N]


def image_numbers(images: Iterable[Hashable]) -> Indices:
    """Return for each person the position of the first one in the same image."""
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(image, i) for i, image in enumerate(images)], np.int64)


def by_image(images: Indices) -> Indices:
    """Return the people's positions, images in the order of their numbers, each with all people.

    People in the order of `image_numbers` whose images are together already stay as they are.
    """
    return np.argsort(images, kind="stable")


def shuffled_together(images: Indices, most: int, rng: np.random.Generator) -> Indices:
    """Return the people's positions in a random order of groups: up to `most` people of one image.

    Who goes together is random as well, so that all pairs of an image's people meet in time.
    """
    shuffled = rng.permutation(len(images))
    shuffled = shuffled[np.argsort(images[shuffled], kind="stable")]
    numbers = images[shuffled]  # sorted: the people of an image begin where its number first is
    within = np.arange(len(numbers)) - np.searchsorted(numbers, numbers)
    group = np.cumsum(within % most == 0) - 1
    place = rng.permutation(group[-1] + 1)[group]
    return shuffled[np.argsort(place, kind="stable")]
