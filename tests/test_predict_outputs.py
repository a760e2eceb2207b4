# SPDX-License-Identifier: Apache-2.0
"""The table of people: the same columns from one image or many, and what is left out of it."""

import json

import numpy as np
import pytest

from darkpose.data.published import COCO
from darkpose.predict.predictor import Poses
from darkpose.predict.table import Entry, columns, rows_of, schema
from predicting import SIZE


def poses_of(keypoints: np.ndarray) -> Poses:
    count = len(keypoints)
    boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
    scores = np.linspace(0.5, 1, count, dtype=np.float32)
    return Poses(keypoints.astype(np.float32), scores, boxes, COCO.names, COCO.skeleton, SIZE)


def test_results_of_many_images_are_one_table_that_says_what_has_no_pose() -> None:
    pa = pytest.importorskip("pyarrow", reason="an extra of its own")
    keypoints = np.random.default_rng(0).random((3, COCO.num_joints, 3))
    keypoints[1] = np.nan
    keypoints[2, 0] = np.nan
    entries = [
        Entry("a.jpg", None, poses_of(keypoints)),
        Entry("clip.mp4", 7, poses_of(keypoints[:1])),
        Entry("empty.jpg", None, poses_of(keypoints[:0])),
        Entry("b.jpg", None, None, "b.jpg is no image"),
    ]
    people = rows_of(entries, COCO)
    assert people.schema.equals(schema(COCO), check_metadata=True)
    assert json.loads(people.schema.metadata[b"darkpose"])["names"] == list(COCO.names)
    assert people["file"].to_pylist() == ["a.jpg", "a.jpg", "clip.mp4"]
    assert people["person"].to_pylist() == [0, 2, 0]
    assert people["frame"].to_pylist() == [None, None, 7] and people["error"].null_count == 3
    assert people["nose_x"].null_count == 0 and np.isnan(people["nose_x"][1].as_py())
    one_by_one = pa.concat_tables(rows_of([each], COCO) for each in entries)
    np.testing.assert_equal(one_by_one.to_pydict(), people.to_pydict())

    everything = rows_of(entries, COCO, everything=True)
    assert everything.schema == people.schema
    files = ["a.jpg", "a.jpg", "a.jpg", "clip.mp4", "empty.jpg", "b.jpg"]
    assert everything["file"].to_pylist() == files
    assert everything["person"].to_pylist() == [0, 1, 2, 0, None, None]
    no_pose = "a box of 6 x 7 pixels has no pose"
    assert everything["error"].to_pylist() == [None, no_pose, None, None, None, entries[3].error]
    assert everything["x"].to_pylist() == [0, 4, 8, 0, None, None]
    for name in ("score", "nose_x", "right_ankle_score"):
        nulls = [value is None for value in everything[name].to_pylist()]
        assert nulls == [False, True, False, False, True, True]
    np.testing.assert_equal(everything.take([0, 2, 3]).to_pydict(), people.to_pydict())


def test_a_table_of_nobody_has_all_columns() -> None:
    names = list(columns((), COCO))
    assert names[:8] == ["file", "frame", "person", "x", "y", "w", "h", "score"]
    assert names[8:11] == ["nose_x", "nose_y", "nose_score"] and names[-1] == "error"
    assert len(names) == 9 + 3 * COCO.num_joints
    assert all(len(values) == 0 for values in columns((), COCO).values())
