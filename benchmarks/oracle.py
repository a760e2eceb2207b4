# SPDX-License-Identifier: Apache-2.0
"""What encoding and decoding cost a network that is never wrong, as Markdown tables.

    DARKPOSE_DATA=... python benchmarks/oracle.py

Annotated joints become target heatmaps, which stand for a network's output: decoded, taken back to
the image and scored like predictions. No image is read: crops follow from the annotations alone.
"""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import Annotations, load_annotations
from darkpose.data.dataset import KeypointDataset
from darkpose.data.mpii import load_mpii
from darkpose.decoders import decoder_names
from darkpose.evaluate.metrics import coco_results, evaluate_oks, oks, pckh
from darkpose.geometry import Convention, apply, invert

DECODERS = decoder_names()

COCO_SIZES = ((96, 128), (192, 256), (288, 384))
MPII_SIZE = (256, 256)
ENCODINGS: tuple[str, ...] = ("biased", "unbiased")
STRICT = (0.5, 0.1, 0.05, 0.02, 0.01)  # heads
BATCH = 256  # people whose heatmaps are in memory at a time: 120 MB at the largest size

_SIDED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_JOINTS = ["nose", *(f"{side}_{joint}" for joint in _SIDED for side in ("left", "right"))]

Found = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Points [N, K, 2] in image pixels, scores [N, K]."""


# ---- people, from annotations to predictions -----------------------------------------------------


def coco_content(file: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return people of `coco_val2017_joints.npz` as the content of a COCO annotation file."""
    sizes = dict(zip(file["image_id"].tolist(), file["image_size"].tolist(), strict=True))
    fields = zip(
        *(file[name].tolist() for name in ("ann_id", "image_id", "bbox", "area")),
        file["keypoints"].reshape(len(file["ann_id"]), -1).tolist(),
        strict=True,
    )
    return {
        "images": [
            {"id": i, "width": width, "height": height, "file_name": f"{i:012}.jpg"}
            for i, (width, height) in sizes.items()
        ],
        "annotations": [
            {
                "id": i,
                "image_id": image,
                "category_id": 1,
                "bbox": box,
                "area": area,
                "keypoints": joints,
            }
            for i, image, box, area, joints in fields
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": _JOINTS}],
    }


@cache
def load_coco(data: Path, exact: bool = False, count: int | None = None) -> dict[str, Any]:
    """Return the people of COCO val2017, or those with an exact area, or `count` of either."""
    with np.load(data / "coco_val2017_joints.npz") as file:
        chosen = np.flatnonzero(file["area_exact"] | (not exact))
        if count is not None:
            chosen = chosen[:: len(chosen) // count][:count]
        return coco_content({name: file[name][chosen] for name in file})


def coco_annotations(content: Mapping[str, Any]) -> Annotations:
    """Return `content` of `load_coco` as a data set's people."""
    return load_annotations("coco_val2017_joints.npz", "", content=content)


def round_trip(
    dataset: KeypointDataset, encoding: str, decoders: Iterable[str] = DECODERS
) -> dict[str, Found]:
    """Return what each decoder finds in the heatmaps of the data set's own joints."""
    codec = HeatmapCodec(dataset.input_size, convention=dataset.convention, encoding=encoding)
    found: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {name: [] for name in decoders}
    joints = torch.from_numpy(annotated(dataset)).float()
    to_heatmap = np.stack([dataset.matrices(crop)[1] for crop in dataset.crops])
    to_image = np.stack([invert(matrix) for matrix in to_heatmap])
    for start in range(0, len(dataset), BATCH):
        rows = slice(start, start + BATCH)
        there, back = (torch.from_numpy(m[rows]).float() for m in (to_heatmap, to_image))
        heatmaps, _ = codec.encode(joints[rows, :, :2], (joints[rows, :, 2] > 0).float(), there)
        for name, parts in found.items():
            parts.append(codec.decode(heatmaps, back, decoder=name))
    return {
        name: (
            torch.cat([points for points, _ in parts]).double().numpy(),
            torch.cat([scores for _, scores in parts]).double().numpy(),
        )
        for name, parts in found.items()
    }


def annotated(dataset: KeypointDataset) -> NDArray[np.float64]:
    """Return the joints [N, K, 3] of a data set's people."""
    return np.stack([record.joints for record in dataset.records])


def on_map(dataset: KeypointDataset) -> NDArray[np.float64]:
    """Return the joints [N, K, 2] of a data set's people in heatmap pixels."""
    joints = annotated(dataset)[..., :2]
    matrices = (dataset.matrices(crop)[1] for crop in dataset.crops)
    return np.stack([apply(matrix, p) for matrix, p in zip(matrices, joints, strict=True)])


def depth(dataset: KeypointDataset) -> NDArray[np.float64]:
    """Return [N, K]: how far inside the centers of the map's outermost pixels each joint lies."""
    points = on_map(dataset)
    depths: NDArray[np.float64] = np.minimum(points, _last(dataset) - points).min(-1)
    return depths


def moved_onto_map(dataset: KeypointDataset) -> NDArray[np.float64]:
    """Return the joints [N, K, 2], those outside the map moved to the nearest place on it.

    In image pixels: the best that a decoder can do if it never leaves the map.
    """
    points = np.clip(on_map(dataset), 0, _last(dataset))
    matrices = (invert(dataset.matrices(crop)[1]) for crop in dataset.crops)
    return np.stack([apply(matrix, p) for matrix, p in zip(matrices, points, strict=True)])


def _last(dataset: KeypointDataset) -> NDArray[np.int64]:
    return np.array(dataset.heatmap_size) - 1


def safe_depth(dataset: KeypointDataset) -> int:
    """Return from which depth on the modulation of `dark` and its derivatives miss no pixel."""
    return len(HeatmapCodec(dataset.input_size).taps) // 2 + 2


# ---- COCO ----------------------------------------------------------------------------------------


def oracle_ap(
    dataset: KeypointDataset, found: Found, content: Mapping[str, Any]
) -> dict[str, float]:
    """Return COCO's figures of what was found of the people in `content`, and of nobody else."""
    named = {annotation["id"] for annotation in content["annotations"]}
    rows = [i for i, record in enumerate(dataset.records) if record.annotation_id in named]
    records = [dataset.records[i] for i in rows]
    results = coco_results(records, found[0][rows], found[1][rows])
    return evaluate_oks(content, results, dataset.spec.oks_sigmas)


def oracle_oks(dataset: KeypointDataset, found: Found) -> float:
    """Return the mean OKS: unlike AP, every error lowers it, and scores have no part in it."""
    areas = [record.area for record in dataset.records]
    return float(oks(found[0], annotated(dataset), areas, dataset.spec.oks_sigmas).mean())


def coco_tables(data: Path) -> None:
    """Print AP and OKS by input size, encoding and decoding, their limits, then conventions."""
    every, exact = load_coco(data), load_coco(data, exact=True)
    annotations = coco_annotations(every)
    numbers = " / ".join(f"{len(content['annotations']):,}" for content in (every, exact))
    print(
        f"**COCO val2017**, {numbers} people, annotated boxes, `darkpose` convention: "
        "AP / AP of those whose area is exact / mean OKS of all\n"
    )
    _print_head("input", "encoding", *DECODERS)
    limits = []
    for size in COCO_SIZES:
        dataset, name = KeypointDataset(annotations, size), f"{size[1]}x{size[0]}"
        for encoding in ENCODINGS:
            found = round_trip(dataset, encoding)
            _print_row(name, encoding, *(_cell(dataset, found[d], every, exact) for d in DECODERS))
        best = moved_onto_map(dataset), found["dark"][1]
        limits.append((name, *_outside(dataset), _cell(dataset, best, every, exact)))

    print(
        "\n**What no decoder can recover**: labeled joints outside the map. "
        "The same figures if they were found at the nearest place on it, all others exactly\n"
    )
    _print_head("input", "joints", "people with such", "limit")
    for limit in limits:
        _print_row(*limit)

    size = COCO_SIZES[0]
    print(f"\n**The conventions**, {size[1]}x{size[0]}: AP / mean OKS\n")
    _print_head("convention", "joints outside", "encoding", *DECODERS)
    for convention in Convention:
        dataset = KeypointDataset(annotations, size, convention=convention)
        for encoding in ENCODINGS:
            found = round_trip(dataset, encoding)
            cells = (_cell(dataset, found[d], every) for d in DECODERS)
            _print_row(convention.value, _outside(dataset)[0], encoding, *cells)


def _cell(dataset: KeypointDataset, found: Found, *contents: Mapping[str, Any]) -> str:
    figures = [oracle_ap(dataset, found, content)["AP"] for content in contents]
    return " / ".join(f"{100 * figure:.2f}" for figure in (*figures, oracle_oks(dataset, found)))


def _outside(dataset: KeypointDataset) -> tuple[str, str]:
    """Return the share of labeled joints outside the map, and that of people who have any."""
    labeled = annotated(dataset)[..., 2] > 0
    outside = (depth(dataset) < 0) & labeled
    return f"{100 * outside.sum() / labeled.sum():.2f} %", f"{100 * outside.any(1).mean():.2f} %"


# ---- MPII ----------------------------------------------------------------------------------------


@cache
def mpii_dataset(data: Path, convention: Convention = Convention.darkpose) -> KeypointDataset:
    """Return MPII's validation people, with the joints that PCKh measures."""
    folder = data / "eval_refs" / "mpii_valid"
    people = load_mpii(folder / "valid.json", "", folder / "gt_valid.mat")
    return KeypointDataset(people, MPII_SIZE, convention=convention)


def oracle_pckh(
    dataset: KeypointDataset, found: Found, counted: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """Return the mean PCKh at each of `STRICT`, of the labeled joints or those `counted` too."""
    joints = annotated(dataset)
    visible = joints[..., 2] > 0
    if counted is not None:
        visible &= counted
    heads = [record.head_size for record in dataset.records]
    rows = pckh(found[0], joints, visible, np.array(heads, np.float64), STRICT)
    return {name: row.mean for name, row in rows.items()}


def mpii_tables(data: Path) -> None:
    """Print oracle PCKh by encoding and decoding, then by convention and place on the map."""
    dataset = mpii_dataset(data)
    size = f"{MPII_SIZE[1]}x{MPII_SIZE[0]}"
    names = [f"PCKh@{threshold:g}" for threshold in STRICT]
    print(
        f"\n**MPII valid**: mean PCKh of {len(dataset):,} people, {size}, `darkpose` convention; "
        f"{_outside(dataset)[0]} of the joints lie outside the map\n"
    )
    _print_head("encoding", "decoding", *names)
    for encoding in ENCODINGS:
        for decoder, found in round_trip(dataset, encoding).items():
            _print_row(encoding, decoder, *_percent(oracle_pckh(dataset, found)))

    margin = safe_depth(dataset)
    print(f"\n**MPII valid**, unbiased and dark, all joints or those {margin} pixels inside\n")
    _print_head("convention", "joints", "share", *names)
    for convention in Convention:
        dataset = mpii_dataset(data, convention)
        found = round_trip(dataset, "unbiased", ["dark"])["dark"]
        inside = depth(dataset) >= margin
        share = inside[annotated(dataset)[..., 2] > 0].mean()
        _print_row(convention.value, "all", "100 %", *_percent(oracle_pckh(dataset, found)))
        figures = oracle_pckh(dataset, found, inside)
        _print_row(convention.value, "inside", f"{100 * share:.1f} %", *_percent(figures))


def _percent(figures: Mapping[str, float]) -> list[str]:
    return [f"{100 * figure:.2f}" for figure in figures.values()]


# ---- Markdown ------------------------------------------------------------------------------------


def _print_row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def _print_head(*names: str) -> None:
    _print_row(*names)
    _print_row(*["---"] * len(names))


def main() -> None:
    """Print every table."""
    data = Path(os.environ["DARKPOSE_DATA"])
    coco_tables(data)
    mpii_tables(data)


if __name__ == "__main__":
    main()
