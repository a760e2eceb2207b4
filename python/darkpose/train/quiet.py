# SPDX-License-Identifier: Apache-2.0
"""What Lightning says of itself, which tells nothing about a run."""

import logging
import warnings

_USELESS = (
    # Runs of before had these in place of `KeepBestAndLast`.
    r"Be aware that when .* callbacks: \[(\"ModelCheckpoint\{[^}]*\}\"(, )?)+\]",
    # Evaluation reads the average from where the weights of all checkpoints are.
    r"You're using the WeightAveraging callback, but loading a checkpoint outside the 'fit' stage",
    # Figures that `Evaluation.gather` has made equal in all processes need no averaging.
    r"It is recommended to use `self.log\('(val|test)/",
    # The mean over the epoch is logged, whatever its length.
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # Workers are an option of the data, and 0 a choice.
    r"The '\w+' does not have many workers",
    # A frozen backbone is.
    r"Found \d+ module\(s\) in eval mode at the start of training",
    # Where a task's hook and not its data's is called, which have none.
    r"You have overridden `on_before_batch_transfer` in `LightningModule` but have passed in a",
    r"The `srun` command is available on your system but is not used",
    r"GPU available but not used",
)


def quiet_lightning() -> None:
    """Leave out Lightning's information and tips, and warnings of what is as it should be."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.pytorch.utilities._pytree")
    for message in _USELESS:
        warnings.filterwarnings("ignore", message=message)
