# SPDX-License-Identifier: Apache-2.0
"""`darkpose predict`: a checkpoint, images and boxes to keypoints, in files and in pictures."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from darkpose.console import say
from darkpose.files import is_special, write_text
from darkpose.predict.detectors import load_detector
from darkpose.predict.options import PredictOptions, boxes_of
from darkpose.predict.outputs import Kind, NotDrawnError, Setting, kind_of, picture_name
from darkpose.predict.predictor import Predictor, Request
from darkpose.predict.progress import pace
from darkpose.predict.sources import Plan, Shot, Source, plan
from darkpose.predict.table import as_text, csv_text, with_pose
from darkpose.predict.videos import by_opencv

_logger = logging.getLogger(__name__)


def predict(options: PredictOptions) -> None:
    """Find the keypoints of people in images, folders or videos; write them, draw skeletons.

    Raises:
        FileNotFoundError: a file is not there.
        ImportError: an optional package is needed and missing; the message says which.
        ValueError: a file is not what it should be, options contradict one another, or no image at
            all could be predicted.
    """
    if options.boxes is not None and options.detector is not None:
        raise ValueError("boxes and detector exclude one another: got both")
    if options.engine == "ray":
        if options.decode_on != "cpu":
            raise ValueError("engine ray decodes by OpenCV: leave out decode_on")
        if options.draw is not None or options.detector is not None:
            raise ValueError("engine ray neither draws nor detects: leave out draw and detector")
        from darkpose.predict.distributed import predict_ray

        predict_ray(options)
        return
    paths = [Path(path) for path in (options.out, options.draw) if path is not None]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError(f"out and draw must be different files, got {paths[0]} twice")
    kinds = {path: kind_of(path) for path in paths}
    folders = [path for path, kind in kinds.items() if kind.drawn_from == "images"]
    work = plan(options.images, boxes_of(options), options.orientation, leave_out=folders)
    _check_outputs(kinds, work, options)
    detector = None
    if options.detector is not None:
        detector = load_detector(options.detector, options.device, options.min_box_score)
    predictor = Predictor.from_checkpoint(
        options.checkpoint,
        network=options.network,
        device=options.device,
        decoder=options.decoder,
        flip_test=options.flip_test,
        batch_size=options.batch_size,
        orientation=work.orientation,
        detector=detector,
        clip_boxes=options.clip_boxes,
        decode_on=options.decode_on,
    )
    for note in work.notes:
        _logger.info("%s", note)
    _run(predictor, work, kinds, options)


def _check_outputs(kinds: Mapping[Path, Kind], work: Plan, options: PredictOptions) -> None:
    """Raise ValueError for an output that cannot be drawn, or that would replace an input."""
    inputs = (options.checkpoint, options.boxes, options.image_names)
    read = {Path(name).resolve() for name in inputs if name is not None}
    read |= {source.path.resolve() for source in work.sources}
    videos = [source.is_video for source in work.sources]
    counted = f"got {len(videos) - sum(videos)} image(s) and {sum(videos)} video(s)"
    for path, kind in kinds.items():
        if kind.drawn_from == "image" and videos != [False]:
            raise ValueError(f"{path} must be drawn from one image, {counted}: name a folder")
        if kind.drawn_from == "video" and videos != [True]:
            raise ValueError(f"{path} must be drawn from one video, {counted}")
        targets = {path.resolve(): ""}
        if kind.drawn_from == "images":
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
    picture = folder / picture_name(source.name, 0 if source.is_video else None)
    return (picture.parent if source.is_video else picture).resolve()


def _run(
    predictor: Predictor, work: Plan, kinds: Mapping[Path, Kind], options: PredictOptions
) -> None:
    setting = Setting(predictor.spec, work.category_id, options.threshold, work.rate)
    first_path = next(iter(kinds))
    failures: list[tuple[str, str]] = []
    undrawn: list[str] = []
    pending: deque[Shot] = deque()  # asked for and not yet answered
    good = people = left_out = 0
    highest = 0.0  # score of a joint

    def requests() -> Iterator[Request]:
        read = predictor.decoding.frames if predictor.decoding else by_opencv
        for shot in work.shots(lambda name, error: failures.append((name, error)), read):
            pending.append(shot)
            yield shot.request

    with ExitStack() as stack:
        opened = [stack.enter_context(kind.open(path, setting)) for path, kind in kinds.items()]
        shown = stack.enter_context(pace(work.total))
        for outcome in predictor.stream(requests(), threads=options.threads):
            shot = pending.popleft()
            shown.advance()
            if outcome.poses is None:
                failures.append((shot.name, outcome.error or ""))
                continue
            found = int(with_pose(outcome.poses).sum())
            people, left_out = people + found, left_out + len(outcome.poses) - found
            good += 1
            joints = np.nan_to_num(outcome.poses.keypoints[..., 2])
            highest = max(highest, float(joints.max(initial=0)))
            for write in opened:
                try:
                    write(shot, outcome.poses)
                except NotDrawnError as error:
                    failures.append((shot.name, str(error)))
                    undrawn.append(str(error))
        _record(first_path, failures)
        if failures and not good:
            raise ValueError(f"none of the images could be predicted, the first: {failures[0][1]}")
    names = ", ".join(map(str, kinds))
    say(f"people: {people}, images: {good}, {shown.rate:.1f} images/s: {names}")
    drawn = any(kind.drawn_from for kind in kinds.values())
    if drawn and people and highest < options.threshold:
        _logger.warning(
            "no joint has a score of %g, so none is drawn: --threshold 0 draws all",
            options.threshold,
        )
    if left_out:
        _logger.warning(
            "boxes without a pose, left out: %d (they have no size or lie outside of the image, "
            "or the network says NaN)",
            left_out,
        )
    if failures:
        _logger.warning(
            "files that failed: %d, listed in %s; the first: %s",
            len(failures),
            _failures_file(first_path),
            failures[0][1],
        )
    if undrawn:
        raise OSError(
            f"pictures that could not be written: {len(undrawn)}, the first: {undrawn[0]}"
        )


def _failures_file(out: Path) -> Path:
    return out.with_name(f"{out.stem}.failures.csv")


def _record(out: Path, failures: Sequence[tuple[str, str]]) -> None:
    """Write which images failed and why beside the results; take away what a run before left."""
    if is_special(out):
        return
    if not failures:
        _failures_file(out).unlink(missing_ok=True)
        return
    write_text(_failures_file(out), as_text(csv_text([("file", "error"), *failures])))
