# SPDX-License-Identifier: Apache-2.0
"""One person: what a call costs through `torch.ops.dark`, the checked functions and autograd."""

import pytest

from benchmarks.cases import OPS, Case
from benchmarks.suites import Measure

WHO = ("this", "checked function", "torch twin")
ROWS = [(Case(op, 1), who) for op in OPS if not op.startswith("heatmap_mse") for who in WHO]
ROWS += [(Case("heatmap_mse_forward", 1), who) for who in WHO]


@pytest.mark.parametrize(
    ("case", "who"), ROWS, ids=[f"{case.op} {case}-{who}" for case, who in ROWS]
)
def test_small_batch(measure: Measure, case: Case, who: str) -> None:
    measure(case, who)
