# SPDX-License-Identifier: Apache-2.0
"""One person on a GPU: device time, launches, synchronization and CUDA graphs of each op.

    python benchmarks/gpu.py [--json FILE]

Device time is that of a replayed graph of many calls, so that no launch from Python is in it; host
time is what a call costs Python before it returns. torch is told to refuse any operation that
waits for the device, and a graph cannot be captured across one.
"""

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import gpu_crops, harness, script  # noqa: E402  from the folder this file is in
from benchmarks.cases import OPS, SIGMA, Case, calls, inputs  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402

MICROSECONDS = 8.0  # the goal, of device time
CALLS = 20  # in a graph
REPLAYS = 50


def every_call(device: str) -> dict[str, harness.Call]:
    """Return each op on one person, the two halves of the loss apart."""
    made = {op: calls(Case(op, 1, device=device), ["this"])["this"] for op in OPS}
    del made["heatmap_mse"]  # with autograd around it: several launches that are not ours
    given = inputs(Case("heatmap_mse", 1, device=device))
    grad = torch.ones_like(given.weights)
    arguments = (grad, given.maps, given.joints, given.weights, SIGMA)
    made["crop"] = gpu_crops.CASES[2].call(torch.ops.dark.crop, gpu_crops.made(1, 1, device))
    made["heatmap_mse_backward"] = lambda: torch.ops.dark.heatmap_mse_backward(*arguments)
    return made


def device_events(call: harness.Call) -> list[str]:
    """Return the names of the kernels, copies and fills that one call puts on the device."""
    call()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
        call()
        torch.cuda.synchronize()
    on_device = torch.autograd.DeviceType.CUDA
    return [event.name for event in profiled.events() if event.device_type == on_device]


def captured(call: harness.Call, count: int) -> tuple[torch.cuda.CUDAGraph, list[Any]]:
    """Return a graph of so many calls, and what they returned."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = [call() for _ in range(count)]
    return graph, results


def synchronizes(call: harness.Call) -> bool:
    """Return whether torch sees the call wait for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    except RuntimeError as error:
        if "synchron" not in str(error):
            raise
        return True
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return False


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    return all(_same(x, y) for x, y in zip(a, b, strict=True))


def measure() -> Iterator[dict[str, Any]]:
    """Yield a row for each op."""
    for op, call in every_call("cuda").items():
        names = device_events(call)
        waits = synchronizes(call)
        graph, results = captured(call, CALLS)
        graph.replay()
        torch.cuda.synchronize()
        alike = _same(results[-1], call())
        times = [harness.elapsed(graph.replay, 1, "cuda") / CALLS for _ in range(REPLAYS)]
        host = []
        for _ in range(REPLAYS):
            host.append(harness.elapsed(call, CALLS))
            torch.cuda.synchronize()
        figure = harness.Figure.of(times)
        yield {
            "op": op,
            "device": figure.median,
            "low": figure.low,
            "high": figure.high,
            "host": statistics.median(host),
            "launches": len(names),
            "events": names,
            "waits": waits,
            "graph_equals": alike,
            "met": figure.median <= MICROSECONDS and len(names) == 1 and not waits and alike,
        }


def rehearse() -> Iterator[dict[str, Any]]:
    """Yield a row for each op as on a GPU that takes as long as this CPU; profiles and graphs need
    the driver."""
    print("left out, for lack of a driver: torch's profiler, set_sync_debug_mode, CUDA graphs")
    for op, call in every_call("cpu").items():
        figure = harness.Figure.of([harness.elapsed(call, CALLS) for _ in range(2)])
        row = {"op": op, "device": figure.median, "low": figure.low, "high": figure.high}
        row |= {"host": figure.median, "launches": 1, "events": [op], "waits": False}
        yield row | {"graph_equals": _same(call(), call()), "met": figure.median <= MICROSECONDS}


HEAD = ["op", "device time", "quartiles", "host time", "launches", "waits", "graph", "goal"]


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the table."""
    return [
        row["op"],
        f"{row['device']:.2f} µs",
        f"{row['low']:.2f} to {row['high']:.2f}",
        f"{row['host']:.1f} µs",
        str(row["launches"]),
        "yes" if row["waits"] else "no",
        "same result" if row["graph_equals"] else "DIFFERS",
        f"{MICROSECONDS:g} µs, one launch: {'met' if row['met'] else 'MISSED'}",
    ]


def main() -> None:
    """Measure, print, and write the figures if asked."""
    options = script.arguments(__doc__, devices=("cuda",)).parse_args()
    device = script.start("gpu", options)
    print(table(HEAD, []), flush=True)
    with torch.inference_mode():
        rows = rehearse() if options.rehearse else measure()
        for row in script.keep(rows, options.json, harness.machine(device)):
            print(f"| {' | '.join(cells(row))} |", flush=True)
            if row["launches"] != 1:
                print(f"{row['op']} puts on the device: {', '.join(row['events'])}", flush=True)


if __name__ == "__main__":
    main()
