# SPDX-License-Identifier: Apache-2.0
"""Whom a report shows, and with whom detections are compared."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from darkpose.data.annotations import load_annotations
from darkpose.data.dataset import KeypointDataset
from darkpose.data.detections import load_detections
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics import oks
from darkpose.show.report import write_report
from darkpose.show.report.measures import (
    measure,
    overlap,
)
from darkpose.show.report.people import MAX_PEOPLE, chosen
from darkpose.show.report.people import people as pictures
from reporting import (
    CODEC,
    annotation_file,
    data_of,
    evaluated,
    jpeg_of,
    maps_of,
)

PICTURE = 0.2  # pixels of a picture: where JPEG leaves a spot's center of mass


@pytest.fixture(scope="module")
def evaluation(people: Path) -> Evaluation:
    return evaluated(people)


@pytest.fixture(scope="module")
def page(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(evaluation, path, title="A title", maps=maps_of(evaluation), count=9)
    return path.read_text()


def test_the_worst_and_the_best_are_chosen_by_oks(evaluation: Evaluation, page: str) -> None:
    measured = measure(evaluation)
    ordered = np.sort(measured.oks["dark"])
    found = chosen(measured, 9)
    kinds = [kind for _, kind in found]
    assert kinds == 5 * ["worst"] + 4 * ["best"]
    values = [measured.oks["dark"][i] for i, _ in found]
    assert values == [*ordered[:5], *ordered[:-5:-1]]
    shown = data_of(page)["people"]
    assert [one["oks"]["dark"] for one in shown] == [round(value, 3) for value in values]
    everybody = chosen(measured, MAX_PEOPLE)
    assert sorted(i for i, _ in everybody) == list(range(len(ordered)))
    assert chosen(measured, 0) == []


def test_pictures_show_people_with_their_joints_on_them(people: Path, tmp_path: Path) -> None:
    """A spot of light at each person's nose lies in the picture where the page draws the nose."""
    changed = evaluated(people)
    nose = changed.dataset.spec.names.index("nose")
    for i, record in enumerate(changed.dataset.records):
        height, width = cv2.imread(str(record.image_path)).shape[:2]
        rows, columns = np.mgrid[:height, :width]
        x, y = record.joints[nose, :2]
        spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2))
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), np.repeat(spot.round().astype(np.uint8)[..., None], 3, -1))
        changed.dataset.records[i] = replace(record, image_path=path)
    seen = 0
    for one in pictures(changed, measure(changed), 40):
        light = jpeg_of(one["jpeg"])[..., 0].astype(float)
        assert [light.shape[1], light.shape[0]] == one["size"]
        x, y, _ = one["truth"][nose]
        if 15 < x < light.shape[1] - 15 and 15 < y < light.shape[0] - 15:
            rows, columns = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5  # pixels' centers
            light[light < 10] = 0  # what JPEG leaves on black
            middle = [(light * place).sum() / light.sum() for place in (columns, rows)]
            assert np.hypot(middle[0] - x, middle[1] - y) < PICTURE
            seen += 1
    assert seen >= 5


