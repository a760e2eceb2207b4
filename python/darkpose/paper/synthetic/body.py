# SPDX-License-Identifier: Apache-2.0
"""A body in space: proportions, forward kinematics and projection.

Camera space has x to the right, y down and z towards the viewer, in units of the person's
standing height. A body that faces the viewer has its own axes (left, down, front) along those of
the camera, so no reflection is ever involved and left stays left in every view. Arrays with two
rows hold the person's left side first.
"""

from dataclasses import dataclass

import numpy as np

from darkpose.paper.synthetic.pose import Pose

_IDENTITY = np.eye(3)
SIDE_NAMES = ("left", "right")
SIDES = np.array([1.0, -1.0])  # left is towards +x of the body


@dataclass(frozen=True)
class Build:
    """Lengths and half-widths in standing heights; ``girth`` scales every thickness."""

    head: float
    neck: float
    shoulder: float
    hip: float
    torso: float
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shin: float
    foot: float
    girth: float


# In the order of `Build`, the child relative to the adult.
_ADULT = np.array(
    [0.142, 0.05, 0.108, 0.056, 0.275, 0.166, 0.142, 0.078, 0.238, 0.228, 0.125, 1.04]
)
_CHILD = np.array([1.35, 0.8, 0.92, 0.98, 0.98, 0.9, 0.9, 0.92, 0.88, 0.88, 0.95, 1.0])


@dataclass(frozen=True)
class Skeleton:
    """Joint positions and frames (columns are left, down, front) in camera space."""

    pelvis: np.ndarray  # [3]
    waist: np.ndarray  # [3]
    chest: np.ndarray  # [3] between the shoulders
    head: np.ndarray  # [3] middle of the skull
    pelvis_frame: np.ndarray  # [3, 3]
    waist_frame: np.ndarray  # [3, 3]
    chest_frame: np.ndarray  # [3, 3]
    head_frame: np.ndarray  # [3, 3]
    shoulder: np.ndarray  # [2, 3], and so on down
    elbow: np.ndarray
    wrist: np.ndarray
    fingertip: np.ndarray
    hip: np.ndarray
    knee: np.ndarray
    ankle: np.ndarray
    heel: np.ndarray
    toe: np.ndarray


@dataclass(frozen=True)
class View:
    """A perspective camera aimed at the pelvis, ``distance`` standing heights away."""

    center: np.ndarray  # [2] (x, y) of the pelvis, image pixels
    scale: float  # pixels per standing height at the pelvis
    distance: float

    def magnification(self, points: np.ndarray) -> np.ndarray:
        """Return how much larger than the pelvis things at ``points`` [..., 3] look, [...]."""
        return self.distance / (self.distance - points[..., 2])

    def project(self, points: np.ndarray) -> np.ndarray:
        """Map ``points`` [..., 3] in camera space to image pixels [..., 2]."""
        zoom = self.scale * self.magnification(points)
        return self.center + points[..., :2] * zoom[..., None]


def sample_build(rng: np.random.Generator) -> Build:
    """Draw proportions: adults mostly, one person in seven a child with a larger head."""
    mean, spread = _ADULT * (_CHILD if rng.random() < 1 / 7 else 1), np.full(12, 0.055)
    spread[-1] = 0.17  # girth varies most
    return Build(*(mean * np.exp(rng.normal(0, spread))))


def pose_body(build: Build, pose: Pose) -> Skeleton:
    """Place every joint by forward kinematics from the pelvis, which is at the origin."""
    root = (
        rotation("x", -pose.tilt)
        @ rotation("z", pose.roll)
        @ rotation("y", pose.yaw)
        @ rotation("x", -pose.pitch)
    )
    bend, sway, twist = pose.spine
    half = rotation("x", -bend / 2) @ rotation("z", sway / 2) @ rotation("y", twist / 2)
    waist_frame = root @ half
    chest_frame = waist_frame @ half
    waist = waist_frame @ np.array([0, -0.42 * build.torso, 0])
    chest = waist + chest_frame @ np.array([0, -0.58 * build.torso, 0])
    nod, tilt, turn = pose.head
    head_frame = chest_frame @ rotation("y", turn) @ rotation("z", tilt) @ rotation("x", -nod)
    neck_frame = chest_frame @ rotation("x", -nod / 2)
    neck = chest + neck_frame @ np.array([0, -0.018 - build.neck, 0])
    head = neck + head_frame @ np.array([0, -0.42 * build.head, 0.012])

    arms, forearms = _limb_frames(chest_frame, pose.arms, fold=1)
    # A raised arm lifts the shoulder with it.
    rise = 0.02 * (1 - np.einsum("sij,ik->skj", arms, chest_frame)[:, 1, 1])
    offset = np.stack([SIDES * build.shoulder, -rise, np.zeros(2)], axis=1)
    shoulder = chest + offset @ chest_frame.T
    elbow = shoulder + build.upper_arm * arms[:, :, 1]
    wrist = elbow + build.forearm * forearms[:, :, 1]

    thighs, shins = _limb_frames(root, pose.legs, fold=-1)
    hip = SIDES[:, None] * build.hip * root[:, 0]
    knee = hip + build.thigh * thighs[:, :, 1]
    ankle = knee + build.shin * shins[:, :, 1]
    feet = shins @ rotation("x", -pose.toes)
    sole = ankle + 0.026 * feet[:, :, 1]
    return Skeleton(
        pelvis=np.zeros(3),
        waist=waist,
        chest=chest,
        head=head,
        pelvis_frame=root,
        waist_frame=waist_frame,
        chest_frame=chest_frame,
        head_frame=head_frame,
        shoulder=shoulder,
        elbow=elbow,
        wrist=wrist,
        fingertip=wrist + build.hand * forearms[:, :, 1],
        hip=hip,
        knee=knee,
        ankle=ankle,
        heel=sole - 0.2 * build.foot * feet[:, :, 2],
        toe=sole + 0.72 * build.foot * feet[:, :, 2],
    )


def rotation(axis: str, degrees: float | np.ndarray) -> np.ndarray:
    """Return the rotation matrices [..., 3, 3] about a coordinate axis, "x", "y" or "z".

    Positive angles turn y to z, z to x and x to y, respectively.
    """
    angle = np.radians(degrees)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.zeros((*np.shape(angle), 3, 3))
    matrix[..., :, :] = _IDENTITY
    matrix[..., first, first] = matrix[..., second, second] = cosine
    matrix[..., second, first] = sine
    matrix[..., first, second] = -sine
    return matrix


def _limb_frames(parent: np.ndarray, angles: np.ndarray, fold: int) -> tuple[np.ndarray, ...]:
    """Return the frames [2, 3, 3] of both upper and both lower segments, which run along +y.

    ``angles`` [2, 4] are lift, spread, twist and bend; ``fold`` is 1 where the lower segment
    bends forward (elbow) and -1 where it bends backward (knee).
    """
    lift, spread, twist, bend = angles.T
    upper = (
        parent @ rotation("z", -SIDES * spread) @ rotation("x", lift) @ rotation("y", SIDES * twist)
    )
    return upper, upper @ rotation("x", fold * bend)
