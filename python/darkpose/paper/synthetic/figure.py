# SPDX-License-Identifier: Apache-2.0
"""A clothed figure around a skeleton: the parts to draw, of what, and which joints can be seen.

Arms and legs are tapered capsules of skin, and wider ones of cloth over part of them. The trunk is
a stack of elliptic rings whose successive hulls are drawn. Both sides are made of exactly the same
fabrics, so that left and right differ by nothing but where they are.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from darkpose.paper.synthetic.body import SIDE_NAMES, SIDES, Build, Skeleton, Viewpoint
from darkpose.paper.synthetic.fabric import HAIR, SKIN, blend, cloth_color, grain, shade, weave
from darkpose.paper.synthetic.head import FACE_POINTS, head_axes, head_map, head_parts
from darkpose.paper.synthetic.render import SWATCH, WIDE, Part, capsules, hull, label_at, strip

# COCO's joints: attribute of the skeleton (no side, no such attribute for the face), parts of the
# same side that show it, and parts of the middle that do where it faces the viewer by so much, the
# depth component of its direction. A nose is seen in profile, an eye needs some white; a hip may
# lie somewhat beyond the spine.
_JOINTS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], float], ...] = (
    ("nose", (), ("head", "nose"), 0.0),
    ("eye", (), ("head", "nose"), 0.22),
    ("ear", ("ear",), (), 0.0),
    ("shoulder", ("upper arm",), ("trunk", "neck"), -0.75),
    ("elbow", ("upper arm", "forearm"), (), 0.0),
    ("wrist", ("forearm", "hand"), (), 0.0),
    ("hip", ("thigh",), ("trunk", "pelvis", "skirt"), -0.75),
    ("knee", ("thigh", "shin"), (), 0.0),
    ("ankle", ("shin", "foot"), (), 0.0),
)

# Name, from, to; half-width at the start, at the bulge and at the end, in standing heights.
_SEGMENTS = (
    ("foot", "ankle", "ball", (0.022, 0.023, 0.020)),
    ("upper arm", "shoulder", "elbow", (0.031, 0.030, 0.022)),
    ("forearm", "elbow", "wrist", (0.022, 0.024, 0.015)),
    ("hand", "wrist", "fingertip", (0.015, 0.021, 0.011)),
    ("thigh", "hip", "knee", (0.054, 0.050, 0.034)),
    ("shin", "knee", "ankle", (0.033, 0.036, 0.021)),
    ("foot", "heel", "toe", (0.023, 0.025, 0.018)),
)
_BULGE = 0.33  # where along a segment the middle half-width applies
_DRAPE = np.array([0.45, 0.8, 1.0])  # clothes sit close at the joint and wide at the hem
_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_RING = np.stack([np.cos(_ANGLES), np.zeros(20), np.sin(_ANGLES)], axis=1)  # [20, 3]


@dataclass(frozen=True)
class Outfit:
    """The shapes of clothes and hair; lengths are fractions of what the piece covers."""

    sleeve: float  # 0 bare shoulder, 1 elbow, 2 wrist
    leg: float  # of trousers; 0 hip, 1 knee, 2 ankle
    skirt: float  # likewise; 0 means there is none
    ease: float  # width of the clothes relative to the limb
    hem: float  # how far the shirt hangs below the waist, 0 to 1
    hair: float  # length below the skull in head heights, 0 is short


def sample_outfit(rng: np.random.Generator) -> Outfit:
    """Draw an outfit for anything between the beach and winter."""

    def one_of(*values: float) -> float:
        return values[rng.integers(len(values))]

    return Outfit(
        sleeve=one_of(0, 0.3, 0.6, 0.6, 0.8, 0.8, 1.4, 1.9, 1.95, 1.95),
        leg=one_of(0.25, 0.5, 0.9, 0.9, 1.5, 1.85, 1.85, 1.95, 1.95),
        skirt=one_of(0.5, 0.8, 1.2, 1.7) if rng.random() < 0.24 else 0.0,
        ease=rng.uniform(1.06, 1.45),
        hem=one_of(0, 0.5, 1),
        hair=max(0.0, rng.uniform(-1.2, 1.1)),
    )


def person_fabrics(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the swatches of one person, uint8 [., ., 3], by the names its parts know them by."""
    skin, hair = blend(rng, SKIN), blend(rng, HAIR)
    top, bottom = weave(rng), weave(rng)
    if rng.random() < 0.15:  # a dress, an overall, a uniform
        bottom = top
    return {
        "skin": shade(grain(rng, skin, 5)),
        "hair": shade(grain(rng, hair, 4) + rng.normal(0, 18, (1, SWATCH, 1)).astype(np.float32)),
        "head": head_map(rng, skin, hair),
        "top": shade(top),
        "wide top": shade(np.tile(top, (1, WIDE, 1))),
        "bottom": shade(bottom),
        "wide bottom": shade(np.tile(bottom, (1, WIDE, 1))),
        "shoe": shade(grain(rng, cloth_color(rng), 8)),
    }


