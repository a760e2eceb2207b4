# SPDX-License-Identifier: Apache-2.0
"""Workers that die, in a module that the processes of a Ray cluster can import.

Run as a program, a driver whose workers stop after a shard, to be killed.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from darkpose.predict import distributed
from darkpose.predict.distributed import ShardWorker, predict_ray
from darkpose.predict.options import PredictOptions
from darkpose.predict.predictor import Outcome, Request
from darkpose.predict.shards import Shard

MARKER, GPU = ".died", ".gpu-"
TOO_LONG = 600  # seconds

CLUSTER: dict[str, Any] = {
    "address": "local",
    "num_cpus": 2,
    "num_gpus": 2,
    "include_dashboard": False,
    "object_store_memory": 100_000_000,
    "runtime_env": {"env_vars": {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}},
}
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


def die_within(worker: ShardWorker, note: Path) -> None:
    """Let a worker kill its process when it has predicted one image more."""
    stream = worker.predictor.stream

    def dying(requests: Iterable[Request]) -> Iterator[Outcome]:
        for outcome in stream(requests):
            yield outcome
            note.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)

    worker.predictor.stream = dying  # type: ignore[method-assign, assignment]


class DyingWorker(ShardWorker):
    """Is killed in the middle of the second shard, once. Takes its GPU, which is none, for one."""

    def __init__(self, weights: Any, settings: Mapping[str, Any], out: str, begun: Any) -> None:
        import ray

        assert settings["device"] == "cuda"
        (gpu,) = ray.get_gpu_ids()
        Path(out, f"{GPU}{gpu}").touch()
        super().__init__(weights, {**settings, "device": "cpu"}, out, begun)

    def predict(self, shard: Shard) -> dict[str, Any]:
        marker = Path(self.folder.place, MARKER)
        if shard.number == 1 and not marker.exists():
            die_within(self, marker)
        return super().predict(shard)


class DeadlyWorker(ShardWorker):
    """Is killed in the middle of the second shard, always, and counts how often."""

    def predict(self, shard: Shard) -> dict[str, Any]:
        if shard.number == 1:
            die_within(self, Path(self.folder.place, f"{MARKER}-{time.time_ns()}"))
        return super().predict(shard)


class StoppingWorker(ShardWorker):
    """Does one shard, and no more."""

    stopped = False

    def predict(self, shard: Shard) -> dict[str, Any]:
        if self.stopped:
            time.sleep(TOO_LONG)
        self.stopped = True
        return super().predict(shard)


if __name__ == "__main__":
    os.environ.update(QUIET)
    import ray

    import ray_workers

    ray.init(**CLUSTER, _temp_dir=sys.argv[1])
    pytest.MonkeyPatch().setattr(distributed, "ShardWorker", ray_workers.StoppingWorker)
    checkpoint, images, out, *_ = sys.argv[2:]
    predict_ray(
        PredictOptions(
            Path(checkpoint), [images], out=out, shard_size=2, batch_size=3, device="cpu"
        )
    )
