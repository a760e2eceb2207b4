# SPDX-License-Identifier: Apache-2.0
"""From anyone's heatmaps and boxes to keypoints: where they are, in torch, in NumPy, and in little
memory."""

import doctest
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import darkpose
from darkpose import topdown
from darkpose.codec import HeatmapCodec
from darkpose.decoders import decoder_names
from darkpose.geometry import apply, box_to_crop, heatmap_to_image
from darkpose.interop.huggingface import sapiens2_post_process_pose_estimation
from darkpose.topdown import decode_topdown, heatmaps_to_image
from darkpose_ext import encode, gaussian_taps
from darkpose_ext.reference import mirror_back
from samples import gaussians, made_maps, random_centers

ROOT = Path(__file__).parents[1]
INPUT, HEATMAP, SIGMA = (192, 256), (48, 64), 2.0  # width, height
WIDTH, HEIGHT = HEATMAP
CONVENTIONS = ("hrnet", "darkpose", "udp")
BOXES = [(31.0, 17.5, 80.0, 210.25), (120.0, 4.0, 143.0, 60.0), (-20.0, 90.0, 61.0, 61.0)]
INDEX, PAIRS = [0, 2, 1, 4, 3], [(1, 2), (3, 4)]
FOUND = 0.01  # heatmap pixels, a Gaussian without noise, three sigma inside
IMAGE = 2e-3  # image pixels: float32 of some hundreds, an affine map apart


def made(kind: str = "noisy", people: int = 3, joints: int = 5) -> Tensor:
    """Return maps [N, K, H, W], some with their peak at the border."""
    return made_maps(kind, people * joints, HEIGHT, WIDTH).view(-1, joints, HEIGHT, WIDTH).float()


def as_arrays(*tensors: Any) -> list[Any]:
    return [value.numpy() if isinstance(value, Tensor) else value for value in tensors]


# ---- where they are ------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_matrices_are_those_of_geometry(convention: str) -> None:
    boxes = np.random.default_rng(0).uniform((-50, -50, 1, 1), (900, 900, 700, 700), (200, 4))
    for padding in (1.1, 1.25):
        matrices = heatmaps_to_image(boxes, HEATMAP, convention, padding)
        for box, matrix in zip(boxes, matrices, strict=True):
            crop = box_to_crop(box, INPUT, convention, padding)
            expected = heatmap_to_image(crop, INPUT, HEATMAP, convention)
            np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_gaussians_are_found_in_the_image_and_with_the_flip_test(convention: str) -> None:
    points = random_centers(15, HEIGHT, WIDTH, 3 * SIGMA)
    maps = gaussians(points, HEIGHT, WIDTH, SIGMA).view(3, 5, HEIGHT, WIDTH).float()
    to_image = [
        heatmap_to_image(box_to_crop(box, INPUT, convention), INPUT, HEATMAP, convention)
        for box in BOXES
    ]
    truth, pixel = points.view(3, 5, 2).numpy(), np.stack([m[:, :2].max() for m in to_image])
    in_image = np.stack([apply(m, p) for m, p in zip(to_image, truth, strict=True)])
    mirrored = WIDTH - 1 - points[:, 0]
    if convention == "hrnet":  # a heatmap pixel is input / 4 there
        mirrored += 0.75
    flipped = gaussians(torch.stack((mirrored, points[:, 1]), 1), HEIGHT, WIDTH, SIGMA)
    flipped = flipped.view_as(maps)[:, INDEX].float()
    for given in ({}, {"flipped": flipped, "flip_pairs": PAIRS}):
        coords, scores = decode_topdown(maps, BOXES, convention=convention, sigma=SIGMA, **given)
        expected = in_image.copy()
        if given and convention == "hrnet":  # what one column leaves of the three quarters, halved
            expected[..., 0] += 0.125 * np.array([m[0, 0] for m in to_image])[:, None]
        apart = np.abs(coords.numpy() - expected).max((1, 2)) / pixel
        assert apart.max() < FOUND and scores.min() > 0.8


