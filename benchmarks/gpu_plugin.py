# SPDX-License-Identifier: Apache-2.0
"""A plugin of pytest for a visit to a GPU: `python -m pytest -p benchmarks.gpu_plugin`.

FAILED_TESTS names a file that gets each failed test as it fails: pytest's own list comes last,
which a time limit may cut off. With ONE_TEST_PER_FILE=1 only the first test of each file is run.
"""

import os
from pathlib import Path

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    name(report)  # a file that does not import


def name(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Write down what failed."""
    path = os.environ.get("FAILED_TESTS")
    # With pytest-xdist the workers report to the first process, which reports again.
    if path and report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(path).open("a") as file:
            file.write(f"{report.nodeid}\n")


@pytest.hookimpl(trylast=True)  # when -k has made its choice
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("ONE_TEST_PER_FILE") == "1":
        items[:] = {item.path: item for item in reversed(items)}.values()
