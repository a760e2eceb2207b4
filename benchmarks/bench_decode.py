# SPDX-License-Identifier: Apache-2.0
"""Finding joints: dark with 11 taps, against the twin, soft-argmax and the released loop."""

import pytest

from benchmarks.cases import Case
from benchmarks.suites import Measure, suite


@pytest.mark.parametrize(("case", "who"), suite("decode"), ids=str)
def test_decode(measure: Measure, case: Case, who: str) -> None:
    measure(case, who)