@pytest.mark.parametrize("decoder", topdown.DECODERS)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_inside_the_map_it_is_what_a_codec_decodes(convention: str, decoder: str) -> None:
    points = random_centers(15, HEIGHT, WIDTH, 5 * SIGMA)
    maps = gaussians(points, HEIGHT, WIDTH, SIGMA).view(3, 5, HEIGHT, WIDTH).float()
    maps += 0.02 * torch.rand_like(maps)
    flipped = maps[:, INDEX].flip(-1) + 0.02 * torch.rand_like(maps)
    codec = HeatmapCodec(INPUT, convention=convention, flip_index=INDEX)
    matrices = [codec.heatmap_to_image(codec.crop(box)) for box in BOXES]
    to_image = torch.from_numpy(np.stack(matrices)).float()
    expected = codec.decode(maps, to_image, decoder=decoder, flipped=flipped)
    for pairs in (PAIRS, torch.tensor(PAIRS), INDEX, np.array(INDEX)):
        given: dict[str, Any] = {"flipped": flipped, "flip_pairs": pairs, "decoder": decoder}
        found = decode_topdown(maps, BOXES, convention=convention, sigma=SIGMA, **given)
        torch.testing.assert_close(found, expected, atol=IMAGE, rtol=0)
    assert (*topdown.DECODERS,) == decoder_names()


def test_boxes_are_of_one_image_or_of_several() -> None:
    maps, given = made(), {"convention": "udp", "sigma": SIGMA}
    expected, _ = decode_topdown(maps, BOXES, **given)
    for boxes in (
        torch.tensor(BOXES),
        np.array(BOXES),
        [BOXES[:2], [], BOXES[2:]],
        [np.array(BOXES[:1]), torch.tensor(BOXES[1:])],
    ):
        assert torch.equal(decode_topdown(maps, boxes, **given)[0], expected)
    for none in ([], [[], []], np.zeros((0, 4))):
        coords, scores = decode_topdown(maps[:0], none, **given)
        assert coords.shape == (0, 5, 2) and scores.shape == (0, 5)


def test_taps_are_a_kernels_size_or_themselves() -> None:
    maps = made("noisy")
    found = {
        name: decode_topdown(maps, BOXES, convention="udp", sigma=SIGMA, taps=taps)[0]
        for name, taps in {"none": None, "own": gaussian_taps(SIGMA), 11: 11, 3: 3}.items()
    }
    assert torch.equal(found["none"], found["own"]) and torch.equal(found["none"], found[11])
    assert not torch.allclose(found["none"], found[3], atol=IMAGE)


