# SPDX-License-Identifier: Apache-2.0
"""`darkpose predict --engine ray`: as many images as there are, on all machines of a Ray cluster.

Ray Data hands shards to workers, one on each GPU, and gives those of a worker that died to another.
A worker reads the images of its shard itself, ahead of the network, and writes the shard's results;
what passes between machines is the number of a shard and what came of it.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

from darkpose.predict.boxes import parse_boxes, read_boxes
from darkpose.predict.listing import as_table, list_images
from darkpose.predict.pixels import Orientation
from darkpose.predict.predictor import Predictor
from darkpose.predict.progress import pace
from darkpose.predict.rows import Row, parquet, requests, result_rows, result_schema
from darkpose.predict.shards import (
    INDEX,
    Shard,
    begin,
    cut,
    find_tables,
    keep_table,
    measure,
    missing,
)
from darkpose.predict.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from darkpose.predict.stored import Folder, inside, is_uri, plain

_logger = logging.getLogger(__name__)

TRIES = 4
"""How often a shard is begun: Ray hands out for ever what kills every worker."""

FAILURES = 10
"""Shards that may fail before a run is given up: then it is not the images."""


class Found(NamedTuple):
    """What came of a shard."""

    images: int
    people: int
    failed: int
    """Images without a result."""
    error: str
    """Of the first of them."""
    broken: str = ""
    """Why there are no results at all."""


def predict_ray(
    checkpoint: str | Path,
    images: Sequence[str],
    out: str | Path,
    *,
    boxes: str | None = None,
    image_names: Path | None = None,
    category: int | None = None,
    min_box_score: float = 0.0,
    decoder: str | None = None,
    flip_test: bool = True,
    batch_size: int = 32,
    orientation: Orientation | None = None,
    device: str | None = None,
    workers: int | None = None,
    shard_size: int = 1000,
) -> None:
    """Find the keypoints of people in images, on a Ray cluster; run again, do what is missing.

    The cluster is the one that is connected to, or that `RAY_ADDRESS` names; else one is started on
    this machine. All its machines must see images and out at the same place.

    Args:
        checkpoint: as training or `darkpose convert` writes it, on this machine.
        images: files, folders and patterns; or the URI of a folder or file that pyarrow reads
            (s3://, gs://, file://, ...); or Parquet tables with images and boxes, see
            `darkpose.predict.rows.Layout`.
        out: folder or URI for Parquet files, see `darkpose.predict.rows.result_schema`.
        boxes, image_names, category, min_box_score, decoder, flip_test, batch_size, orientation: as
            `darkpose.predict.command.predict` has them.
        device: "cuda" or "cpu"; by default GPUs if the cluster has any.
        workers: how many; one on each GPU of the cluster by default, or on each processor if there
            is none.
        shard_size: images, or rows of a table, that are done at once, or again.

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
    for name, value in {"shard_size": shard_size, "workers": workers}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if device not in (None, "cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda with engine ray, got {device}")
    folder, table = Folder(_out(out)), None
    places = list(map(plain, images))
    if tables := find_tables(places):
        if boxes is not None:
            raise ValueError("boxes of Parquet tables must be in their columns, got boxes too")
        sizes = measure(tables)
    else:
        given: Any = None if boxes is None else parse_boxes(boxes)
        if boxes is not None and given is None:
            given = read_boxes(
                boxes, image_names=image_names, category=category, min_score=min_box_score
            )
        listed, orientation = list_images(places, given, orientation)
        table = as_table(listed)
        sizes = {INDEX: [len(listed), 0]}
    options: dict[str, Any] = {
        "decoder": decoder,
        "flip_test": flip_test,
        "batch_size": batch_size,
        "orientation": orientation or "exif",
    }
    predictor = Predictor.from_checkpoint(checkpoint, device="cpu", **options)
    rows = {inside(folder.place, name): count for name, (count, _) in sizes.items()}
    shards = cut(rows, shard_size)
    weights = Path(checkpoint).read_bytes()
    options = {**options, "decoder": predictor.decoder, "min_box_score": min_box_score}
    run = {
        "format": 1,
        "checkpoint": sha256(weights).hexdigest(),
        **options,
        "shard_size": shard_size,
        "images": sizes,
        "shards": len(shards),
    }
    begin(folder, run)
    if table is not None:
        keep_table(folder, table, shard_size)
    todo = missing(folder, shards)
    if len(todo) < len(shards):
        _logger.info("shards done already: %d of %d", len(shards) - len(todo), len(shards))
    broken = _run(todo, folder, weights, options, workers, device) if todo else []
    if lost := missing(folder, shards):
        why = broken[0] if broken else "is it one that all machines of the cluster share?"
        raise OSError(
            f"{folder.name} lacks {len(lost)} of {len(shards)} shards, "
            f"the same command does what is missing: {why}"
        )
    folder.sweep()


def _out(out: str | Path) -> str:
    place = plain(str(out))
    suffix = Path(place.partition("?")[0]).suffix.lower()
    if suffix in {".json", ".csv", *IMAGE_SUFFIXES, *VIDEO_SUFFIXES}:
        raise ValueError(f"out must be a folder for Parquet files with engine ray, got {out}")
    return place if is_uri(place) else str(Path(place).resolve())


# ---- the cluster ---------------------------------------------------------------------------------


class Begun:
    """Counts how often shards are begun, in a process of its own that none of them can kill."""

    def __init__(self) -> None:
        self.times = Counter[int]()

    def count(self, shard: int) -> int:
        """Return how often a shard was begun, this time included."""
        self.times[shard] += 1
        return self.times[shard]


class ShardWorker:
    """Predicts shards, on a GPU of its own. One stays alive for many.

    Args:
        weights: Ray's reference to the checkpoint's bytes.
        options: of `Predictor.from_checkpoint`, and `min_box_score`.
        out: where results are written to.
        device: to run on.
        begun: Ray's handle of `Begun`.
        tries: how often a shard is begun at most.
    """

    def __init__(
        self,
        weights: Any,
        options: Mapping[str, Any],
        out: str,
        device: str,
        begun: Any,
        tries: int,
    ) -> None:
        import ray

        options = dict(options)
        self.min_box_score = options.pop("min_box_score")
        self.begun, self.tries = begun, tries
        with NamedTemporaryFile(suffix=".ckpt") as file:
            file.write(ray.get(weights))
            file.flush()
            self.predictor = Predictor.from_checkpoint(file.name, device=device, **options)
        self.folder = Folder(out)

    def __call__(self, shard: dict[str, Any]) -> dict[str, Any]:
        """Return what came of a shard, both as rows of Ray Data."""
        import ray

        its = Shard(**shard)
        try:
            if ray.get(self.begun.count.remote(its.number)) > self.tries:
                raise RuntimeError(f"{self.tries} workers died over it")
            return self.predict(its)._asdict()
        except Exception as error:  # other shards may do better
            rows = f"rows {its.start} to {its.stop - 1} of {its.table}"
            return Found(0, 0, 0, "", f"{rows}: {error or type(error).__name__}")._asdict()

    def predict(self, shard: Shard) -> Found:
        """Write a shard's results."""
        images = requests(
            shard.table, shard.start, shard.stop, self.predictor.orientation, self.min_box_score
        )
        rows: list[Row] = []
        errors: list[str] = []
        count = 0
        for outcome in self.predictor.stream(images):
            count += 1
            rows += result_rows(outcome)
            if outcome.error is not None:
                errors.append(outcome.error)
        self.folder.write(shard.name, parquet(rows, result_schema(self.predictor.spec)))
        people = sum("keypoints" in row for row in rows)
        return Found(count, people, len(errors), errors[0] if errors else "")


def _run(
    shards: Sequence[Shard],
    folder: Folder,
    weights: bytes,
    options: Mapping[str, Any],
    workers: int | None,
    device: str | None,
) -> list[str]:
    """Have the cluster do shards, say what came of them, and return why some were not done."""
    import ray
    import ray.data
    from ray.exceptions import RayError

    started = not ray.is_initialized()
    if started:
        ray.init(include_dashboard=False)
    try:
        there = ray.cluster_resources()
        gpus = 0 if device == "cpu" else int(there.get("GPU", 0))
        if device == "cuda" and not gpus:
            raise ValueError("device cuda needs a GPU in the Ray cluster, got none")
        count = min(len(shards), workers or gpus or max(1, int(there.get("CPU", 1))))
        data = ray.data.from_items(
            [each._asdict() for each in shards], override_num_blocks=len(shards)
        )
        worker: Any = ShardWorker  # Ray Data's types know functions alone
        data.context.enable_progress_bars = False
        begun = ray.remote(num_cpus=0)(Begun).remote()
        place = folder.place, "cuda" if gpus else "cpu"
        results = data.map(
            worker,
            fn_constructor_args=(ray.put(weights), options, *place, begun, TRIES),
            compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=1 if gpus else 0,
        )
        total = sum(each.stop - each.start for each in shards)
        return _report(results.iter_rows(), total, folder.name)
    except RayError as error:
        line = str(getattr(error, "cause", None) or error).partition("\n")[0]
        raise OSError(
            f"the Ray cluster failed, the same command does what is missing: {line}"
        ) from error
    finally:
        if started:
            ray.shutdown()


def _report(results: Iterable[Mapping[str, Any]], total: int, out: str) -> list[str]:
    done: list[Found] = []
    broken: list[str] = []
    with pace(total) as progress:
        for row in results:
            found = Found(**row)
            done.append(found)
            if found.broken:
                broken.append(found.broken)
                _logger.warning("a shard failed: %s", found.broken)
            if len(broken) == FAILURES:
                break
            progress.advance(found.images)
    good = sum(each.images - each.failed for each in done)
    people = sum(each.people for each in done)
    print(f"people: {people}, images: {good}, {progress.rate:.1f} images/s: {out}")
    if failed := sum(each.failed for each in done):
        first = next(each.error for each in done if each.failed)
        _logger.warning("images that failed: %d, as their rows say; the first: %s", failed, first)
    return broken
