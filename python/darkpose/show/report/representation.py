# SPDX-License-Identifier: Apache-2.0
"""What the representation does to these people: encoded and decoded, and single joints close up."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from darkpose.codec import HEATMAP_ENCODINGS, HeatmapCodec
from darkpose.evaluate.metrics import oks
from darkpose.geometry import apply, transform_points
from darkpose.show.report.markup import number, percent, picture, table, text
from darkpose.show.report.matching import Matched
from darkpose_ext import modulate

Maps = Callable[[int], Tensor]
"""From a position in a data set's records to the maps [K, h, w] of that person."""

PEOPLE = 1000
"""Whom to encode and decode at most."""
_BATCH = 50  # people whose maps are held at once
_CLOSE = 7  # heatmap pixels on each side of a peak
_MARKS = {  # by decoder: an SVG shape of size 1 round (0, 0), and its color
    "argmax": ("M-.5-.5h1v1h-1z", "#ff6b6b"),
    "standard": ("M0-.55L.5.4H-.5z", "#ffb347"),
    "dark_unmodulated": ("M0-.6L.6 0 0 .6-.6 0z", "#5cc8ff"),
    "dark": ("M-.5 0a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0z", "#54e37b"),
    "annotated": ("M-.6 0H.6M0-.6V.6", "#ffffff"),
}
_OTHER_MARK = "M-.45-.45L.45.45M-.45.45L.45-.45", "#ff8ae2"


# ---- encode, then decode -------------------------------------------------------------------------


def round_trips(
    codec: HeatmapCodec, matched: Matched
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Encode the annotated joints and decode them, with no network between.

    Of more people than `PEOPLE`, so many are taken, evenly from first to last.

    Returns:
        By encoding and decoder the mean OKS, which is what a perfect network would have, the median
        error in heatmap pixels, and the share of labeled joints less than a tenth of one off.
    """
    codecs = [replace(codec, encoding=name) for name in HEATMAP_ENCODINGS]  # type: ignore[arg-type]
    shown, known = matched.shown, np.flatnonzero(matched.known)
    people = known[np.linspace(0, len(known) - 1, min(len(known), PEOPLE)).round().astype(int)]
    found = defaultdict(list)
    for part in np.split(people, range(_BATCH, len(people), _BATCH)):
        crops = shown.subjects.at(part.tolist()).crops
        to_heatmap, to_image = (
            torch.from_numpy(np.array([matrix(crop) for crop in crops]).reshape(-1, 2, 3))
            for matrix in (codec.image_to_heatmap, codec.heatmap_to_image)
        )
        joints = torch.from_numpy(shown.joints[part])
        points, labeled = joints[..., :2], joints[..., 2] > 0
        there = transform_points(to_heatmap, points)
        for one in codecs:
            maps, _ = one.encode(points.float(), labeled.float(), to_heatmap.float())
            for decoder in one.decoders:
                read = one.decode(maps, decoder=decoder)[0].double()
                back = transform_points(to_image, read)
                likeness = oks(back, joints, shown.areas[part], shown.subjects.spec.oks_sigmas)
                errors = (read - there).norm(dim=-1)[labeled].numpy()
                found[one.encoding, decoder].append((likeness, errors))
    rows: dict[tuple[str, str], tuple[float, float, float]] = {}
    for name, parts in found.items():
        likeness, errors = map(np.concatenate, zip(*parts, strict=True))
        rows[name] = (
            float(likeness.mean()),
            float(np.median(errors)),
            float((errors < 0.1).mean()),
        )
    return rows


def round_trip_table(codec: HeatmapCodec, matched: Matched) -> str:
    """Return what the representation alone costs, beside what the network reaches."""
    cells = []
    for (encoding, decoder), (likeness, median, within) in round_trips(codec, matched).items():
        found = matched.by_decoder.get(decoder) if encoding == codec.encoding else None
        reached = "-" if found is None else number(float(found.oks[matched.known].mean()), 4)
        name = f"{encoding}, {decoder}"
        cells.append([name, number(likeness, 4), number(median), percent(within), reached])
    head = ["encoding, decoder", "mean OKS", "median error", "within 0.1"]
    people = min(int(matched.known.sum()), PEOPLE)
    caption = (
        f"{people} people's annotated joints encoded and decoded, with no network between; errors "
        "in heatmap pixels, joints within 0.1 of one in percent"
    )
    return table(caption, [*head, "this network's mean OKS"], cells)


# ---- single joints, close up ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CloseUp:
    """One joint's map round its peak, and where each decoder finds the joint in it."""

    row: int
    """Of `Matched`."""
    joint: int
    gain: float
    """Heatmap pixels by which the last decoder is nearer than the first."""
    maps: dict[str, Tensor]
    """[h, w] round the peak: the target, the network's map, that map modulated."""
    marks: dict[str, tuple[float, float]]
    """(x, y) in their pixels: what each decoder finds, and what is annotated."""


def close_ups(codec: HeatmapCodec, matched: Matched, maps: Maps, count: int = 8) -> list[CloseUp]:
    """Return joints from the one that the last decoder helps most to the one that it harms most.

    They are evenly taken from the order of that gain over all joints whose highest value is at the
    joint, to three heatmap pixels: elsewhere decoders only differ in how they are wrong.
    """
    first, *others = matched.by_decoder.values()
    if codec.regresses or not others:
        return []
    matrices = [codec.image_to_heatmap(crop)[:, :2] for crop in first.subjects.crops]
    scale = np.sqrt(np.abs(np.linalg.det(matrices)))  # heatmap pixels of an image pixel
    far, near = (
        np.linalg.norm(one.points - one.joints[..., :2], axis=-1) * scale[:, None]
        for one in (first, others[-1])
    )
    gain = far - near
    fit = first.labeled & (far < 3) & np.isfinite(gain)
    ordered = np.argwhere(fit)[np.argsort(-gain[fit], kind="stable")]
    if not len(ordered):
        return []
    chosen = np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int))
    return [
        _close_up(codec, matched, maps, i, k, float(gain[i, k]))
        for i, k in ordered[chosen].tolist()
    ]


