# SPDX-License-Identifier: Apache-2.0
"""What each way to deploy a network takes, from crops to joints in the image, as Markdown.

    DARKPOSE_DATA=... python benchmarks/deployment.py [--network hrnet_w32] [--json FILE]

The latency of one person and people per second of 32, of uint8 crops of COCO's people that are in
memory: normalization, the network, decoding and recovery. The ways:

- PyTorch, eager and under torch.compile; the .pt2 of `darkpose export`, from Python and from C++;
- the ONNX file of `darkpose export`, everything in ONNX Runtime;
- the network alone in ONNX Runtime, and the released decoding in NumPy and OpenCV, joint by joint.

Beside each stands how much of its time decoding takes, timed alone on the network's own maps, and
how many joints lie within 0.001 pixels of eager PyTorch's. The network has random weights: its maps
are noise, for which decoding takes as long as for others, and where the release steps far from
where ours stands still. The ways take turns (`benchmarks/harness.py`).

C++ is measured if `examples/cpp` has been built in build/cpp-example, as its CMakeLists.txt says.
`--files FOLDER` keeps the exported files for the next run.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import harness, released  # noqa: E402  from the folder this file is in
from benchmarks.loading import Row, coco_mini, report  # noqa: E402
from darkpose.codec import HeatmapCodec  # noqa: E402
from darkpose.data.dataset import KeypointDataset  # noqa: E402
from darkpose.data.joint_sets import COCO  # noqa: E402
from darkpose.deploy import check, onnx, pt2  # noqa: E402
from darkpose.deploy.program import CropsToKeypoints  # noqa: E402
from darkpose.models.pose import PoseModel  # noqa: E402

SIZE = (192, 256)  # of the crops: width, height
CPP = Path(__file__).parents[1] / "build" / "cpp-example"


class Network(torch.nn.Module):
    """From crops to heatmaps."""

    def __init__(self, program: CropsToKeypoints) -> None:
        super().__init__()
        self.program = program

    def forward(self, crops: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        maps, flipped = self.program.heatmaps(crops)
        return maps if flipped is None else (maps, flipped)


class Decode(torch.nn.Module):
    """From heatmaps to joints."""

    def __init__(self, program: CropsToKeypoints) -> None:
        super().__init__()
        self.program = program

    def forward(self, to_image: Tensor, *maps: Tensor) -> tuple[Tensor, Tensor]:
        return self.program.decode(maps[0], maps[1] if len(maps) > 1 else None, to_image)


@dataclass(frozen=True)
class Way:
    """What is timed for one number of people."""

    run: harness.Call
    decode: harness.Call
    """Decoding alone, of the maps that the network gives."""
    joints: Callable[[], tuple[Tensor, Tensor]] | None
    """What `run` finds; None where another process finds it."""


class Files:
    """The exported files of one network, made where they are missing."""

    def __init__(self, program: CropsToKeypoints, folder: Path) -> None:
        self.onnx, self.pt2 = folder / "pose.onnx", folder / "pose.pt2"
        self.network, self.decode = folder / "network.onnx", folder / "decode.onnx"
        folder.mkdir(parents=True, exist_ok=True)
        crops, to_image = program.example()
        with torch.no_grad():
            maps = Network(program)(crops)
        maps = maps if isinstance(maps, tuple) else (maps,)
        batch = torch.export.Dim("batch", min=1)
        decoding: dict[str, Any] = {"dynamic_shapes": ({0: batch}, ({0: batch},) * len(maps))}
        makers: dict[Path, Callable[[Path], None]] = {
            self.onnx: lambda path: onnx.write_program(program, path),
            self.pt2: lambda path: pt2.write_program(program, path),
            self.network: lambda path: onnx.write(Network(program), (crops,), path),
            self.decode: lambda path: onnx.write(
                Decode(program), (to_image, *maps), path, **decoding
            ),
        }
        for path, make in makers.items():
            if not path.exists():
                make(path)


class CppProcess:
    """`latency` of `examples/cpp`, which runs once for each line it is sent."""

    def __init__(self, package: Path, crops: Tensor, threads: int, folder: Path) -> None:
        raw = folder / f"crops-{len(crops)}.raw"
        raw.write_bytes(crops.numpy().tobytes())
        command = [CPP / "latency", package, raw, len(crops), "--threads", threads]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        if not self.process.stdout.readline():
            raise SystemExit("deployment: latency of examples/cpp stopped")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def session(path: Path, threads: int) -> Any:
    """Return an ONNX Runtime session on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def ways(
    program: CropsToKeypoints, files: Files, crops: Tensor, to_image: Tensor, threads: int
) -> dict[str, Way]:
    """Return every way by name, for these people; the one in C++ is added by `measure`."""
    codec, matrices = program.model.codec, to_image.double().numpy()
    pairs, taps = list(program.model.spec.flip_pairs), len(codec.taps)
    maps, flipped = program.heatmaps(crops)
    given = [values.numpy() for values in (maps, flipped) if values is not None]
    compiled = torch.compile(program, dynamic=False)
    package, whole = pt2.Pt2Model(files.pt2), onnx.OnnxModel(files.onnx, threads)
    network, decode = session(files.network, threads), session(files.decode, threads)
    names = [value.name for value in decode.get_inputs()]
    feed = dict(zip(names, (to_image.numpy(), *given), strict=True))

    def numpy_decode(arrays: list[Any]) -> Any:
        if len(arrays) == 2:
            arrays = [0.5 * (arrays[0] + released.flip_back(arrays[1], pairs))]
        return released.decode(arrays[0], taps, matrices)

    def with_numpy() -> tuple[Tensor, Tensor]:
        name = network.get_inputs()[0].name
        coords, scores = numpy_decode(network.run(None, {name: crops.numpy()}))
        return torch.from_numpy(coords), torch.from_numpy(scores[..., 0])

    def op() -> object:
        return program.decode(maps, flipped, to_image)

    def way(found: Callable[[], tuple[Tensor, Tensor]], decode_alone: harness.Call) -> Way:
        return Way(found, decode_alone, found)

    return {
        "PyTorch, eager": way(lambda: program(crops, to_image), op),
        "PyTorch, compiled": way(lambda: compiled(crops, to_image), op),
        ".pt2 from Python": way(lambda: package(crops, to_image), op),
        "ONNX Runtime": way(lambda: whole(crops, to_image), lambda: decode.run(None, feed)),
        "ONNX Runtime, NumPy decode": way(with_numpy, lambda: numpy_decode(given)),
    }


