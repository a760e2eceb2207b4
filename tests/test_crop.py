# SPDX-License-Identifier: Apache-2.0
"""crop against interpolation in float64, between its twins, and refusing what it cannot cut."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode

import darkpose_ext
from darkpose_ext import numpy as dark_numpy
from darkpose_ext import reference
from samples import DTYPES

KINDS = ("bilinear", "bicubic")
MEAN, STD = [0.485, 0.456, 0.406, 0.5], [0.229, 0.224, 0.225, 0.25]
each_kind = pytest.mark.parametrize("kind", KINDS)


def images(channels: int) -> list[Tensor]:
    """Of noise [H, W, C]: packed, planar, a view of a frame, a gray or red row, a pixel."""
    draw = lambda *shape: torch.randint(0, 256, shape, dtype=torch.uint8)  # noqa: E731
    planar = draw(channels, 60, 45).permute(1, 2, 0)
    frame = draw(90, 70, 4)[5:-5, 3:-3, 4 - channels :]
    return [draw(50, 80, channels), planar, frame, draw(1, 30, channels), draw(1, 1, channels)]


def transforms(sources: Sequence[Tensor], index: Tensor, size: tuple[int, int]) -> Tensor:
    """Turned by any angle, mirrored or not, enlarged or reduced, most of them partly outside."""
    n, (height, width) = len(index), size
    angle, scale = 7 * torch.rand(n).double(), torch.randn(n).double().exp()
    side = torch.where(torch.rand(n) < 0.5, -1.0, 1.0).double()
    angle[::3] = 0.0
    linear = scale * torch.stack(
        (angle.cos(), -angle.sin() * side, angle.sin(), angle.cos() * side)
    )
    linear = linear.T.view(n, 2, 2)
    shapes = torch.tensor([sources[i].shape[1::-1] for i in index.tolist()]).double()
    center = shapes * (1.4 * torch.rand(n, 2).double() - 0.2)
    middle = torch.tensor([width / 2, height / 2]).double()
    return torch.cat((linear, (center - linear @ middle)[:, :, None]), 2)


def exact(image: Tensor, transform: Tensor, size: tuple[int, int], kind: str) -> Tensor:
    """Interpolate in float64, by the sum over all pixels that a kernel reaches: [H, W, C]."""
    y, x = torch.meshgrid(*(torch.arange(n).double() for n in size), indexing="ij")
    at = torch.stack((x, y, torch.ones_like(x)), -1) @ transform.T  # [H, W, 2]

    def weights(positions: Tensor, count: int) -> Tensor:  # [H, W, count]
        t = (positions[..., None] - torch.arange(count)).abs()
        if kind == "bilinear":
            return (1 - t).clamp(min=0)
        a, near = -0.75, 1.25 * t**3 - 2.25 * t**2 + 1
        return torch.where(t <= 1, near, (a * (t**3 - 5 * t**2 + 8 * t - 4)) * (t < 2))

    rows, columns = weights(at[..., 1], image.shape[0]), weights(at[..., 0], image.shape[1])
    along = torch.einsum("hwj,ijc->hwic", columns, image.double())
    return torch.einsum("hwi,hwic->hwc", rows, along).clamp(0, 255)


@each_kind
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_are_within_half_a_gray_level_of_float64(channels: int, kind: str) -> None:
    sources, size = images(channels), (21, 27)
    index = torch.arange(20) % len(sources)
    maps = transforms(sources, index, size)
    crops = darkpose_ext.crop(sources, index, maps, *size, interpolation=kind)
    assert crops.shape == (20, *size, channels) and crops.dtype == torch.uint8
    for crop, image, transform in zip(crops, index.tolist(), maps, strict=True):
        distance = crop - exact(sources[image], transform, size, kind)
        assert distance.abs().max() <= 0.502  # half a level is rounding


def test_a_large_image_is_cut_as_exactly() -> None:
    """20,000 pixels wide, steps of up to 104 pixels, in float64 and float32."""
    image = torch.randint(0, 256, (3, 20_000, 1), dtype=torch.uint8)
    maps = torch.tensor(
        [[[104.13, 0, 7.37], [0, 0.01, 0.5]], [[1.003, 0, 19_777.21], [0, -0.003, 1.9]]]
    ).double()
    for dtype, most in ((torch.float64, 0.55), (torch.float32, 1.0)):
        given = maps.to(dtype)
        crops = darkpose_ext.crop([image], torch.tensor([0, 0]), given, 5, 192)
        for crop, transform in zip(crops, given.double(), strict=True):
            assert (crop - exact(image, transform, (5, 192), "bilinear")).abs().max() <= most


@each_kind
@pytest.mark.parametrize("dtype", [None, *DTYPES], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_op_twin_and_numpy_have_the_same_bits(
    channels: int, dtype: torch.dtype | None, kind: str
) -> None:
    sources, size = images(channels), (13, 19)
    index = torch.randint(0, len(sources), (12,))
    maps = transforms(sources, index, size)
    normalized = {"mean": MEAN[:channels], "std": STD[:channels], "dtype": dtype} if dtype else {}
    arguments = (sources, index, maps, *size)
    crops = darkpose_ext.crop(*arguments, interpolation=kind, **normalized)
    twin = reference.crop(*arguments, interpolation=kind, **normalized)
    assert torch.equal(crops, twin)
    assert channels == 1 or crops.stride() == twin.stride()
    if dtype == torch.bfloat16:
        return  # which NumPy has not
    name = {} if dtype is None else {**normalized, "dtype": str(dtype).removeprefix("torch.")}
    arrays = dark_numpy.crop(
        [image.numpy() for image in sources], index, maps.numpy(), *size, interpolation=kind, **name
    )
    assert np.array_equal(arrays, crops.numpy())


def test_reversed_arrays_are_read_where_they_lie() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    maps = transforms([torch.from_numpy(image)], torch.zeros(4, dtype=torch.int64), (9, 16)).numpy()
    for view in (image[..., ::-1], image[::-1], image[:, ::-1]):
        expected = dark_numpy.crop([view.copy()], [0] * 4, maps, 9, 16)
        assert np.array_equal(dark_numpy.crop([view], [0] * 4, maps, 9, 16), expected)


def test_normalized_levels_are_the_released_arithmetic() -> None:
    image = torch.arange(256, dtype=torch.uint8).repeat(3, 1).T.reshape(1, 256, 3).contiguous()
    crop = darkpose_ext.crop(
        [image],
        torch.tensor([0]),
        torch.eye(2, 3)[None],
        1,
        256,
        mean=MEAN[:3],
        std=STD[:3],
        dtype=torch.float32,
    )
    expected = (image.float() / 255 - torch.tensor(MEAN[:3])) / torch.tensor(STD[:3])
    assert torch.equal(crop[0], expected.permute(2, 0, 1))
    assert crop.is_contiguous(memory_format=torch.channels_last)


def test_threads_change_no_bit() -> None:
    sources = images(3)
    index = torch.randint(0, len(sources), (40,))
    maps = transforms(sources, index, (64, 48))
    arrays = [image.numpy() for image in sources]
    one, two = (
        dark_numpy.crop(arrays, index, maps.numpy(), 64, 48, threads=threads) for threads in (1, 3)
    )
    assert np.array_equal(one, two)


def test_no_crops_are_none() -> None:
    nothing = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2, 3)
    for of in (darkpose_ext, reference):
        assert of.crop(images(3), *nothing, 8, 6).shape == (0, 8, 6, 3)
        assert of.crop(images(3), *nothing, 8, 6, dtype=torch.float32).shape == (0, 3, 8, 6)
    assert dark_numpy.crop([np.zeros((1, 1, 3), np.uint8)], [], np.zeros((0, 2, 3)), 8, 6).size == 0


# ---- what torch knows of it ----------------------------------------------------------------------


def arguments(**change: Any) -> dict[str, Any]:
    image = torch.zeros(6, 7, 3, dtype=torch.uint8)
    given = {
        "images": [image, image],
        "index": torch.tensor([0, 1, 1]),
        "transform": torch.eye(2, 3).repeat(3, 1, 1),
        "height": 4,
        "width": 5,
    }
    return {**given, **change}


@pytest.mark.parametrize("change", [{}, {"dtype": torch.float16, "mean": [0.1, 0.2, 0.3]}], ids=str)
def test_opcheck_passes(device: str, change: dict[str, Any]) -> None:
    given = arguments(**change)
    tensors = [given.pop(name) for name in ("images", "index", "transform", "height", "width")]
    moved = [[image.to(device) for image in tensors[0]], *(t.to(device) for t in tensors[1:3])]
    torch.library.opcheck(torch.ops.dark.crop.default, (*moved, *tensors[3:]), given)


def test_one_compilation_serves_all_sizes_of_images_and_numbers_of_people() -> None:
    counter = CompileCounterWithBackend("aot_eager")

    @torch.compile(backend=counter, fullgraph=True, dynamic=True)
    def cut(image: Tensor, index: Tensor, transform: Tensor) -> Tensor:
        return torch.ops.dark.crop([image], index, transform, 8, 6).float() + 1

    for people, height, width in ((7, 20, 30), (5, 31, 17), (2, 64, 48)):
        image = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)
        index, maps = torch.zeros(people, dtype=torch.int64), torch.rand(people, 2, 3)
        assert torch.equal(
            cut(image, index, maps), darkpose_ext.crop([image], index, maps, 8, 6) + 1
        )
    assert counter.frame_count == 1


def test_vmap_is_refused_in_a_sentence() -> None:
    given = arguments()
    with pytest.raises(NotImplementedError, match="^crop: vmap is not given, index and transform"):
        torch.vmap(lambda t: torch.ops.dark.crop(given["images"], given["index"], t, 4, 5))(
            given["transform"][None]
        )


# ---- refusals ------------------------------------------------------------------------------------

IMAGE = torch.zeros(6, 7, 3, dtype=torch.uint8)
REFUSED: dict[str, dict[str, Any]] = {
    "images must be one tensor or more, got none": {"images": []},
    "images must be uint8, got float32": {"images": [IMAGE, IMAGE.float()]},
    "images must be [H, W, C] with a C of 1, 3 or 4, got [6, 7, 2]": {"images": [IMAGE[..., :2]]},
    "images must be [H, W, C] with a C of 1, 3 or 4, got [6, 7]": {"images": [IMAGE[..., 0]]},
    "images must have at least one and fewer than 2^29 rows and columns, got [0, 7, 3]": {
        "images": [IMAGE[:0]]
    },
    "images must have as many channels as the first, 3, got 1": {"images": [IMAGE, IMAGE[..., :1]]},
    "index must be int64, got int32": {"index": torch.zeros(3, dtype=torch.int32)},
    "index must be [N], got [3, 1]": {"index": torch.zeros(3, 1, dtype=torch.int64)},
    "transform must be float32 or float64, got float16": {"transform": torch.ones(3, 2, 3).half()},
    "transform must be [3, 2, 3] to go with index [3], got [2, 3]": {"transform": torch.eye(2, 3)},
    "height and width must be at least 1 and less than 2^29, got 0 and 5": {"height": 0},
    "height and width must be at least 1 and less than 2^29, got 4 and 536870912": {"width": 2**29},
    "interpolation must be one of bilinear, bicubic, got lanczos": {"interpolation": "lanczos"},
    "dtype must be float16, bfloat16, float32 or float64, got uint8": {"dtype": torch.uint8},
    "mean must go with a dtype, got none": {"mean": [0.1, 0.2, 0.3]},
    "std must have 3 values, one a channel, got 2": {"std": [1.0, 1.0], "dtype": torch.float32},
    "mean must be finite, got [0, nan, 0]": {"mean": [0.0, math.nan, 0.0], "dtype": torch.float32},
    "std must be positive and finite, got [1, 0, 1]": {
        "std": [1.0, 0.0, 1.0],
        "dtype": torch.float32,
    },
}
IN_MEMORY: dict[str, dict[str, Any]] = {
    "index must be from 0 to 1 to go with 2 images, got 2": {"index": torch.tensor([0, 2, 1])},
    "index must be from 0 to 1 to go with 2 images, got -1": {"index": torch.tensor([0, -1, 1])},
    "transform must be finite, in float32 too, got nan": {
        "transform": torch.full((3, 2, 3), math.nan)
    },
    "transform must be finite, in float32 too, got 1e+300": {
        "transform": torch.full((3, 2, 3), 1e300, dtype=torch.float64)
    },
}
PATHS: dict[str, tuple[Callable[..., Any], type[Exception] | tuple[type[Exception], ...]]] = {
    "public": (darkpose_ext.crop, (ValueError, TypeError)),
    "op": (torch.ops.dark.crop, RuntimeError),
    "twin": (reference.crop, (ValueError, TypeError)),
}


def refusal(call: Callable[..., Any], error: Any, change: dict[str, Any]) -> str:
    with pytest.raises(error) as caught:
        call(**arguments(**change))
    return str(caught.value)


@pytest.mark.parametrize("words", [*REFUSED, *IN_MEMORY])
def test_what_cannot_be_cut_is_named_in_one_sentence(words: str) -> None:
    change = {**REFUSED, **IN_MEMORY}[words]
    for name, (call, error) in PATHS.items():
        if name != "twin" or words in REFUSED:
            assert refusal(call, error, change) == f"crop: {words}", name
    if words in REFUSED:
        with FakeTensorMode(allow_non_fake_inputs=True):
            assert refusal(torch.ops.dark.crop, (ValueError, TypeError), change) == f"crop: {words}"


@pytest.mark.parametrize("words", [*REFUSED, *IN_MEMORY])
def test_numpy_says_the_same(words: str) -> None:
    change = {**REFUSED, **IN_MEMORY}[words]
    given = arguments(**change)
    arrays = {name: v.numpy() if isinstance(v, Tensor) else v for name, v in given.items()}
    arrays["images"] = [image.numpy() for image in given["images"]]
    if given["index"].dtype == torch.int32:
        return  # NumPy's integers are taken of any size
    if dtype := given.get("dtype"):
        arrays["dtype"] = str(dtype).removeprefix("torch.")
    with pytest.raises((ValueError, TypeError)) as caught:
        dark_numpy.crop(**arrays)
    assert str(caught.value) == f"crop: {words}"