def _close_up(
    codec: HeatmapCodec, matched: Matched, maps: Maps, i: int, k: int, gain: float
) -> CloseUp:
    heatmap = maps(int(matched.rows[i]))[k].float().cpu()
    to_heatmap = codec.image_to_heatmap(matched.shown.subjects.crops[i])
    truth = apply(to_heatmap, matched.shown.joints[i, k, :2])
    target, _ = codec.encode(torch.from_numpy(truth).float()[None], torch.ones(1))
    shown = {
        f"target, {codec.encoding}": target[0],
        "predicted": heatmap,
        "modulated": modulate(heatmap[None], codec.taps)[0],
    }
    y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
    left, top = max(0, x - _CLOSE), max(0, y - _CLOSE)
    part = slice(top, y + _CLOSE + 1), slice(left, x + _CLOSE + 1)
    marks = {
        decoder: codec.decode(heatmap.expand(1, 1, -1, -1), decoder=decoder)[0][0, 0].tolist()
        for decoder in matched.by_decoder
    } | {"annotated": truth.tolist()}
    return CloseUp(
        row=i,
        joint=k,
        gain=gain,
        maps={name: one[part] for name, one in shown.items()},
        marks={name: (x - left, y - top) for name, (x, y) in marks.items()},
    )


def close_up_figures(found: list[CloseUp], matched: Matched) -> str:
    """Return each close-up as a picture of its three maps with the decoders' marks."""
    if not found:
        return ""
    legend = "".join(
        f'<span class="key"><svg viewBox="-1 -1 2 2" aria-hidden="true">'
        f'<rect x="-1" y="-1" width="2" height="2" fill="#30435c"/>{_mark(key, 0, 0, 1.3)}</svg>'
        f"{text(key.replace('_', ' '))}</span>"
        for key in found[0].marks
    )
    figures = "".join(_figure(one, matched) for one in found)
    return (
        "<h3>Close up</h3><p>From the joint that the last decoder helps most to the one that it "
        "harms most, among those whose highest value is near the joint: what the network was to "
        "say, what it says, and that modulated, a heatmap pixel for a square. The marks are where "
        f'each decoder finds the joint.</p><p>{legend}</p><div class="close-ups">{figures}</div>'
    )


def _figure(one: CloseUp, matched: Matched) -> str:
    height, width = next(iter(one.maps.values())).shape
    gap, label = 0.06 * width, 0.12 * width
    parts = []
    for i, (name, values) in enumerate(one.maps.items()):
        left = i * (width + gap)
        parts.append(
            f'<text class="label" x="{left:.2f}" y="{0.75 * label:.2f}" '
            f'font-size="{0.075 * width:.2f}">{text(name)}</text>'
            f'<image href="{_png(values)}" x="{left:.2f}" y="{label:.2f}" '
            f'width="{width}" height="{height}"/>'
            + "".join(
                _mark(key, left + x + 0.5, label + y + 0.5, 0.9)
                for key, (x, y) in one.marks.items()
                if -0.5 <= x < width and -0.5 <= y < height
            )
        )
    record = matched.shown.records[one.row]
    joint = matched.shown.subjects.spec.names[one.joint].replace("_", " ")
    caption = (
        f"{joint}, {record.image_path.name}, {record.name}: {one.gain:+.2f} heatmap pixels nearer"
    )
    box = f"0 0 {3 * width + 2 * gap:.2f} {height + label:.2f}"
    return (
        f'<figure><svg viewBox="{box}" role="img" aria-label="{text(caption)}">{"".join(parts)}'
        f"</svg><figcaption>{text(caption)}</figcaption></figure>"
    )


def _png(values: Tensor) -> str:
    low, high = float(values.min()), float(values.max())
    tones = ((values - low) / max(high - low, 1e-12) * 255).round().byte().numpy()
    return picture(cv2.applyColorMap(tones, cv2.COLORMAP_VIRIDIS), "png")


def _mark(key: str, x: float, y: float, size: float) -> str:
    path, color = _MARKS.get(key, _OTHER_MARK)
    return (
        f'<path d="{path}" transform="translate({x:.3f} {y:.3f}) scale({size})" fill="none" '
        f'stroke="{color}" stroke-width="2" vector-effect="non-scaling-stroke"/>'
    )
