# SPDX-License-Identifier: Apache-2.0
"""From a photo and boxes to keypoints: transformers' pipeline and ours, stage by stage.

    python benchmarks/pipelines.py [--json FILE] [--turns 5] [--people 1] [--network ViTPose]

ViTPose-S (hidden 384, 12 layers, 12 heads; 192x256, 17 joints) for 1 and 32 people and a narrow
Sapiens2 (hidden 32, 2 layers; 768x1024, 308 joints) for 1 and 2, random weights, without flip test,
by one thread and by two. Theirs is image processor, model and `post_process_pose_estimation`; ours
is `Predictor.from_pretrained` of the same folder. Milliseconds, medians of calls by turns; a total
is that of the stages, and of `ours` that of the predictor's call. `theirs, decoded by us` is their
crop and network with `decode_topdown`. What is not installed is left out, with a line that says so.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python"), str(ROOT / "tests")]
import pretrained  # noqa: E402  folders as `save_pretrained` writes them
from benchmarks import crops, harness  # noqa: E402  from the folder this file is in
from benchmarks.huggingface_decoding import NETWORKS, Network  # noqa: E402
from darkpose import Predictor  # noqa: E402
from darkpose.data.images import crop_people  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402
from darkpose.predict.people import maps_to_image  # noqa: E402
from darkpose.predict.pixels import as_decoded  # noqa: E402
from darkpose.topdown import decode_topdown  # noqa: E402

STAGES = ("crop", "network", "decode")
THREADS, TURNS = (1, 2), 5
BY_US = "theirs, decoded by us"
PEOPLE = {"ViTPose": (1, 32), "Sapiens2": (1, 2)}
SMALL = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12}
MAKERS: dict[str, Callable[[Path], Any]] = {
    "ViTPose": partial(pretrained.vitpose, **SMALL, out_indices=[12]),
    "Sapiens2": partial(pretrained.sapiens2, size=(768, 1024)),
}

Boxes = list[list[float]]


class Pipeline(NamedTuple):
    """What is called for each stage; the later two take what the one before returned."""

    crop: Callable[[], Any]
    network: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def boxes_of(people: int) -> Boxes:
    """Return boxes (x, y, width, height) of people in an image of 640 x 427."""
    random = np.random.default_rng(0)
    return random.uniform((0, 0, 40, 90), (560, 250, 120, 260), (people, 4)).tolist()


def theirs(name: str, model: Any, image: np.ndarray, boxes: Boxes) -> Pipeline:
    """Return transformers' pipeline."""
    processor = crops.processor(name)

    def crop() -> Tensor:
        return processor(image, boxes=[boxes], return_tensors="pt")["pixel_values"]  # type: ignore[no-any-return]

    return Pipeline(
        crop, model, lambda outputs: processor.post_process_pose_estimation(outputs, [boxes])
    )


def ours(predictor: Predictor, image: np.ndarray, boxes: Boxes) -> Pipeline:
    """Return the predictor's pipeline, taken apart."""
    codec = predictor.codec
    to_image = torch.from_numpy(maps_to_image(codec, np.array(boxes))[2])

    def crop() -> Tensor:
        pixels, maps = as_decoded(image, "exif").pixels, maps_to_image(codec, np.array(boxes))[1]
        people, how = np.zeros(len(maps), np.int64), (codec.input_size, codec.enlarging)
        return torch.from_numpy(crop_people([pixels], people, maps, *how))

    return Pipeline(
        crop,
        lambda made: predictor.heatmaps(made)[0],
        lambda heatmaps: codec.decode(heatmaps, to_image),
    )


def timed(network: Network, folder: Path, model: Any, people: int, turns: int) -> dict[str, Any]:
    """Return the milliseconds of each stage of each pipeline, by its name."""
    predictor = Predictor.from_pretrained(str(folder), flip_test=False, device="cpu")
    image, boxes = crops.noise(640, 427), boxes_of(people)
    pipelines = {
        "theirs": theirs(network.name, model, image, boxes),
        "ours": ours(predictor, image, boxes),
    }
    calls: dict[str, harness.Call] = {}
    with torch.inference_mode():
        for name, pipeline in pipelines.items():
            made = pipeline.crop()
            outputs = pipeline.network(made)
            calls[f"{name}: crop"] = pipeline.crop
            calls[f"{name}: network"] = partial(pipeline.network, made)
            calls[f"{name}: decode"] = partial(pipeline.decode, outputs)
            if name == "theirs":
                given: Any = {"convention": "udp", "sigma": network.sigma}
                calls[f"{BY_US}: decode"] = partial(
                    decode_topdown, outputs.heatmaps, boxes, **given
                )
        calls["ours: total"] = lambda: predictor(image, boxes)
        samples = {
            name: np.array(found) / 1000
            for name, found in harness.take_turns(calls, turns=turns).items()
        }
    for name in ("theirs", BY_US):
        parts = ("theirs: crop", "theirs: network", f"{name}: decode")
        samples[f"{name}: total"] = np.sum([samples[part] for part in parts], 0)
    row: dict[str, Any] = {"network": network.name, "people": people}
    row |= {name: float(np.median(found)) for name, found in samples.items()}
    for name in ("theirs", BY_US):
        ratios = samples[f"{name}: total"] / samples["ours: total"]
        row[f"{name} / ours"] = float(np.median(ratios))
    return row


def tables(
    turns: int = TURNS, most: int = 32, networks: tuple[str, ...] = tuple(PEOPLE)
) -> list[dict[str, Any]]:
    """Print a table of up to so many people and return its rows."""
    rows = []
    for network in NETWORKS:
        if network.missing and network.name in networks:
            print(f"{network.name}'s pipeline is left out: {network.missing}", end="\n\n")
        if network.missing or network.name not in networks:
            continue
        crops.processor(network.name)  # before any other import of transformers, see there
        with tempfile.TemporaryDirectory() as folder:
            model = MAKERS[network.name](Path(folder))
            for people in (count for count in PEOPLE[network.name] if count <= most):
                for threads in THREADS:
                    with harness.threads(threads):
                        row = timed(network, Path(folder), model, people, turns)
                    rows.append({**row, "threads": threads})
    cells = []
    for row in rows:
        for name in ("theirs", BY_US, "ours"):
            stages = [row.get(f"{name}: {stage}", row[f"theirs: {stage}"]) for stage in STAGES]
            times = [f"{value:.3g}" for value in (*stages, row[f"{name}: total"])]
            ratio = f"{row.get(f'{name} / ours', 1):.3g}"
            about = [row["network"], f"{row['people']}", f"{row['threads']}", name]
            cells.append([*about, *times, f"{stages[2] / sum(stages):.1%}", ratio])
    head = ["network", "people", "threads", "pipeline", *(f"{stage}, ms" for stage in STAGES)]
    print(table([*head, "total, ms", "decode's share", "total / ours"], cells), end="\n\n")
    return rows


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--turns", type=int, default=TURNS, help="calls of each")
    parser.add_argument("--people", type=int, default=32, help="at most")
    parser.add_argument("--network", choices=PEOPLE, help="that one alone")
    options = parser.parse_args()
    harness.prepare()
    about = harness.machine()
    print(*(f"{key} {value}" for key, value in about.items()), sep=" | ", end="\n\n")
    networks = (options.network,) if options.network else tuple(PEOPLE)
    rows = tables(options.turns, options.people, networks)
    if options.json:
        harness.write(options.json, {"machine": about, "rows": rows})


if __name__ == "__main__":
    main()
