# SPDX-License-Identifier: Apache-2.0
"""Finding two maxima in each map above a tenth of all maps' highest, against the twin."""

import pytest

from benchmarks.cases import Case
from benchmarks.suites import Measure, suite


@pytest.mark.parametrize(("case", "who"), suite("decode_peaks"), ids=str)
def test_decode_peaks(measure: Measure, case: Case, who: str) -> None:
    measure(case, who)
