# SPDX-License-Identifier: Apache-2.0
"""Decoding with flip test and the way back to the image, against the same peers."""

import pytest

from benchmarks.cases import Case
from benchmarks.suites import Measure, suite


@pytest.mark.parametrize(("case", "who"), suite("flip_decode"), ids=str)
def test_flip_decode(measure: Measure, case: Case, who: str) -> None:
    measure(case, who)
