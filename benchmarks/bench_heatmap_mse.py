# SPDX-License-Identifier: Apache-2.0
"""The loss and its gradient, against rendered targets, torch's loss and autograd."""

import pytest

from benchmarks.cases import Case
from benchmarks.suites import Measure, suite


@pytest.mark.parametrize(("case", "who"), suite("heatmap_mse"), ids=str)
def test_heatmap_mse(measure: Measure, case: Case, who: str) -> None:
    measure(case, who)