# ---- all of it -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """A person ready to be drawn: parts back to front, and COCO's joints in the image."""

    parts: list[Part]
    joints: np.ndarray  # [17, 2] (x, y), image pixels
    facing: np.ndarray  # [17] depth component of the direction each joint faces, -1 to 1


def make_figure(build: Build, body: Skeleton, outfit: Outfit, view: Viewpoint) -> Figure:
    """Dress the skeleton and project it."""
    parts = _limbs(build, body, outfit, view) + _trunk(build, body, outfit, view)
    parts += head_parts(build, body, outfit.hair, view)
    parts.sort(key=lambda part: part.depth)

    face = body.head + (FACE_POINTS * head_axes(build)) @ body.head_frame.T
    points = np.concatenate([face, *(getattr(body, row[0]) for row in _JOINTS[3:])])  # [17, 3]
    facing = np.ones(17)
    facing[:5] = FACE_POINTS @ body.head_frame[2]
    facing[5:7] = SIDES * body.chest_frame[2, 0]
    facing[11:13] = SIDES * body.pelvis_frame[2, 0]
    return Figure(parts, view.project(points), facing)


def visible_joints(figure: Figure, stencil: np.ndarray) -> np.ndarray:
    """Return which of the 17 joints the person's own body does not hide, bool [17].

    A joint shows where the part drawn on top of it is its own limb. The trunk also shows the
    shoulders and hips it carries, unless they lie on its far side; an eye or the nose shows on a
    head that turns it to the viewer, an ear only where the ear itself is on top.
    """
    visible = np.zeros(17, bool)
    for joint, point in enumerate(figure.joints):
        label = label_at(stencil, point)
        part = figure.parts[label - 1].name if label else ""
        side, (_, own, middle, least) = SIDE_NAMES[(joint - 1) % 2], _JOINTS[(joint + 1) // 2]
        on_middle = part in middle and figure.facing[joint] > least
        visible[joint] = on_middle or part in [f"{side} {name}" for name in own]
    return visible


# ---- arms and legs -------------------------------------------------------------------------------


def _limbs(build: Build, body: Skeleton, outfit: Outfit, view: Viewpoint) -> list[Part]:
    """Return skin, clothes and shoes of both arms and both legs."""
    pieces = []  # two capsules end to end each, by start, bulge and end
    for segment, start_name, end_name, radii in _SEGMENTS:
        girth = 1.0 if segment in ("hand", "foot") else build.girth
        starts, ends = getattr(body, start_name), getattr(body, end_name)
        near, far = 0.35 * starts[:, 2], 0.65 * ends[:, 2]
        if end_name == "ball":
            near, far = 0.7 * starts[:, 2], 0.3 * body.toe[:, 2]
        for layer, (fabric, reach, ease) in enumerate(_covers(segment, outfit)):
            stops = np.interp((0, _BULGE * reach, reach), (0, _BULGE, 1), radii)
            stops *= girth * (1 + (ease - 1) * _DRAPE)
            bulge = 1.0 if fabric in ("skin", "shoe") else 0.3
            for i, side in enumerate(SIDE_NAMES):
                along = reach * (ends[i] - starts[i])
                points = starts[i], starts[i] + _BULGE * along, starts[i] + along
                depth = near[i] + far[i] + 1e-4 * layer
                pieces.append((f"{side} {segment}", fabric, depth, points, stops, bulge))
    # All at once is several times as fast as one by one.
    names, fabrics, depths, corners, widths, bulges = zip(*pieces, strict=True)
    points = np.array(corners).swapaxes(0, 1)  # [3, P, 3]
    pixels = view.project(points)
    radii = np.array(widths).T * view.scale * view.magnification(points)  # [3, P]
    ends = np.array([np.ones(len(bulges)), bulges])
    upper = capsules(pixels[:2], radii[:2], ends)
    lower = capsules(pixels[1:], radii[1:], ends[[1, 1]])
    lengths = np.linalg.norm(points[2] - points[0], axis=1)
    surfaces = map(strip, pixels[::2].swapaxes(0, 1), lengths, radii.max(axis=0))
    outlines = zip(upper, lower, strict=True)
    return list(map(Part, names, fabrics, outlines, depths, surfaces))


def _covers(segment: str, outfit: Outfit) -> list[tuple[str, float, float]]:
    """Return fabric, reach along the segment and ease of what is worn there, skin first."""
    if segment in ("hand", "foot"):
        return [("skin" if segment == "hand" else "shoe", 1.0, 1.0)]
    arm = segment in ("upper arm", "forearm")
    reach = (outfit.sleeve if arm else outfit.leg) - (segment in ("forearm", "shin"))
    reach = min(max(reach, 0.0), 1.0)
    ease = outfit.ease if arm else 1 + 0.6 * (outfit.ease - 1)
    covers = [] if reach == 1 else [("skin", 1.0, 1.0)]
    return [*covers, ("top" if arm else "bottom", reach, ease)] if reach else covers


# ---- trunk ---------------------------------------------------------------------------------------


def _trunk(build: Build, body: Skeleton, outfit: Outfit, view: Viewpoint) -> list[Part]:
    """Return neck, shirt, seat and, where the outfit has one, skirt."""
    girth, torso, shoulder, hip = build.girth, build.torso, build.shoulder, build.hip
    ring = partial(_ring, body, view)
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
    middle = view.project(np.stack([body.chest, body.pelvis]))
    surface = strip(middle, torso, view.scale * (shoulder + 0.018), WIDE)
    seat_depth = 0.5 * body.waist[2] + (-0.02 if outfit.hem else 0.02)

    throat = view.project(np.stack([body.chest, body.head]))
    radii = np.array([[0.034], [0.030]]) * view.scale * girth**0.5
    neck_depth = 0.5 * (body.chest + body.head)[2] - 0.015
    neck = strip(throat, 0.1, radii[0, 0])
    parts = [
        Part("neck", "skin", tuple(capsules(throat[:, None], radii)), neck_depth, neck),
        Part("trunk", "wide top", shirt, 0.5 * (body.chest + body.waist)[2], surface),
        Part("pelvis", "wide bottom", [hull(belt, seat), hull(seat, crotch)], seat_depth, surface),
    ]
    return [*parts, _skirt(build, body, outfit, view)] if outfit.skirt else parts


def _skirt(build: Build, body: Skeleton, outfit: Outfit, view: Viewpoint) -> Part:
    """Return a skirt: the hull of the hips and of both legs down to its hem."""
    on_thigh, on_shin = min(outfit.skirt, 1.0), max(outfit.skirt - 1.0, 0.0)
    hems = body.hip + on_thigh * (body.knee - body.hip) + on_shin * (body.ankle - body.knee)
    flare = 0.06 * outfit.ease + 0.02 * outfit.skirt
    belt = _ring(body, view, "pelvis", -0.15 * build.torso, 0.085 * build.girth, 0.06 * build.girth)
    seat = _ring(body, view, "pelvis", 0.0, build.hip + 0.045 * build.girth, 0.07 * build.girth)
    rim = (_RING * (flare, 1, flare)) @ body.pelvis_frame.T
    rims = view.project(np.concatenate([hem + rim for hem in hems]))
    waist, lowest = -0.15 * build.torso * body.pelvis_frame[:, 1], hems.mean(axis=0)
    length = float(np.linalg.norm(lowest - waist))
    surface = strip(view.project(np.stack([waist, lowest])), length, 0.13 * view.scale, WIDE)
    # In front of the thighs it covers, behind whatever is in front of the knees.
    depth = 0.65 * max(body.hip[:, 2].max(), body.knee[:, 2].max()) + 0.001
    return Part("skirt", "wide bottom", [hull(belt, seat), hull(seat, rims)], depth, surface)


def _ring(
    body: Skeleton, view: Viewpoint, joint: str, down: float, width: float, depth: float
) -> np.ndarray:
    """Return the ellipse [20, 2] of these half-axes around the trunk, below a joint."""
    around = (_RING * (width, 1, depth) + (0, down, 0)) @ getattr(body, f"{joint}_frame").T
    return view.project(getattr(body, joint) + around)
