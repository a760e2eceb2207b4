# SPDX-License-Identifier: Apache-2.0
"""The codecs for mmpose: its interface, its coordinates, and its results where those are sound.

Tested by themselves against oracles, and against mmpose's own codecs where mmpose is installed.
"""

import doctest
import importlib
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import oracles
from darkpose.geometry import apply, box_to_crop, image_to_heatmap, image_to_input, invert
from darkpose.interop import mmpose as codecs
from darkpose.interop.mmpose import DarkMSRAHeatmap, DarkUDPHeatmap, register
from darkpose_ext import gaussian_taps, opencv_taps
from samples import made_maps

EXAMPLES = Path(__file__).parents[1] / "examples"
INPUT, HEATMAP = (192, 256), (48, 64)  # width, height
SIGMA = 2.0
MSRA = {"input_size": INPUT, "heatmap_size": HEATMAP, "sigma": SIGMA}
KINDS = {
    "msra": lambda: DarkMSRAHeatmap(**MSRA, unbiased=True),
    "msra biased": lambda: DarkMSRAHeatmap(**MSRA),
    "udp": lambda: DarkUDPHeatmap(**MSRA),
}

BACK = 1e-3  # heatmap pixels, there and back
WHERE_ZEROS_PULL = 0.025  # heatmap pixels, the same from 3.5 to 5 of them from the border
TARGET = 2e-6  # of a peak of 1
RELEASED = 1e-3  # heatmap pixels, from released DARK, whose maps are float32
FORMS = 0.02  # heatmap pixels, DARK's second differences against UDP's, on smooth maps


def per_heatmap_pixel(kind: str) -> np.ndarray:
    """Return how many decoded pixels (x, y) there are to one of the heatmap."""
    inputs, heatmap = np.array(INPUT), np.array(HEATMAP)
    return inputs / (heatmap - 1) if kind == "udp" else inputs / heatmap


def to_heatmap(kind: str, points: np.ndarray) -> np.ndarray:
    """Take points from the input's pixels, as they are encoded, to the heatmap's."""
    if kind == "udp":
        return points * (np.array(HEATMAP) - 1) / (np.array(INPUT) - 1)
    return points * np.array(HEATMAP) / np.array(INPUT)


def joints(count: int, beyond: float = 0.0) -> np.ndarray:
    """Draw joints [1, count, 2] in the input, up to `beyond` pixels outside of it."""
    last = np.array(INPUT) - 1
    return np.random.uniform(-beyond, last + beyond, (1, count, 2))


# ---- by themselves -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["msra", "udp"])
def test_decoding_returns_what_was_encoded(kind: str) -> None:
    codec, given = KINDS[kind](), joints(400)
    encoded = codec.encode(given)
    keypoints, scores = codec.decode(encoded["heatmaps"])
    place = to_heatmap(kind, given)
    apart = np.abs(keypoints / per_heatmap_pixel(kind) - place)[0].max(-1)
    from_border = np.minimum(place, np.array(HEATMAP) - 1 - place)[0].min(-1)
    pulled = (from_border > 3) & (from_border < 5)
    assert apart.max() < WHERE_ZEROS_PULL and apart[~pulled].max() < BACK
    assert keypoints.shape == (1, 400, 2) and scores.shape == (1, 400)
    assert encoded["keypoint_weights"].shape == (1, 400)
    assert all(value.dtype == np.float32 for value in (keypoints, scores, *encoded.values()))


def test_sigma_three_is_smoothed_with_sigma_three() -> None:
    codec = DarkMSRAHeatmap((288, 384), (72, 96), sigma=3, unbiased=True)
    assert codec.blur_kernel_size == 17 == len(gaussian_taps(3.0))
    assert DarkUDPHeatmap((288, 384), (72, 96), sigma=3).blur_kernel_size == 17
    assert DarkUDPHeatmap(INPUT, HEATMAP).blur_kernel_size == 11
    named = DarkMSRAHeatmap((288, 384), (72, 96), sigma=3, unbiased=True, blur_kernel_size=11)
    assert named.blur_kernel_size == 11 and named._taps == opencv_taps(11)


