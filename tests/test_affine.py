# SPDX-License-Identifier: Apache-2.0
"""The conventions' closed form: inverses, in float32 at 20,000 pixels, and inside of programs."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from darkpose import affine
from darkpose.geometry import Convention, Crop, apply, invert
from darkpose.geometry import enlarges as map_enlarges

INPUT_SIZE, HEATMAP_SIZE = (192, 256), (48, 64)
EXACT = 1e-9  # image pixels
FLOAT32 = 2 / 512  # image pixels: twice the distance of two float32 at 20,000

conventions = pytest.mark.parametrize("convention", list(Convention))


def people(count: int, reach: float) -> NDArray[np.float64]:
    """Return boxes of 30 to 1,000 pixels whose corners lie within `reach` pixels."""
    low, high = (0, 0, 30, 30), (reach - 1000, reach - 1000, 1000, 1000)
    return np.random.default_rng(0).uniform(low, high, (count, 4))


def mapped(to_image: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([apply(matrix, points) for matrix in to_image])


@conventions
@pytest.mark.parametrize("turned", [False, True])
def test_maps_to_the_image_undo_those_from_it(convention: Convention, turned: bool) -> None:
    centers, sizes = affine.box_centers_sizes(people(50, 2000), INPUT_SIZE, convention, 1.25)
    rotations = np.linspace(-180, 180, 50) if turned else None
    given = (centers, sizes, HEATMAP_SIZE, convention, rotations)
    to_image, to_target = affine.target_to_image(*given), affine.image_to_target(*given)
    np.testing.assert_allclose(to_image, [invert(one) for one in to_target], atol=EXACT)
    as_tensors = (torch.from_numpy(each) for each in (centers, sizes))
    turns = None if rotations is None else torch.from_numpy(rotations)
    tensors = affine.target_to_image(*as_tensors, HEATMAP_SIZE, convention, turns)
    np.testing.assert_allclose(to_image, tensors.numpy(), atol=EXACT)


@conventions
@pytest.mark.parametrize("size", [INPUT_SIZE, HEATMAP_SIZE])
def test_float32_is_right_to_two_units_at_20000_pixels(
    convention: Convention, size: tuple[int, int]
) -> None:
    """As exported programs have it: boxes, crops, matrices and the points they map."""
    boxes = people(2000, 20_000).astype(np.float32)
    corners = np.array([[0, 0], [size[0] - 1, 0], [0, size[1] - 1], [size[0] - 1, size[1] - 1]])
    exact, single = (
        affine.target_to_image(
            *affine.box_centers_sizes(each, INPUT_SIZE, convention, 1.25), size, convention
        )
        for each in (boxes.astype(np.float64), torch.from_numpy(boxes))
    )
    assert single.dtype == torch.float32
    apart = mapped(single.double().numpy(), corners) - mapped(exact, corners)
    assert 1e-4 < np.abs(apart).max() < FLOAT32


class Geometry(nn.Module):
    def forward(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        crop = affine.box_centers_sizes(boxes, INPUT_SIZE, Convention.udp, 1.25)
        to_image = affine.target_to_image(*crop, INPUT_SIZE, Convention.udp)
        return to_image, affine.enlarges(to_image)


def test_a_program_holds_it_for_any_number_of_people() -> None:
    boxes = torch.from_numpy(people(7, 2000)).float()
    count = {0: torch.export.Dim("people", min=0)}
    program = torch.export.export(Geometry(), (boxes[:3],), dynamic_shapes=(count,)).module()
    for number in (0, 1, 7):
        found, expected = program(boxes[:number]), Geometry()(boxes[:number])
        assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])


def test_it_enlarges_where_no_singular_value_is_above_one() -> None:
    linear = np.random.default_rng(0).uniform(-1.2, 1.2, (500, 2, 2))
    to_image = np.concatenate([linear, np.zeros((500, 2, 1))], -1)
    expected = np.linalg.svd(linear)[1].max(-1) <= 1
    assert 50 < expected.sum() < 450
    assert np.array_equal(affine.enlarges(to_image), expected)
    assert [map_enlarges(invert(one)) for one in to_image] == expected.tolist()


def test_a_crop_lies_where_its_target_does() -> None:
    """`udp`, turned by 90 degrees about (100, 200): the input's right is the image's below."""
    crop = Crop((100.0, 200.0), (75.0, 100.0), 90.0)
    given = (np.array(crop.center), np.array(crop.size), (96, 128), "udp", np.float64(90))
    corners = apply(affine.target_to_image(*given), [[0, 0], [95, 0], [0, 127]])
    np.testing.assert_allclose(corners, [[150, 162.5], [150, 237.5], [50, 162.5]], atol=EXACT)
