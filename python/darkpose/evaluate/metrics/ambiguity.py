# SPDX-License-Identifier: Apache-2.0
"""How much more often those joints are wrong whose map has a second peak."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkpose.decoders import AMBIGUOUS
from darkpose.evaluate.metrics.pck import Difference, of_draws

WRONG = 0.5
"""A joint of a lower similarity is missed, in the terms of Ronchi and Perona (ICCV 2017)."""


@dataclass(frozen=True)
class JointGroup:
    """Labeled joints whose maps are alike."""

    count: int
    wrong: float
    """The share of them; NaN of none."""
    similarity: float
    """Mean; NaN of none."""


@dataclass(frozen=True)
class Doubt:
    """Joints whose second peak is over `AMBIGUOUS` of the first, and those whose is not."""

    ambiguous: JointGroup
    others: JointGroup
    difference: Difference | None
    """Of their shares of wrong ones, drawing people with replacement; None where one has none."""


def by_ambiguity(
    similarity: NDArray[np.float64],  # [N, K]
    ambiguity: NDArray[np.float64],  # [N, K]
    *,
    wrong: float = WRONG,
    samples: int = 2000,
    seed: int = 0,
) -> Doubt:
    """Compare joints by `Predictions.ambiguity`; those that are NaN in either do not count.

    Args:
        similarity: of each joint, its share in OKS; NaN where none is labeled.
        ambiguity: the second peak's height over the first's.
        wrong: a joint of a lower similarity is.
        samples, seed: of the draws.
    """
    known = np.isfinite(similarity) & np.isfinite(ambiguity)
    kinds = known & (ambiguity > AMBIGUOUS), known & ~(ambiguity > AMBIGUOUS)
    misses = similarity < wrong
    counts = np.array([[kind.sum(1), (kind & misses).sum(1)] for kind in kinds])  # [2, 2, N]

    def difference(people: NDArray[np.int64]) -> float:
        all_of, wrong_of = counts[..., people].sum(-1).T
        ambiguous, others = wrong_of / all_of
        return float(ambiguous - others)

    everybody = np.arange(len(similarity))
    found = None
    if all(kind.any() for kind in kinds):
        rng = np.random.default_rng(seed)
        with np.errstate(invalid="ignore"):  # a draw may have none of a kind
            draws = [difference(rng.choice(everybody, len(everybody))) for _ in range(samples)]
        found = of_draws(difference(everybody), np.array(draws)[np.isfinite(draws)])
    ambiguous, others = (_kind(similarity[kind], misses[kind]) for kind in kinds)
    return Doubt(ambiguous, others, found)


def _kind(similarity: NDArray[np.float64], misses: NDArray[np.bool_]) -> JointGroup:
    if not similarity.size:
        return JointGroup(0, float("nan"), float("nan"))
    return JointGroup(similarity.size, float(misses.mean()), float(similarity.mean()))
