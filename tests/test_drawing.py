# SPDX-License-Identifier: Apache-2.0
"""What is drawn lies where it should and has the colors that people know."""

import colorsys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from darkpose.data.drawing import (
    CENTER,
    LEFT,
    RIGHT,
    Color,
    draw_errors,
    draw_skeleton,
    overlay,
    skeleton_colors,
    view,
)
from darkpose.data.joint_sets import AIC, COCO, MPII
from darkpose.data.spec import KeypointSpec
from darkpose.geometry import apply, compose, invert

BLACK = np.zeros((60, 80, 3), np.uint8)
SUBPIXEL = 0.1  # pixels: a resampled spot, in whole levels of gray, has its center of mass so near
LSP = KeypointSpec.from_names(
    [
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("right_wrist", "right_elbow", "right_shoulder"),
        *("left_shoulder", "left_elbow", "left_wrist", "neck", "head_top"),
    ],
    skeleton=[("neck", "right_shoulder"), ("left_shoulder", "left_elbow"), ("head_top", "neck")],
)


def limb(spec: KeypointSpec, *ends: str) -> Color:
    for (a, b), color in zip(spec.skeleton, skeleton_colors(spec).limbs, strict=True):
        if {spec.names[a], spec.names[b]} == set(ends):
            return color
    raise AssertionError(f"no limb {ends}")


def center_of_mass(picture: np.ndarray) -> np.ndarray:
    weights = picture.astype(float).sum(-1)
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


def green(pixel: np.ndarray) -> bool:
    """Whether a pixel has the left side's color, but for smoothing."""
    return bool(pixel[1] > 200 and not pixel[0] and not pixel[2])


# ---- colors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "ends", "color"),
    [
        (COCO, ("left_elbow", "left_wrist"), LEFT),
        (COCO, ("right_knee", "right_ankle"), RIGHT),
        (COCO, ("left_shoulder", "left_hip"), CENTER),
        (MPII, ("right_hip", "pelvis"), RIGHT),
        (MPII, ("thorax", "upper_neck"), CENTER),
        (AIC, ("right_shoulder", "neck"), CENTER),
        (LSP, ("left_shoulder", "left_elbow"), LEFT),
    ],
)
def test_a_known_skeleton_has_its_customary_colors(
    spec: KeypointSpec, ends: tuple[str, str], color: Color
) -> None:
    assert limb(spec, *ends) == color


def test_the_face_is_blue_and_other_joints_have_their_sides_color() -> None:
    joints = dict(zip(COCO.names, skeleton_colors(COCO).joints, strict=True))
    assert {joints[name] for name in ("nose", "left_eye", "right_ear")} == {CENTER}
    assert joints["left_hip"] == LEFT and joints["right_shoulder"] == RIGHT
    assert dict(zip(MPII.names, skeleton_colors(MPII).joints, strict=True))["pelvis"] == CENTER


def test_other_keypoint_sets_are_warm_on_the_left_and_cold_on_the_right() -> None:
    names = ["left_paw", "right_paw", "left_ear", "right_ear", "tail"]
    sigmas = {name: 0.05 for name in names}
    spec = KeypointSpec.from_names(names, oks_sigmas=sigmas, skeleton=[("tail", "left_paw")])
    colors = skeleton_colors(spec)
    hues = [colorsys.rgb_to_hsv(*(value / 255 for value in color))[0] for color in colors.joints]
    assert all(hue < 0.17 for hue in hues[0:4:2]) and all(0.5 <= hue < 0.7 for hue in hues[1:4:2])
    assert len(set(colors.joints)) == len(names)
    assert colors.limbs == (colors.joints[0],)


@pytest.mark.parametrize(
    "spelled", ["L_{}|R_{}", "{}-left|{}-right", "L{}|R{}", "Left {}|Right {}"]
)
def test_sides_have_two_colors_however_they_are_spelled(spelled: str) -> None:
    names = [one.format("Paw") for one in spelled.split("|")]
    spec = KeypointSpec.from_names([*names, "tail"], oks_sigmas=0.05)
    (red, _, _), (_, _, blue), _ = skeleton_colors(spec).joints
    assert red == blue == 255


def test_a_known_skeleton_is_known_in_other_spelling() -> None:
    names = [name.replace("_", " ").title() for name in AIC.names]
    assert skeleton_colors(replace(AIC, names=names)) == skeleton_colors(AIC)


# ---- skeletons -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "thickness"), [(50, 1), (150, 2), (400, 4), (1500, 8)])
def test_limbs_are_as_thick_as_the_person_is_large(length: int, thickness: int) -> None:
    points = np.full((17, 2), np.nan)
    knee, ankle = COCO.names.index("left_knee"), COCO.names.index("left_ankle")
    points[knee], points[ankle] = (20, 30), (20 + length, 30)
    drawn = draw_skeleton(np.zeros((60, 1600, 3), np.uint8), points, COCO)
    line = np.zeros_like(drawn)
    cv2.line(line, (20, 30), (20 + length, 30), LEFT, thickness, cv2.LINE_AA)
    middle = 20 + length // 2
    np.testing.assert_array_equal(drawn[:, middle], line[:, middle])


