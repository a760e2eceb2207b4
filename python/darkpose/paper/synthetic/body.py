# SPDX-License-Identifier: Apache-2.0
"""People in space: what they do, how they are built, where their joints are, who looks at them.

Variety of pose is what makes a keypoint data set worth learning, so every activity is a row of
angle ranges, wide but human, and arms are drawn independently of legs. All angles are in degrees
and all of them are zero for a person who stands upright, arms hanging, facing the viewer.

Camera space has x to the right, y down and z towards the viewer, in units of the person's
standing height. A body that faces the viewer has its own axes (left, down, front) along those of
the camera, so no reflection is ever involved and left stays left in every view. Arrays with two
rows hold the person's left side first.
"""

from dataclasses import astuple, dataclass
from typing import NamedTuple

import numpy as np

SIDE_NAMES = ("left", "right")
SIDES = np.array([1.0, -1.0])  # left is towards +x of the body
Range = tuple[float, float]

# ---- what people do ------------------------------------------------------------------------------

# Of arms and legs: forward lift, sideways spread and outward twist of the upper segment, bend of
# the elbow or knee.
ARMS = {
    "hang": ((-12, 18), (3, 16), (-35, 10), (4, 30)),
    "swing forward": ((15, 50), (0, 12), (-40, 0), (10, 95)),
    "swing back": ((-50, -10), (0, 18), (-30, 10), (10, 95)),
    "on hip": ((-15, 15), (38, 58), (-95, -65), (80, 105)),
    "folded": ((25, 50), (0, 15), (-88, -62), (95, 118)),
    "carry": ((0, 40), (0, 18), (-45, 15), (70, 110)),
    "reach forward": ((60, 110), (-10, 25), (-60, 30), (0, 50)),
    "reach up": ((130, 178), (-10, 30), (-60, 30), (0, 45)),
    "to the side": ((-20, 30), (60, 110), (-60, 60), (0, 60)),
    "wave": ((-15, 30), (65, 125), (50, 100), (30, 115)),
    "to the face": ((30, 80), (0, 30), (-50, 0), (120, 148)),
    "behind head": ((10, 50), (100, 140), (60, 100), (110, 145)),
    "anything": ((-40, 170), (-15, 110), (-85, 85), (0, 145)),
}
BOTH_ARMS = ("folded", "on hip", "reach up", "reach forward", "to the side", "behind head")
LEGS = {
    "straight": ((-6, 9), (0, 12), (-3, 22), (0, 10)),
    "easy": ((-8, 18), (0, 22), (-3, 25), (0, 25)),
    "step": ((12, 34), (-2, 6), (-5, 10), (0, 22)),
    "trail": ((-28, -6), (-2, 6), (-5, 10), (5, 48)),
    "knee up": ((38, 95), (-4, 8), (-5, 10), (45, 120)),
    "push off": ((-35, 5), (-4, 8), (-5, 10), (15, 110)),
    "seated": ((70, 102), (0, 30), (-12, 25), (55, 112)),
    "crossed": ((75, 100), (20, 45), (35, 60), (105, 140)),
    "squat": ((85, 128), (3, 40), (-5, 35), (100, 150)),
    "low squat": ((75, 128), (3, 40), (-5, 35), (100, 150)),
    "slack": ((-5, 35), (0, 20), (0, 20), (0, 45)),
    "firm": ((-5, 25), (0, 20), (0, 20), (0, 40)),
    "kneel up": ((72, 100), (0, 25), (0, 20), (75, 110)),
    "kneel": ((-12, 15), (0, 18), (0, 15), (80, 125)),
    "lunge": ((45, 95), (0, 35), (0, 30), (30, 100)),
    "stretch": ((-45, -5), (0, 40), (0, 30), (0, 50)),
    "relaxed": ((-10, 60), (0, 25), (-10, 40), (0, 95)),
    "leap": ((-25, 95), (0, 50), (0, 30), (0, 125)),
    "land": ((-40, 80), (0, 50), (0, 30), (0, 125)),
    "anything": ((-30, 115), (-8, 55), (-15, 45), (0, 140)),
    "in the air": ((-40, 50), (0, 40), (0, 30), (0, 80)),
}


class Activity(NamedTuple):
    """Legs and trunk, and how often the activity occurs (relative weight)."""

    weight: float
    lead: str
    other: str
    pitch: Range = (-4, 8)  # the whole body leans forward
    bend: Range = (-4, 12)  # the spine bends forward
    roll: Range = (-5, 5)  # the whole body turns in the image plane
    free_arms: float = 0.35  # how often the arms do something of their own
    arms: tuple[str, str] = ("hang", "hang")


