# SPDX-License-Identifier: Apache-2.0
"""Sapiens2's heatmaps of 308 joints: where those are, and in place of transformers' own method.

Its image processor needs torchvision, and so do the tests that compare with it.
"""

import ast
import inspect
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pretrained
from benchmarks import crops
from darkpose.interop import huggingface
from darkpose.interop.huggingface import sapiens2_post_process_pose_estimation
from darkpose.topdown import decode_topdown, heatmaps_to_image
from darkpose_ext import encode, opencv_taps
from darkpose_ext.reference import mirror_back

BOXES = [(31.0, 17.5, 80.0, 210.25), (120.0, 4.0, 143.0, 60.0), (-20.0, 90.0, 61.0, 61.0)]
JOINTS, HEIGHT, WIDTH, SIGMA = 308, 256, 192, 6.0
UDP: dict[str, Any] = {"convention": "udp", "sigma": SIGMA}
PAIRS = [(left, left + 1) for left in range(0, JOINTS, 2)]
INDEX = [joint ^ 1 for joint in range(JOINTS)]
FOUND = 0.01  # heatmap pixels, of Gaussians without noise, at least three sigma inside
IMAGE = 2e-3  # image pixels: float32 of some hundreds


def skip_without_library(name: str) -> None:
    pytest.importorskip("transformers", reason="needs darkpose[huggingface]")
    if name == "Sapiens2" and find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed, which Sapiens2's image processor needs")


@pytest.fixture(scope="module")
def theirs() -> Any:
    """Return the library's method."""
    skip_without_library("Sapiens2")
    return crops.processor("Sapiens2").post_process_pose_estimation


def made(points: Tensor, noise: float = 0.0) -> Tensor:
    """Return heatmaps [N, K, H, W] with a Gaussian of the training at each point [N, K, 2]."""
    maps, _ = encode(points, torch.ones(points.shape[:2]), HEIGHT, WIDTH, SIGMA)
    return maps.add_(torch.randn_like(maps), alpha=noise) if noise else maps


def drawn(people: int, joints: int, margin: float) -> Tensor:
    last = torch.tensor([WIDTH - 1.0, HEIGHT - 1.0])
    return margin + torch.rand(people, joints, 2) * (last - 2 * margin)


def in_heatmap(coords: Tensor, boxes: Any) -> Tensor:
    matrices = torch.from_numpy(heatmaps_to_image(np.array(boxes), (WIDTH, HEIGHT), "udp"))
    return (coords - matrices[:, None, :, 2]) / matrices[:, None, [0, 1], [0, 1]]


def keypoints(results: list[list[dict[str, Tensor]]]) -> Tensor:
    return torch.stack([person["keypoints"] for image in results for person in image])


def outputs(maps: Tensor) -> Any:
    return SimpleNamespace(heatmaps=maps)


# ---- against the truth, and the library ----------------------------------------------------------


@pytest.mark.parametrize("flip_test", [False, True])
def test_gaussians_are_found_with_the_librarys_taps_and_ours(flip_test: bool) -> None:
    points, box = drawn(1, JOINTS, 3 * SIGMA), BOXES[:1]
    maps = made(points)
    flip: dict[str, Any] = {}
    back = None
    if flip_test:
        mirrored = points * torch.tensor([-1, 1]) + torch.tensor([WIDTH - 1, 0])
        flip = {
            "flipped": made(mirrored)[:, INDEX],
            "flip_pairs": PAIRS,
        }
        back = outputs(mirror_back(flip["flipped"], INDEX))
    found = [
        *(decode_topdown(maps, box, **UDP, **flip, taps=taps)[0] for taps in (None, 11)),
        *(
            keypoints(sapiens2_post_process_pose_estimation(outputs(maps), [box], back, size))
            for size in (11, None)
        ),
    ]
    for coords in found:
        assert (in_heatmap(coords, box) - points).norm(dim=-1).max() < FOUND


@pytest.mark.parametrize("flip_test", [False, True])
def test_the_library_finds_gaussians_where_ours_does(theirs: Any, flip_test: bool) -> None:
    points, box = drawn(1, JOINTS, 3 * SIGMA), [BOXES[0]]
    maps = outputs(made(points))
    given = (maps, [box], maps if flip_test else None)
    expected = in_heatmap(keypoints(theirs(*given)), box)
    assert (expected - points).norm(dim=-1).max() < FOUND
    for size in (11, None):
        found = in_heatmap(keypoints(sapiens2_post_process_pose_estimation(*given, size)), box)
        assert (found - expected).norm(dim=-1).max() < FOUND


def test_noise_comes_in_as_with_the_librarys_taps_and_less_with_the_trainings() -> None:
    points = drawn(2, 100, 3 * SIGMA)
    maps = made(points, 0.02)
    errors = [
        (in_heatmap(keypoints(of), BOXES[:2]) - points).norm(dim=-1).mean()
        for of in (
            sapiens2_post_process_pose_estimation(outputs(maps), [BOXES[:2]], kernel_size=size)
            for size in (11, None)
        )
    ]
    own, _ = decode_topdown(maps, BOXES[:2], **UDP, taps=opencv_taps(11))
    assert errors[0] == (in_heatmap(own, BOXES[:2]) - points).norm(dim=-1).mean()
    assert 0.045 < errors[0] < 0.075 and errors[1] < 0.5 * errors[0]


# ---- in place of theirs --------------------------------------------------------------------------


