# SPDX-License-Identifier: Apache-2.0
"""`darkpose predict --engine ray`: as many images as there are, on all machines of a Ray cluster.

Ray Data hands shards to workers, one on each GPU, and gives those of a worker that died to another.
A worker reads the images of its shard itself, ahead of the network, and writes the shard's results;
what passes between machines is the number of a shard and what came of it.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import torch

from darkpose.console import say
from darkpose.models.model_files import is_model
from darkpose.models.pose import PoseModel
from darkpose.predict.options import PredictOptions, boxes_of
from darkpose.predict.outputs import KINDS
from darkpose.predict.predictor import Predictor
from darkpose.predict.progress import pace
from darkpose.predict.rows import find_tables, list_images, requests
from darkpose.predict.shards import INDEX, Shard, begin, cut, keep_index, missing
from darkpose.predict.stored import Folder, inside, is_uri, plain
from darkpose.predict.table import Entry, rows_of, with_pose

_logger = logging.getLogger(__name__)

TRIES = 4
"""How often a shard is begun: Ray hands out for ever what kills every worker."""

FAILURES = 10
"""Shards that may fail before a run is given up: then it is not the images."""


def predict_ray(options: PredictOptions) -> None:
    """Find the keypoints of people in images, on a Ray cluster; run again, do what is missing.

    The cluster is the one that is connected to, or that `RAY_ADDRESS` names; else one is started on
    this machine. All its machines must see images and out at the same place.

    Args:
        options: images may also be the URI of a folder or file that pyarrow reads (s3://, gs://,
            file://, ...), or Parquet tables with images and boxes, see
            `darkpose.predict.rows.Layout`. out is a folder or URI for Parquet files, the table of
            `darkpose.predict.table` with rows also for images and boxes without a pose.

    Raises:
        FileNotFoundError: a file is not there.
        ImportError: Ray is not installed.
        OSError: some of it could not be done; the rest is kept.
        ValueError: a file is not what it should be, or out holds another run.
    """
    try:
        import pyarrow  # noqa: F401
        import ray.data  # noqa: F401
    except ImportError as error:
        raise ImportError("engine ray needs ray: pip install 'darkpose[ray]'") from error
    for name in ("shard_size", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if options.device not in (None, "cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda with engine ray, got {options.device}")
    folder = Folder(_out(options.out))
    places, orientation = list(map(plain, options.images)), options.orientation
    given: Mapping[str, tuple[int, int | str]] = find_tables(places)
    listed = None
    if not given:
        listed, orientation = list_images(places, boxes_of(options), orientation)
        listed.sort(key=lambda row: row["key"])
        given = {INDEX: (len(listed), sha256(json.dumps(listed).encode()).hexdigest())}
    elif options.boxes is not None:
        raise ValueError("boxes of Parquet tables must be in their columns, got boxes too")
    settings: dict[str, Any] = {
        "decoder": options.decoder,
        "flip_test": options.flip_test,
        "batch_size": options.batch_size,
        "network": options.network,
        "orientation": orientation or "exif",
        "clip_boxes": options.clip_boxes,
    }
    predictor = Predictor.from_checkpoint(options.checkpoint, device="cpu", **settings)
    settings |= {
        "decoder": predictor.decoder,
        "min_box_score": options.min_box_score or 0.0,
        "orientation_given": options.orientation is not None,
    }
    weights = as_checkpoint(options.checkpoint, predictor.model)
    run = {
        "format of results": "darkpose.predict.table",
        "checkpoint": sha256(weights).hexdigest(),
        **settings,
        "shard_size": options.shard_size,
        "list of images and boxes": {name: list(what) for name, what in given.items()},
    }
    begin(folder, run)
    if listed is not None:
        keep_index(folder, listed, options.shard_size)
    rows = {inside(folder.place, name): count for name, (count, _) in given.items()}
    shards = cut(rows, options.shard_size)
    todo = missing(folder, shards)
    if len(todo) < len(shards):
        _logger.info("shards done already: %d of %d", len(shards) - len(todo), len(shards))
    if todo:
        _run(todo, folder, weights, settings, options)
    if lost := missing(folder, shards):
        raise OSError(
            f"{folder.name} lacks {len(lost)} of {len(shards)} shards: if Ray's log does not say "
            "why, is it one that all machines of the cluster share? The same command does what is "
            "missing"
        )
    folder.sweep()


def as_checkpoint(path: Path, model: PoseModel) -> bytes:
    """Return a checkpoint's bytes, which need no file on other machines."""
    if not is_model(path):
        return path.read_bytes()
    buffer = BytesIO()
    torch.save(model.checkpoint(), buffer)
    return buffer.getvalue()


def _out(out: str | Path) -> str:
    place = plain(str(out))
    if Path(place.partition("?")[0]).suffix.lower() in KINDS.keys() - {".parquet", ""}:
        raise ValueError(f"out must be a folder for Parquet files with engine ray, got {out}")
    return place if is_uri(place) else str(Path(place).resolve())


# ---- the cluster ---------------------------------------------------------------------------------


class Begun:
    """Counts how often shards are begun, in a process of its own that none of them can kill."""

    def __init__(self, tries: int) -> None:
        self.tries, self.times = tries, Counter[int]()

    def begin(self, shard: Shard) -> None:
        """Count a shard, or raise RuntimeError if it was begun often enough."""
        self.times[shard.number] += 1
        if self.times[shard.number] > self.tries:
            rows = f"rows {shard.start} to {shard.stop - 1} of {shard.table}"
            raise RuntimeError(f"{self.tries} workers died over {rows}")


class ShardWorker:
    """Predicts shards, on a GPU of its own. One stays alive for many.

    Args:
        weights: Ray's reference to the checkpoint's bytes.
        settings: of `Predictor.from_checkpoint`, device too, and `min_box_score` and
            `orientation_given`.
        out: where results are written to.
        begun: Ray's handle of `Begun`.
    """

    def __init__(self, weights: Any, settings: Mapping[str, Any], out: str, begun: Any) -> None:
        import ray

        settings = dict(settings)
        self.min_box_score = settings.pop("min_box_score")
        self.sure = settings.pop("orientation_given")
        self.folder, self.begun = Folder(out), begun
        with NamedTemporaryFile(suffix=".ckpt") as file:
            file.write(ray.get(weights))
            file.flush()
            self.predictor = Predictor.from_checkpoint(file.name, **settings)

    def __call__(self, shard: dict[str, Any]) -> dict[str, Any]:
        """Return what came of a shard, both as rows of Ray Data."""
        import ray

        its = Shard(**shard)
        ray.get(self.begun.begin.remote(its))
        return self.predict(its)

    def predict(self, shard: Shard) -> dict[str, Any]:
        """Write a shard's results, and count them."""
        from pyarrow.parquet import write_table

        rows = shard.table, shard.start, shard.stop, self.predictor.orientation
        images = requests(*rows, self.min_box_score, sure=self.sure)
        entries = [
            Entry(str(request.key), None, poses, error)
            for request, poses, error in self.predictor.stream(images)
        ]
        file = BytesIO()
        write_table(rows_of(entries, self.predictor.spec, everything=True), file)
        self.folder.write(shard.name, file.getvalue())
        people = sum(int(with_pose(each.poses).sum()) for each in entries if each.poses is not None)
        errors = [each.error for each in entries if each.error is not None]
        counts = {"images": len(entries), "people": people, "failed": len(errors)}
        return {**counts, "error": errors[0] if errors else ""}


def _run(
    shards: Sequence[Shard],
    folder: Folder,
    weights: bytes,
    settings: Mapping[str, Any],
    options: PredictOptions,
) -> None:
    """Have the cluster do shards, and say what came of them."""
    import ray
    import ray.data
    from ray.exceptions import RayError

    started = not ray.is_initialized()
    if started:
        ray.init(include_dashboard=False)
    try:
        there = ray.cluster_resources()
        gpus = 0 if options.device == "cpu" else int(there.get("GPU", 0))
        if options.device == "cuda" and not gpus:
            raise ValueError("device cuda needs a GPU in the Ray cluster, got none")
        count = min(len(shards), options.workers or gpus or max(1, int(there.get("CPU", 1))))
        data = ray.data.from_items(
            [each._asdict() for each in shards], override_num_blocks=len(shards)
        )
        data.context.enable_progress_bars, data.context.max_errored_blocks = False, FAILURES
        worker: Any = ShardWorker  # Ray Data's types know functions alone
        settings = {**settings, "device": "cuda" if gpus else "cpu"}
        begun = ray.remote(num_cpus=0)(Begun).remote(TRIES)
        results = data.map(
            worker,
            fn_constructor_args=(ray.put(weights), settings, folder.place, begun),
            compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=1 if gpus else 0,
        )
        total = sum(each.stop - each.start for each in shards)
        _report(results.iter_rows(), total, folder.name)
    except RayError as error:
        raise OSError(
            f"the Ray cluster failed, as its log says; {folder.name} keeps what is done, "
            "the same command does what is missing"
        ) from error
    finally:
        if started:
            ray.shutdown()


def _report(results: Iterable[Mapping[str, Any]], total: int, out: str) -> None:
    done = []
    with pace(total) as progress:
        for found in results:
            done.append(found)
            progress.advance(found["images"])
    images, people, failed = (sum(each[n] for each in done) for n in ("images", "people", "failed"))
    rate = f"{progress.rate:.1f} images/s"
    say(f"people: {people}, images: {images - failed}, {rate}: {out}")
    if failed:
        first = next(each["error"] for each in done if each["failed"])
        _logger.warning("images that failed: %d, as their rows say; the first: %s", failed, first)
