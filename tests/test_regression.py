# SPDX-License-Identifier: Apache-2.0
"""Coordinate regression: expectations, losses as their authors define them, scores."""

import math

import numpy as np
import pytest
import torch

from darkpose.codec import HeatmapCodec
from darkpose.regression import decode_expectation, dsnt_loss, expectation, ipr_loss

_EXACT = 1e-4  # heatmap pixels, float32 sums over a map
_CLOSE = 1e-5  # relative, of losses


def gaussian_logits(points: torch.Tensor, height: int, width: int, sigma: float) -> torch.Tensor:
    """Return logits [..., H, W] whose softmax is a sampled Gaussian at points [..., 2]."""
    x, y = torch.arange(width), torch.arange(height)
    dx = (x - points[..., :1]).unsqueeze(-2)
    dy = (y - points[..., 1:]).unsqueeze(-1)
    return -(dx**2 + dy**2) / (2 * sigma**2)


def test_expectation_is_the_center_of_a_gaussian() -> None:
    points = torch.tensor([[[10.3, 15.8], [12.0, 7.25]]])
    found, probability = expectation(gaussian_logits(points, 32, 24, 1.0))
    assert torch.allclose(found, points, atol=_EXACT)
    assert torch.allclose(probability.sum((-2, -1)), torch.ones(1, 2))


def test_dsnt_loss_is_the_published_one() -> None:
    """Against a plain NumPy transcription of the definition, in DSNT's own coordinates."""
    height, width, sigma = 16, 12, 1.0
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, height, width))
    joints = rng.uniform(2, 9, size=(2, 3, 2))
    weights = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    xs = (2 * np.arange(width) - (width - 1)) / width
    ys = (2 * np.arange(height) - (height - 1)) / height
    total = 0.0
    for b, k in zip(*np.nonzero(weights), strict=True):
        z = np.exp(logits[b, k]) / np.exp(logits[b, k]).sum()
        mean = np.array([(z.sum(0) * xs).sum(), (z.sum(1) * ys).sum()])
        x = (2 * joints[b, k, 0] - (width - 1)) / width
        y = (2 * joints[b, k, 1] - (height - 1)) / height
        sx, sy = 2 * sigma / width, 2 * sigma / height
        target = np.exp(-0.5 * (((xs[None] - x) / sx) ** 2 + ((ys[:, None] - y) / sy) ** 2))
        target /= target.sum()
        middle = (z + target) / 2
        js = (
            0.5 * (z * np.log(z / middle)).sum()
            + 0.5
            * (np.where(target > 0, target * np.log(np.maximum(target, 1e-300) / middle), 0)).sum()
        )
        total += np.hypot(mean[0] - x, mean[1] - y) + js
    expected = total / weights.sum()
    arrays = (torch.from_numpy(a) for a in (logits, joints, weights))
    assert float(dsnt_loss(*arrays, sigma).mean()) == pytest.approx(expected, rel=_CLOSE)


