# SPDX-License-Identifier: Apache-2.0
"""`darkpose look`: what a checkpoint sees in any image, as pictures.

Skeletons, heatmaps, one joint's map raw and modulated, and checkpoints or decoders side by side.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from darkpose.console import say
from darkpose.data.drawing import Image, view
from darkpose.data.images import DecodedImage
from darkpose.data.orientation import Orientation
from darkpose.data.sides import finder
from darkpose.data.tally import Once
from darkpose.files import replacing
from darkpose.predict.boxes import BoxTable, parse_boxes, read_boxes
from darkpose.predict.people import checked_boxes, maps_to_image
from darkpose.predict.pixels import as_decoded, as_rgb
from darkpose.predict.predictor import Predictor
from darkpose.predict.sources import Source, plan
from darkpose.show.maps import PersonMaps, person_maps
from darkpose.show.pictures import Way, compare, with_heatmaps, with_skeletons
from darkpose.show.truths import Truth, read_truths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

What = Literal["skeletons", "heatmaps", "modulation"]

_logger = logging.getLogger(__name__)
_LONGEST = 1600  # pixels of a picture of a whole image, 640 at least
_SHORTEST = 640


@dataclass
class LookOptions:
    """Draw what a checkpoint sees in images: skeletons, heatmaps, comparisons, as PNG files.

    Args:
        checkpoint: as training or `darkpose convert` writes it.
        images: images, folders, patterns such as 'day1/*.jpg'.
        boxes: of people, as `darkpose predict` takes them; annotated joints of a COCO-style file
            are drawn beside the predicted ones in comparisons. None: each whole image is one
            person.
        what: to draw: skeletons and heatmaps on the whole image; modulation, one joint's map of
            each person before and after it, with what each decoder finds.
        joint: whose map heatmaps and modulation show. None: for heatmaps all joints at once, for
            modulation the one with the highest score.
        versus: another checkpoint to set beside this one.
        decoders: to set side by side.
        out: folder to write.
        image_names: JSON with images that says which file each image_id of detections is.
        flip_test: average over the mirrored input too.
        device: to run on; by default a GPU if there is one.
        clip_boxes: clip annotated boxes as the checkpoint's convention was trained; others never.
        orientation: exif turns images as people see them, stored leaves them as COCO was annotated.
            By default as width and height in the boxes' file say; where they are the same both ways
            or missing, stored if the boxes are COCO's, else exif.
        threshold: joints of a lower score are not drawn.
        people: of an image at most, in all pictures but skeletons.
    """

    checkpoint: Path
    images: list[str]
    boxes: str | None = None
    what: tuple[What, ...] = ("skeletons", "heatmaps")
    joint: str | None = None
    versus: Path | None = None
    decoders: tuple[str, ...] = ()
    out: Path = Path("looks")
    image_names: Path | None = None
    flip_test: bool = True
    device: str | None = None
    clip_boxes: bool = True
    orientation: Orientation | None = None
    threshold: float = 0.2
    people: int = 12


def look(options: LookOptions) -> None:
    """Draw what a checkpoint sees in images: skeletons, heatmaps, comparisons, as PNG files.

    A bad image among others is left out, with a warning.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is not what it should be, a joint or decoder is unknown, or an image is a
            video.
    """
    from darkpose.show import plots  # loads matplotlib, which the help does not need

    boxes, out = options.boxes, options.out
    table: BoxTable | NDArray[np.float64] | None = None if boxes is None else parse_boxes(boxes)
    if boxes is not None and table is None:
        table = read_boxes(boxes, image_names=options.image_names)
    work = plan(options.images, table, options.orientation, leave_out=[out])
    paths = [path for path in (options.checkpoint, options.versus) if path is not None]
    predictors = [
        Predictor.from_checkpoint(
            path,
            device=options.device,
            flip_test=options.flip_test,
            orientation=work.orientation,
            clip_boxes=options.clip_boxes,
        )
        for path in paths
    ]
    joint = None if options.joint is None else _joint(options.joint, predictors[0].spec.names)
    compared = options.versus is not None or options.decoders
    ways = _ways(predictors, paths, options.decoders) if compared else []
    truths: Mapping[Any, Truth] = {}
    if isinstance(table, BoxTable) and (ways or "modulation" in options.what):
        truths = read_truths(Path(str(boxes)), [each.spec for each in predictors])
    uncertain = Once()
    for source, stem in zip(work.sources, _stems(work.sources), strict=True):
        if source.is_video:
            raise ValueError(f"look draws images, got the video {source.path}")
        try:
            image = as_decoded(source.path, work.pixels(source))
            uncertain.say(image.note)
            found = checked_boxes(source.boxes and source.boxes.boxes, image.size)
        except ValueError as error:
            if len(work.sources) == 1:
                raise
            _logger.warning("%s", error)
            continue
        annotated = source.boxes is not None and source.boxes.annotated
        cut = [
            each.clipped(found, image.size) if annotated else found for each in predictors
        ]  # for each checkpoint [N, 4]
        # Boxes without size, which some files have, have no crop and no keypoints.
        fit = [maps_to_image(one.codec, its)[0] for one, its in zip(predictors, cut, strict=True)]
        kept = np.logical_and.reduce(fit)
        found, first_cut = found[kept], cut[0][kept]
        known = [truths.get((source.image_id, tuple(box))) for box in found.tolist()]
        drawn = _pictures(predictors[0], image, first_cut, known, options, joint)
        if ways and len(found):
            pixels, first = as_rgb(image), zip(found[: options.people], known, strict=False)
            rows = [
                compare(ways, pixels, *one, options.threshold, annotated=annotated) for one in first
            ]
            drawn = chain(drawn, [("versus", plots.side_by_side(rows))])
        for name, picture in drawn:
            path = out / f"{stem}-{name}.png"
            if isinstance(picture, np.ndarray):
                _write(path, picture)
            else:
                plots.save(picture, path)
            say(str(path))


def _pictures(
    predictor: Predictor,
    image: DecodedImage,
    boxes: NDArray[np.float64],  # [N, 4]
    truths: Sequence[Truth | None],  # N
    options: LookOptions,
    joint: int | None,
) -> Iterator[tuple[str, "Image | Figure"]]:
    """Yield each picture of one image by the first checkpoint, and what it is called."""
    from darkpose.show import plots

    pixels, names = as_rgb(image), predictor.spec.names
    whole = view(pixels, longest=min(_LONGEST, max(_SHORTEST, *image.size)))
    if "skeletons" in options.what:
        people = predictor(pixels, boxes).keypoints
        yield "skeletons", with_skeletons(whole, people, predictor.spec, options.threshold)
    if not {"heatmaps", "modulation"} & set(options.what):
        return
    seen = [person_maps(predictor, image, box) for box in boxes[: options.people]]
    if "heatmaps" in options.what:
        name = "heatmaps" if joint is None else f"heatmaps-{_safe(names[joint])}"
        yield name, with_heatmaps(whole, seen, joint)
    if "modulation" in options.what:
        for i, (one, truth) in enumerate(zip(seen, truths, strict=False)):
            k = _most_certain(one) if joint is None else joint
            known = None if truth is None else truth.of(predictor.spec)
            there = None
            if known is not None and known[k, 2] > 0:
                there = (float(known[k, 0]), float(known[k, 1]))
            figure = plots.person_modulation(one, predictor.codec, k, names[k], there)
            yield f"modulation-{i}-{_safe(names[k])}", figure


# ---- what is asked for ---------------------------------------------------------------------------


def _ways(
    predictors: Sequence[Predictor], paths: Sequence[Path], decoders: Sequence[str]
) -> list[Way]:
    """Return every checkpoint with every decoder, each called by what tells it from the others."""
    ways = []
    for predictor, label in zip(predictors, _labels(paths), strict=True):
        for decoder in decoders or (predictor.decoder,):
            name = decoder.replace("_", " ")
            name = name if len(predictors) == 1 else f"{label}, {name}" if decoders else label
            one = Predictor(
                predictor.model,
                flip_test=predictor.flip_test,
                device=predictor.device,
                decoder=decoder,
                orientation=predictor.orientation,
                clip_boxes=predictor.clip_boxes,
            )
            ways.append(Way(name, one))
    return ways


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return of each path the parts in which it differs from the others."""
    parts = [path.parts for path in paths]
    if len(set(parts)) < 2:
        return [path.stem for path in paths]
    same = {part for part in parts[0] if all(part in other for other in parts)}
    return ["/".join(part for part in one if part not in same) or paths[0].stem for one in parts]


def _joint(name: str, names: Sequence[str]) -> int:
    place = finder(names)(name)
    if place is None:
        raise ValueError(f"joint must be one of {', '.join(names)}, got {name}")
    return place


def _most_certain(seen: PersonMaps) -> int:
    peaks = seen.heatmaps.amax((-2, -1))
    return int(torch.nan_to_num(peaks, nan=-torch.inf).argmax())


def _stems(sources: Sequence[Source]) -> list[str]:
    """Return a name for the pictures of each image: its own, with the suffix where two are alike.

    Names come from files: of their folders, only what is inside of `out` remains.
    """
    names = ["_".join(map(_safe, Path(one.name).parts)) for one in sources]
    counts = Counter(Path(name).stem for name in names)
    stems: dict[str, None] = {}
    for name in names:
        stem = wanted = Path(name).stem if counts[Path(name).stem] == 1 else name
        number = 1
        while stem in stems:  # `a/b.jpg` and `a_b.jpg`
            number += 1
            stem = f"{wanted}-{number}"
        stems[stem] = None
    return list(stems)


def _safe(name: str) -> str:
    """Return a name that is one of a file in any folder."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "_"


def _write(path: Path, picture: Image) -> None:
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    with replacing(path) as file:
        file.write(data.tobytes())
