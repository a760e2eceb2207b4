# SPDX-License-Identifier: Apache-2.0
"""What people do: joint angles drawn from a table of activities and arm gestures.

Variety of pose is what makes a keypoint data set worth learning, so every activity is a row of
angle ranges, wide but human, and arms are drawn independently of legs. All angles are in degrees
and all of them are zero for a person who stands upright, arms hanging, facing the viewer.
"""

from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True)
class Limb:
    """Ranges of one arm or leg; outward and forward are positive on either side of the body."""

    lift: Range  # forward swing of the upper segment
    spread: Range  # sideways swing of the upper segment
    twist: Range  # outward turn of the upper segment about its own axis
    bend: Range  # flexion of the elbow or knee


@dataclass(frozen=True)
class Activity:
    """Ranges of legs and trunk, and how often the activity occurs (relative weight)."""

    weight: float
    lead: Limb
    other: Limb
    pitch: Range = (-4, 8)  # the whole body leans forward
    bend: Range = (-4, 12)  # the spine bends forward
    roll: Range = (-5, 5)  # the whole body turns in the image plane
    free_arms: float = 0.35  # how often the arms do something of their own
    arms: tuple[str, ...] = ("hang", "hang")


@dataclass(frozen=True)
class Pose:
    """Angles in degrees; two-row arrays hold the person's left side first."""

    yaw: float  # 0 faces the viewer, 180 faces away, 90 shows the right side of the body
    pitch: float
    roll: float
    tilt: float  # elevation of the camera: positive looks down on the person
    spine: np.ndarray  # [3] bend forward, sway to the left, twist to the left
    head: np.ndarray  # [3] nod forward, tilt to the left, turn to the left
    arms: np.ndarray  # [2, 4] lift, spread, twist, elbow
    legs: np.ndarray  # [2, 4] lift, spread, twist, knee
    toes: np.ndarray  # [2] downward stretch of the foot


GESTURES = {
    "hang": Limb((-12, 18), (3, 16), (-35, 10), (4, 30)),
    "swing forward": Limb((15, 50), (0, 12), (-40, 0), (10, 95)),
    "swing back": Limb((-50, -10), (0, 18), (-30, 10), (10, 95)),
    "on hip": Limb((-15, 15), (38, 58), (-95, -65), (80, 105)),
    "folded": Limb((25, 50), (0, 15), (-88, -62), (95, 118)),
    "carry": Limb((0, 40), (0, 18), (-45, 15), (70, 110)),
    "reach forward": Limb((60, 110), (-10, 25), (-60, 30), (0, 50)),
    "reach up": Limb((130, 178), (-10, 30), (-60, 30), (0, 45)),
    "to the side": Limb((-20, 30), (60, 110), (-60, 60), (0, 60)),
    "wave": Limb((-15, 30), (65, 125), (50, 100), (30, 115)),
    "to the face": Limb((30, 80), (0, 30), (-50, 0), (120, 148)),
    "behind head": Limb((10, 50), (100, 140), (60, 100), (110, 145)),
    "anything": Limb((-40, 170), (-15, 110), (-85, 85), (0, 145)),
}
BOTH_ARMS = ("folded", "on hip", "reach up", "reach forward", "to the side", "behind head")

_STRAIGHT = Limb((-6, 9), (0, 12), (-3, 22), (0, 10))
_RELAXED = Limb((-10, 60), (0, 25), (-10, 40), (0, 95))
_ANY_LEG = Limb((-30, 115), (-8, 55), (-15, 45), (0, 140))
_SEATED = Limb((70, 102), (0, 30), (-12, 25), (55, 112))