# ---- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored_back", [False, True])
@pytest.mark.parametrize("kind", ["noisy", "borders", "signed_noise"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_arrays_have_the_bits_of_tensors(
    kind: str, dtype: torch.dtype, mirrored_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topdown, "_AT_ONCE", 7 * HEIGHT * WIDTH)  # in parts that are not whole
    maps, flipped = made(kind, 3, 9).to(dtype), made(kind, 3, 9).to(dtype)
    maps[1, 2, 5, 7] = torch.nan
    given = {"convention": "hrnet", "sigma": SIGMA, "mirrored_back": mirrored_back}
    given["flip_pairs"] = [(0, 1), (4, 5)]
    for other in (None, flipped):
        found = decode_topdown(maps, BOXES, flipped=other, **given)
        arrays = as_arrays(maps, other)
        same = decode_topdown(arrays[0], BOXES, flipped=arrays[1], **given)
        for one, expected in zip(same, found, strict=True):
            assert type(one) is np.ndarray and one.dtype == expected.numpy().dtype
            np.testing.assert_array_equal(one, expected.numpy())
        assert found[0].isnan().sum() == 2 and found[1].isnan().sum() == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_tensors_answer_on_their_device_as_arrays_do(device: str, dtype: torch.dtype) -> None:
    maps, flipped = (made("borders", 3, 9).to(dtype) for _ in range(2))
    given: dict[str, Any] = {"boxes": BOXES, "convention": "hrnet", "sigma": SIGMA}
    for flip in ({"flip_pairs": [(0, 1), (4, 5)]}, {"mirrored_back": True}):
        arrays = as_arrays(maps.float(), flipped.float())
        expected = decode_topdown(arrays[0], flipped=arrays[1], **flip, **given)
        there = maps.to(device, copy=True).requires_grad_()
        for found, of_arrays in zip(
            decode_topdown(there, flipped=flipped.to(device), **flip, **given),
            expected,
            strict=True,
        ):
            assert found.device.type == device and found.dtype == torch.float32
            assert not found.requires_grad
            torch.testing.assert_close(found.cpu(), torch.tensor(of_arrays), atol=IMAGE, rtol=1e-5)
    outputs = SimpleNamespace(heatmaps=maps.to(device))
    for person in sapiens2_post_process_pose_estimation(outputs, [BOXES], outputs)[0]:
        assert {value.device.type for value in person.values()} == {device}
        assert person["keypoints"].dtype == person["bbox"].dtype == torch.float32


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # as if it were not installed
import darkpose, numpy as np
from darkpose_ext.numpy import encode
maps, _ = encode(np.array([[[20.3, 31.8], [0.6, 12.2]]]), np.ones((1, 2)), 64, 48, sigma=2.0)
box, back = [(0, 0, 94, 126)], maps[..., ::-1]
for more in ({}, {"flipped": back, "flip_pairs": []}, {"flipped": maps, "mirrored_back": True}):
    coords, _ = darkpose.decode_topdown(maps, box, convention="udp", sigma=2.0, **more)
    print(((coords + (12.0625, 15.75)) / (2.5133, 2.5)).round(2).tolist())
print([name for name in sys.modules if "torch" in name])
"""


def test_arrays_need_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *found, modules = done.stdout.splitlines()
    assert found == ["[[[20.3, 31.8], [0.6, 12.2]]]"] * 3
    assert modules == "['torch']"


# ---- maps that are mirrored back, and memory -----------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 7 * HEIGHT * WIDTH, 2**30])
def test_maps_that_are_mirrored_back_are_averaged(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topdown, "_AT_ONCE", at_once)
    maps, flipped = made("borders"), made("borders")
    given: dict[str, Any] = {"convention": "udp", "sigma": SIGMA}
    back = mirror_back(flipped, INDEX)
    expected = decode_topdown(maps, BOXES, flipped=flipped, flip_pairs=INDEX, **given)
    found = decode_topdown(maps, BOXES, flipped=back, mirrored_back=True, **given)
    averages = decode_topdown((maps + back) / 2, BOXES, **given)
    for one, other, third in zip(found, expected, averages, strict=True):
        torch.testing.assert_close(one, other, atol=IMAGE, rtol=0)
        assert torch.equal(one, third)


def status(name: str) -> int:
    """Return a line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by Linux's /proc")
def test_beside_the_maps_little_is_allocated() -> None:
    people, joints, height, width = 4, 308, 256, 192
    points = random_centers(people * joints, height, width).view(people, joints, 2)
    maps, _ = encode(points.float(), torch.ones(people, joints), height, width, 6.0)
    boxes, index = [(0.0, 0.0, 300.0, 400.0)] * people, list(range(joints))[::-1]
    given: dict[str, Any] = {"convention": "udp", "sigma": 6.0}
    outputs = SimpleNamespace(heatmaps=maps)
    calls = {
        f"{kind}, {name}": lambda of=of, more=more: decode_topdown(of, boxes, **given, **more(of))
        for kind, of in (("tensor", maps), ("array", maps.numpy()))
        for name, more in {
            "alone": lambda of: {},
            "flip test": lambda of: {"flipped": of, "flip_pairs": index},
            "mirrored back": lambda of: {"flipped": of, "mirrored_back": True},
        }.items()
    }
    calls["drop-in"] = lambda: sapiens2_post_process_pose_estimation(outputs, [boxes], outputs)
    calls["what is seen"] = lambda: maps / 2
    beside = {}
    for name, call in calls.items():
        Path("/proc/self/clear_refs").write_text("5")  # the peak from now on
        before = status("VmRSS")
        call()
        beside[name] = (status("VmHWM") - before) / maps.nbytes
    assert beside.pop("what is seen") > 0.9
    assert max(beside.values()) < 1 / 8, beside


# ---- what is refused -----------------------------------------------------------------------------

MAPS = torch.zeros(3, 5, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heatmaps": [[1.0]]}, "heatmaps must be a tensor or a NumPy array, got list"),
        ({"heatmaps": MAPS[0]}, r"heatmaps must be \[N, K, H, W\] of .*, got \[5, 64, 48\]"),
        ({"heatmaps": MAPS.int()}, "heatmaps must be float16, bfloat16"),
        ({"heatmaps": MAPS.int().numpy()}, "heatmaps must be float16, bfloat16"),
        ({"boxes": None}, r"boxes must be a list of \(x, y, width, height\), got None"),
        ({"boxes": BOXES[0]}, "each of boxes must be a list of numbers, got 31.0"),
        ({"boxes": BOXES[:2]}, "one for each of the 3 people of heatmaps, got 2"),
        ({"boxes": [(1.0, 2.0, 3.0)] * 3}, r"boxes must be \(x, y, width, height\), got shape"),
        ({"boxes": [*BOXES[:2], (5, 5, 0, 9)]}, r"positive width .* got \[5.0, 5.0, 0.0, 9.0\]"),
        ({"boxes": [*BOXES[:2], (5, np.nan, 7, 9)]}, "boxes must be finite"),
        ({"boxes": [*BOXES[:2], (5, 5, 0.1, 0.1)]}, "crops wider than 1 pixel, got one of 0.125"),
        ({"padding": 0.0}, "padding must be positive, got 0.0"),
        ({"padding": np.nan}, "padding must be positive, got nan"),
        ({"sigma": -1.0}, "sigma must be positive"),
        ({"sigma": np.nan, "taps": 11}, "sigma must be positive"),
        ({"convention": "mmpose"}, "convention must be one of hrnet, darkpose, udp, got mmpose"),
        ({"taps": 4}, "size must be odd"),
        ({"decoder": "soft"}, "decoder must be one of argmax, standard, dark_unmodulated, dark"),
        ({"flipped": MAPS}, "flipped needs flip_pairs"),
        ({"flipped": MAPS, "flip_pairs": [(1, 5)]}, "must be of joints 0 to 4, got 1, 5"),
        ({"flipped": MAPS, "flip_pairs": [0, 1]}, "flip_pairs must be 5 whole numbers"),
        ({"flipped": MAPS, "flip_pairs": [(0, 1), (1, 2)]}, "permutation"),
        ({"flipped": MAPS.numpy(), "flip_pairs": []}, "a tensor .*, got an array"),
        (
            {"flipped": MAPS[1:], "mirrored_back": True},
            r"what heatmaps are, a tensor .* got a tensor \[2",
        ),
        ({"flipped": 1, "mirrored_back": True}, "flipped must be a tensor or a NumPy array"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change: dict[str, Any], message: str) -> None:
    given = {"heatmaps": MAPS, "boxes": BOXES, "convention": "darkpose", "sigma": SIGMA} | change
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        decode_topdown(**given)
    assert "\n" not in str(caught.value)


def test_the_docstrings_example_holds_and_the_package_has_the_name() -> None:
    assert darkpose.decode_topdown is decode_topdown
    result = doctest.testmod(topdown)
    assert result.attempted > 0 and result.failed == 0
