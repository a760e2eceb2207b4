# SPDX-License-Identifier: Apache-2.0
"""Random crops, as a pure function of a random generator that (seed, epoch, sample) decides.

Nothing is drawn from a global generator, so a sample is the same in any worker, on any machine and
after any resume: `sample_rng` is the only source of randomness.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkpose.data.annotations import PersonRecord
from darkpose.data.spec import KeypointSpec
from darkpose.geometry import Crop, fix_aspect

_HALF_BODY_MIN_JOINTS = 3  # as in HRNet: fewer joints than that do not outline a half


@dataclass(frozen=True)
class Augmentation:
    """How far crops vary in training; the defaults are HRNet's for COCO."""

    rotation: float = 45.0
    """Standard deviation in degrees, cut off at twice its value."""
    rotation_probability: float = 0.6
    scale: float = 0.35
    """Standard deviation of the factor on the crop's size, cut off at 1 - scale and 1 + scale."""
    flip_probability: float = 0.5
    half_body_probability: float = 0.3
    """Of a person with enough labeled joints becoming a crop of the upper or the lower half."""
    half_body_joints: int = 9
    """Labeled joints that a person must have for a half-body crop."""
    half_body_upper: float = 0.5
    """Probability of the upper half. HRNet tests a normal deviate against 0.5, in effect 0.69;
    mmpose has 0.7."""
    half_body_padding: float = 1.5
    """Factor on the tight box of the half's joints."""
    gain: float = 0.0
    """Pixels are multiplied by a factor uniform in 1 +- gain; no published recipe does."""
    brightness: float = 0.0
    """... and moved by a uniform offset of up to so many gray levels."""

    def __post_init__(self) -> None:
        for field in (
            "rotation_probability",
            "flip_probability",
            "half_body_probability",
            "half_body_upper",
        ):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"{field} must be a probability, got {getattr(self, field)}")
        for field in ("scale", "gain"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(
                    f"{field} must be at least 0 and below 1, got {getattr(self, field)}"
                )
        for field in ("rotation", "brightness"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"{field} must not be negative, got {getattr(self, field)}")
        if not self.half_body_padding > 0:
            raise ValueError(f"half_body_padding must be positive, got {self.half_body_padding}")


def sample_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator that decides everything random about one sample of one epoch."""
    return np.random.default_rng((seed, epoch, index))


def augment(
    record: PersonRecord,
    crop: Crop,
    spec: KeypointSpec,
    settings: Augmentation,
    rng: np.random.Generator,
) -> tuple[Crop, bool]:
    """Vary a person's crop: half body, scale and rotation, mirror, in HRNet's order.

    Args:
        record: the person, for the joints that a half-body crop goes by.
        crop: the person's whole crop; its aspect ratio is kept.
        spec: says which joints are the upper half.
        settings: how far to vary.
        rng: see `sample_rng`.

    Returns:
        The crop, in the unmirrored image, and whether to mirror it (see `Crop.mirrored`).
    """
    # Everything is drawn before anything is decided: changing one probability then leaves the other
    # draws of a sample as they were, and runs that differ in one setting stay comparable.
    half_chance, upper_chance, rotation_chance, flip_chance = rng.random(4)
    scale_deviate, rotation_deviate = rng.standard_normal(2)

    labeled = np.count_nonzero(record.joints[:, 2])
    if labeled >= settings.half_body_joints and half_chance < settings.half_body_probability:
        upper = bool(upper_chance < settings.half_body_upper)
        crop = half_body(record.joints, crop, spec, upper, settings.half_body_padding) or crop
    factor = 1 + settings.scale * float(np.clip(scale_deviate, -1, 1))
    rotation = 0.0
    if rotation_chance < settings.rotation_probability:
        rotation = settings.rotation * float(np.clip(rotation_deviate, -2, 2))
    size = (crop.size[0] * factor, crop.size[1] * factor)
    mirrored = bool(flip_chance < settings.flip_probability)
    return Crop(crop.center, size, crop.rotation + rotation), mirrored


def half_body(
    joints: NDArray[np.float64],  # [K, 3] x, y, v
    crop: Crop,
    spec: KeypointSpec,
    upper: bool,
    padding: float,
) -> Crop | None:
    """Return a crop round the labeled joints of one half of the body, centered on their mean.

    The other half is taken where the wanted one has fewer than three labeled joints; None where
    neither half outlines a box.
    """
    is_upper = np.isin(np.arange(len(joints)), spec.upper_body)
    for half in (upper, not upper):
        points = joints[(is_upper == half) & (joints[:, 2] > 0), :2]
        width, height = np.ptp(points, axis=0) if len(points) else (0.0, 0.0)
        if len(points) >= _HALF_BODY_MIN_JOINTS and width > 0 and height > 0:
            x, y = points.mean(axis=0)
            aspect = crop.size[0] / crop.size[1]
            size = fix_aspect(float(width), float(height), aspect, padding)
            return Crop((float(x), float(y)), size, crop.rotation)
    return None


def draw_light(settings: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8] | None:
    """Return what each gray level [256] becomes by one random gain and offset; None if both are
    off."""
    if settings.gain == 0 and settings.brightness == 0:
        return None
    gain = rng.uniform(1 - settings.gain, 1 + settings.gain)
    offset = rng.uniform(-settings.brightness, settings.brightness)
    changed: NDArray[np.uint8] = np.rint(np.arange(256) * gain + offset).clip(0, 255)
    return changed.astype(np.uint8)
