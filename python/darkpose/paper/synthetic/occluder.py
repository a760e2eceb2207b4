# SPDX-License-Identifier: Apache-2.0
"""Things that stand in front of people: crates, poles, plants, tables, screens and balls."""

from collections.abc import Callable

import numpy as np

from darkpose.paper.synthetic.fabric import shade, skin_color, weave
from darkpose.paper.synthetic.render import Part, frame
from darkpose.paper.synthetic.shapes import capsules, ellipse

_DOWN = np.array([0.0, 1.0])


def sample_occluder(rng: np.random.Generator, box: np.ndarray) -> list[Part]:
    """Return the parts of an object that covers some of ``box`` (x, y, w, h), image pixels."""
    corner, extent = box[:2], box[2:]
    at = corner + extent * rng.uniform((0.0, 0.15), (1.0, 1.0))
    reach = float(np.clip(np.sqrt(extent.prod()), 40, 140))
    return _KINDS[rng.integers(len(_KINDS))](rng, at, reach)


def occluder_fabrics(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the swatches of one object, uint8; a few of them have the color of skin."""
    first = weave(rng)
    if rng.random() < 0.15:
        first = np.full_like(first, skin_color(rng))
    second = weave(rng) if rng.random() < 0.5 else 0.75 * first
    return {"first": shade(first), "second": shade(second)}


def _piece(outline: np.ndarray, fabric: str = "first") -> Part:
    middle, half = outline.mean(axis=0), 0.5 * np.ptp(outline[:, 0]) + 1e-3
    surface = frame(middle, _DOWN, half, 0.8)
    return Part("occluder", fabric, [outline], 0.0, surface)


def _quad(center: np.ndarray, half: np.ndarray, degrees: float = 0.0) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    return center + corners @ np.array([[cosine, sine], [-sine, cosine]])


def _crate(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    half = reach * rng.uniform(0.14, 0.38, 2)
    front = _quad(at, half, rng.normal(0, 8))
    back = front[:2] + reach * np.array([rng.uniform(-0.2, 0.2), -rng.uniform(0.05, 0.2)])
    return [_piece(np.vstack([front[1::-1], back]), "second"), _piece(front)]


def _pole(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    half = np.array([reach * rng.uniform(0.025, 0.1), 400])
    return [_piece(_quad(at, half, rng.normal(0, 12)))]


def _plant(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    pot = _quad(at + (0, 0.3 * reach), reach * np.array([0.12, 0.1]))
    count = int(rng.integers(5, 12))
    lean = np.radians(rng.uniform(-75, 75, count))
    tips = (
        np.stack([np.sin(lean), -np.cos(lean)], axis=1) * reach * rng.uniform(0.3, 0.7, (count, 1))
    )
    start = np.broadcast_to(at + (0, 0.22 * reach), (count, 2))
    middle, end = start + 0.5 * tips, start + tips
    wide, ones = np.full(count, reach * rng.uniform(0.03, 0.07)), np.ones(count)
    lower = capsules(start, middle, 0.2 * wide, wide, ones, ones)
    upper = capsules(middle, end, wide, 0.1 * wide, ones, ones)
    leaves = [
        Part("occluder", "second", (low, high), 0.0, frame(point, _DOWN, reach * 0.3, 0.8))
        for low, high, point in zip(lower, upper, middle, strict=True)
    ]
    return [*leaves, _piece(pot)]


def _table(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    width, height, thick = reach * rng.uniform((0.4, 0.25, 0.03), (0.8, 0.5, 0.08))
    legs = [
        _piece(_quad(at + (side * 0.85 * width, height), np.array([0.6 * thick, height])), "second")
        for side in (-1, 1)
    ]
    return [*legs, _piece(_quad(at, np.array([width, thick])))]


def _chair(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    width, back = reach * rng.uniform((0.15, 0.2), (0.28, 0.4))
    slats = [
        _piece(_quad(at - (0, back * part), np.array([width, 0.11 * back])), "first")
        for part in (0.9, 0.5, 0.1)
    ]
    posts = [
        _piece(_quad(at + (side * width, 0), np.array([0.09 * width, 1.1 * back])), "second")
        for side in (-1, 1)
    ]
    return slats + posts


def _screen(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    half = reach * rng.uniform((0.1, 0.2), (0.3, 0.6))
    return [_piece(_quad(at, half, rng.uniform(-90, 90)))]


def _ball(rng: np.random.Generator, at: np.ndarray, reach: float) -> list[Part]:
    return [_piece(ellipse(at, np.diag(np.full(2, reach * rng.uniform(0.08, 0.25))), 28))]


_KINDS: tuple[Callable[[np.random.Generator, np.ndarray, float], list[Part]], ...] = (
    _crate,
    _pole,
    _plant,
    _table,
    _chair,
    _screen,
    _ball,
)
