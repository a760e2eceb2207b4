# SPDX-License-Identifier: Apache-2.0
"""Smoothing with 11 taps and Eq 11's rescaling, against OpenCV's separable filters."""

import pytest

from benchmarks.cases import Case
from benchmarks.suites import Measure, suite


@pytest.mark.parametrize(("case", "who"), suite("modulate"), ids=str)
def test_modulate(measure: Measure, case: Case, who: str) -> None:
    measure(case, who)