@torch.inference_mode()
def measure(
    program: CropsToKeypoints, folder: Path, people: tuple[int, ...], threads: int, seconds: float
) -> list[Row]:
    """Return a row for each way and number of people."""
    files, rows = Files(program, folder), []
    codec = program.model.codec
    known = KeypointDataset(coco_mini(), codec.input_size, convention=codec.convention)
    for count in people:
        chosen = [known[i % len(known)] for i in range(count)]
        crops, to_image = (
            torch.stack([person[name] for person in chosen])  # type: ignore[literal-required]
            for name in ("image", "to_image")
        )
        made = ways(program, files, crops, to_image, threads)
        process = None
        if (CPP / "latency").exists():
            process = CppProcess(files.pt2, crops, threads, folder)
            made[".pt2 from C++"] = Way(process, made[".pt2 from Python"].decode, None)
        expected = program(crops, to_image)[0]
        samples = harness.take_turns({name: way.run for name, way in made.items()}, seconds)
        alone = harness.take_turns({name: way.decode for name, way in made.items()}, seconds / 4)
        if process:
            process.close()
        for name, way in made.items():
            row = figures(name, count, samples[name], alone[name])
            if way.joints is not None:
                distance = (way.joints()[0] - expected).norm(dim=-1)
                row["agreeing"] = float(
                    (distance <= check.TOLERANCES["fp32"].pixels).double().mean()
                )
            rows.append(row)
    return rows


def untrained(network: str) -> PoseModel:
    """Return a task with random weights, in the last layer such that maps have clear maxima."""
    torch.manual_seed(0)
    task = PoseModel(HeatmapCodec(SIZE), COCO, network)  # type: ignore[arg-type]
    for layer in task.network.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.out_channels == COCO.num_joints:
            torch.nn.init.normal_(layer.weight, std=0.2)
    return task.eval()


def figures(name: str, people: int, samples: list[float], decode: list[float]) -> Row:
    """Return a row: microseconds with quartiles, people per second, decoding's share."""
    taken = harness.Figure.of(samples)
    return {
        "way": name,
        "people": people,
        **vars(taken),
        "people per second": 1e6 * people / taken.median,
        "decode": median(decode),
        "decode's share": median(decode) / taken.median,
    }


def printed(rows: list[Row]) -> list[Row]:
    """Return the rows of one table: a way's figures for each number of people side by side."""
    table: dict[str, Row] = {}
    for row in rows:
        line, people = table.setdefault(row["way"], {"way": row["way"]}), row["people"]
        if people == 1:
            line["1 person"] = f"{row['median'] / 1000:.3g} ms"
        else:
            line[f"{people} people"] = f"{row['people per second']:.3g} /s"
        share, decode = row["decode's share"], row["decode"]
        line[f"decode of {people}"] = f"{decode / 1000:.3g} ms, {100 * share:.2g} %"
        near = row.get("agreeing")
        line[f"within 0.001, {people}"] = "" if near is None else f"{100 * near:.4g} %"
    return list(table.values())


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--network", default="hrnet_w32", help="see `darkpose models`")
    parser.add_argument("--people", type=int, nargs="+", default=(1, 32), help="at a time")
    parser.add_argument("--flip_test", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="to measure each way for")
    parser.add_argument("--files", type=Path, help="folder that keeps the exported files")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    harness.prepare()
    harness.set_threads(options.threads)
    if not (CPP / "latency").exists():
        print(f".pt2 from C++ is left out: examples/cpp is not built in {CPP}\n")
    program = CropsToKeypoints(untrained(options.network), flip_test=options.flip_test)
    about: Mapping[str, Any] = {"network": options.network, "flip test": options.flip_test}
    with tempfile.TemporaryDirectory() as folder:
        given = (tuple(options.people), options.threads, options.seconds)
        rows = measure(program, options.files or Path(folder), *given)
    print(*(f"{key} {value}" for key, value in about.items()), sep=" | ")
    report({"table": printed(rows)}, None)
    if options.json:
        harness.write(options.json, {"machine": harness.machine(), **about, "rows": rows})


if __name__ == "__main__":
    main()
