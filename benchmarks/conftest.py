# SPDX-License-Identifier: Apache-2.0
"""What the suites share: which cases and peers there are, how one is timed, beside which floor.

pytest-benchmark times one function after the other; those of a case stand together, so that little
time passes between a function and what it is compared with.
"""

from dataclasses import asdict, replace
from functools import cache

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import floors, harness
from benchmarks.cases import Case, calls, inference
from benchmarks.peers import absent
from benchmarks.suites import Measure


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", choices=("cpu", "cuda"), help="to measure on")


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, object]
) -> None:
    machine_info.clear()  # the host's name and more that says nothing
    machine_info.update(harness.machine(config.getoption("--device")))


@pytest.fixture(scope="session", autouse=True)
def _prepared(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--device") == "cuda" and not torch.cuda.is_available():
        pytest.exit("torch finds no CUDA device", returncode=1)
    harness.prepare()


@cache
def _machine(case: Case) -> floors.Rates:
    """Measure what the machine does, once for all layouts of an op's size."""
    with torch.inference_mode():
        samples = harness.take_turns(calls(case, ["amax", "full", "copy"]), 0.1, case.device)
        figures = {name: harness.Figure.of(values) for name, values in samples.items()}
        return floors.rates(case, figures, _operation_rate(case.device))


_operation_rate = cache(floors.operation_rate)


@pytest.fixture
def measure(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Measure:
    """Time one function of a case; on a GPU each call waits for the device."""
    device = request.config.getoption("--device")

    def run(case: Case, who: str) -> None:
        if package := absent(who):
            pytest.skip(f"{who} needs {package}, which is not installed")
        case = replace(case, device=device)
        plain = replace(case, layout="contiguous", data="gaussian")
        floor = floors.floor(floors.work(case), _machine(plain))
        benchmark.group = f"{case.op} {case}"
        benchmark.extra_info.update(asdict(case), who=who, floor=floor)
        with inference(case.op):
            call = calls(case, [who])[who]
            timed = call if device == "cpu" else _waiting(call)
            timed()
            benchmark(timed)

    return run


def _waiting(call: harness.Call) -> harness.Call:
    def run() -> None:
        call()
        torch.cuda.synchronize()

    return run
