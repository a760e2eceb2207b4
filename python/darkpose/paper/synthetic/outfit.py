# SPDX-License-Identifier: Apache-2.0
"""What people wear: the shapes of clothes and hair, as opposed to their colors (`fabric`)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outfit:
    """Lengths are fractions of what the piece covers."""

    sleeve: float  # 0 bare shoulder, 1 elbow, 2 wrist
    leg: float  # of trousers; 0 hip, 1 knee, 2 ankle
    skirt: float  # likewise; 0 means there is none
    ease: float  # width of the clothes relative to the limb
    hem: float  # how far the shirt hangs below the waist, 0 to 1
    hair: float  # length below the skull in head heights, 0 is short


def sample_outfit(rng: np.random.Generator) -> Outfit:
    """Draw an outfit for anything between the beach and winter."""
    return Outfit(
        sleeve=_one_of(rng, (0, 0.3, 0.6, 0.6, 0.8, 0.8, 1.4, 1.9, 1.95, 1.95)),
        leg=_one_of(rng, (0.25, 0.5, 0.9, 0.9, 1.5, 1.85, 1.85, 1.95, 1.95)),
        skirt=_one_of(rng, (0.5, 0.8, 1.2, 1.7)) if rng.random() < 0.24 else 0.0,
        ease=rng.uniform(1.06, 1.45),
        hem=_one_of(rng, (0, 0.5, 1)),
        hair=max(0.0, rng.uniform(-1.2, 1.1)),
    )


def _one_of(rng: np.random.Generator, values: tuple[float, ...]) -> float:
    return values[rng.integers(len(values))]