def test_a_small_face_of_many_joints_is_no_mask() -> None:
    angles = np.linspace(0, 2 * np.pi, 98, endpoint=False)
    ring = KeypointSpec(
        tuple(map(str, range(98))), (), (0.05,) * 98, [(k, k - 1) for k in range(1, 98)]
    )
    points = 300 + 30 * np.column_stack([np.cos(angles), np.sin(angles)])
    drawn = draw_skeleton(np.zeros((600, 1600, 3), np.uint8), points, ring)
    assert not drawn[282:318, 282:318].any()  # within the ring


def test_a_limb_is_drawn_between_its_joints() -> None:
    points = np.full((17, 2), 5.0)
    knee, ankle = COCO.names.index("left_knee"), COCO.names.index("left_ankle")
    points[knee], points[ankle] = (20, 30), (60, 30)
    shown = np.isin(np.arange(17), [knee, ankle])
    drawn = draw_skeleton(BLACK, points, COCO, shown)
    assert green(drawn[30, 40])
    assert not drawn[:20].any() and not BLACK.any()
    assert not draw_skeleton(BLACK, points, COCO, np.zeros(17, bool)).any()


def test_joints_that_are_nowhere_are_not_drawn_and_far_ones_do_no_harm() -> None:
    points = np.full((17, 2), np.nan)
    assert not draw_skeleton(BLACK, points, COCO).any()
    knee, ankle = COCO.names.index("left_knee"), COCO.names.index("left_ankle")
    points[knee], points[ankle] = (40, 30), (1e30, 30)
    drawn = draw_skeleton(BLACK, points, COCO)
    assert green(drawn[30, 70]) and not drawn[:20].any()


def test_errors_are_lines_from_labeled_joints_alone() -> None:
    points = np.array([[10.0, 10], [10, 50]])
    truth = np.array([[30.0, 10, 2], [30, 50, 0]])
    drawn = draw_errors(BLACK, points, truth)
    assert drawn[10, 20].min() > 200 and not drawn[40:].any()


# ---- heatmaps ------------------------------------------------------------------------------------


def test_a_heatmap_lies_where_its_matrix_says() -> None:
    heatmap = np.zeros((16, 12), np.float32)
    heatmap[5, 3] = 0.4
    to_image = np.array([[4.0, 0, 10.25], [0, 4.0, 7.75]])
    drawn = overlay(BLACK, heatmap, to_image)
    np.testing.assert_allclose(center_of_mass(drawn), (3 * 4 + 10.25, 5 * 4 + 7.75), atol=0.3)
    assert not drawn[:20].any() and not drawn[:, 40:].any()


def test_of_several_heatmaps_the_highest_is_drawn() -> None:
    maps = np.zeros((2, 16, 12), np.float32)
    maps[0, 4, 4], maps[1, 12, 8] = 1, 1
    grid = np.array([[4.0, 0, 0], [0, 4.0, 0]])
    both = overlay(BLACK, maps, grid)
    single = [overlay(BLACK, one, grid) for one in maps]
    np.testing.assert_array_equal(both, np.maximum(*single))
    assert single[0].any() and single[1].any()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_nothing_is_drawn_of_a_map_without_a_peak(value: float) -> None:
    picture = np.full((60, 80, 3), 77, np.uint8)
    grid = np.array([[4.0, 0, 0], [0, 4.0, 0]])
    drawn = overlay(picture, np.full((16, 12), value), grid)
    np.testing.assert_array_equal(drawn, picture)


# ---- views ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", [40, 80, 640])
@pytest.mark.parametrize("region", [None, (20.3, 11.7, 41, 43.2), (-30, -20, 90, 75)])
def test_a_view_shows_each_point_where_its_matrix_says(
    longest: int, region: tuple[float, float, float, float] | None
) -> None:
    y, x = np.mgrid[:60, :80]
    spot = 255 * np.exp(-((x - 36) ** 2 + (y - 26) ** 2) / 18)
    image = np.repeat(np.round(spot).astype(np.uint8)[..., None], 3, -1)
    shown = view(image, region, longest)
    assert max(shown.pixels.shape) == longest
    spot = center_of_mass(shown.pixels)
    assert np.linalg.norm(apply(invert(shown.matrix), spot) - (36, 26)) < SUBPIXEL


def test_a_view_is_enlarged_only_if_asked_to_and_black_outside_the_image() -> None:
    assert view(BLACK, (10, 10, 20, 30), 640, enlarge=False).pixels.shape == (30, 20, 3)
    outside = view(np.full_like(BLACK, 9), (200, 300, 20, 40), 80)
    assert outside.pixels.shape == (80, 40, 3) and not outside.pixels.any()
    np.testing.assert_allclose(apply(outside.matrix, (199.5, 299.5)), (-0.5, -0.5))
    whole = compose(view(BLACK).matrix, invert(view(BLACK).matrix))
    np.testing.assert_allclose(whole, np.eye(3)[:2], atol=1e-12)
