# SPDX-License-Identifier: Apache-2.0
"""PCK, errors, NME and their differences: closed forms, and what each does at its edges."""

import numpy as np
import pytest

from darkpose.evaluate.metrics.nme import box_normalizers, joint_normalizers, nme
from darkpose.evaluate.metrics.pck import (
    bootstrap_difference,
    error_table,
    normalized_errors,
    pck,
    pck_per_joint,
    pck_per_person,
)
from samples import people

# ---- PCK ----------------------------------------------------------------------------------------


def test_errors_are_shares_of_the_longer_side() -> None:
    joints, boxes, _ = people([[10, 10, 2], [20, 20, 0]])
    errors = normalized_errors(joints[..., :2] + [3, 4], joints, boxes)
    assert errors[0, 0] == pytest.approx(0.05) and np.isnan(errors[0, 1])


def test_pck_counts_labeled_joints_up_to_and_including_the_threshold() -> None:
    joints, boxes, _ = people([[0, 0, 2], [0, 0, 1], [0, 0, 0]], [[0, 0, 2], [0, 0, 2], [0, 0, 0]])
    pred = np.zeros((2, 3, 2))
    pred[:, :, 0] = np.array([[5, 6, 0], [0, np.nan, 0]])
    assert pck(pred, joints, boxes, [0.05, 0.1]) == {"PCK@0.05": 0.5, "PCK@0.1": 0.75}
    np.testing.assert_array_equal(pck_per_joint(pred, joints, boxes, 0.05), [1, 0, np.nan])
    np.testing.assert_array_equal(pck_per_person(pred, joints, boxes, 0.1), [1, 0.5])


def test_error_table_tells_visible_from_occluded() -> None:
    joints, boxes, _ = people(
        [[0, 0, 2], [0, 0, 1]], [[0, 0, 2], [0, 0, 2]], [[0, 0, 0], [0, 0, 1]]
    )
    pred = np.zeros((3, 2, 2))
    pred[:, :, 1] = [[1, 10], [3, 4], [9, 30]]
    rows = {(r.name, r.visibility): r for r in error_table(pred, joints, boxes, ["nose", "tail"])}
    assert [rows[key].count for key in rows] == [0, 2, 2, 1, 2, 3]
    assert rows["nose", "visible"].mean == pytest.approx(0.02)
    assert rows["tail", "occluded"].median == pytest.approx(0.2)
    assert rows["tail", "occluded"].pck == {0.02: 0, 0.05: 0, 0.1: 0.5, 0.2: 0.5}
    assert np.isnan(rows["nose", "occluded"].mean)
    assert rows["all", "visible"].mean == pytest.approx(0.08 / 3)
    with pytest.raises(ValueError, match="names must be 2"):
        error_table(pred, joints, boxes, ["nose"])


# ---- NME ----------------------------------------------------------------------------------------


def test_nme_is_the_mean_of_labeled_joints_in_units_of_their_person() -> None:
    joints, boxes, _ = people([[0, 0, 2], [30, 40, 1]], [[5, 5, 0], [0, 0, 2]])
    pred = joints[..., :2] + [[3, 4], [0, 10]]
    boxes[1] = [0, 0, 40, 10]
    assert nme(pred, joints, [50, 20]) == pytest.approx((5 / 50 + 10 / 50 + 10 / 20) / 3)
    np.testing.assert_allclose(box_normalizers(boxes), [np.sqrt(5000), 20])


def test_nme_leaves_out_people_without_a_unit_and_shows_nan_predictions() -> None:
    joints, _, _ = people([[0, 0, 2], [30, 40, 1]], [[5, 5, 2], [5, 5, 2]], [[0, 0, 0], [9, 9, 2]])
    units = joint_normalizers(joints, ["left_eye", "right_eye"], "left_eye", "right_eye")
    np.testing.assert_array_equal(units, [50, np.nan, np.nan])
    pred = joints[..., :2] + [0.0, 5]
    pred[1:] = np.nan
    assert nme(pred, joints, units) == pytest.approx(0.1)
    pred[0, 0] = np.nan
    assert np.isnan(nme(pred, joints, units))
    assert np.isnan(nme(pred, joints, [np.nan] * 3))


def test_nme_names_bad_units() -> None:
    joints, _, _ = people([[0, 0, 2]])
    with pytest.raises(ValueError, match="normalizers must be 1, one per person"):
        nme(joints[..., :2], joints, [1.0, 2])
    with pytest.raises(ValueError, match="positive or NaN, got 0"):
        nme(joints[..., :2], joints, [0.0])
    with pytest.raises(ValueError, match="among .*got 'muzzle'"):
        joint_normalizers(joints, ["nose"], "nose", "muzzle")


# ---- differences --------------------------------------------------------------------------------


def test_bootstrap_finds_a_difference_that_pairing_reveals() -> None:
    rng = np.random.default_rng(0)
    person = rng.uniform(0, 1, 300)
    better = person + rng.normal(0.01, 0.03, 300)
    difference = bootstrap_difference(better, person)
    assert difference.mean == pytest.approx((better - person).mean())
    assert 0 < difference.low < difference.mean < difference.high
    assert difference.p < 0.01
    assert difference == bootstrap_difference(better, person)


def test_bootstrap_is_antisymmetric_and_zero_for_equal_methods() -> None:
    a, b = np.random.default_rng(1).uniform(size=(2, 40))
    forward, backward = bootstrap_difference(a, b, 200), bootstrap_difference(b, a, 200)
    assert forward.p == backward.p
    assert forward.low == pytest.approx(-backward.high)
    assert bootstrap_difference(a, a, samples=100) == (0, 0, 0, 1)


def test_bootstrap_names_bad_figures() -> None:
    with pytest.raises(ValueError, match="one figure per person"):
        bootstrap_difference([1, 2], [1])
    with pytest.raises(ValueError, match="finite"):
        bootstrap_difference([1, np.nan], [1, 2])
