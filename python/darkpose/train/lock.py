# SPDX-License-Identifier: Apache-2.0
"""One run to a folder: two would overwrite each other's checkpoints."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightning import Trainer

_UNFINISHED = (".config.yaml.*", "checkpoints/.last.ckpt.*", "checkpoints/.best.ckpt.*")
"""What `darkpose.files.replacing` calls a run's files before they are complete."""

_logger = logging.getLogger(__name__)


@contextmanager
def run_folder(folder: Path, trainer: Trainer) -> Iterator[None]:
    """Keep other runs out of a folder, and remove what a killed one left unfinished there.

    The system lets go of the folder when this process ends, however that may be. Of several
    processes of a run the first one keeps it. Where there are no locks, as on some network disks,
    that is a warning.

    Raises:
        BlockingIOError: another run is in the folder.
    """
    if not trainer.is_global_zero:
        yield
        return
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    lock = _locked(path)
    try:
        if lock is not None:
            for pattern in _UNFINISHED:
                for left in folder.glob(pattern):
                    left.unlink(missing_ok=True)
        yield
    finally:
        path.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)
        if made:
            with suppress(OSError):
                folder.rmdir()  # nothing has been written


def _locked(path: Path) -> int | None:
    """Return a file that this process has locked; None where there are no locks."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Of this process alone: data loaders' workers, which may outlive it, do not inherit it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
                return file
        except OSError as error:
            os.close(file)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise BlockingIOError(
                    f"another run is writing to {path.parent}: let it end, or name another --out"
                ) from None
            _logger.warning(
                "%s cannot be locked (%s): see to it that no other run writes there",
                path.parent,
                error.strerror,
            )
            return None
        os.close(file)  # whoever had it has just removed it
