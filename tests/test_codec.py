# SPDX-License-Identifier: Apache-2.0
"""The codec: coordinates survive the way into heatmaps and back, in every convention."""

import json

import numpy as np
import pytest
import torch

from darkpose.codec import HeatmapCodec, released_sigma
from darkpose.decoders import decoder_names
from darkpose.geometry import Convention, apply
from darkpose_ext import decode, gaussian_taps

DECODERS = decoder_names()

SIZES = ((96, 128), (192, 256), (288, 384))
ROUND_TRIP = 1e-3  # heatmap pixels
BOX = (37.0, 21.0, 120.0, 310.0)


def joints_inside(codec: HeatmapCodec, count: int, margin: float) -> torch.Tensor:
    """Return random joints [count, 1, 2] at least `margin` heatmap pixels from the border."""
    width, height = codec.input_size[0] // 4, codec.input_size[1] // 4
    low = torch.tensor([margin, margin])
    high = torch.tensor([width - 1 - margin, height - 1 - margin])
    return low + (high - low) * torch.rand(count, 1, 2)


@pytest.mark.parametrize("convention", list(Convention))
@pytest.mark.parametrize("size", SIZES)
def test_decode_recovers_what_encode_wrote_in_the_image(
    size: tuple[int, int], convention: Convention
) -> None:
    codec = HeatmapCodec(size, convention=convention)
    radius = len(gaussian_taps(released_sigma(size))) // 2
    crop = codec.crop(BOX)
    to_heatmap, to_image = codec.image_to_heatmap(crop), codec.heatmap_to_image(crop)
    truth = joints_inside(codec, 500, radius + 2)
    joints = torch.from_numpy(apply(to_image, truth.numpy())).float()

    count = len(truth)
    matrices = [torch.from_numpy(m).float().expand(count, 2, 3) for m in (to_heatmap, to_image)]
    heatmaps, weights = codec.encode(joints, torch.ones(count, 1), matrices[0])
    found, scores = codec.decode(heatmaps, matrices[1])

    back = apply(to_heatmap, found.numpy())
    assert np.abs(back - truth.numpy()).max() < ROUND_TRIP
    assert (weights == 1).all() and (scores <= 1).all() and (scores > 0.7).all()


def test_the_flip_test_of_aligned_conventions_changes_nothing_on_ideal_maps() -> None:
    for convention in (Convention.darkpose, Convention.udp):
        codec = HeatmapCodec((192, 256), convention=convention, flip_index=(1, 0))
        joints = joints_inside(codec, 50, 7).repeat(1, 2, 1)
        joints[:, 1] += torch.tensor([1.3, -0.7])
        heatmaps, _ = codec.encode(joints, torch.ones(50, 2))
        flipped = heatmaps.flip(-1)[:, [1, 0]]
        plain, tested = codec.decode(heatmaps)[0], codec.decode(heatmaps, flipped=flipped)[0]
        torch.testing.assert_close(tested, plain, atol=1e-4, rtol=0)


def test_the_flip_test_of_the_hrnet_convention_moves_by_one_column() -> None:
    codec = HeatmapCodec((192, 256), convention=Convention.hrnet, flip_index=(0,))
    heatmaps = torch.rand(3, 1, 64, 48)
    flipped = torch.rand(3, 1, 64, 48)
    expected = decode(heatmaps, gaussian_taps(2.0), flipped=flipped, flip_index=(0,), flip_shift=1)
    torch.testing.assert_close(codec.decode(heatmaps, flipped=flipped), expected)


def test_every_decoder_is_one_row_of_the_papers_tables() -> None:
    codec = HeatmapCodec((192, 256))
    joints = joints_inside(codec, 400, 7)
    heatmaps, _ = codec.encode(joints, torch.ones(400, 1))
    error = {
        name: (codec.decode(heatmaps, decoder=name)[0] - joints).norm(dim=-1).mean().item()
        for name in DECODERS
    }
    # Unbiased ideal maps: A.2.6's noiseless figures for argmax and the quarter shift.
    assert error["argmax"] == pytest.approx(0.38, abs=0.02)
    assert error["standard"] == pytest.approx(0.19, abs=0.02)
    assert error["dark_unmodulated"] < 1e-4 and error["dark"] < ROUND_TRIP


