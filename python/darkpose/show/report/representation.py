# SPDX-License-Identifier: Apache-2.0
"""What the representation itself does to these people: encodings and decoders side by side."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import HEATMAP_ENCODINGS, HeatmapCodec
from darkpose.decoders import decoder_names
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics import Difference, bootstrap_difference, oks
from darkpose.geometry import apply, invert
from darkpose.show.report.measures import Measured
from darkpose_ext import modulate

Maps = Callable[[int], Tensor]
"""From a position in a data set's records to the maps [K, h, w] of that person."""

_PEOPLE = 1000  # to encode and decode at most
_BATCH = 50  # people whose maps are held at once
_CLOSE = 7  # heatmap pixels on each side of a peak


# ---- decoders compared on the same people --------------------------------------------------------


def gains(measured: Measured) -> dict[str, Difference]:
    """Return by how much the last decoder's mean OKS is above each other's, over the same people.

    People without a labeled joint do not count; of a single person nothing is said.
    """
    counted = measured.known
    if counted.sum() < 2:
        return {}
    *others, last = measured.decoders
    best = measured.oks[last][counted]
    return {other: bootstrap_difference(best, measured.oks[other][counted]) for other in others}


# ---- encode, then decode -------------------------------------------------------------------------


@dataclass(frozen=True)
class RoundTrip:
    """What is left of annotated joints that were encoded and decoded, with no network between."""

    encoding: str
    decoder: str
    oks: float
    """The mean over people: what a perfect network would have."""
    median: float
    """Heatmap pixels, over labeled joints."""
    within: float
    """Share of labeled joints that are less than a tenth of a heatmap pixel off."""


def round_trips(evaluation: Evaluation, measured: Measured) -> tuple[list[RoundTrip], int]:
    """Return both encodings by every decoder, and of how many people; none for regression.

    Of more people than a thousand, so many are taken, evenly from first to last.
    """
    if evaluation.codec.regresses:
        return [], 0
    people = np.flatnonzero(measured.known)
    if len(people) > _PEOPLE:
        people = people[np.linspace(0, len(people) - 1, _PEOPLE).round().astype(int)]
    rows = []
    for encoding in HEATMAP_ENCODINGS:
        codec = replace(evaluation.codec, encoding=encoding)  # type: ignore[arg-type]
        found = _encoded_and_decoded(codec, evaluation, measured, people)
        rows += [_row(encoding, decoder, *one) for decoder, one in found.items()]
    return rows, len(people)


