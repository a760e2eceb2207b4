# SPDX-License-Identifier: Apache-2.0
"""Random crops: what decides them, and how they are distributed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpose.data.annotations import KeypointSpec, PersonRecord
from darkpose.data.augment import Augmentation, augment, draw_light, half_body, sample_rng
from darkpose.geometry import Crop

SPEC = KeypointSpec.from_names(
    ["nose"]
    + [
        f"{side}_{joint}"
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ]  # fmt: skip
)
CROP = Crop((110.0, 120.0), (150.0, 200.0))
OFF = Augmentation(rotation=0, scale=0, flip_probability=0, half_body_probability=0)
DRAWS = 4000
SHARE_TOLERANCE = 0.03  # 4 standard deviations of a share over DRAWS samples
EXACT = 1e-9


def person(visible: Any = slice(None)) -> PersonRecord:
    """A person standing in a 100 x 200 box at (60, 20), joints from top to bottom."""
    joints = np.zeros((SPEC.num_joints, 3))
    joints[:, 0] = 60 + 100 * (np.arange(SPEC.num_joints) % 2)
    joints[:, 1] = np.linspace(20, 220, SPEC.num_joints)
    joints[visible, 2] = 2
    return PersonRecord(Path("a.png"), 1, 2, (320, 240), (60, 20, 100, 200), 10600.0, joints)


def draws(settings: Augmentation) -> list[tuple[Crop, bool]]:
    return [augment(person(), CROP, SPEC, settings, sample_rng(0, 0, i)) for i in range(DRAWS)]


@given(st.integers(0, 2**40), st.integers(0, 1000), st.integers(0, 10**7))
def test_augment_is_a_function_of_seed_epoch_and_index(seed: int, epoch: int, index: int) -> None:
    key = (seed, epoch, index)
    first = augment(person(), CROP, SPEC, Augmentation(), sample_rng(*key))
    np.random.seed(1)
    assert augment(person(), CROP, SPEC, Augmentation(), sample_rng(*key)) == first


def test_augment_varies_with_each_of_seed_epoch_and_index() -> None:
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    results = [augment(person(), CROP, SPEC, Augmentation(), sample_rng(*key)) for key in keys]
    assert len({crop.size for crop, _ in results}) == len(keys)


def test_augment_with_everything_off_changes_nothing() -> None:
    assert augment(person(), CROP, SPEC, OFF, sample_rng(0, 0, 0)) == (CROP, False)


def test_one_setting_leaves_the_other_draws_alone() -> None:
    for index in range(50):
        crop, mirrored = augment(person(), CROP, SPEC, Augmentation(), sample_rng(0, 0, index))
        still = Augmentation(rotation_probability=0)
        expected = Crop(crop.center, crop.size, 0.0), mirrored
        assert augment(person(), CROP, SPEC, still, sample_rng(0, 0, index)) == expected


def test_defaults_have_hrnets_ranges_and_probabilities() -> None:
    results = draws(Augmentation(half_body_probability=0))
    factors = np.array([crop.size[0] / CROP.size[0] for crop, _ in results])
    rotations = np.array([crop.rotation for crop, _ in results])
    assert factors.min() == pytest.approx(0.65) and factors.max() == pytest.approx(1.35)
    assert rotations.min() == pytest.approx(-90) and rotations.max() == pytest.approx(90)
    assert np.mean(rotations != 0) == pytest.approx(0.6, abs=SHARE_TOLERANCE)
    assert np.mean([mirrored for _, mirrored in results]) == pytest.approx(0.5, abs=SHARE_TOLERANCE)


def test_half_body_has_its_probability_and_takes_either_half() -> None:
    settings = Augmentation(rotation=0, scale=0, flip_probability=0)
    heights = np.array([crop.center[1] for crop, _ in draws(settings)])
    assert np.mean(heights != CROP.center[1]) == pytest.approx(0.3, abs=SHARE_TOLERANCE)
    assert np.mean(heights < 100) == pytest.approx(0.15, abs=SHARE_TOLERANCE)


@pytest.mark.parametrize(("upper", "half"), [(True, slice(0, 7)), (False, slice(7, 13))])
def test_half_body_is_centered_on_its_joints_and_holds_them(upper: bool, half: slice) -> None:
    joints = person().joints
    crop = half_body(joints, CROP, SPEC, upper, padding=1.5)
    points = joints[half, :2]
    assert crop is not None
    np.testing.assert_allclose(crop.center, points.mean(axis=0))
    assert crop.size[0] / crop.size[1] == pytest.approx(CROP.size[0] / CROP.size[1])
    assert (np.array(crop.size) >= 1.5 * np.ptp(points, axis=0) - EXACT).all()


def test_half_body_takes_the_other_half_where_one_is_hidden() -> None:
    hidden_legs = person(slice(0, 7)).joints
    assert half_body(hidden_legs, CROP, SPEC, False, 1.5) == half_body(
        hidden_legs, CROP, SPEC, True, 1.5
    )


def test_half_body_of_too_few_joints_is_none() -> None:
    assert half_body(person([0, 1, 8, 9]).joints, CROP, SPEC, True, 1.5) is None


def test_people_with_few_joints_are_never_halved() -> None:
    settings = Augmentation(rotation=0, scale=0, flip_probability=0, half_body_probability=1)
    assert augment(person(slice(0, 8)), CROP, SPEC, settings, sample_rng(0, 0, 0))[0] == CROP
    assert augment(person(slice(0, 9)), CROP, SPEC, settings, sample_rng(0, 0, 0))[0] != CROP


def test_light_is_off_by_default_and_stays_in_range() -> None:
    assert draw_light(Augmentation(), sample_rng(0, 0, 0)) is None
    settings = Augmentation(gain=0.5, brightness=60)
    drawn = [draw_light(settings, sample_rng(0, 0, i)) for i in range(20)]
    changed = [light for light in drawn if light is not None]
    assert all(c.dtype == np.uint8 and (np.diff(c.astype(int)) >= 0).all() for c in changed)
    assert len(changed) == 20
    assert len({int(c.sum()) for c in changed}) > 1


@pytest.mark.parametrize(
    "settings",
    [
        {"flip_probability": 1.5},
        {"scale": 1.0},
        {"rotation": -1},
        {"brightness": float("nan")},
        {"half_body_padding": 0},
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=name):
        Augmentation(**settings)