_SWING = ("swing back", "swing forward")
ACTIVITIES = {
    "stand": Activity(26, "straight", "straight"),
    "gesture": Activity(28, "straight", "easy", free_arms=1),
    "walk": Activity(20, "step", "trail", arms=_SWING),
    "run": Activity(10, "knee up", "push off", (4, 26), free_arms=0.15, arms=_SWING),
    "sit": Activity(8, "seated", "seated", (-22, 15), (-5, 25), free_arms=0.6),
    "sit cross-legged": Activity(
        2, "crossed", "crossed", bend=(0, 25), free_arms=0.6, arms=("carry", "carry")
    ),
    "crouch": Activity(
        4, "squat", "low squat", (0, 38), (5, 40), free_arms=0.5, arms=("reach forward", "carry")
    ),
    "bend": Activity(
        4, "slack", "firm", (15, 60), (20, 65), free_arms=0.4, arms=("reach forward",) * 2
    ),
    "kneel": Activity(3, "kneel up", "kneel", free_arms=0.6),
    "lunge": Activity(4, "lunge", "stretch", (-5, 40), free_arms=0.8),
    "lie": Activity(4, "relaxed", "relaxed", bend=(-10, 25), roll=(65, 115), free_arms=0.7),
    "jump": Activity(4, "leap", "land", (-20, 25), roll=(-25, 25), free_arms=0.9),
    "anything": Activity(2, "anything", "anything", (-30, 60), (-15, 50), (-60, 60), 1),
    "upside down": Activity(1, "in the air", "in the air", roll=(140, 220), free_arms=1),
}


