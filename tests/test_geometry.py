# SPDX-License-Identifier: Apache-2.0
"""The three conventions against closed forms, against each other, and against OpenCV's warp."""

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpose.geometry import (
    Box,
    Convention,
    Crop,
    Matrix,
    apply,
    box_to_crop,
    clip_box,
    compose,
    flip_shift,
    heatmap_to_image,
    image_to_heatmap,
    image_to_input,
    invert,
    mirror,
)

INPUT_SIZES = ((96, 128), (192, 256), (288, 384))
INVERSE_TOLERANCE = 1e-9  # image pixels
EXACT = 1e-9
SOLVED = 1e-6  # a 3x3 system with coordinates up to 1500
COMPOSED = 1e-7  # heatmap pixels, for crops down to 6 and coordinates up to 1500 image pixels
WARP_TOLERANCE = 0.05  # input pixels; OpenCV interpolates in steps of 1/32
ROUNDED = 0.05  # half a unit of the last digit of figures given to one decimal
PUBLISHED = 6e-4  # figures given to three decimals

conventions = pytest.mark.parametrize("convention", list(Convention))
input_sizes = pytest.mark.parametrize("input_size", INPUT_SIZES)

coordinate = st.floats(-500, 1500)
crops = st.builds(
    lambda x, y, height, rotation: Crop((x, y), (0.75 * height, height), rotation),
    coordinate,
    coordinate,
    st.floats(8, 2000),
    st.floats(-180, 180),
)


