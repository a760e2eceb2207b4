# SPDX-License-Identifier: Apache-2.0
"""PCKh: a published set of predictions gives its published figures, and what each mean counts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat

from darkpose.evaluate.metrics import pckh
from darkpose.evaluate.metrics.pckh import MPII_GROUPS
from darkpose.evaluate.writing import write_pred_mat

PUBLISHED = 5.01e-4  # percent; figures given to three decimals
PELVIS, THORAX, NECK = 6, 7, 8


def mpii_valid(data: Path) -> tuple[Any, Any, Any, Any]:
    """Return predictions and joints [N, 16, 2], both 1-based, visible [N, 16], head sizes [N]."""
    folder = data / "eval_refs" / "mpii_valid"
    truth = loadmat(folder / "gt_valid.mat")
    corners = truth["headboxes_src"]  # [2, 2, N]
    return (
        loadmat(folder / "pred_hg_s2.mat")["preds"].astype(np.float64),
        truth["pos_gt_src"].transpose(2, 0, 1),
        1 - truth["jnt_missing"].T,
        0.6 * np.linalg.norm(corners[1] - corners[0], axis=0),
    )


def made(count: int = 4) -> tuple[Any, Any, Any, Any]:
    """Return predictions equal to joints, all visible, of people with heads of 100 pixels."""
    joints = np.random.default_rng(0).uniform(0, 500, (count, 16, 2))
    return joints.copy(), joints, np.ones((count, 16)), np.full(count, 100.0)


def test_published_predictions_give_their_published_figures(data: Path) -> None:
    expected = json.loads((data / "eval_refs/mpii_valid/expected.json").read_text())
    row = pckh(*mpii_valid(data))["PCKh@0.5"]
    found = {
        **row.groups,
        "Mean (count-weighted)": row.mean,
        "Mean (unweighted over 14 joints)": row.unweighted_mean,
    }
    published = expected["thresholds"]["0.5"]
    assert found.keys() == published.keys()
    for name, value in published.items():
        assert 100 * found[name] == pytest.approx(value, abs=PUBLISHED), name


def test_what_is_printed_as_a_tenth_is_another_figure(data: Path) -> None:
    rows = pckh(*mpii_valid(data))
    assert list(rows) == ["PCKh@0.5", "PCKh@0.1", "PCKh@0.11"]
    assert [row.threshold for row in rows.values()] == [0.5, 0.1, 0.11]
    assert 100 * (rows["PCKh@0.11"].mean - rows["PCKh@0.1"].mean) > 1


def test_an_error_of_the_threshold_is_correct() -> None:
    pred, joints, visible, heads = made(1)
    joints = np.round(joints)
    pred = joints + [30, 40]
    rows = pckh(pred, joints, visible, heads, [0.5, 0.499])
    assert [row.mean for row in rows.values()] == [1, 0]


def test_pelvis_and_thorax_are_in_no_mean_and_the_neck_is() -> None:
    pred, joints, visible, heads = made()
    pred[:, [PELVIS, THORAX]] = np.nan  # which is a miss
    row = pckh(pred, joints, visible, heads)["PCKh@0.5"]
    assert row.mean == row.unweighted_mean == 1
    assert row.joints[[PELVIS, THORAX]].tolist() == [0, 0]
    pred[:, NECK] = np.nan
    row = pckh(pred, joints, visible, heads)["PCKh@0.5"]
    assert row.mean == row.unweighted_mean == pytest.approx(13 / 14)
    assert set(row.groups.values()) == {1.0}


def test_the_means_differ_where_joints_are_missing() -> None:
    """The mean counts people, the unweighted one joints, a group is the mean of its sides."""
    pred, joints, visible, heads = made(4)
    missed = 9, MPII_GROUPS["Knee"][1]
    visible[1:, missed] = 0
    pred[0, missed] += 1e4
    row = pckh(pred, joints, visible, heads)["PCKh@0.5"]
    assert row.mean == pytest.approx(48 / 50)
    assert row.unweighted_mean == pytest.approx(12 / 14)
    groups = row.groups["Head"], row.groups["Knee"], row.groups["Wrist"]
    assert groups == (0, 0.5, 1)


def test_joints_nobody_shows_do_not_count() -> None:
    pred, joints, visible, heads = made()
    visible[:, 9] = 0
    row = pckh(pred, joints, visible, heads)["PCKh@0.5"]
    assert row.mean == row.unweighted_mean == 1 and np.isnan(row.groups["Head"])
    row = pckh(pred, joints, 0 * visible, heads)["PCKh@0.5"]
    assert np.isnan([row.mean, row.unweighted_mean]).all()


def test_bad_people_are_named() -> None:
    pred, joints, visible, heads = made()
    with pytest.raises(ValueError, match=r"pred and joints \[N, 16, 2\].*got \[4, 14, 2\]"):
        pckh(pred[:, :14], joints, visible, heads)
    with pytest.raises(ValueError, match="head_sizes must be positive and finite, got 0"):
        pckh(pred, joints, visible, 0 * heads)
    with pytest.raises(ValueError, match=r"points must be \[N, 16, 2\], got \[16, 2\]"):
        write_pred_mat("pred.mat", joints[0])


def test_pred_mat_is_one_based_and_complete(data: Path, tmp_path: Path) -> None:
    pred, *truth = mpii_valid(data)
    write_pred_mat(tmp_path / "out" / "pred.mat", pred - 1)
    written = loadmat(tmp_path / "out" / "pred.mat")["preds"]
    np.testing.assert_array_equal(written, pred)
    assert pckh(written, *truth)["PCKh@0.5"].mean == pckh(pred, *truth)["PCKh@0.5"].mean
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pred.mat"]