def test_ipr_loss_is_the_l1_sum_per_person() -> None:
    points = torch.tensor([[[4.0, 5.0], [7.0, 8.0]], [[3.0, 3.0], [6.0, 2.0]]])
    offset = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[0.5, 0.5], [0.0, 0.0]]])
    weights = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    logits = gaussian_logits(points + offset, 16, 12, 0.7)
    expected = ((1 / 12) + (2 / 16) + (0.5 / 12 + 0.5 / 16)) / 2
    assert float(ipr_loss(logits, points, weights, 1.0).mean()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("loss", [dsnt_loss, ipr_loss])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_losses_and_gradients_are_finite_for_extreme_maps(loss, dtype: torch.dtype) -> None:
    top = min(torch.finfo(dtype).max, 1e30)
    logits = torch.zeros(1, 4, 16, 12, dtype=dtype)
    logits[0, 1] = top
    logits[0, 2, 3, 4] = top
    logits[0, 3] = -top
    logits.requires_grad_()
    # Joint 2 is met exactly, where the plain derivative of a Euclidean distance would be NaN.
    joints = torch.tensor([[[0.0, 0.0], [11.0, 15.0], [4.0, 3.0], [5.5, 7.5]]])
    value = loss(logits, joints, torch.ones(1, 4), 1.0)
    value.mean().backward()
    assert value.isfinite().all() and logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize("encoding", ["dsnt", "ipr"])
def test_joints_unlabeled_or_outside_the_map_teach_nothing(encoding: str) -> None:
    codec = HeatmapCodec((48, 64), encoding=encoding)
    logits = torch.randn(2, 2, 16, 12, requires_grad=True)
    joints = torch.tensor([[[3.0, 3.0], [12.6, 3.0]], [[-0.6, 5.0], [5.0, 15.7]]])
    loss = codec.loss(logits, joints, torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
    loss.mean().backward()
    assert (loss == 0).all() and (logits.grad == 0).all()


@pytest.mark.parametrize("encoding", ["dsnt", "ipr"])
def test_training_on_one_map_finds_the_joint(encoding: str) -> None:
    codec = HeatmapCodec((96, 128), encoding=encoding)
    logits = torch.zeros(1, 1, 32, 24, requires_grad=True)
    joint, weight = torch.tensor([[[7.3, 21.6]]]), torch.ones(1, 1)
    optimizer = torch.optim.Adam([logits], 0.1)
    for _ in range(400):
        optimizer.zero_grad()
        codec.loss(logits, joint, weight).mean().backward()
        optimizer.step()
    found, score = codec.decode(logits.detach())
    assert (found - joint).abs().max() < 0.1
    if encoding == "dsnt":  # its map becomes the small Gaussian; nothing holds IPR's map to a shape
        assert score.item() == pytest.approx(1 - math.exp(-2), abs=0.1)


def test_the_score_is_the_probability_within_two_sigmas() -> None:
    x, y = 10.2, 15.1  # off the pixels, so that none lies on the circle
    sharp = gaussian_logits(torch.tensor([[x, y]]), 32, 24, 1.0)
    _, scores = decode_expectation(torch.stack([sharp, torch.zeros_like(sharp)]), 1.0)
    squared = [(i - x) ** 2 + (j - y) ** 2 for i in range(24) for j in range(32)]
    near = sum(math.exp(-d / 2) for d in squared if d <= 4) / sum(math.exp(-d / 2) for d in squared)
    assert scores[0].item() == pytest.approx(near, abs=1e-4) and near > 0.8
    assert scores[1].item() < 0.02


def test_the_flip_test_averages_coordinates() -> None:
    codec = HeatmapCodec((96, 128), encoding="ipr", flip_index=(1, 0))
    points = torch.tensor([[[5.0, 20.0], [15.0, 10.0]]])
    mirrored = torch.stack([23 - points[..., 0] + 1.0, points[..., 1]], -1)[:, [1, 0]]
    maps, flipped = (gaussian_logits(p, 32, 24, 1.0) for p in (points, mirrored))
    found, _ = codec.decode(maps, flipped=flipped)
    assert torch.allclose(found, points - torch.tensor([0.5, 0.0]), atol=_EXACT)


def test_coordinates_come_back_in_image_pixels() -> None:
    codec = HeatmapCodec((96, 128), encoding="dsnt")
    crop = codec.crop((100, 50, 60, 90))
    to_heatmap = torch.from_numpy(codec.image_to_heatmap(crop)).float()[None]
    to_image = torch.from_numpy(codec.heatmap_to_image(crop)).float()[None]
    joints = torch.tensor([[[120.0, 80.0], [133.3, 101.7]]])
    inside = joints @ to_heatmap[:, :, :2].transpose(1, 2) + to_heatmap[:, :, 2].unsqueeze(1)
    found, _ = codec.decode(gaussian_logits(inside, 32, 24, 1.0), to_image)
    assert torch.allclose(found, joints, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("encoding", ["dsnt", "ipr"])
def test_autocast_rounds_neither_targets_nor_positions(encoding: str, dtype: torch.dtype) -> None:
    """Half precision has 8 to 11 bits: an image coordinate of 1000 would be pixels off."""
    codec = HeatmapCodec((96, 128), encoding=encoding, flip_index=(1, 0))
    crop = codec.crop((1003, 507, 613, 917))
    matrices = (codec.image_to_heatmap(crop), codec.heatmap_to_image(crop))
    to_heatmap, to_image = (torch.from_numpy(matrix).float()[None] for matrix in matrices)
    joints = torch.tensor([[[1203.3, 800.7], [1333.3, 1013.7]]])
    logits, weights = torch.randn(1, 2, 32, 24), torch.ones(1, 2)

    def both() -> tuple[torch.Tensor, ...]:
        loss = codec.loss(logits, joints, weights, to_heatmap)
        return loss, *codec.decode(logits, to_image, flipped=logits)

    plain = both()
    with torch.autocast("cpu", dtype):
        half = both()
    assert all(torch.equal(a, b) for a, b in zip(plain, half, strict=True))


def test_regression_says_that_it_has_no_heatmaps_and_which_decoder_it_has() -> None:
    codec = HeatmapCodec((96, 128), encoding="dsnt")
    with pytest.raises(ValueError, match="dsnt regresses coordinates"):
        codec.encode(torch.zeros(1, 1, 2), torch.ones(1, 1))
    with pytest.raises(
        ValueError, match="must be one of expectation, or module:function, got dark"
    ):
        codec.decode(torch.zeros(1, 1, 32, 24), decoder="dark")