def _encoded_and_decoded(
    codec: HeatmapCodec, evaluation: Evaluation, measured: Measured, people: NDArray[np.int64]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return by decoder the OKS of each person and the error of each joint in heatmap pixels."""
    dataset, sigmas = evaluation.dataset, evaluation.dataset.spec.oks_sigmas
    found: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
    for part in np.split(people, range(_BATCH, len(people), _BATCH)):
        joints, labeled = measured.joints[part], measured.labeled[part]
        to_heatmap = np.stack(
            [dataset.matrices(dataset.crops[row])[1] for row in measured.rows[part]]
        )
        encoded, _ = codec.encode(
            torch.from_numpy(joints[..., :2]).float(),
            torch.from_numpy(labeled).float(),
            torch.from_numpy(to_heatmap).float(),
        )
        there = np.stack([apply(m, one[:, :2]) for m, one in zip(to_heatmap, joints, strict=True)])
        for decoder in decoder_names():
            points = codec.decode(encoded, decoder=decoder)[0].double().numpy()
            errors = np.linalg.norm(points - there, axis=-1)[labeled]
            back = np.stack(
                [apply(invert(m), one) for m, one in zip(to_heatmap, points, strict=True)]
            )
            likeness = oks(back, joints, measured.areas[part], sigmas)
            found.setdefault(decoder, []).append((likeness, errors))
    return {
        decoder: (np.concatenate([one[0] for one in parts]), np.concatenate([e for _, e in parts]))
        for decoder, parts in found.items()
    }


def _row(
    encoding: str, decoder: str, likeness: NDArray[np.float64], errors: NDArray[np.float64]
) -> RoundTrip:
    return RoundTrip(
        encoding,
        decoder,
        float(likeness.mean()),
        float(np.median(errors)),
        float((errors < 0.1).mean()),
    )


# ---- single joints, close up ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CloseUp:
    """One joint's map round its peak, and where each decoder finds the joint in it."""

    row: int
    """Of `Measured`."""
    joint: int
    gain: float
    """Heatmap pixels by which the last decoder is nearer than the first."""
    pictures: dict[str, bytes]
    """PNGs of equal size, a pixel for a pixel: the target, the map, the map modulated."""
    size: tuple[int, int]
    """(width, height) of the pictures."""
    truth: tuple[float, float]
    """(x, y) in their pixels, as the marks."""
    marks: dict[str, tuple[float, float]]


def close_ups(
    evaluation: Evaluation, measured: Measured, maps: Maps, count: int = 8
) -> list[CloseUp]:
    """Return joints from the one that the last decoder helps most to the one that it harms most.

    They are evenly taken from the order of that gain over all joints whose highest value is at the
    joint, to three heatmap pixels: elsewhere decoders only differ in how they are wrong.
    """
    if evaluation.codec.regresses or len(measured.decoders) < 2:
        return []
    dataset, (first, *_, last) = evaluation.dataset, measured.decoders
    scale = np.stack(
        [_per_image_pixel(dataset.matrices(dataset.crops[r])[1]) for r in measured.rows]
    )
    distance = {
        decoder: np.linalg.norm(measured.points[decoder] - measured.joints[..., :2], axis=-1)
        * scale[:, None]
        for decoder in (first, last)
    }
    gain = distance[first] - distance[last]
    fit = measured.labeled & (distance[first] < 3) & np.isfinite(gain)
    places = np.argwhere(fit)
    if not len(places):
        return []
    ordered = places[np.argsort(-gain[fit], kind="stable")]
    chosen = np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int))
    return [
        _close_up(evaluation, measured, maps, i, k, float(gain[i, k]))
        for i, k in ordered[chosen].tolist()
    ]


def _close_up(
    evaluation: Evaluation, measured: Measured, maps: Maps, i: int, k: int, gain: float
) -> CloseUp:
    codec, dataset = evaluation.codec, evaluation.dataset
    row = int(measured.rows[i])
    heatmap = maps(row)[k].float().cpu()
    to_heatmap = dataset.matrices(dataset.crops[row])[1]
    truth = apply(to_heatmap, measured.joints[i, k, :2])
    target, _ = codec.encode(torch.from_numpy(truth).float()[None], torch.ones(1))
    shown = {
        f"target, {codec.encoding}": target[0],
        "predicted": heatmap,
        "modulated": modulate(heatmap[None], codec.taps)[0],
    }
    height, width = heatmap.shape
    y, x = divmod(int(heatmap.argmax()), width)
    left, top = max(0, x - _CLOSE), max(0, y - _CLOSE)
    right, bottom = min(width, x + _CLOSE + 1), min(height, y + _CLOSE + 1)
    marks = {
        decoder: codec.decode(heatmap.expand(1, 1, -1, -1), decoder=decoder)[0][0, 0]
        for decoder in measured.decoders
    }
    return CloseUp(
        row=i,
        joint=k,
        gain=gain,
        pictures={name: _png(one[top:bottom, left:right]) for name, one in shown.items()},
        size=(right - left, bottom - top),
        truth=(float(truth[0]) - left, float(truth[1]) - top),
        marks={name: (float(p[0]) - left, float(p[1]) - top) for name, p in marks.items()},
    )


def _per_image_pixel(to_heatmap: NDArray[np.float64]) -> float:
    """Return how many heatmap pixels an image pixel is, on the average of both directions."""
    return float(np.sqrt(abs(np.linalg.det(to_heatmap[:, :2]))))


def _png(values: Tensor) -> bytes:
    low, high = float(values.min()), float(values.max())
    tones = ((values - low) / max(high - low, 1e-12) * 255).round().byte().numpy()
    _, data = cv2.imencode(".png", cv2.applyColorMap(tones, cv2.COLORMAP_VIRIDIS))
    return data.tobytes()
