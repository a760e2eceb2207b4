# SPDX-License-Identifier: Apache-2.0
"""Synthetic scenes: reproducible, truthfully labeled and drawn where they say they are."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")

from darkpose.data.joint_sets import COCO  # noqa: E402
from darkpose.paper.synthetic import Scene, draw_scene  # noqa: E402
from darkpose.paper.synthetic.body import (  # noqa: E402
    Pose,
    Skeleton,
    Viewpoint,
    sample_build,
    sample_pose,
)
from darkpose.paper.synthetic.figure import (  # noqa: E402
    make_figure,
    sample_outfit,
    visible_joints,
)
from darkpose.paper.synthetic.render import (  # noqa: E402
    Part,
    capsules,
    coverage,
    cut,
    ellipse,
    frame,
)

CENTROID_TOLERANCE = 0.05  # pixels, for any one shape: two samples per pixel and axis
CENTROID_BIAS = 0.01  # pixels, for the mean over many shapes: half a sample would be 0.25
LENGTH_TOLERANCE = 1e-9  # standing heights
SEED = 0


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(SEED, "val", index, "silhouettes") for index in range(120)]


# ---- scenes ------------------------------------------------------------------------------------


def test_draw_scene_depends_on_its_arguments_and_nothing_else() -> None:
    forward = [draw_scene(3, "train", index) for index in range(6)]
    backward = [draw_scene(3, "train", index) for index in reversed(range(6))][::-1]
    for first, second in zip(forward, backward, strict=True):
        assert np.array_equal(first.image, second.image)
        for a, b in zip(first.people, second.people, strict=True):
            assert np.array_equal(a.keypoints, b.keypoints)
            assert a.box == b.box and a.area == b.area
    others = [draw_scene(*other) for other in ((1, "train", 0), (3, "val", 0), (3, "train", 1))]
    assert not any(np.array_equal(forward[0].image, other.image) for other in others)


def test_silhouettes_share_truth_with_people() -> None:
    for index in range(20):
        people, flat = (draw_scene(SEED, "train", index, a) for a in ("people", "silhouettes"))
        assert people.image.shape == flat.image.shape
        for one, other in zip(people.people, flat.people, strict=True):
            assert np.array_equal(one.keypoints, other.keypoints)
            assert np.array_equal(one.mask, other.mask)
        assert len(np.unique(flat.image)) == 2


def test_visible_joints_lie_on_the_person(scenes: list[Scene]) -> None:
    for person in (person for scene in scenes for person in scene.people):
        x, y = np.rint(person.keypoints[person.keypoints[:, 2] == 2, :2]).astype(int).T
        assert person.mask[y, x].all()


def test_labels_are_zero_exactly_outside_the_image(scenes: list[Scene]) -> None:
    for scene in scenes:
        limit = np.array(scene.image.shape[1::-1]) - 1
        for person in scene.people:
            outside = person.keypoints[:, 2] == 0
            assert not person.keypoints[outside].any()
            inside = person.keypoints[~outside, :2]
            assert (inside >= 0).all() and (inside <= limit).all()


def test_boxes_are_tight_around_the_visible_pixels_which_do_not_overlap(
    scenes: list[Scene],
) -> None:
    for scene in scenes:
        assert np.sum([person.mask for person in scene.people], axis=0).max() == 1
        for person in scene.people:
            rows, columns = np.nonzero(person.mask)
            low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
            assert person.box == (*low, high[0] - low[0], high[1] - low[1])
            assert person.area == len(rows)


def test_people_sizes_and_visibilities_vary(scenes: list[Scene]) -> None:
    assert {len(scene.people) for scene in scenes} == {1, 2, 3, 4}
    assert len({scene.image.shape for scene in scenes}) > 3
    visibility = np.concatenate([p.keypoints[:, 2] for scene in scenes for p in scene.people])
    outside, hidden, visible = ((visibility == value).mean() for value in range(3))
    assert 0.003 < outside < 0.1
    assert 0.15 < hidden < 0.4
    assert 0.6 < visible < 0.85


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "train", 0, "cartoon"), "appearance must be"),
        ((-1, "train", 0), "must not be negative"),
        ((0, "train", -1), "must not be negative"),
    ],
)
def test_draw_scene_rejects_bad_arguments(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_scene(*arguments)


# ---- bodies and drawing ------------------------------------------------------------------------


def upright(yaw: float) -> Pose:
    zeros = np.zeros(3)
    arms = np.array([[35, 8, 0, 5]] * 2)  # forward, clear of the hips in profile
    legs = np.array([[0, 8, 0, 5]] * 2)
    return Pose(yaw, 0, 0, 0, zeros, zeros, arms, legs, np.zeros(2))


def test_limbs_keep_their_lengths_in_any_pose() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        build = sample_build(rng)
        body = Skeleton(build, sample_pose(rng))
        for start, end, length in (
            (body.shoulder, body.elbow, build.upper_arm),
            (body.elbow, body.wrist, build.forearm),
            (body.hip, body.knee, build.thigh),
            (body.knee, body.ankle, build.shin),
        ):
            measured = np.linalg.norm(end - start, axis=1)
            assert np.allclose(measured, length, rtol=0, atol=LENGTH_TOLERANCE)


@pytest.mark.parametrize(("yaw", "sign"), [(0, 1), (180, -1)])
def test_left_is_on_the_right_of_the_image_only_from_the_front(yaw: float, sign: int) -> None:
    body = Skeleton(sample_build(np.random.default_rng(1)), upright(yaw))
    for pair in (body.shoulder, body.elbow, body.wrist, body.hip, body.knee, body.ankle):
        assert sign * (pair[0, 0] - pair[1, 0]) > 0


@pytest.mark.parametrize(
    ("yaw", "hidden"),
    [
        (0, set()),
        (180, {"nose", "left_eye", "right_eye"}),
        (90, {"left_eye", "left_ear", "left_shoulder", "left_hip", "left_elbow"}),
        (-90, {"right_eye", "right_ear", "right_shoulder", "right_hip", "right_elbow"}),
    ],
)
def test_a_body_hides_its_own_far_side(yaw: float, hidden: set[str]) -> None:
    rng = np.random.default_rng(2)
    build, outfit = sample_build(rng), replace(sample_outfit(rng), hair=0.0, skirt=0.0)
    view = Viewpoint(np.array([120.0, 120.0]), 200.0, 5.0)
    figure = make_figure(build, Skeleton(build, upright(yaw)), outfit, view)
    visible = visible_joints(figure, cut(figure.parts, (240, 320)))
    seen = {name for name, shows in zip(COCO.names, visible, strict=True) if shows}
    near = "right" if yaw > 0 else "left"
    must = [name for name in COCO.names if yaw in (0, 180) or name.startswith(near)]
    assert not hidden & seen
    assert set(must) - hidden <= seen


def centroid_error(outline: np.ndarray, center: np.ndarray) -> np.ndarray:
    part = Part("disc", "any", [outline], 0.0, frame(center, (0, 1), 1.0, 1.0))
    shares = coverage(cut([part], (80, 60))).astype(float)
    rows, columns = np.mgrid[:60, :80]
    return np.array([(columns * shares).sum(), (rows * shares).sum()]) / shares.sum() - center


def test_shapes_are_drawn_where_they_are_to_a_fraction_of_a_pixel() -> None:
    rng = np.random.default_rng(0)
    centers = rng.uniform(24, 36, (200, 2))
    discs = np.array([centroid_error(ellipse(c, np.eye(2) * 14.0, 48), c) for c in centers])
    assert np.abs(discs).max() < CENTROID_TOLERANCE
    assert np.abs(discs.mean(axis=0)).max() < CENTROID_BIAS
    offsets = rng.uniform(-10, 10, (200, 2))
    ends = np.stack([centers - offsets, centers + offsets])
    outlines = capsules(ends, np.tile(rng.uniform(6, 10, 200), (2, 1)))
    errors = [centroid_error(outline, c) for outline, c in zip(outlines, centers, strict=True)]
    assert np.abs(np.mean(errors, axis=0)).max() < CENTROID_BIAS
