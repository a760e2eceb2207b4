# SPDX-License-Identifier: Apache-2.0
"""A GPU's figures: by its own clock, against what its instructions allow, kept as they come."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import goals, gpu_variants, harness, script, shares

ROOT = Path(__file__).parents[1]


def test_rows_are_in_the_file_before_the_next_is_made(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"

    def rows() -> Iterator[dict[str, Any]]:
        for i in range(3):
            if i:
                assert len(json.loads(file.read_text())["rows"]) == i
            yield {"i": i}

    assert len(list(script.keep(rows(), file, {"gpu": "some"}))) == 3
    assert list(tmp_path.iterdir()) == [file]
    assert json.loads(file.read_text())["rows"] == [{"i": 0}, {"i": 1}, {"i": 2}]


def test_a_machine_without_git_names_the_commit_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert re.fullmatch(r"[0-9a-f]{12}( and changes)?|unknown", harness.commit())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert harness.commit() == "unknown"
    monkeypatch.setenv("DARKPOSE_COMMIT", "0123456789ab")
    assert harness.commit() == "0123456789ab"


class FakeGpu:
    """A GPU with a clock: work is queued in no time of its own, by a host that is slower."""

    def __init__(self, host: float, work: float, waits: bool = False) -> None:
        self.host, self.work, self.waits = host, work, waits  # microseconds a call
        self.now, self.busy, self.made = 0.0, 0.0, 0

    def _sleep(self, cycles: int) -> None:
        self.busy = max(self.busy, self.now) + cycles / harness.GPU_CYCLES

    def call(self) -> None:
        self.made += 1
        self.now += self.host
        self.busy = max(self.busy, self.now) + self.work
        if self.waits:
            self.synchronize()

    def synchronize(self) -> None:
        self.now = max(self.now, self.busy)

    def Event(self, enable_timing: bool) -> Any:  # noqa: N802  torch's name
        gpu = self

        class Event:
            def record(self) -> None:
                self.at = max(gpu.busy, gpu.now)

            def query(self) -> bool:
                return self.at <= gpu.now

            def elapsed_time(self, end: Any) -> float:
                return (end.at - self.at) / 1000

        return Event()


def on(gpu: FakeGpu, count: int, monkeypatch: pytest.MonkeyPatch) -> float:
    for name in ("Event", "_sleep", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, getattr(gpu, name))
    return harness.elapsed(gpu.call, count, "cuda")


@pytest.mark.parametrize("host", [1.0, 30.0, 250.0])
def test_a_gpus_time_is_without_that_of_a_slow_host(
    host: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = FakeGpu(host, work=5.0)
    assert on(gpu, 20, monkeypatch) == pytest.approx(5.0)
    assert gpu.made == (20 if host < harness.QUEUE_US else 40)


def test_calls_that_wait_for_the_gpu_are_timed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = FakeGpu(host=30.0, work=5.0, waits=True)
    assert on(gpu, 20, monkeypatch) == pytest.approx(35.0, rel=0.05)
    slow = FakeGpu(host=30.0, work=30000.0, waits=True)
    assert on(slow, 1, monkeypatch) == pytest.approx(30000.0) and slow.made == 1


def test_goals_on_a_gpu_are_a_share_of_what_instructions_allow() -> None:
    copied = 1e12
    enough = shares.ISSUED / copied * 1000  # instructions that take as long as 1000 bytes
    assert shares.allowed(enough / 2, 1000, copied) == 1
    assert shares.allowed(2 * enough, 1000, copied) == pytest.approx(0.5)
    key = ("decode", "float32", "channels_last")
    counts = {key: (2 * enough, 1000.0), ("decode", "float32", "contiguous"): (4 * enough, 1000.0)}
    by_case = {
        (gpu, goal.case.op, goal.case.layout): goal.bound
        for gpu in ("NVIDIA H100", "NVIDIA H200")
        for goal in goals.on_gpu(gpu, copied, counts)
        if goal.case.dtype == "float32" and goal.kind == "share"
    }
    assert by_case["NVIDIA H100", "decode", "contiguous"] == shares.H100["decode"]
    assert by_case["NVIDIA H100", "decode", "channels_last"] == pytest.approx(0.45)
    assert by_case["NVIDIA H200", "decode", "contiguous"] == pytest.approx(0.9 / 4)
    assert ("NVIDIA H200", "modulate", "contiguous") not in by_case  # not counted


def test_counts_are_those_recorded_last_and_may_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "instructions.json"
    assert shares.counted(file) == {}
    counts = {"decode bfloat16": 1700, "decode with flip test float32 channels-last": 2640}
    counts |= {"heatmap_mse float32": 4790, "crop uint8": 170_000}
    recorded = {"before": {"counts": {"decode bfloat16": 9999}}, "now": {"counts": counts}}
    file.write_text(json.dumps(recorded))
    assert shares.recorded(file) == counts  # of which crops are no maps
    assert shares.counted(file) == {
        ("decode", "bfloat16", "contiguous"): (1700, 6144),
        ("flip_decode", "float32", "channels_last"): (2640, 24576),
        ("heatmap_mse", "float32", "contiguous"): (4790, 36864),
    }


def test_a_variant_gives_the_library_its_place_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, variant = tmp_path / "_C.so", tmp_path / "other.so"
    library.write_text("ours")
    variant.write_text("other")
    monkeypatch.setattr(gpu_variants, "LIBRARY", library)

    def measured(before: Path, rehearse: bool) -> list[dict[str, Any]]:
        if library.read_text() == "other":
            raise SystemExit("stopped")
        return [{"met": False}]

    monkeypatch.setattr(gpu_variants, "measured", measured)
    rows = gpu_variants.rows(tmp_path, [variant], False)
    assert next(rows) == {"library": "as it is", "met": False}
    with pytest.raises(SystemExit):
        next(rows)
    assert library.read_text() == "ours"
