# SPDX-License-Identifier: Apache-2.0
"""The people of a run for Lightning's trainer, which knows how many processes share a batch."""

from lightning import LightningDataModule

from darkpose.codec import HeatmapCodec
from darkpose.data.batches import Batches
from darkpose.data.digest import people_digest
from darkpose.data.loading import ResumableLoader
from darkpose.data.options import DataOptions


class PoseData(LightningDataModule):
    """People for training and evaluation.

    Args:
        codec: the network's input size, convention and padding.
        options: which people, and how.

    Raises:
        FileNotFoundError, ValueError: as `darkpose.data.batches.Batches`.
    """

    def __init__(self, codec: HeatmapCodec, options: DataOptions) -> None:
        super().__init__()
        self.people = Batches(codec, options)

    def setup(self, stage: str) -> None:
        """Make the data sets that the stage needs; images are read here if they are cached.

        Raises:
            ValueError: the batch cannot be shared out evenly.
        """
        if stage == "fit":
            self.train_dataloader()
        _ = self.people.val_set

    def digests(self) -> dict[str, str]:
        """Return what tells the people to train on and to evaluate on from others, by name."""
        sets = {"data.train": self.people.train_set, "data.val": self.people.val_set}
        return {f"people of {name}": people_digest(d.records, d.spec) for name, d in sets.items()}

    def train_dataloader(self) -> ResumableLoader:
        """See `Batches.train_batches`."""
        return self.people.train_batches(*self._share())

    def val_dataloader(self) -> ResumableLoader:
        """See `Batches.val_batches`."""
        return self.people.val_batches(*self._share())

    test_dataloader = val_dataloader

    def _share(self) -> tuple[int, int, int]:
        """Return this process's rank, the number of processes and of batches to a step."""
        if not self.trainer:
            return 0, 1, 1
        trainer = self.trainer
        return trainer.global_rank, trainer.world_size, trainer.accumulate_grad_batches
