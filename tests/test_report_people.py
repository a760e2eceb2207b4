# SPDX-License-Identifier: Apache-2.0
"""Whom a report shows, and with whom detections are compared."""

import copy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from darkpose.data.annotations import load_annotations
from darkpose.evaluate.metrics import oks
from darkpose.show.report.matching import match
from darkpose.show.report.people import MAX_PEOPLE, chosen
from darkpose.show.report.people import people as pictures
from reporting import (
    annotated,
    annotation_file,
    data_of,
    evaluated,
    evaluated_detections,
    jpeg_of,
    page_of,
)

PICTURE = 0.2  # pixels of a picture: where JPEG leaves a spot's center of mass


def test_the_worst_and_the_best_are_chosen_by_oks(people: Path, tmp_path: Path) -> None:
    evaluation = evaluated(people)
    matched = match(evaluation)
    ordered = np.sort(matched.shown.oks)
    found = chosen(matched, 9)
    assert [kind for _, kind in found] == 5 * ["worst"] + 4 * ["best"]
    values = [matched.shown.oks[i] for i, _ in found]
    assert values == [*ordered[:5], *ordered[:-5:-1]]
    shown = data_of(page_of(evaluation, tmp_path, count=9))["people"]
    assert [one["oks"]["dark"] for one in shown] == [round(value, 3) for value in values]
    everybody = chosen(matched, MAX_PEOPLE)
    assert sorted(i for i, _ in everybody) == list(range(len(ordered)))
    assert chosen(matched, 0) == []


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
    for one in pictures(match(changed), 40):
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
    truth = load_annotations(annotation_file(people), people / "images" / "val").records
    twice, unseen = truth[1], truth[-1].image_id  # in which nobody is found
    seen = [one for one in truth[1:] if one.image_id != unseen]
    joints = np.stack([one.joints for one in [*seen, twice]])
    found = [(one.image_id, list(one.box), 0.9) for one in seen]
    found.append((twice.image_id, list(twice.box), 0.5))
    points = joints[..., :2] + 1.0
    evaluation = evaluated_detections(people, tmp_path, found, points)

    matched = match(evaluation)
    shown = matched.shown
    assert truth[0].image_id == twice.image_id and len(seen) < len(truth) - 1
    assert matched.detected and matched.missed == len(truth) - len(seen)
    np.testing.assert_array_equal(shown.joints[:-1], joints[:-1])
    np.testing.assert_array_equal(shown.boxes[:-1], [one.box for one in seen])
    assert not shown.labeled[-1].any() and shown.oks[-1] == 0
    areas = [one.area for one in seen]
    expected = oks(points[:-1], joints[:-1], areas, evaluation.dataset.spec.oks_sigmas)
    np.testing.assert_allclose(shown.oks[:-1], expected)
    page = page_of(evaluation, tmp_path)
    assert f"OKS is 0: 1; annotated people without a box: {matched.missed}." in page
    assert len(data_of(page)["people"]) == len(seen)  # of the second box's pose nothing is known
    assert data_of(page)["figures"]["dark"]["AP"] == evaluation.figures("dark")["AP"]


def test_detections_of_whom_ap_ignores_are_left_out(people: Path, tmp_path: Path) -> None:
    """Of a crowd, whose box is larger than each person's, and of a person without joints."""
    content = annotated(people)
    first, second, *others = content["annotations"]
    found = [(one["image_id"], list(one["bbox"]), 0.9) for one in [*others, first, second]]
    first["keypoints"] = 17 * [0, 0, 0]
    second["iscrowd"], second["bbox"][2:] = 1, [3 * size for size in second["bbox"][2:]]
    points = np.ones((len(found), 17, 2))
    matched = match(evaluated_detections(people, tmp_path, found, points, content))
    assert matched.ignored == 2 and matched.missed == 0
    assert matched.rows.tolist() == list(range(len(others))) and matched.known.all()


def test_a_box_stands_for_whom_it_overlaps_by_half_and_most(people: Path, tmp_path: Path) -> None:
    content = annotated(people)
    one = content["annotations"][0]
    content["annotations"] = [{**one, "id": x, "bbox": [x, 10, 10, 20]} for x in (10, 14)]
    # The surest one is nearest to the second; 6 of 14 columns, in common with the first, are few.
    found = [
        (one["image_id"], [x, 10.0, 10.0, 20.0], s) for x, s in ((12, 0.7), (13, 0.9), (6, 0.8))
    ]
    matched = match(evaluated_detections(people, tmp_path, found, np.ones((3, 17, 2)), content))
    assert matched.shown.boxes[:, 0].tolist() == [10, 14, 6]
    assert matched.known.tolist() == [True, True, False]
    assert matched.missed == 0 and matched.ignored == 0


def test_matching_leaves_the_annotations_as_they_are(people: Path) -> None:
    evaluation = evaluated(people)
    before = copy.deepcopy(evaluation.annotations)
    match(evaluation)
    assert evaluation.annotations == before
