# SPDX-License-Identifier: Apache-2.0
"""The benchmarks compare like with like, and say of a figure what it is.

Nothing is judged by a clock here: peers do the op's work, floors count what moves, a goal is met
when it is, tables and figures hold the numbers of the JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import (
    end_to_end,
    figure,
    floors,
    goals,
    gpu,
    harness,
    peers,
    released,
    scaling,
    table,
)
from benchmarks.cases import (
    FOR_GOALS,
    OPS,
    SIGMA,
    TAPS,
    USUAL,
    Case,
    calls,
    inference,
    inputs,
    names,
    usual,
)
from benchmarks.suites import MEMORY
from darkpose_ext import gaussian_taps
from tests import oracles, tolerances
from tests.samples import random_centers

SMALL = {"batch": 2, "joints": 5, "height": 24, "width": 20}
OWN = {"this", "checked function"}
ELSEWHERE = {"decode", "compiled twin", "kornia soft-argmax"}  # other work; slow; may be missing
ALIKE = 0.8  # of the joints: the others are steps that the release takes and the op refuses


def first_result(call: Callable[[], Any]) -> Tensor:
    result = call()
    result = result[0] if isinstance(result, tuple) else result
    return torch.as_tensor(np.stack(result) if isinstance(result, list) else result).double()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("op", OPS)
def test_peers_do_the_work_of_the_op(op: str, layout: str) -> None:
    case = Case(op, layout=layout, **SMALL)
    others = [name for name in names(op) if name not in OWN | ELSEWHERE and "OpenCV" not in name]
    made = calls(case, [*OWN, *others])
    assert len(made) >= 2
    with inference(op):
        ours = first_result(made["this"]).clone()
        for call in made.values():
            error = (first_result(call) - ours).abs()
            assert (error < tolerances.TRANSFORMED).double().mean() > ALIKE


def test_opencv_filters_the_maps_as_modulate_does() -> None:
    case = Case("modulate", **SMALL)
    taps = gaussian_taps(SIGMA)
    for name in (name for name in names("modulate") if "OpenCV" in name):
        rescale = "minmax" if "rescaled" in name else "none"
        ours = torch.ops.dark.modulate(inputs(case).maps, taps, rescale=rescale).flatten(0, 1)
        error = (first_result(calls(case, [name])[name]) - ours).abs().max()
        assert error < tolerances.BLURRED[torch.float32]


def test_released_decoding_is_that_of_the_oracle() -> None:
    maps = inputs(Case("decode", 16, 4)).maps.numpy()
    coords, scores = released.decode(maps, TAPS)
    expected = oracles.dark(maps.reshape(-1, 64, 48), TAPS)
    assert np.abs(coords.reshape(-1, 2) - expected.coords).max() < tolerances.RELEASED
    assert np.array_equal(scores.ravel(), expected.scores)


def test_released_targets_are_those_of_the_oracle() -> None:
    joints = random_centers(12, 24, 20, margin=-9.0).float().reshape(3, 4, 2)
    maps = released.encode(joints.numpy(), 24, 20, SIGMA)
    for own, (x, y) in zip(maps.reshape(12, 24, 20), joints.reshape(12, 2).tolist(), strict=True):
        expected, _ = oracles.darkpose_target((x, y), 1.0, 20, 24, SIGMA)
        assert np.abs(own - expected).max() < tolerances.TARGETS[torch.float32]


# ---- floors --------------------------------------------------------------------------------------


def test_floors_count_each_map_that_is_read_or_written_once() -> None:
    for dtype in ("float32", "bfloat16"):
        given = inputs(Case("", dtype=dtype))
        size = given.maps.nbytes
        moved = {op: floors.work(Case(op, dtype=dtype)) for op in OPS}
        assert (moved["decode"].read, moved["decode"].written) == (size, 0)
        assert moved["flip_decode"].read == size + given.flipped.nbytes
        assert (moved["encode"].read, moved["encode"].written) == (0, size)
        assert moved["modulate"].written == given.maps.float().nbytes
        assert (moved["heatmap_mse"].read, moved["heatmap_mse"].written) == (2 * size, size)


def test_a_floor_is_the_longer_one_of_moving_and_computing() -> None:
    rates = floors.Rates(read=10.0, write=5.0, copy=8.0, operations=100.0)
    assert floors.floor(floors.Work(100, 0, 0), rates) == 10
    assert floors.floor(floors.Work(100, 300, 0), rates) == 2 * 100 / 8 + 200 / 5
    assert floors.floor(floors.Work(100, 0, 5000), rates) == 50


def test_rates_are_those_of_the_torch_functions() -> None:
    case = Case("decode", 1)
    figures = {name: harness.Figure(4.0, 4.0, 4.0) for name in ("amax", "full", "copy")}
    rates = floors.rates(case, figures, 7.0)
    assert (rates.read, rates.copy) == (17 * 64 * 48, 2 * 17 * 64 * 48)
    assert floors.floor(floors.work(replace(case, op="encode")), rates) > 4.0 - 1e-9


# ---- goals and harness ---------------------------------------------------------------------------


def test_every_goal_compares_with_something_its_case_has() -> None:
    for goal in (*goals.CPU, *goals.GPU):
        assert goal.than in ("", "amax", "full", "copy", *FOR_GOALS, *names(goal.case.op))
        assert f"{goal.bound:g}" in str(goal) or goal.kind == "share"
    assert {goal.case.op for goal in goals.CPU} == set(OPS)


def test_a_goal_is_met_from_below_or_from_above_by_its_kind() -> None:
    for kind in ("time", "pixel", "microseconds", "speed", "share"):
        goal, above = goals.Goal(Case("decode"), kind, 2.0, "amax"), kind in ("speed", "share")
        assert goal.met(2.0) and goal.met(2.1) == above and goal.met(1.9) == (not above)


def test_goals_are_measured_in_their_own_terms() -> None:
    case = Case("decode", **SMALL)
    chosen = [goals.Goal(case, "time", 1e9, "amax"), goals.Goal(case, "speed", 1e-9, "amax")]
    chosen += [goals.Goal(case, "share", 0.0, "copy"), goals.Goal(case, "microseconds", 1e9)]
    time, speed, share, alone = goals.measure(chosen, seconds=0.01)
    assert all(outcome.met for outcome in (time, speed, share, alone))
    assert alone.measured == alone.ours == time.ours
    assert time.measured.median * speed.measured.median == pytest.approx(1, rel=0.01)
    assert 0 < time.floor < time.ours.high


def test_maps_are_measured_by_the_pixel_against_the_usual_ones() -> None:
    case = Case("modulate", **SMALL, sigma=6.0)
    assert len(case.taps) == len(usual(case).taps) == 31 and "sigma 6" in str(case)
    assert usual(case).pixels == 32 * 17 * 64 * 48
    goal = goals.Goal(case, "pixel", 1.0, USUAL)
    (ratio,) = goals._in_terms(goal, {"this": [2.0], USUAL: [4.0]})
    assert ratio == pytest.approx(0.5 * usual(case).pixels / case.pixels)


def test_processor_time_leaves_out_what_is_waited_for() -> None:
    wall, processor = (
        harness.elapsed(lambda: time.sleep(0.01), 3, processor_time=own) for own in (False, True)
    )
    assert wall >= 1e4 and processor < 1e4


def test_a_peer_that_is_absent_names_the_package_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("transformers", "transformers.models.sapiens2", "torchvision"):
        monkeypatch.setattr(
            peers, "find_spec", lambda name, missing=missing: name != missing or None
        )
        assert peers.absent(peers.SAPIENS) == missing
    assert peers.absent("torch twin") == ""


def test_turns_give_every_call_as_many_samples() -> None:
    order = []
    samples = harness.take_turns(
        {name: lambda name=name: order.append(name) for name in "ab"}, turns=4
    )
    assert [len(values) for values in samples.values()] == [4, 4]


def test_the_interval_of_a_median_holds_it_and_narrows() -> None:
    low, high = harness.interval([float(i) for i in range(101)])
    assert (low, high) == (40, 60)
    assert harness.interval([1.0, 2.0, 3.0]) == (1, 3)


def test_results_are_written_short_and_read_back(tmp_path: Path) -> None:
    content = {"machine": harness.machine(), "rows": [{"op": "decode", "median": 12.34567}]}
    harness.write(tmp_path / "new" / "file.json", content)
    read = json.loads((tmp_path / "new" / "file.json").read_text())
    assert read["rows"] == [{"op": "decode", "median": 12.35}]
    assert {"processor", "torch", "commit", "threads", "date"} <= read["machine"].keys()


# ---- tables and figures --------------------------------------------------------------------------


def benchmarked(case: Case, who: str, microseconds: float) -> dict[str, Any]:
    """What pytest-benchmark writes, as far as the table reads it."""
    times = {"median": microseconds, "q1": 0.9 * microseconds, "q3": 1.1 * microseconds}
    stats = {name: value / 1e6 for name, value in times.items()}
    return {"stats": stats, "extra_info": {**vars(case), "who": who, "floor": 50.0}}


def measured() -> dict[str, Any]:
    """A run in which the op takes 100 µs, memory 80 and every peer 2 ms."""
    rows = []
    for op in figure.TITLES:
        rows.append(benchmarked(Case(op), "this", 100.0))
        rows += [benchmarked(Case(op), who, 80.0) for who in MEMORY[op]]
        rows += [benchmarked(Case(op), who, 2000.0) for who in figure.PEERS if who in names(op)]
    machine = {"processor": "a processor", "instructions": "some", "torch": "2"}
    return table.compact({"benchmarks": rows, "machine_info": machine})


def test_tables_hold_each_ratio() -> None:
    text = "\n".join(table.tables(measured()["rows"]))
    decode = text.partition("**decode**")[2].partition("**")[0]
    assert "100 µs (90 to 110)" in decode and "2.00x" in decode  # of the floor
    assert "1.25x" in decode and "20x" in decode  # of amax, of a peer


def test_compacted_rows_name_their_case() -> None:
    case = Case("decode", 1, dtype="bfloat16", layout="channels_last")
    content = {"benchmarks": [benchmarked(case, "this", 5.0)], "machine_info": {}}
    (row,) = table.compact(content)["rows"]
    assert Case(**{name: row[name] for name in table.CASE if name in row}) == case


def test_figures_are_drawn_from_the_results(tmp_path: Path) -> None:
    results = measured()
    drawn = figure.speed(results["rows"], results["machine"])
    (axes,) = drawn.axes
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("100 µs") == len(figure.TITLES) and "20x" in texts
    rows = [
        {"op": op, "varied": varied, "value": case_value, "maps": 10, "median": 5.0}
        for op in figure.TITLES
        for varied in ("people", "joints", "map", "threads")
        for case_value in (("32x24", "64x48") if varied == "map" else ("1", "2"))
    ]
    curves = figure.scaling(rows)
    assert [len(axes.lines) for axes in curves.axes] == [len(figure.TITLES)] * 4
    drawn.savefig(tmp_path / "speed.svg")


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is said without a GPU")
@pytest.mark.parametrize("script", [goals, gpu, scaling, end_to_end])
def test_scripts_say_that_there_is_no_gpu(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["script", "--device", "cuda"])
    with pytest.raises(SystemExit, match="torch finds no CUDA device"):
        script.main()
