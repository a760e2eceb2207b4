# SPDX-License-Identifier: Apache-2.0
"""How much more often joints are wrong whose map has a high second peak, as a Markdown table.

    DARKPOSE_DATA=... python benchmarks/ambiguity.py

On the heatmaps of `real_heatmaps.py`, read by "dark"; for several distances that a second peak must
have from the first, the library's own (`darkpose.decoders.RIVAL_RADIUS`) in bold. AUC is how well
the ratio of the two heights tells wrong joints from the others: 0.5 tells nothing. Beside it what
the score tells, the height of the first peak alone, and the same comparison within thirds of it.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.real_heatmaps import COCO, FILES, load, oks_by_decoder  # noqa: E402
from darkpose.decoders import RIVAL_RADIUS  # noqa: E402
from darkpose.evaluate.metrics.ambiguity import WRONG, by_ambiguity  # noqa: E402
from darkpose_ext import decode_peaks  # noqa: E402

RADII = (1, 2, 3, 4, 6, 8)
GROSS = 0.1
"""A joint of a lower similarity lies on another part of the body."""


def peaks(data: Path, name: str, radius: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the second peak's height over the first's [N, 12], NaN without a peak, and the
    first's."""
    maps = torch.from_numpy(load(data, name).heatmaps[:, list(COCO)])
    heights = decode_peaks(maps, [], 2, radius=radius)[1].double().numpy()
    with np.errstate(invalid="ignore"):
        return heights[..., 1] / heights[..., 0], heights[..., 0]


def auc(ratio: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """Return the chance that a wrong joint has a higher ratio than one that is not."""
    count = int(wrong.sum())
    above = rankdata(ratio)[wrong].sum() - count * (count + 1) / 2
    return float(above / (count * (wrong.size - count)))


def main() -> None:
    """Print a table for each file."""
    data = Path(os.environ["DARKPOSE_DATA"])
    for name in FILES:
        similarity = oks_by_decoder(data, name)["dark"]
        print(f"\n**{name}**: {len(similarity)} people\n")
        print(
            f"| radius | ambiguous, of joints | wrong (similarity < {WRONG:g}): of these, of others"
            f" | difference, 95 % interval | < {GROSS:g}: of these, of others | AUC |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
        for radius in RADII:
            ratio, _ = peaks(data, name, radius)
            doubt, gross = (
                by_ambiguity(similarity, ratio, wrong=limit) for limit in (WRONG, GROSS)
            )
            gap, joints = doubt.difference, doubt.ambiguous.count + doubt.others.count
            known = np.isfinite(similarity) & np.isfinite(ratio)
            assert gap is not None
            print(
                f"| {f'**{radius}**' if radius == RIVAL_RADIUS else radius} |",
                f"{doubt.ambiguous.count} of {joints} |",
                f"{100 * doubt.ambiguous.wrong:.1f} %, {100 * doubt.others.wrong:.1f} % |",
                f"{100 * gap.mean:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f}) |",
                f"{100 * gross.ambiguous.wrong:.1f} %, {100 * gross.others.wrong:.1f} % |",
                f"{auc(ratio[known], similarity[known] < WRONG):.3f} |",
            )
        within_thirds(similarity, *peaks(data, name, RIVAL_RADIUS))


def within_thirds(
    similarity: NDArray[np.float64], ratio: NDArray[np.float64], scores: NDArray[np.float64]
) -> None:
    """Print what the score tells, and what the ratio does among joints of like scores."""
    known = np.isfinite(similarity) & np.isfinite(ratio)
    print(f"\nAUC of the score: {auc(-scores[known], similarity[known] < WRONG):.3f}\n")
    print("| third by score | ambiguous | wrong: of these, of others | difference |")
    print("| --- | --- | --- | --- |")
    limits = np.quantile(scores[known], (1 / 3, 2 / 3))
    third = np.searchsorted(limits, scores)
    for i, which in enumerate(("lowest", "middle", "highest")):
        doubt = by_ambiguity(np.where(third == i, similarity, np.nan), ratio)
        gap, joints = doubt.difference, doubt.ambiguous.count + doubt.others.count
        assert gap is not None
        print(
            f"| {which} | {doubt.ambiguous.count} of {joints} |",
            f"{100 * doubt.ambiguous.wrong:.1f} %, {100 * doubt.others.wrong:.1f} % |",
            f"{100 * gap.mean:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f}) |",
        )


if __name__ == "__main__":
    main()