def test_targets_are_those_of_the_released_codes() -> None:
    width, height = HEATMAP
    given = joints(60, beyond=60.0)
    visible = (np.random.rand(1, 60) > 0.2).astype(np.float32)
    for unbiased, target in ((True, oracles.darkpose_target), (False, oracles.hrnet_target)):
        codec = DarkMSRAHeatmap(INPUT, HEATMAP, 2, unbiased=unbiased)
        encoded = codec.encode(given, visible)
        rows = (given[0] / 4, visible[0], encoded["heatmaps"], encoded["keypoint_weights"][0])
        for point, weight, heatmap, found in zip(*rows, strict=True):
            expected, counts = target(tuple(point), weight, width, height, 2)
            if unbiased and (point < -3 * SIGMA - 1).any():
                expected, counts = np.zeros_like(expected), 0.0  # mmpose's rule, a pixel tighter
            assert np.abs(heatmap - expected).max() < TARGET
            assert found == counts
    assert 0 < (encoded["keypoint_weights"] == 0).mean() < 1


def test_udp_targets_are_gaussians_cut_to_three_sigma_round_the_nearest_pixel() -> None:
    given = joints(200, beyond=40.0)
    encoded = DarkUDPHeatmap(INPUT, HEATMAP).encode(given)
    y, x = np.mgrid[: HEATMAP[1], : HEATMAP[0]]
    for point, heatmap, weight in zip(
        to_heatmap("udp", given)[0],
        encoded["heatmaps"],
        encoded["keypoint_weights"][0],
        strict=True,
    ):
        near = np.floor(point + 0.5)
        inside = (np.abs(x - near[0]) <= 3 * SIGMA) & (np.abs(y - near[1]) <= 3 * SIGMA)
        squared = (x - point[0]) ** 2 + (y - point[1]) ** 2
        expected = np.exp(-squared / (2 * SIGMA**2)) * inside * weight
        assert np.abs(heatmap - expected).max() < TARGET
        assert weight == 1 or not inside.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_joint_that_is_not_visible_is_not_trained(kind: str) -> None:
    given = joints(4)
    encoded = KINDS[kind]().encode(given, np.array([[1.0, 0.0, 0.4, 0.6]], np.float32))
    np.testing.assert_allclose(encoded["keypoint_weights"], [[1, 0, 0, 0.6]], rtol=TARGET)
    assert (encoded["heatmaps"].max((1, 2)) > 0).tolist() == [True, False, False, True]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_people(kind: str) -> None:
    maps = made_maps("noisy", 34, *HEATMAP[::-1]).float().view(2, 17, *HEATMAP[::-1])
    codec = KINDS[kind]()
    assert codec.support_batch_decoding
    for batch in (maps, maps.numpy(), maps.flip(0, 3).numpy()[::-1, :, :, ::-1]):
        keypoints, scores = codec.batch_decode(batch)
        assert isinstance(keypoints, list) and isinstance(scores, list) and len(scores) == 2
        for person, found, score in zip(maps, keypoints, scores, strict=True):
            expected, expected_score = codec.decode(person.numpy())
            assert np.array_equal(found, expected) and np.array_equal(score, expected_score)
    assert codec.batch_decode(maps[:0]) == ([], [])


def test_each_kind_decodes_as_the_released_code_of_its_kind() -> None:
    maps = made_maps("noisy", 300, *HEATMAP[::-1]).float().numpy()
    dark = oracles.dark(maps, 11)
    last = np.array(HEATMAP) - 1
    inside = np.minimum(dark.argmax, last - dark.argmax).min(1) >= 2 * SIGMA
    compared = inside & dark.steps_within(3.0)
    for kind in ("msra", "udp"):
        found = KINDS[kind]().decode(maps)[0][0] / per_heatmap_pixel(kind)
        assert np.abs(found - dark.coords)[compared].max() < RELEASED and compared.sum() > 100
    found = KINDS["msra biased"]().decode(maps)[0][0] / per_heatmap_pixel("msra")
    assert np.abs(found - oracles.standard_shift(maps)).max() < RELEASED