def parameters(function: Any) -> list[tuple[str, Any]]:
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(
    ("module", "ours"),
    [
        ("vitpose/image_processing_vitpose", huggingface.vitpose_post_process_pose_estimation),
        ("vitpose/image_processing_pil_vitpose", huggingface.post_process_pose_estimation),
        ("sapiens2/image_processing_sapiens2", sapiens2_post_process_pose_estimation),
    ],
)
def test_the_arguments_are_those_of_the_librarys_method(module: str, ours: Any) -> None:
    """As its source has them: two of the three classes need torchvision to be imported."""
    transformers = pytest.importorskip("transformers", reason="needs darkpose[huggingface]")
    source = Path(transformers.__file__).parent / "models" / f"{module}.py"
    (method,) = [
        node
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "post_process_pose_estimation"
    ]
    names = [argument.arg for argument in method.args.args]
    defaults = [ast.literal_eval(value) for value in method.args.defaults]
    required = [inspect.Parameter.empty] * (len(names) - len(defaults))
    assert parameters(ours) == list(zip(names, required + defaults, strict=True))[1:]
    assert not (method.args.kwonlyargs or method.args.vararg or method.args.kwarg)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("ViTPose", huggingface.vitpose_post_process_pose_estimation),
        ("Sapiens2", sapiens2_post_process_pose_estimation),
    ],
)
def test_the_arguments_are_those_that_inspect_finds(name: str, ours: Any) -> None:
    skip_without_library(name)
    assert parameters(ours) == parameters(crops.processor(name).post_process_pose_estimation)


def test_the_structure_is_that_of_theirs_and_inside_the_map_the_keypoints(theirs: Any) -> None:
    points = drawn(3, 4, 3 * SIGMA)
    maps, flipped = outputs(made(points, 0.01)), outputs(made(points, 0.01))
    sizes = torch.tensor([(480, 640), (100, 50), (300, 200)])
    boxes = [BOXES[:2], [], BOXES[2:]]
    for given in (
        {},
        {"threshold": float(maps.heatmaps.amax((2, 3)).median())},
        {"outputs_flipped": flipped, "kernel_size": 31},
        {"source_sizes": sizes},
        {"source_sizes": sizes, "target_sizes": sizes.flip(1).tolist()},
    ):
        ours = sapiens2_post_process_pose_estimation(maps, boxes, **given)
        expected = theirs(maps, [[list(box) for box in image] for image in boxes], **given)
        assert [len(people) for people in ours] == [len(people) for people in expected] == [2, 0, 1]
        for people, others in zip(ours, expected, strict=True):
            for person, other in zip(people, others, strict=True):
                assert person.keys() == other.keys()
                assert torch.equal(person["labels"], other["labels"])
                for key in ("scores", "bbox"):
                    torch.testing.assert_close(person[key], other[key])
                limit = 0.05 if "kernel_size" in given else 0.2  # image pixels, by the noise
                torch.testing.assert_close(
                    person["keypoints"], other["keypoints"], atol=limit, rtol=0
                )
    assert sapiens2_post_process_pose_estimation(outputs(maps.heatmaps[:0]), [[], []]) == [[], []]


def test_target_sizes_scale_keypoints_and_boxes_image_by_image() -> None:
    maps = outputs(made(drawn(3, 4, 3 * SIGMA)))
    boxes = [BOXES[:2], [], BOXES[2:]]
    source, target = [(480, 640), (9, 9), (300, 200)], [(240, 1280), (9, 9), (300, 100)]
    plain, scaled = (
        sapiens2_post_process_pose_estimation(maps, boxes, **given)
        for given in ({}, {"source_sizes": source, "target_sizes": torch.tensor(target)})
    )
    for image, factors in ((0, (2.0, 0.5)), (2, (0.5, 1.0))):
        for person, other in zip(plain[image], scaled[image], strict=True):
            factor = torch.tensor(factors)
            torch.testing.assert_close(other["keypoints"], person["keypoints"] * factor)
            torch.testing.assert_close(other["bbox"], person["bbox"] * factor.repeat(2))
    x, y, width, height = BOXES[0]
    assert plain[0][0]["bbox"].tolist() == [x, y, x + width, y + height]


def test_what_the_model_has_mirrored_back_is_not_mirrored_again(tmp_path: Path) -> None:
    network, pixels = pretrained.sapiens2(tmp_path, joints=6), torch.randn(2, 3, 256, 192)
    pairs = torch.tensor(PAIRS[:3])
    with torch.inference_mode():
        maps, flipped = (network(x).heatmaps for x in (pixels, pixels.flip(-1)))
        back = network(pixels.flip(-1), flip_pairs=pairs)
    assert torch.equal(mirror_back(flipped, INDEX[:6]), back.heatmaps)
    found = sapiens2_post_process_pose_estimation(outputs(maps), [BOXES[:2]], back)
    expected, scores = decode_topdown(
        maps, BOXES[:2], **UDP, taps=11, flipped=flipped, flip_pairs=pairs
    )
    torch.testing.assert_close(keypoints(found), expected, atol=IMAGE, rtol=0)
    assert torch.equal(torch.stack([person["scores"] for person in found[0]]), scores)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_sizes": [(1, 1)]}, "target_sizes need source_sizes"),
        ({"source_sizes": [(1, 1)] * 3}, "source_sizes must be .* each of 1 images, got shape"),
        ({"source_sizes": [(1, 0)]}, "source_sizes must be positive, got 0"),
        ({"kernel_size": 4}, "size must be odd"),
        ({"boxes": [BOXES[:2]]}, "one for each of the 3 people of heatmaps, got 2"),
        ({"outputs_flipped": outputs(torch.zeros(3, 4, 32, 20))}, "flipped must be what"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change: dict[str, Any], message: str) -> None:
    given = {"outputs": outputs(torch.zeros(3, 4, 32, 24)), "boxes": [BOXES]} | change
    with pytest.raises(ValueError, match=message) as caught:
        sapiens2_post_process_pose_estimation(**given)
    assert "\n" not in str(caught.value)