@dataclass(frozen=True)
class Pose:
    """Angles in degrees."""

    yaw: float  # 0 faces the viewer, 180 faces away, 90 shows the right side of the body
    pitch: float
    roll: float
    tilt: float  # elevation of the camera: positive looks down on the person
    spine: np.ndarray  # [3] bend forward, sway to the left, twist to the left
    head: np.ndarray  # [3] nod forward, tilt to the left, turn to the left
    arms: np.ndarray  # [2, 4] lift, spread, twist, elbow
    legs: np.ndarray  # [2, 4] lift, spread, twist, knee
    toes: np.ndarray  # [2] downward stretch of the foot


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw an activity by its weight, then every angle from the ranges of that activity."""
    weights = np.cumsum([activity.weight for activity in ACTIVITIES.values()])
    number = np.searchsorted(weights, rng.uniform(0, weights[-1]), side="right")
    activity = list(ACTIVITIES.values())[number]
    sides = [0, 1] if rng.random() < 0.5 else [1, 0]
    legs = [rng.uniform(*np.transpose(LEGS[name])) for name in (activity.lead, activity.other)]
    arms = [rng.uniform(*np.transpose(ARMS[name])) for name in _gestures(rng, activity)]
    # People mostly face the camera, or look away from it. The outlines of the two are alike: only
    # what people look like tells left from right.
    view = rng.random()
    yaw = rng.normal(0 if view < 0.5 else 180, 28) if view < 0.87 else rng.uniform(-180, 180)
    return Pose(
        yaw=yaw,
        pitch=rng.uniform(*activity.pitch),
        roll=rng.uniform(*activity.roll) * (-1 if rng.random() < 0.5 else 1),
        tilt=rng.uniform(-8, 28),
        spine=np.array([rng.uniform(*activity.bend), rng.normal(0, 7), rng.normal(0, 12)]),
        head=np.array([rng.normal(4, 13), rng.normal(0, 9), rng.normal(0, 26)]),
        arms=np.array(arms)[sides],
        legs=np.array(legs)[sides],
        toes=rng.uniform(-10, 25, 2),
    )


def _gestures(rng: np.random.Generator, activity: Activity) -> tuple[str, str]:
    if rng.random() >= activity.free_arms:
        return activity.arms
    if rng.random() < 0.35:
        return (BOTH_ARMS[rng.integers(len(BOTH_ARMS))],) * 2
    names = list(ARMS)
    return names[rng.integers(len(names))], names[rng.integers(len(names))]


# ---- where their joints are ----------------------------------------------------------------------


@dataclass(frozen=True)
class Build:
    """Lengths and half-widths of an adult in standing heights; `girth` scales every thickness."""

    head: float = 0.142
    neck: float = 0.05
    shoulder: float = 0.108
    hip: float = 0.056
    torso: float = 0.275
    upper_arm: float = 0.166
    forearm: float = 0.142
    hand: float = 0.078
    thigh: float = 0.238
    shin: float = 0.228
    foot: float = 0.125
    girth: float = 1.04


_CHILD = (1.35, 0.8, 0.92, 0.98, 0.98, 0.9, 0.9, 0.92, 0.88, 0.88, 0.95, 1.0)  # of an adult's


def sample_build(rng: np.random.Generator) -> Build:
    """Draw proportions: adults mostly, one person in seven a child with a larger head."""
    mean, spread = np.array(astuple(Build())), np.full(12, 0.055)
    if rng.random() < 1 / 7:
        mean *= _CHILD
    spread[-1] = 0.17  # girth varies most
    return Build(*(mean * np.exp(rng.normal(0, spread))))


class Skeleton:
    """Joints and frames in camera space, by forward kinematics from the pelvis at the origin.

    Joints are [3], or [2, 3] where there are two; frames [3, 3] have columns left, down, front.
    """

    def __init__(self, build: Build, pose: Pose) -> None:
        self.pelvis = np.zeros(3)
        self.pelvis_frame = (
            rotation("x", -pose.tilt)
            @ rotation("z", pose.roll)
            @ rotation("y", pose.yaw)
            @ rotation("x", -pose.pitch)
        )
        bend, sway, twist = pose.spine
        half = rotation("x", -bend / 2) @ rotation("z", sway / 2) @ rotation("y", twist / 2)
        self.waist_frame = self.pelvis_frame @ half
        self.chest_frame = self.waist_frame @ half
        self.waist = self.waist_frame @ np.array([0, -0.42 * build.torso, 0])
        # Between the shoulders.
        self.chest = self.waist + self.chest_frame @ np.array([0, -0.58 * build.torso, 0])
        nod, tilt, turn = pose.head
        turned = self.chest_frame @ rotation("y", turn) @ rotation("z", tilt)
        self.head_frame = turned @ rotation("x", -nod)
        neck_frame = self.chest_frame @ rotation("x", -nod / 2)
        neck = self.chest + neck_frame @ np.array([0, -0.018 - build.neck, 0])
        # Middle of the skull.
        self.head = neck + self.head_frame @ np.array([0, -0.42 * build.head, 0.012])

        arms, forearms = _limb_frames(self.chest_frame, pose.arms, fold=1)
        # A raised arm lifts the shoulder with it.
        rise = 0.02 * (1 - np.einsum("sij,ik->skj", arms, self.chest_frame)[:, 1, 1])
        offset = np.stack([SIDES * build.shoulder, -rise, np.zeros(2)], axis=1)
        self.shoulder = self.chest + offset @ self.chest_frame.T
        self.elbow = self.shoulder + build.upper_arm * arms[:, :, 1]
        self.wrist = self.elbow + build.forearm * forearms[:, :, 1]
        self.fingertip = self.wrist + build.hand * forearms[:, :, 1]

        thighs, shins = _limb_frames(self.pelvis_frame, pose.legs, fold=-1)
        self.hip = SIDES[:, None] * build.hip * self.pelvis_frame[:, 0]
        self.knee = self.hip + build.thigh * thighs[:, :, 1]
        self.ankle = self.knee + build.shin * shins[:, :, 1]
        feet = shins @ rotation("x", -pose.toes)
        sole = self.ankle + 0.026 * feet[:, :, 1]
        self.heel = sole - 0.2 * build.foot * feet[:, :, 2]
        self.toe = sole + 0.72 * build.foot * feet[:, :, 2]
        self.ball = self.heel + 0.62 * (self.toe - self.heel)


def rotation(axis: str, degrees: float | np.ndarray) -> np.ndarray:
    """Return the rotation matrices [..., 3, 3] about a coordinate axis, "x", "y" or "z".

    Positive angles turn y to z, z to x and x to y, respectively.
    """
    angle = np.radians(degrees)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.zeros((*np.shape(angle), 3, 3)) + np.eye(3)
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., second, first] = np.sin(angle)
    matrix[..., first, second] = -matrix[..., second, first]
    return matrix


def _limb_frames(parent: np.ndarray, angles: np.ndarray, fold: int) -> tuple[np.ndarray, ...]:
    """Return the frames [2, 3, 3] of both upper and both lower segments, which run along +y.

    `angles` [2, 4] are lift, spread, twist and bend; `fold` is 1 where the lower segment bends
    forward (elbow) and -1 where it bends backward (knee).
    """
    lift, spread, twist, bend = angles.T
    upper = (
        parent @ rotation("z", -SIDES * spread) @ rotation("x", lift) @ rotation("y", SIDES * twist)
    )
    return upper, upper @ rotation("x", fold * bend)


# ---- who looks at them ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Viewpoint:
    """A perspective camera aimed at the pelvis, `distance` standing heights away."""

    center: np.ndarray  # [2] (x, y) of the pelvis, image pixels
    scale: float  # pixels per standing height at the pelvis
    distance: float

    def magnification(self, points: np.ndarray) -> np.ndarray:
        """Return how much larger than the pelvis things at `points` [..., 3] look, [...]."""
        return self.distance / (self.distance - points[..., 2])

    def project(self, points: np.ndarray) -> np.ndarray:
        """Map `points` [..., 3] in camera space to image pixels [..., 2]."""
        zoom = self.scale * self.magnification(points)
        return self.center + points[..., :2] * zoom[..., None]
