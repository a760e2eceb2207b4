# SPDX-License-Identifier: Apache-2.0
"""`darkpose predict`: a checkpoint, images and boxes to keypoints, in files and in pictures."""

import csv
import io
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from darkpose.files import write_text
from darkpose.predict import outputs
from darkpose.predict.boxes import BoxTable, parse_boxes, read_boxes
from darkpose.predict.detectors import load_detector
from darkpose.predict.pixels import Orientation
from darkpose.predict.predictor import Predictor, Request
from darkpose.predict.progress import pace
from darkpose.predict.sources import VIDEO_SUFFIXES, Plan, Shot, Source, frame_rate, plan
from darkpose.predict.table import as_text, with_pose

_logger = logging.getLogger(__name__)


def predict(
    checkpoint: Path,
    images: list[str],
    boxes: str | None = None,
    out: str | Path = "predictions.json",
    draw: Path | None = None,
    image_names: Path | None = None,
    category: int | None = None,
    min_box_score: float | None = None,
    detector: str | None = None,
    decoder: str | None = None,
    flip_test: bool = True,
    batch_size: int = 32,
    device: str | None = None,
    orientation: Orientation | None = None,
    threshold: float = 0.2,
    threads: int | None = None,
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    shard_size: int = 1000,
) -> None:
    """Find the keypoints of people in images, folders or videos; write them, draw skeletons.

    Args:
        checkpoint: as training or `darkpose convert` writes it.
        images: images, folders, patterns such as 'day1/*.jpg', videos. With engine ray also URIs
            (s3://, gs://, ...) and Parquet tables.
        boxes: of people: a .json file (COCO-style annotations or detections), a .csv file with the
            columns file, x, y, w, h and perhaps score and frame, or x,y,w,h itself, several
            separated by ;. Without boxes and detector, each whole image is one person.
        out: file to write: .json (COCO's results format), .csv or .parquet; or what draw takes.
            With engine ray the folder or URI of Parquet files, where the same command does what is
            missing.
        draw: folder for pictures with skeletons, or a .jpg, .png or .webp file for one image, or a
            .mp4, .mov, .mkv or .avi file for one video, which will be without sound.
        image_names: JSON with images that says which file each image_id of detections is.
        category: of the boxes to take. By default the one with keypoints, or named person.
        min_box_score: least score of a box; by default 0 for boxes that are given, 0.5 for
            huggingface's.
        detector: finds people where no boxes are given: module:function of your own, called with an
            RGB image [H, W, 3] and returning boxes [N, 4] and scores [N]; or huggingface:MODEL.
        decoder: how to read the heatmaps; the best one by default.
        flip_test: average over the mirrored input too, which takes twice the time.
        batch_size: people that the network sees at once.
        device: to run on; by default a GPU if there is one.
        orientation: exif turns images as people see them, stored leaves them as COCO was annotated.
            By default stored if the boxes are COCO's, else exif.
        threshold: joints of a lower score are not drawn.
        threads: that read images; by default as many as processors.
        engine: local, or ray for many machines.
        workers: of engine ray; by default one on each GPU of the cluster, or on each processor.
        shard_size: images, or rows of a Parquet table, that a worker of engine ray does at once.

    Raises:
        FileNotFoundError: a file is not there.
        ImportError: an optional package is needed and missing; the message says which.
        ValueError: a file is not what it should be, options contradict one another, or no image at
            all could be predicted.
    """
    if boxes is not None and detector is not None:
        raise ValueError("boxes and detector exclude one another: got both")
    if engine == "ray":
        if draw is not None or detector is not None:
            raise ValueError("engine ray neither draws nor detects: leave out draw and detector")
        from darkpose.predict.distributed import predict_ray

        predict_ray(
            checkpoint,
            images,
            out,
            boxes=boxes,
            image_names=image_names,
            category=category,
            min_box_score=min_box_score or 0.0,
            decoder=decoder,
            flip_test=flip_test,
            batch_size=batch_size,
            orientation=orientation,
            device=device,
            workers=workers,
            shard_size=shard_size,
        )
        return
    written = [Path(path) for path in (out, draw) if path is not None]
    table = _boxes(boxes, image_names, category, min_box_score)
    folders = [path for path in written if outputs.is_folder(path)]
    work = plan(images, table, orientation, leave_out=folders)
    others = [Path(name) for name in (checkpoint, boxes, image_names) if name is not None]
    _check_outputs(written, work, others)
    predictor = Predictor.from_checkpoint(
        checkpoint,
        device=device,
        decoder=decoder,
        flip_test=flip_test,
        batch_size=batch_size,
        orientation=work.orientation,
        detector=None if detector is None else load_detector(detector, device, min_box_score),
    )
    for note in work.notes:
        _logger.info("%s", note)
    _run(predictor, work, written, threshold, threads)


def _boxes(
    boxes: str | None, image_names: Path | None, category: int | None, min_score: float | None
) -> BoxTable | NDArray[np.float64] | None:
    given = None if boxes is None else parse_boxes(boxes)
    if boxes is None or given is not None:
        return given
    return read_boxes(boxes, image_names=image_names, category=category, min_score=min_score)


