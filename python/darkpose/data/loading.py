# SPDX-License-Identifier: Apache-2.0
"""The order in which people are seen, and a data loader that goes on in the middle of an epoch.

Which people a step has is decided by (seed, epoch, step) alone: not by the number of processes, not
by workers, not by where a run was interrupted.
"""

import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from torch.utils.data import DataLoader, Sampler

from darkpose.data.dataset import Sample
from darkpose.data.grouping import Indices, by_image, shuffled_together


class SeededSampler(Sampler[tuple[int, int]]):
    """Yield (epoch, index) pairs, in an order that (seed, epoch) alone decides.

    The epoch travels with the index, so that it reaches workers that outlive an epoch.
    Call `set_epoch` before each epoch, as Lightning does.

    Args:
        size: of the data set.
        seed: of the order.
        shuffle: False keeps the data set's order.
        rank, world_size: this process takes every `world_size`-th sample from the `rank`-th.
        even: give every rank the same number of samples, repeating the first ones, without which
            distributed training would wait for ever; False: each sample exactly once.
        step: leave out the last samples of an epoch's order that fill no step of so many, unless
            there is less than one step. If each rank then reads `step / world_size` samples, each
            step sees the same ones however many ranks there are.
        images: the image of each sample, as `image_numbers` has it. Samples of one image then come
            one after another, and each rank has a block of the order, or of each step, in place of
            every `world_size`-th sample. None: images do not matter.
        together: in a shuffled order, how many samples of an image come together at most.
    """

    def __init__(
        self,
        size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        even: bool = True,
        step: int = 1,
        images: Indices | None = None,
        together: int = 1,
    ) -> None:
        if size < 1 or not 0 <= rank < world_size:
            raise ValueError(
                "a sampler needs a positive size and a rank below world_size, "
                f"got size {size}, rank {rank}, world_size {world_size}"
            )
        if images is not None and len(images) != size:
            raise ValueError(f"images must be those of all {size} samples, got {len(images)}")
        if together < 1:
            raise ValueError(f"together must be at least 1, got {together}")
        self.size, self.seed, self.shuffle = size, seed, shuffle
        self.images, self.together = images, together
        self.rank, self.world_size, self.even, self.step = rank, world_size, even, step
        self._epoch = self._start = 0

    def start_at(self, sample: int) -> None:
        """Leave out this rank's first samples in the next iteration, and only there."""
        self._start = sample

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the next iteration yields."""
        self._epoch = epoch

    def __len__(self) -> int:
        total = self._total()
        return (total - self.rank + self.world_size - 1) // self.world_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.resize(self._order(), self._total())  # repeats the start, or leaves out the end
        start, self._start = self._start, 0
        for index in self._share(order)[start:]:
            yield self._epoch, int(index)

    def _order(self) -> Indices:
        """Return the epoch's order of all samples."""
        if not self.shuffle:
            return np.arange(self.size) if self.images is None else by_image(self.images)
        rng = np.random.default_rng((self.seed, self._epoch))
        if self.images is None:
            return rng.permutation(self.size)
        return shuffled_together(self.images, self.together, rng)

    def _share(self, order: Indices) -> Indices:
        """Return what this rank has of an order."""
        if self.images is None:
            return order[self.rank :: self.world_size]
        # Every other sample of an image would make each rank decode it: blocks of each step, or,
        # where no steps are shared out, one block of the order.
        shared = len(order) % self.step == 0 and self.step % self.world_size == 0
        steps = order.reshape(-1, self.step if shared else len(order))
        return np.array_split(steps, self.world_size, axis=1)[self.rank].ravel()

    def _total(self) -> int:
        """Return how many samples an epoch has, over all ranks."""
        used = self.size // self.step * self.step or self.size
        return math.ceil(used / self.world_size) * self.world_size if self.even else used


class ResumableLoader(DataLoader[Sample]):
    """Goes on in the middle of an epoch: Lightning keeps its state in every checkpoint.

    Its sampler is a `SeededSampler`.
    """

    _delivered = 0  # batches of this epoch
    _skipped = 0  # batches that the next iteration leaves out

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator, so that workers are not asked for anything before the epoch is set.
        self._delivered, self._skipped = self._skipped, 0
        assert isinstance(self.sampler, SeededSampler) and self.batch_size is not None
        self.sampler.start_at(self._delivered * self.batch_size)
        for batch in super().__iter__():
            self._delivered += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return where in the epoch training is."""
        return {"delivered": self._delivered}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next iteration where `state` was taken; at the start if that was the end."""
        self._skipped = state["delivered"] % len(self)


def worker_init(_worker: int) -> None:
    """Keep OpenCV to one thread in a data loader's worker; nothing here needs a seed.

    Pass as `worker_init_fn`: as many OpenCV threads as cores in each worker slow one another down.
    """
    cv2.setNumThreads(0)
