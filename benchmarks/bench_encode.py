# SPDX-License-Identifier: Apache-2.0
"""Rendering unbiased targets, against filling memory, the twin and a loop in NumPy."""

import pytest

from benchmarks.cases import Case
from benchmarks.suites import Measure, suite


@pytest.mark.parametrize(("case", "who"), suite("encode"), ids=str)
def test_encode(measure: Measure, case: Case, who: str) -> None:
    measure(case, who)