def quarter(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // 4, size[1] // 4


def three_point_affine(
    crop: Crop, size: tuple[int, int], inset: float, center_target: tuple[float, float]
) -> Matrix:
    """The affine through HRNet's three points: center, half a width above it, and beside that."""
    angle = math.radians(crop.rotation)
    half, target_half = (crop.size[0] - inset) / 2, (size[0] - inset) / 2
    center = np.array(crop.center)
    up = half * np.array([math.sin(angle), -math.cos(angle)])
    source = np.array([center, center + up, center + up + [up[1], -up[0]]])
    up = np.array([0.0, -target_half])
    target = np.array(center_target)
    destination = np.array([target, target + up, target + up + [up[1], -up[0]]])
    # cv2.getAffineTransform would round the points to float32.
    homogeneous = np.column_stack([source, np.ones(3)])
    matrix: Matrix = np.linalg.solve(homogeneous, destination).T
    return matrix


@input_sizes
@given(crop=crops)
def test_hrnet_matrix_is_its_three_point_construction(
    input_size: tuple[int, int], crop: Crop
) -> None:
    expected = three_point_affine(crop, input_size, 0, (input_size[0] / 2, input_size[1] / 2))
    np.testing.assert_allclose(
        apply(image_to_input(crop, input_size, "hrnet"), [[0, 0], [640, 480]]),
        apply(expected, [[0, 0], [640, 480]]),
        rtol=SOLVED,
        atol=SOLVED,
    )


@input_sizes
@given(crop=crops)
def test_darkpose_matrix_is_its_three_point_construction(
    input_size: tuple[int, int], crop: Crop
) -> None:
    target = ((input_size[0] - 1) / 2, (input_size[1] - 1) / 2)
    expected = three_point_affine(crop, input_size, 1, target)
    np.testing.assert_allclose(
        apply(image_to_input(crop, input_size, "darkpose"), [[0, 0], [640, 480]]),
        apply(expected, [[0, 0], [640, 480]]),
        rtol=SOLVED,
        atol=SOLVED,
    )


@input_sizes
@given(crop=crops)
def test_hrnet_heatmap_is_a_quarter_of_the_input(input_size: tuple[int, int], crop: Crop) -> None:
    to_input = image_to_input(crop, input_size, "hrnet")
    to_heatmap = image_to_heatmap(crop, input_size, quarter(input_size), "hrnet")
    np.testing.assert_allclose(to_heatmap, to_input / 4, rtol=EXACT, atol=EXACT)


@input_sizes
@given(crop=crops)
def test_udp_heatmap_maps_corners_of_the_input_to_corners(
    input_size: tuple[int, int], crop: Crop
) -> None:
    heatmap_size = quarter(input_size)
    between = compose(
        image_to_heatmap(crop, input_size, heatmap_size, "udp"),
        invert(image_to_input(crop, input_size, "udp")),
    )
    expected = np.diag([(h - 1) / (i - 1) for h, i in zip(heatmap_size, input_size, strict=True)])
    np.testing.assert_allclose(between, np.column_stack([expected, [0, 0]]), atol=COMPOSED)


def test_udp_maps_the_crop_to_the_corner_pixels() -> None:
    crop = Crop((100, 200), (75, 100))
    corners = apply(image_to_input(crop, (96, 128), "udp"), [[62.5, 150], [137.5, 250]])
    np.testing.assert_allclose(corners, [[0, 0], [95, 127]], atol=EXACT)


@pytest.mark.parametrize(
    ("input_size", "factor"), list(zip(INPUT_SIZES, (0.24211, 0.24607, 0.24739), strict=True))
)
def test_darkpose_heatmap_has_the_published_factor_and_offset(
    input_size: tuple[int, int], factor: float
) -> None:
    crop = Crop((300, 200), (240, 320))
    between = compose(
        image_to_heatmap(crop, input_size, quarter(input_size), "darkpose"),
        invert(image_to_input(crop, input_size, "darkpose")),
    )
    expected = [[factor, 0, 0], [0, factor, 0.126]]
    np.testing.assert_allclose(between, expected, atol=PUBLISHED)


@pytest.mark.parametrize(
    ("input_size", "first", "last"),
    [((96, 128), (0.5, -1.1), (9.5, 11.1)), ((192, 256), (0.5, -0.2), (4.5, 5.2))],
)
def test_mixing_hrnet_and_darkpose_costs_the_published_pixels(
    input_size: tuple[int, int], first: tuple[float, float], last: tuple[float, float]
) -> None:
    crop, heatmap_size = Crop((300, 200), (240, 320)), quarter(input_size)
    corners = [(0, 0), (heatmap_size[0] - 1, heatmap_size[1] - 1)]
    error = apply(heatmap_to_image(crop, input_size, heatmap_size, "darkpose"), corners) - apply(
        heatmap_to_image(crop, input_size, heatmap_size, "hrnet"), corners
    )
    np.testing.assert_allclose(error, [first, last], atol=ROUNDED)


@conventions
@input_sizes
@given(crop=crops)
def test_heatmap_to_image_undoes_image_to_heatmap(
    convention: Convention, input_size: tuple[int, int], crop: Crop
) -> None:
    sizes = (input_size, quarter(input_size), convention)
    points = np.array(crop.center) + np.array([[0, 0], [-100, 50], [300, 400]])
    there = apply(image_to_heatmap(crop, *sizes), points)
    np.testing.assert_allclose(
        apply(heatmap_to_image(crop, *sizes), there), points, atol=INVERSE_TOLERANCE
    )


@pytest.mark.parametrize("convention", [Convention.darkpose, Convention.udp])
@given(crop=crops)
def test_mirrored_crop_is_the_mirror_of_the_crop_where_pixels_are_aligned(
    convention: Convention, crop: Crop
) -> None:
    width, input_size = 640, (96, 128)
    to_mirrored = compose(
        image_to_input(crop.mirrored(width), input_size, convention), mirror(width)
    )
    expected = compose(mirror(input_size[0]), image_to_input(crop, input_size, convention))
    np.testing.assert_allclose(to_mirrored, expected, atol=COMPOSED)


@pytest.mark.parametrize(
    ("convention", "misses", "shift"), [("hrnet", -0.75, 1), ("darkpose", 0, 0), ("udp", 0, 0)]
)
def test_flip_test_misses_by_what_the_shift_is_for(
    convention: Convention, misses: float, shift: int
) -> None:
    """Mirror the input, find its heatmap pixels, mirror these back: `hrnet` lands too far left."""
    input_size, heatmap_size = (96, 128), (24, 32)
    crop = Crop((300, 200), (240, 320))
    to_heatmap = image_to_heatmap(crop, input_size, heatmap_size, convention)
    from_input = compose(to_heatmap, invert(image_to_input(crop, input_size, convention)))
    there_and_back = compose(mirror(heatmap_size[0]), compose(from_input, mirror(input_size[0])))
    np.testing.assert_allclose((there_and_back - from_input)[:, 2], [misses, 0], atol=EXACT)
    assert flip_shift(convention) == shift


@conventions
@pytest.mark.parametrize("rotation", [0.0, 30.0, -75.0])
def test_warp_puts_a_dot_where_the_matrix_says(convention: Convention, rotation: float) -> None:
    """The centroid of a blob in the crop is where `image_to_input` maps the blob's center."""
    spot = np.array([331.0, 204.0])
    y, x = np.mgrid[:480, :640]
    image = 255 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 6.0**2))
    matrix = image_to_input(Crop((320, 220), (150, 200), rotation), (192, 256), convention)
    warped = cv2.warpAffine(image.astype(np.float32), matrix, (192, 256), flags=cv2.INTER_LINEAR)
    y, x = np.mgrid[:256, :192]
    centroid = np.array([(warped * x).sum(), (warped * y).sum()]) / warped.sum()
    np.testing.assert_allclose(centroid, apply(matrix, spot), atol=WARP_TOLERANCE)


