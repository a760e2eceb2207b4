# SPDX-License-Identifier: Apache-2.0
"""The trunk, a stack of elliptic rings whose successive hulls are drawn, with neck and skirt."""

import numpy as np

from darkpose.paper.synthetic.body import Build, Skeleton, View
from darkpose.paper.synthetic.outfit import Outfit
from darkpose.paper.synthetic.render import WIDE, Part, strip
from darkpose.paper.synthetic.shapes import capsules, hull

_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_RING = np.stack([np.cos(_ANGLES), np.zeros(20), np.sin(_ANGLES)], axis=1)  # [20, 3]


def trunk_parts(build: Build, body: Skeleton, outfit: Outfit, view: View) -> list[Part]:
    """Return neck, shirt, seat and, where the outfit has one, skirt."""
    girth, torso, shoulder, hip = build.girth, build.torso, build.shoulder, build.hip

    def ring(joint: str, down: float, width: float, depth: float) -> np.ndarray:
        axes = getattr(body, f"{joint}_frame")
        ring = getattr(body, joint) + (_RING * (width, 1, depth) + (0, down, 0)) @ axes.T
        return view.project(ring)

    nape = ring("chest", -0.03, 0.045, 0.036)
    collar = ring("chest", 0.0, shoulder + 0.012, 0.045)
    breast = ring("chest", 0.3 * torso, 0.005 + 0.92 * shoulder * girth**0.5, 0.066 * girth)
    waist = ring("waist", 0.0, 0.4 * (shoulder + hip) * girth, 0.058 * girth)
    belt = ring("pelvis", -0.2 * torso, 0.078 * girth**0.8, 0.06 * girth)
    seat = ring("pelvis", 0.0, hip + 0.036 * girth, 0.062 * girth)
    crotch = ring("pelvis", 0.045, 0.6 * hip, 0.04)

    shirt = [hull(nape, collar), hull(collar, breast), hull(breast, waist), hull(waist, belt)]
    if outfit.hem:
        shirt.append(hull(belt, belt + 1.04 * outfit.hem * (seat - belt)))
    top, bottom = view.project(body.chest), view.project(body.pelvis)
    surface = strip(top, bottom, torso, view.scale * (shoulder + 0.018), WIDE)
    seat_depth = 0.5 * body.waist[2] + (-0.02 if outfit.hem else 0.02)
    parts = [
        _neck(build, body, view),
        Part("trunk", "wide top", shirt, 0.5 * (body.chest + body.waist)[2], surface),
        Part("pelvis", "wide bottom", [hull(belt, seat), hull(seat, crotch)], seat_depth, surface),
    ]
    return [*parts, _skirt(build, body, outfit, view)] if outfit.skirt else parts


def _neck(build: Build, body: Skeleton, view: View) -> Part:
    low, high = view.project(np.stack([body.chest, body.head]))
    radii = np.array([0.034, 0.030]) * view.scale * build.girth**0.5
    flat = np.ones(1)
    outlines = capsules(low[None], high[None], radii[:1], radii[1:], flat, flat)
    depth = 0.5 * (body.chest + body.head)[2] - 0.015
    return Part("neck", "skin", tuple(outlines), depth, strip(low, high, 0.1, radii[0]))


def _skirt(build: Build, body: Skeleton, outfit: Outfit, view: View) -> Part:
    """Return a skirt: the hull of the hips and of both legs down to its hem."""
    on_thigh, on_shin = min(outfit.skirt, 1.0), max(outfit.skirt - 1.0, 0.0)
    hems = body.hip + on_thigh * (body.knee - body.hip) + on_shin * (body.ankle - body.knee)
    waist = body.pelvis + body.pelvis_frame @ np.array([0, -0.15 * build.torso, 0])

    def around(center: np.ndarray, width: float, depth: float) -> np.ndarray:
        return view.project(center + (_RING * (width, 1, depth)) @ body.pelvis_frame.T)

    flare = 0.06 * outfit.ease + 0.02 * outfit.skirt
    belt = around(waist, 0.085 * build.girth, 0.06 * build.girth)
    seat = around(body.pelvis, build.hip + 0.045 * build.girth, 0.07 * build.girth)
    rims = np.concatenate([around(hem, flare, flare) for hem in hems])
    lowest = hems.mean(axis=0)
    top, bottom = view.project(np.stack([waist, lowest]))
    length = float(np.linalg.norm(lowest - waist))
    surface = strip(top, bottom, length, 0.13 * view.scale, WIDE)
    # In front of the thighs it covers, behind whatever is in front of the knees.
    depth = 0.65 * max(body.hip[:, 2].max(), body.knee[:, 2].max()) + 0.001
    return Part("skirt", "wide bottom", [hull(belt, seat), hull(seat, rims)], depth, surface)