@pytest.mark.parametrize("kind", ["msra", "udp"])
def test_mmposes_way_back_to_the_image_is_that_of_geometry(kind: str) -> None:
    convention = "udp" if kind == "udp" else "hrnet"
    crop = box_to_crop((40.0, 25.0, 130.0, 211.0), INPUT, convention)
    in_maps = np.random.uniform(12, 35, (1, 50, 2))
    given = apply(invert(image_to_heatmap(crop, INPUT, HEATMAP, convention)), in_maps)
    codec = KINDS[kind]()
    encoded = codec.encode(apply(image_to_input(crop, INPUT, convention), given))
    keypoints, _ = codec.decode(encoded["heatmaps"])
    # mmpose's TopdownPoseEstimator, whatever the codec
    back = keypoints / INPUT * crop.size + np.array(crop.center) - 0.5 * np.array(crop.size)
    image_pixels = max(crop.size[0] / HEATMAP[0], crop.size[1] / HEATMAP[1])
    assert np.abs(back - given).max() < BACK * 2 * image_pixels


def test_bad_input_is_refused() -> None:
    codec = KINDS["msra"]()
    for call, message in (
        (lambda: codec.encode(np.zeros((2, 3, 2))), r"keypoints must be \[1, K, 2\], got shape"),
        (lambda: codec.encode(np.zeros((1, 3, 2)), np.zeros((1, 2))), "keypoints_visible must be"),
        (lambda: codec.decode(np.zeros((3, 48, 64))), r"\[B, K, 64, 48\], got \[1, 3, 48, 64\]"),
        (lambda: DarkMSRAHeatmap(192, 48, 2), "input_size must be"),
        (lambda: DarkMSRAHeatmap(INPUT, HEATMAP, 0), "sigma"),
        (lambda: DarkMSRAHeatmap(INPUT, HEATMAP, 2, blur_kernel_size=4), "size must be odd"),
        (lambda: DarkUDPHeatmap(INPUT, HEATMAP, "combined"), "heatmap_type must be gaussian"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_registering_without_mmpose_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmpose", None)
    monkeypatch.delitem(sys.modules, "mmpose.registry", raising=False)
    with pytest.raises(ImportError, match="needs mmpose 1.x: pip install mmpose"):
        register()


def test_the_docstrings_examples_hold() -> None:
    result = doctest.testmod(codecs)
    assert result.attempted > 0 and result.failed == 0


def test_the_example_decodes_with_both_codecs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "mmpose_codec.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["DarkMSRAHeatmap", "DarkUDPHeatmap"]
    errors = [float(line.split(": ")[1].split()[0]) for line in lines]
    assert max(errors) < 0.25


# ---- in mmpose -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mmpose() -> Any:
    pytest.importorskip("mmpose", reason="mmpose is not installed: pip install mmpose")
    from mmpose.registry import KEYPOINT_CODECS

    register()
    importlib.import_module("darkpose.interop.mmpose_plugin")  # again is no error
    return KEYPOINT_CODECS


def built(registry: Any, kind: str, ours: bool) -> Any:
    """Build one of the codecs, or mmpose's own, from one configuration."""
    name = "UDPHeatmap" if kind == "udp" else "MSRAHeatmap"
    options = {"unbiased": kind == "msra"} if kind != "udp" else {}
    type_ = "Dark" + name if ours else name
    return registry.build(dict(type=type_, **MSRA | {"sigma": 2}, **options))


@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_those_of_mmpose(mmpose: Any, kind: str) -> None:
    given = joints(500, beyond=60.0).astype(np.float32)
    given = given[:, (to_heatmap(kind, given) > -0.5).all(-1)[0]]  # below, theirs rounds to zero
    visible = (np.random.rand(*given.shape[:2]) > 0.2).astype(np.float32)
    ours, theirs = (built(mmpose, kind, own).encode(given, visible) for own in (True, False))
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert ours[name].dtype == expected.dtype and ours[name].shape == expected.shape
        assert np.abs(ours[name] - expected).max() < TARGET
    assert 0 < theirs["keypoint_weights"].mean() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_coordinates_are_those_of_mmpose_inside_the_map(mmpose: Any, kind: str) -> None:
    maps = made_maps("clean", 300, *HEATMAP[::-1]).float().numpy()
    dark = oracles.dark(maps, 11)
    last = np.array(HEATMAP) - 1
    compared = np.minimum(dark.argmax, last - dark.argmax).min(1) >= 3 * SIGMA + 1
    compared &= dark.steps_within(3.0)
    (found, scores), (expected, their_scores) = (
        built(mmpose, kind, ours).decode(maps.copy()) for ours in (True, False)
    )
    assert found.shape == expected.shape and scores.shape == their_scores.shape
    assert np.array_equal(scores, their_scores) and compared.sum() > 50
    apart = np.abs(found - expected)[0, compared] / per_heatmap_pixel(kind)
    assert apart.max() < (FORMS if kind == "udp" else RELEASED)


@pytest.mark.parametrize("kind", ["msra", "udp"])
def test_near_the_border_ours_is_nearer_to_the_truth_than_mmposes(mmpose: Any, kind: str) -> None:
    given = joints(2000)
    place = to_heatmap(kind, given)[0]
    near = np.minimum(place, np.array(HEATMAP) - 1 - place).min(1) < 3
    heatmaps = KINDS["msra"]().encode(place[None] * 4)["heatmaps"][near]
    heatmaps = heatmaps + 0.02 * np.random.randn(*heatmaps.shape).astype(np.float32)

    def error(ours: bool) -> float:
        found = built(mmpose, kind, ours).decode(heatmaps)[0][0] / per_heatmap_pixel(kind)
        return float(np.linalg.norm(found - place[near], axis=1).mean())

    assert error(True) < error(False) / 4


@pytest.mark.parametrize("kind", KINDS)
def test_mmposes_transform_makes_targets_with_it(mmpose: Any, kind: str) -> None:
    from mmpose.datasets.transforms import GenerateTarget

    config = dict(type=type(KINDS[kind]()).__name__, **MSRA)
    given = joints(17).astype(np.float32)
    results = GenerateTarget(encoder=config).transform(
        {"transformed_keypoints": given, "keypoints_visible": np.ones((1, 17), np.float32)}
    )
    assert results["heatmaps"].shape == (17, 64, 48)
    assert results["field_mapping_table"] == {"heatmaps": "heatmaps"}
    assert results["label_mapping_table"] == {"keypoint_weights": "keypoint_weights"}


@pytest.mark.parametrize("kind", KINDS)
def test_mmposes_head_decodes_a_batch_with_it(mmpose: Any, kind: str) -> None:
    reason = "mmpose's models need mmdet, which needs the compiled mmcv"
    heads = pytest.importorskip("mmpose.models.heads", reason=reason, exc_type=ImportError)
    config = dict(type=type(KINDS[kind]()).__name__, **MSRA)
    head = heads.HeatmapHead(8, 17, deconv_out_channels=None, decoder=config)
    with torch.inference_mode():
        maps = head((torch.rand(3, 8, *HEATMAP[::-1]),))
        predicted = head.decode(maps)
    expected, scores = head.decoder.batch_decode(maps)
    for person, keypoints, score in zip(predicted, expected, scores, strict=True):
        assert np.array_equal(person.keypoints, keypoints) and person.keypoints.shape == (1, 17, 2)
        assert np.array_equal(person.keypoint_scores, score)