@pytest.mark.parametrize(
    ("convention", "center"), [("hrnet", (60, 45)), ("darkpose", (59.5, 44.5)), ("udp", (60, 45))]
)
def test_box_center_follows_the_convention(
    convention: Convention, center: tuple[float, float]
) -> None:
    crop = box_to_crop((10, 20, 100, 50), (96, 128), convention)
    assert crop.center == center
    assert crop.size == pytest.approx((125, 125 / 0.75))


@given(
    st.tuples(coordinate, coordinate, st.floats(1, 800), st.floats(1, 800)),
    st.sampled_from(INPUT_SIZES),
    st.sampled_from(list(Convention)),
)
def test_crop_holds_the_box_in_the_inputs_aspect_ratio(
    box: Box, input_size: tuple[int, int], convention: Convention
) -> None:
    crop = box_to_crop(box, input_size, convention, padding=1.0)
    assert crop.size[0] / crop.size[1] == pytest.approx(input_size[0] / input_size[1])
    assert crop.size[0] >= box[2] - EXACT and crop.size[1] >= box[3] - EXACT
    assert crop.size[0] == pytest.approx(box[2]) or crop.size[1] == pytest.approx(box[3])


@pytest.mark.parametrize(
    ("convention", "inside", "outside"),
    [
        ("hrnet", (10, 20, 29, 39), (0, 0, 29, 39)),
        ("darkpose", (10, 20, 30, 40), (0, 0, 30, 40)),
        ("udp", (10, 20, 30, 40), (0, 0, 25, 35)),
    ],
)
def test_clip_box_cleans_as_each_training_code_does(
    convention: Convention, inside: Box, outside: Box
) -> None:
    assert clip_box((10, 20, 30, 40), (100, 100), convention) == inside
    assert clip_box((-5, -5, 30, 40), (100, 100), convention) == outside


@conventions
def test_clip_box_gives_none_outside_the_image(convention: Convention) -> None:
    assert clip_box((200, 20, 30, 40), (100, 100), convention) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: box_to_crop((0, 0, 0, 5), (96, 128), "hrnet"), "positive width and height"),
        (lambda: box_to_crop((0, 0, 5), (96, 128), "hrnet"), r"\(x, y, width, height\)"),
        (lambda: box_to_crop((0, 0, 5, math.nan), (96, 128), "hrnet"), "finite"),
        (lambda: box_to_crop((0, 0, 5, 5), (96, 128), "hrnet", padding=0), "padding"),
        (lambda: box_to_crop((0, 0, 5, 5), (96, 128), "coco"), "coco"),
        (lambda: image_to_input(Crop((0, 0), (1, 1)), (96, 128), "darkpose"), "wider than 1"),
        (lambda: image_to_input(Crop((0, 0), (9, 9)), (0, 128), "udp"), "at least 1x1"),
        (
            lambda: image_to_heatmap(Crop((0, 0), (9, 12)), (96, 128), (32, 32), "udp"),
            "aspect ratio",
        ),
        (lambda: invert(np.zeros((2, 3))), "invertible"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
