# SPDX-License-Identifier: Apache-2.0
"""crop in standard ONNX operators gives what the op gives, within a gray level."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

onnx = pytest.importorskip("onnx", reason="needs darkpose[onnx]")
pytest.importorskip("onnxscript", reason="needs darkpose[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs darkpose[onnx]")

from darkpose.deploy.onnx import write  # noqa: E402
from darkpose_ext.onnx import TRANSLATIONS  # noqa: E402

WIDTH, HEIGHT = 24, 32
GRAY_LEVEL = 1
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
NORMALIZED = 1 / (255 * min(STD)) + 1e-6  # a gray level, and the rounding of float32


class Crops(torch.nn.Module):
    """One image's crops in every way."""

    def forward(self, image: Tensor, transform: Tensor) -> tuple[Tensor, ...]:
        index = torch.zeros(transform.shape[0], dtype=torch.int64)
        given = ([image], index, transform, HEIGHT, WIDTH)
        crop = torch.ops.dark.crop
        normalized = {"mean": MEAN, "std": STD, "interpolation": "bicubic"}
        return (
            crop(*given),
            crop(*given, interpolation="bicubic"),
            crop(*given, dtype=torch.float16),
            crop(*given, **normalized, dtype=torch.float64),
            *(
                crop(*given, **{one: normalized[one]}, dtype=torch.float32)
                for one in ("mean", "std")
            ),
        )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "crops.onnx"
    height, width, people = (torch.export.Dim(name, min=1) for name in ("height", "width", "N"))
    write(
        Crops().eval(),
        (torch.zeros(9, 7, 3, dtype=torch.uint8), torch.eye(2, 3).repeat(2, 1, 1)),
        path,
        input_names=["image", "transform"],
        dynamic_shapes=({0: height, 1: width}, {0: people}),
    )
    return path


def run(file: Path, image: Tensor, transform: Tensor) -> list[Tensor]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    given = {"image": image.numpy(), "transform": transform.numpy()}
    return list(map(torch.from_numpy, session.run(None, given)))


def noise(width: int, height: int) -> Tensor:
    """The hardest of pictures for interpolation: nothing is smooth."""
    made = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return torch.from_numpy(made)


def maps(width: int, height: int) -> Iterator[Tensor]:  # [2, 3]
    """Yield enlarged, turned, mirrored and shrunk crops, of the image's parts and of its whole."""
    yield torch.tensor([[width / WIDTH, 0, -0.3], [0, height / HEIGHT, 0.2]])
    for scale, angle, mirror in ((0.3, 0.5, 1), (1.0, 0.0, 1), (0.7, -2.0, -1), (3.1, 1.0, 1)):
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        linear = torch.tensor([[mirror * cosine, -sine], [mirror * sine, cosine]])
        for place in ((0.5, 0.5), (0.0, 1.0), (0.97, 0.02), (-2.0, 0.5)):
            center = torch.tensor([place[0] * width, place[1] * height])
            offset = center - linear @ torch.tensor([WIDTH / 2, HEIGHT / 2])
            yield torch.cat([linear, offset[:, None]], 1)


@pytest.mark.parametrize("size", [(1, 1), (51, 40), (1920, 1080), (20_000, 3), (2, 20_000)])
def test_onnx_crops_are_within_a_gray_level_of_the_op(file: Path, size: tuple[int, int]) -> None:
    image, transform = noise(*size), torch.stack([*maps(*size)])
    for found, expected in zip(run(file, image, transform), Crops()(image, transform), strict=True):
        assert found.dtype == expected.dtype
        within = NORMALIZED if found.is_floating_point() else GRAY_LEVEL
        assert (found.double() - expected.double()).abs().max() <= within
        assert expected[:13].double().std() > 0 or size == (1, 1)


def test_onnx_crops_of_nobody_are_none(file: Path) -> None:
    image, nobody = noise(51, 40), torch.zeros(0, 2, 3)
    shapes = [found.shape for found in run(file, image, nobody)]
    assert shapes == [found.shape for found in Crops()(image, nobody)]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_onnx_crops_by_what_is_no_number_are_black(file: Path, wrong: float) -> None:
    transform = torch.eye(2, 3).repeat(7, 1, 1)
    transform.view(7, 6)[range(6), range(6)] = wrong
    crops = run(file, torch.full((40, 51, 3), 200, dtype=torch.uint8), transform)[0]
    assert not crops[:6].any() and (crops[6] == 200).all()


def test_the_image_is_copied_once_in_float_and_never_expanded(file: Path) -> None:
    graph = onnx.shape_inference.infer_shapes(onnx.load(file)).graph
    whole = {}  # the types of what has the image's height and width
    for value in graph.value_info:
        sides = [dim.dim_param for dim in value.type.tensor_type.shape.dim]
        if {"height", "width"} <= set(sides):
            whole[value.name] = value.type.tensor_type.elem_type
    kinds = onnx.TensorProto
    assert sorted(whole.values()) == [kinds.FLOAT, kinds.UINT8, kinds.UINT8]
    samples = [node.input[0] for node in graph.node if node.op_type == "GridSample"]
    assert {whole[name] for name in samples} == {kinds.FLOAT} and len(samples) >= 2
    assert not {"Expand", "Tile"} & {node.op_type for node in graph.node}


def test_onnx_crops_of_several_images_are_refused() -> None:
    translate = TRANSLATIONS[torch.ops.dark.crop.default]
    with pytest.raises(ValueError, match="for one image and .* got 2 images and 4 x 3 pixels"):
        translate([None, None], None, None, 4, 3)