def test_the_border_is_the_codecs_and_dark_alone_has_it() -> None:
    stay, fit = (HeatmapCodec((96, 128), border=border) for border in ("stay", "fit"))
    heatmaps, _ = stay.encode(joints_inside(stay, 100, 0), torch.ones(100, 1))
    for name in DECODERS:
        found = stay.decode(heatmaps, decoder=name)[0], fit.decode(heatmaps, decoder=name)[0]
        assert torch.equal(*found) is (name != "dark")
    expected, _ = decode(heatmaps, gaussian_taps(1.0), border="fit")
    assert torch.equal(fit.decode(heatmaps)[0], expected)
    written = fit.to_dict()
    assert HeatmapCodec.from_dict(written) == fit
    assert written.pop("border") == "fit" and HeatmapCodec.from_dict(written) == stay


def test_the_biased_encoding_is_rounded_and_cut_off() -> None:
    codec = HeatmapCodec((192, 256), encoding="biased")
    heatmaps, _ = codec.encode(torch.tensor([[20.6, 30.4]]), torch.ones(1))
    expected, _ = codec.encode(torch.tensor([[21.0, 30.0]]), torch.ones(1))
    assert torch.equal(heatmaps, expected)
    assert int((heatmaps > 0).sum()) == 13 * 13


def test_loss_is_the_distance_to_what_encode_renders() -> None:
    for encoding in ("biased", "unbiased"):
        codec = HeatmapCodec((96, 128), encoding=encoding)
        joints, weights = joints_inside(codec, 5, 0), torch.rand(5, 1)
        target, counted = codec.encode(joints, weights)
        prediction = torch.rand_like(target)
        expected = 0.5 * (counted[..., None, None] * (prediction - target)).square().mean((-2, -1))
        torch.testing.assert_close(codec.loss(prediction, joints, weights), expected)


def test_a_codec_survives_being_written_down() -> None:
    codec = HeatmapCodec((192, 256), convention=Convention.udp, padding=1.1, flip_index=(1, 0, 2))
    assert HeatmapCodec.from_dict(codec.to_dict()) == codec
    assert HeatmapCodec.from_dict(json.loads(json.dumps(codec.to_dict()))) == codec


def test_the_padding_is_the_codecs() -> None:
    plain, padded = (HeatmapCodec((96, 128), padding=padding).crop(BOX) for padding in (1.0, 1.5))
    np.testing.assert_allclose(padded.size, 1.5 * np.array(plain.size))


def test_a_flip_test_without_flip_index_is_refused() -> None:
    heatmaps = torch.zeros(1, 2, 32, 24)
    with pytest.raises(ValueError, match="flipped needs a codec with flip_index"):
        HeatmapCodec((96, 128)).decode(heatmaps, flipped=heatmaps)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"input_size": (0, 128)}, "input_size and heatmap_size must be positive"),
        ({"encoding": "soft"}, "encoding must be one of unbiased, biased, dsnt, ipr, got soft"),
        ({"sigma": -1.0}, "sigma must be positive and finite, got -1"),
        ({"convention": "openpose"}, "must be one of hrnet, darkpose, udp, got openpose"),
        ({"heatmap_size": (24, 24)}, "heatmap_size must have the aspect ratio of input_size"),
        ({"padding": 0.0}, "padding must be positive, got 0"),
        ({"enlarging": "cubic"}, "enlarging must be one of bilinear, bicubic, got cubic"),
        ({"border": "mirror"}, "border must be one of stay, fit, got mirror"),
    ],
)
def test_an_impossible_codec_is_refused_in_words(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        HeatmapCodec(**{"input_size": (96, 128), **arguments})  # type: ignore[arg-type]


def test_maps_of_another_size_are_refused() -> None:
    codec = HeatmapCodec((96, 128))
    with pytest.raises(ValueError, match="heatmaps must be 32 x 24 for an input of 128 x 96"):
        codec.decode(torch.zeros(1, 1, 64, 48))
