# SPDX-License-Identifier: Apache-2.0
"""Arms and legs: tapered capsules of skin, and wider ones of cloth over part of them.

Both sides are made of exactly the same fabrics, so that left and right differ by nothing but where
they are.
"""

from dataclasses import dataclass

import numpy as np

from darkpose.paper.synthetic.body import SIDE_NAMES, Build, Skeleton, View
from darkpose.paper.synthetic.outfit import Outfit
from darkpose.paper.synthetic.render import Part, strip
from darkpose.paper.synthetic.shapes import capsules

# Name, from, to; half-width at the start, at the bulge and at the end, in standing heights.
_SEGMENTS = (
    ("upper arm", "shoulder", "elbow", (0.031, 0.030, 0.022)),
    ("forearm", "elbow", "wrist", (0.022, 0.024, 0.015)),
    ("hand", "wrist", "fingertip", (0.015, 0.021, 0.011)),
    ("thigh", "hip", "knee", (0.054, 0.050, 0.034)),
    ("shin", "knee", "ankle", (0.033, 0.036, 0.021)),
    ("foot", "heel", "toe", (0.023, 0.025, 0.018)),
)
_INSTEP = np.array([0.022, 0.023, 0.020])
_BULGE = 0.33  # where along a segment the middle half-width applies
_DRAPE = np.array([0.45, 0.8, 1.0])  # clothes sit close at the joint and wide at the hem
_ROUND, _CUT = 1.0, 0.3  # how far the ends of skin and of clothes bulge


@dataclass(frozen=True)
class _Piece:
    """Two capsules end to end: ``points`` [3, 3] and ``radii`` [3] at start, bulge and end."""

    name: str
    fabric: str
    points: np.ndarray
    radii: np.ndarray
    end: float
    depth: float


def limb_parts(build: Build, body: Skeleton, outfit: Outfit, view: View) -> list[Part]:
    """Return skin, clothes and shoes of both arms and both legs."""
    pieces = _insteps(body)
    for segment, start_name, end_name, radii in _SEGMENTS:
        girth = 1.0 if segment in ("hand", "foot") else build.girth
        starts, ends = getattr(body, start_name), getattr(body, end_name)
        for layer, (fabric, reach, ease) in enumerate(_covers(segment, outfit)):
            stops = np.interp((0, _BULGE * reach, reach), (0, _BULGE, 1), radii)
            stops *= girth * (1 + (ease - 1) * _DRAPE)
            rounded = _ROUND if fabric in ("skin", "shoe") else _CUT
            for side, start, end in zip(SIDE_NAMES, starts, ends, strict=True):
                points = _along(start, start + reach * (end - start))
                depth = 0.35 * start[2] + 0.65 * end[2] + 1e-4 * layer
                pieces.append(_Piece(f"{side} {segment}", fabric, points, stops, rounded, depth))
    return _draw(pieces, view)


def _covers(segment: str, outfit: Outfit) -> list[tuple[str, float, float]]:
    """Return fabric, reach along the segment and ease of what is worn there, skin first."""
    if segment == "hand":
        return [("skin", 1.0, 1.0)]
    if segment == "foot":
        return [("shoe", 1.0, 1.0)]
    arm = segment in ("upper arm", "forearm")
    reach = (outfit.sleeve if arm else outfit.leg) - (segment in ("forearm", "shin"))
    reach = min(max(reach, 0.0), 1.0)
    ease = outfit.ease if arm else 1 + 0.6 * (outfit.ease - 1)
    covers = [] if reach == 1 else [("skin", 1.0, 1.0)]
    if reach > 0:
        covers.append(("top" if arm else "bottom", reach, ease))
    return covers


def _insteps(body: Skeleton) -> list[_Piece]:
    """Return the capsules from the ankles to the balls of the feet."""
    pieces = []
    for side, ankle, heel, toe in zip(SIDE_NAMES, body.ankle, body.heel, body.toe, strict=True):
        points = _along(ankle, heel + 0.62 * (toe - heel))
        depth = 0.7 * ankle[2] + 0.3 * toe[2]
        pieces.append(_Piece(f"{side} foot", "shoe", points, _INSTEP, _ROUND, depth))
    return pieces


def _along(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return np.array([start, start + _BULGE * (end - start), end])


def _draw(pieces: list[_Piece], view: View) -> list[Part]:
    """Project all pieces at once, which is several times as fast as one by one."""
    points = np.array([piece.points for piece in pieces]).swapaxes(0, 1)  # [3, P, 3]
    radii = np.array([piece.radii for piece in pieces]).T  # [3, P]
    ends = np.array([piece.end for piece in pieces])
    pixels, radii = view.project(points), radii * view.scale * view.magnification(points)
    outlines = capsules(
        pixels[:2].reshape(-1, 2),
        pixels[1:].reshape(-1, 2),
        radii[:2].ravel(),
        radii[1:].ravel(),
        np.concatenate([np.ones_like(ends), ends]),
        np.concatenate([ends, ends]),
    ).reshape(2, len(pieces), -1, 2)
    lengths, widths = np.linalg.norm(points[2] - points[0], axis=1), radii.max(axis=0)
    parts = []
    for i, piece in enumerate(pieces):
        surface = strip(pixels[0, i], pixels[2, i], lengths[i], widths[i])
        parts.append(Part(piece.name, piece.fabric, tuple(outlines[:, i]), piece.depth, surface))
    return parts