ACTIVITIES = {
    "stand": Activity(26, _STRAIGHT, _STRAIGHT),
    "gesture": Activity(28, _STRAIGHT, Limb((-8, 18), (0, 22), (-3, 25), (0, 25)), free_arms=1),
    "walk": Activity(
        20,
        Limb((12, 34), (-2, 6), (-5, 10), (0, 22)),
        Limb((-28, -6), (-2, 6), (-5, 10), (5, 48)),
        arms=("swing back", "swing forward"),
    ),
    "run": Activity(
        10,
        Limb((38, 95), (-4, 8), (-5, 10), (45, 120)),
        Limb((-35, 5), (-4, 8), (-5, 10), (15, 110)),
        pitch=(4, 26),
        free_arms=0.15,
        arms=("swing back", "swing forward"),
    ),
    "sit": Activity(8, _SEATED, _SEATED, pitch=(-22, 15), bend=(-5, 25), free_arms=0.6),
    "sit cross-legged": Activity(
        2,
        Limb((75, 100), (20, 45), (35, 60), (105, 140)),
        Limb((75, 100), (20, 45), (35, 60), (105, 140)),
        bend=(0, 25),
        free_arms=0.6,
        arms=("carry", "carry"),
    ),
    "crouch": Activity(
        4,
        Limb((85, 128), (3, 40), (-5, 35), (100, 150)),
        Limb((75, 128), (3, 40), (-5, 35), (100, 150)),
        pitch=(0, 38),
        bend=(5, 40),
        free_arms=0.5,
        arms=("reach forward", "carry"),
    ),
    "bend": Activity(
        4,
        Limb((-5, 35), (0, 20), (0, 20), (0, 45)),
        Limb((-5, 25), (0, 20), (0, 20), (0, 40)),
        pitch=(15, 60),
        bend=(20, 65),
        free_arms=0.4,
        arms=("reach forward", "reach forward"),
    ),
    "kneel": Activity(
        3,
        Limb((72, 100), (0, 25), (0, 20), (75, 110)),
        Limb((-12, 15), (0, 18), (0, 15), (80, 125)),
        free_arms=0.6,
    ),
    "lunge": Activity(
        4,
        Limb((45, 95), (0, 35), (0, 30), (30, 100)),
        Limb((-45, -5), (0, 40), (0, 30), (0, 50)),
        pitch=(-5, 40),
        free_arms=0.8,
    ),
    "lie": Activity(4, _RELAXED, _RELAXED, bend=(-10, 25), roll=(65, 115), free_arms=0.7),
    "jump": Activity(
        4,
        Limb((-25, 95), (0, 50), (0, 30), (0, 125)),
        Limb((-40, 80), (0, 50), (0, 30), (0, 125)),
        pitch=(-20, 25),
        roll=(-25, 25),
        free_arms=0.9,
    ),
    "anything": Activity(
        2, _ANY_LEG, _ANY_LEG, pitch=(-30, 60), bend=(-15, 50), roll=(-60, 60), free_arms=1
    ),
    "upside down": Activity(
        1,
        Limb((-40, 50), (0, 40), (0, 30), (0, 80)),
        Limb((-40, 50), (0, 40), (0, 30), (0, 80)),
        roll=(140, 220),
        free_arms=1,
        arms=("reach up", "reach up"),
    ),
}


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw an activity by its weight, then every angle from the ranges of that activity."""
    names = list(ACTIVITIES)
    weights = np.array([ACTIVITIES[name].weight for name in names])
    activity = ACTIVITIES[names[_pick(rng, weights)]]
    sides = [0, 1] if rng.random() < 0.5 else [1, 0]
    legs = np.array([_angles(rng, activity.lead), _angles(rng, activity.other)])[sides]
    arms = np.array([_angles(rng, GESTURES[name]) for name in _arm_gestures(rng, activity)])[sides]
    return Pose(
        yaw=_facing(rng),
        pitch=rng.uniform(*activity.pitch),
        roll=rng.uniform(*activity.roll) * (-1 if rng.random() < 0.5 else 1),
        tilt=rng.uniform(-8, 28),
        spine=np.array([rng.uniform(*activity.bend), rng.normal(0, 7), rng.normal(0, 12)]),
        head=np.array([rng.normal(4, 13), rng.normal(0, 9), rng.normal(0, 26)]),
        arms=arms,
        legs=legs,
        toes=rng.uniform(-10, 25, 2),
    )


def _arm_gestures(rng: np.random.Generator, activity: Activity) -> tuple[str, ...]:
    if rng.random() >= activity.free_arms:
        return activity.arms
    if rng.random() < 0.35:
        return (BOTH_ARMS[rng.integers(len(BOTH_ARMS))],) * 2
    names = list(GESTURES)
    return names[rng.integers(len(names))], names[rng.integers(len(names))]


def _facing(rng: np.random.Generator) -> float:
    """Yaw in degrees: people mostly face the camera, or look away from it.

    The outlines of the two are alike: only what people look like tells left from right.
    """
    side = rng.random()
    if side < 0.87:
        return rng.normal(0 if side < 0.5 else 180, 28)
    return rng.uniform(-180, 180)


def _angles(rng: np.random.Generator, limb: Limb) -> np.ndarray:
    ranges = np.array([limb.lift, limb.spread, limb.twist, limb.bend])  # [4, 2]
    return rng.uniform(ranges[:, 0], ranges[:, 1])


def _pick(rng: np.random.Generator, weights: np.ndarray) -> int:
    return int(np.searchsorted(np.cumsum(weights), rng.uniform(0, weights.sum()), side="right"))