def test_detections_are_matched_with_whom_their_boxes_are_of(people: Path, tmp_path: Path) -> None:
    """The surest box of a person stands for them, a second one for nobody."""
    file = annotation_file(people)
    content = json.loads(file.read_text())
    truth = load_annotations(file, people / "images" / "val", content=content).records
    twice, unseen = truth[1], truth[-1].image_id  # in which nobody is found
    seen = [one for one in truth[1:] if one.image_id != unseen]
    found = [
        {"image_id": one.image_id, "category_id": 1, "bbox": list(one.box), "score": score}
        for one, score in [*((one, 0.9) for one in seen), (twice, 0.5)]
    ]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps(found))
    dataset = KeypointDataset(
        load_detections(boxes, file, people / "images" / "val", content=content), CODEC.input_size
    )
    evaluation = Evaluation(CODEC, dataset, content, ["dark"])
    joints = np.stack([one.joints for one in [*seen, twice]])
    points = joints[..., :2] + 1.0
    rows = np.arange(len(dataset))
    evaluation.put(
        rows, np.ones(len(rows), bool), {"dark": points}, {"dark": 0.5 + 0 * points[..., 0]}
    )

    measured = measure(evaluation)
    assert truth[0].image_id == twice.image_id and len(seen) < len(truth) - 1
    assert measured.detected and measured.missed == len(truth) - len(seen)
    np.testing.assert_array_equal(measured.joints[:-1], joints[:-1])
    np.testing.assert_array_equal(measured.boxes[:-1], [one.box for one in seen])
    assert not measured.labeled[-1].any() and measured.oks["dark"][-1] == 0
    areas = [one.area for one in seen]
    expected = oks(points[:-1], joints[:-1], areas, dataset.spec.oks_sigmas)
    np.testing.assert_allclose(measured.oks["dark"][:-1], expected)
    write_report(evaluation, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert f"OKS is 0: 1; annotated people without a box: {measured.missed}." in page
    assert len(data_of(page)["people"]) == len(seen)  # of the second box's pose nothing is known
    assert data_of(page)["figures"]["dark"]["AP"] == evaluation.figures("dark")["AP"]


def test_detections_of_whom_ap_ignores_are_left_out(people: Path, tmp_path: Path) -> None:
    """Of a crowd, and of a person who is annotated without joints."""
    file = annotation_file(people)
    content = json.loads(file.read_text())
    first, second = content["annotations"][:2]
    first["keypoints"] = 17 * [0, 0, 0]
    width, height = second["bbox"][2:]
    second["iscrowd"], second["bbox"][2:] = 1, [3 * width, 3 * height]  # the crowd's box is large
    boxes = [*first["bbox"]], [*second["bbox"][:2], width, height]
    others = content["annotations"][2:]
    people_in = [(one["image_id"], one["bbox"]) for one in others]
    found = [
        {"image_id": image, "category_id": 1, "bbox": box, "score": 0.9}
        for image, box in [
            *people_in,
            (first["image_id"], boxes[0]),
            (second["image_id"], boxes[1]),
        ]
    ]
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(found))
    dataset = KeypointDataset(
        load_detections(path, file, people / "images" / "val", content=content), CODEC.input_size
    )
    evaluation = Evaluation(CODEC, dataset, content, ["dark"])
    shape = (len(dataset), 17)
    rows = np.arange(len(dataset))
    points, scores = {"dark": np.ones((*shape, 2))}, {"dark": np.ones(shape)}
    evaluation.put(rows, np.ones(len(rows), bool), points, scores)
    measured = measure(evaluation)
    assert measured.ignored == 2 and measured.missed == 0
    assert measured.rows.tolist() == list(range(len(others))) and measured.known.all()


@pytest.mark.parametrize(
    ("other", "share"),
    [
        ((0, 0, 10, 20), 1.0),
        ((5, 0, 10, 20), 1 / 3),
        ((0, 10, 10, 20), 1 / 3),
        ((2, 5, 5, 10), 0.25),
        ((10, 0, 10, 20), 0.0),
        ((30, 40, 1, 1), 0.0),
    ],
)
def test_overlaps_by_hand(other: tuple[float, float, float, float], share: float) -> None:
    inside = overlap(other, (0, 0, 10, 20), inside=True)
    assert inside == pytest.approx({1.0: 1.0, 1 / 3: 0.5, 0.25: 1.0, 0.0: 0.0}[share])
    assert overlap((0, 0, 10, 20), other) == pytest.approx(share)
    assert overlap(other, (0, 0, 10, 20)) == pytest.approx(share)


def test_measuring_leaves_the_annotations_as_they_are(people: Path) -> None:
    evaluation = evaluated(people)
    before = copy.deepcopy(evaluation.annotations)
    measure(evaluation)
    assert evaluation.annotations == before