def _check_outputs(written: Sequence[Path], work: Plan, inputs: Sequence[Path]) -> None:
    """Raise ValueError for an output of unknown kind, or one that would replace an input."""
    read = {path.resolve() for path in (*inputs, *(source.path for source in work.sources))}
    if len({path.resolve() for path in written}) < len(written):
        raise ValueError(f"out and draw must be different files, got {written[0]} twice")
    for path in written:
        suffix = "" if outputs.is_folder(path) else path.suffix.lower()
        kinds = outputs.TABLE_SUFFIXES, outputs.PICTURE_SUFFIXES, tuple(outputs.VIDEO_CODECS)
        if suffix and not any(suffix in kind for kind in kinds):
            names = ", ".join(suffix for kind in kinds for suffix in kind)
            raise ValueError(f"outputs must be a folder or a file of {names}, got {path}")
        videos = [source.is_video for source in work.sources]
        if suffix in outputs.PICTURE_SUFFIXES and videos != [False]:
            raise ValueError(
                f"{path} must be drawn from one image, got {_counted(videos)}: name a folder"
            )
        if suffix in VIDEO_SUFFIXES and videos != [True]:
            raise ValueError(f"{path} must be drawn from one video, got {_counted(videos)}")
        targets = {path.resolve(): ""}
        if not suffix:
            for each in work.sources:
                target = _drawn(each, path)
                if target in targets:
                    raise ValueError(
                        f"{targets[target]} and {each.name} would both be drawn as {target}: "
                        "predict them one by one, into folders of their own"
                    )
                targets[target] = each.name
        if hit := targets.keys() & read:
            raise ValueError(f"{path} would replace {min(hit)}, which is read: name another")


def _drawn(source: Source, folder: Path) -> Path:
    """Return the picture of an image in a folder, or the folder of a video's frames."""
    picture = folder / outputs.picture_name(source.name, 0 if source.is_video else None)
    return (picture.parent if source.is_video else picture).resolve()


def _counted(videos: Sequence[bool]) -> str:
    return f"{len(videos) - sum(videos)} image(s) and {sum(videos)} video(s)"


def _run(
    predictor: Predictor,
    work: Plan,
    written: Sequence[Path],
    threshold: float,
    threads: int | None,
) -> None:
    failures: list[tuple[str, str]] = []
    pending: deque[Shot] = deque()  # asked for and not yet answered
    good = people = left_out = 0
    highest = 0.0  # score of a joint

    def requests() -> Iterator[Request]:
        for shot in work.shots(lambda name, error: failures.append((name, error))):
            pending.append(shot)
            yield shot.request

    with ExitStack() as stack:
        opened = [stack.enter_context(_open(path, predictor, work, threshold)) for path in written]
        shown = stack.enter_context(pace(work.total))
        for outcome in predictor.stream(requests(), threads=threads):
            shot = pending.popleft()
            shown.advance()
            if outcome.poses is None:
                failures.append((shot.name, outcome.error or ""))
                continue
            found = int(with_pose(outcome.poses).sum())
            people, left_out = people + found, left_out + len(outcome.poses) - found
            good += 1
            highest = max(
                highest, float(np.nan_to_num(outcome.poses.keypoints[..., 2]).max(initial=0))
            )
            for write in opened:
                try:
                    write(shot, outcome.poses)
                except outputs.NotDrawnError as error:
                    failures.append((shot.name, str(error)))
        _record(written[0], failures)
        if failures and not good:
            raise ValueError(f"none of the images could be predicted, the first: {failures[0][1]}")
    print(
        f"people: {people}, images: {good}, {shown.rate:.1f} images/s: "
        f"{', '.join(map(str, written))}"
    )
    drawn = any(path.suffix.lower() not in outputs.TABLE_SUFFIXES for path in written)
    if drawn and people and highest < threshold:
        _logger.warning(
            "no joint has a score of %g, so none is drawn: --threshold 0 draws all", threshold
        )
    if left_out:
        _logger.warning(
            "boxes without a pose, left out: %d (they have no size, or the network says NaN)",
            left_out,
        )
    if failures:
        _logger.warning(
            "files that failed: %d, listed in %s; the first: %s",
            len(failures),
            _failures_file(written[0]),
            failures[0][1],
        )


def _open(path: Path, predictor: Predictor, work: Plan, threshold: float) -> outputs.Output:
    spec, suffix = predictor.spec, path.suffix.lower()
    if outputs.is_folder(path):
        return outputs.open_pictures(path, spec, work.orientation, threshold)
    if suffix in outputs.TABLE_SUFFIXES:
        return outputs.open_table(path, spec, work.category_id)
    if suffix in outputs.VIDEO_CODECS:
        _logger.info("%s will have no sound", path)
        return outputs.open_video(path, spec, threshold, frame_rate(work.sources[0].path))
    return outputs.open_picture(path, spec, work.orientation, threshold)


def _failures_file(out: Path) -> Path:
    return out.with_name(f"{out.stem}.failures.csv")


def _record(out: Path, failures: Sequence[tuple[str, str]]) -> None:
    """Write which images failed and why beside the results; take away what a run before left."""
    if not failures:
        _failures_file(out).unlink(missing_ok=True)
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("file", "error"), *failures])
    write_text(_failures_file(out), as_text(text.getvalue()))
