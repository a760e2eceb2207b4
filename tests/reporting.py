# SPDX-License-Identifier: Apache-2.0
"""Evaluations for the tests of reports: people that are known, but for an error."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import Annotations, PersonRecord, load_annotations
from darkpose.data.dataset import KeypointDataset
from darkpose.data.detections import load_detections
from darkpose.data.joint_sets import MPII
from darkpose.decoders import decoder_names
from darkpose.evaluate.evaluation import Evaluation
from darkpose.geometry import Crop
from darkpose.show.report import write_report

DECODERS = decoder_names()

CODEC = HeatmapCodec((96, 128))
ERRORS = dict(zip(DECODERS, (9.0, 7.0, 6.0, 5.0), strict=True))  # pixels, of each decoder


def annotation_file(people: Path) -> Path:
    return people / "annotations" / "person_keypoints_val.json"


def annotated(people: Path) -> dict[str, Any]:
    """Return the content of their annotation file."""
    return json.loads(annotation_file(people).read_text())


def evaluated(
    people: Path,
    decoders: tuple[str, ...] = DECODERS,
    codec: HeatmapCodec = CODEC,
    content: dict[str, Any] | None = None,
) -> Evaluation:
    """Return what a network says that knows everybody, but for an error, less of those it is sure
    of."""
    content = annotated(people) if content is None else content
    found = load_annotations(annotation_file(people), people / "images" / "val", content=content)
    dataset = KeypointDataset(found, codec.input_size, convention=codec.convention)
    joints = np.stack([record.joints for record in dataset.records])
    scores = np.random.default_rng(0).uniform(0.1, 0.9, joints.shape[:2])
    noise = np.random.default_rng(0).normal(0, 1, (len(decoders), *scores.shape, 2))
    points = {
        name: joints[..., :2] + (1 - scores[..., None]) * ERRORS.get(name, 5.0) * noise[i]
        for i, name in enumerate(decoders)
    }
    evaluation = Evaluation(codec, dataset, content, decoders)
    say(evaluation, points, {name: scores for name in decoders})
    return evaluation


def evaluated_detections(
    people: Path,
    folder: Path,
    found: list[tuple[int, list[float], float]],
    points: NDArray[np.float64],
    content: dict[str, Any] | None = None,
) -> Evaluation:
    """Return what is said of the people in detected boxes: image, box and score of each."""
    content = annotated(people) if content is None else content
    names = ("image_id", "bbox", "score")
    boxes = [{"category_id": 1, **dict(zip(names, one, strict=True))} for one in found]
    path = folder / "boxes.json"
    path.write_text(json.dumps(boxes))
    images = people / "images" / "val"
    detections = load_detections(path, annotation_file(people), images, content=content)
    evaluation = Evaluation(CODEC, KeypointDataset(detections, CODEC.input_size), content, ["dark"])
    say(evaluation, {"dark": points}, {"dark": np.full(points.shape[:2], 0.5)})
    return evaluation


def evaluated_mpii(folder: Path) -> Evaluation:
    """Return what is said of four people of MPII, each joint 7 pixels off; heads are 20 pixels."""
    joints = np.random.default_rng(0).uniform(10, 90, (4, 16, 2))
    image = folder / "a.png"
    cv2.imwrite(str(image), np.zeros((100, 100, 3), np.uint8))
    records = tuple(
        PersonRecord(
            image_path=image,
            image_id=0,
            annotation_id=row,
            image_size=None,
            box=(0, 0, 100, 100),
            area=5300,
            joints=np.concatenate([joints[row], np.full((16, 1), 2.0)], -1),
            crop=Crop((50, 50), (125, 125)),
            head_size=20,
        )
        for row in range(4)
    )
    codec = HeatmapCodec((64, 64))
    dataset = KeypointDataset(Annotations(records, MPII, 1), codec.input_size)
    evaluation = Evaluation(codec, dataset, None, ["dark"])
    say(evaluation, {"dark": joints + 5}, {"dark": np.ones((4, 16))})
    return evaluation


def say(evaluation: Evaluation, points: dict[str, Any], scores: dict[str, Any]) -> None:
    """Let an evaluation hold this of everybody."""
    rows = np.arange(len(evaluation.dataset))
    evaluation.put(rows, np.ones(len(rows), bool), points, scores)


def maps_of(evaluation: Evaluation) -> Any:
    """Return what gives the maps of a network that says what the evaluation holds of `dark`."""
    dataset, codec = evaluation.dataset, evaluation.codec

    def maps(row: int) -> Tensor:
        sample = dataset[row]
        return codec.encode(sample["joints"], sample["weights"], sample["to_heatmap"])[0]

    return maps


def page_of(evaluation: Evaluation, folder: Path, **options: Any) -> str:
    """Return the page that `write_report` writes."""
    write_report(evaluation, folder / "report.html", **options)
    return (folder / "report.html").read_text()


def hostile_page(people: Path, folder: Path) -> tuple[str, str]:
    """Return a page whose names are attacks, and what they hold."""
    hostile = "<script>alert(1)<!--<img src=x onerror=alert(2)>\"'&amp;${title}"
    evaluation = evaluated(people)
    dataset = evaluation.dataset
    names = (hostile, *dataset.spec.names[1:-1], "a</script><script>alert(3)//")
    dataset.spec = replace(dataset.spec, names=names)
    for i, record in enumerate(dataset.records):
        path = folder / f"{i}{hostile}.jpg"
        path.write_bytes(record.image_path.read_bytes())
        dataset.records[i] = replace(record, image_path=path)
    facts, maps = {f"fact {hostile}": hostile}, maps_of(evaluation)
    return page_of(evaluation, folder, title=f"title {hostile}", facts=facts, maps=maps), hostile


def data_of(page: str) -> Any:
    """Return what a page's scripts read."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def cells_of(page: str, caption: str) -> list[list[str]]:
    """Return the text of the cells of the table with that caption, its head first."""
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    (table,) = (one for one in tables if f"<caption>{caption}" in one)
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]


def jpeg_of(uri: str) -> NDArray[np.uint8]:
    """Return the pixels [H, W, 3] RGB of a picture inside of a page."""
    data = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)  # type: ignore
