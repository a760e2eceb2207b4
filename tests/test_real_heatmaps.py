# SPDX-License-Identifier: Apache-2.0
"""Maps that networks trained by others predicted: faithful decoding, and the order of the paper."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import oracles
from conftest import Implementation
from darkpose.metrics import bootstrap_difference, oks
from darkpose_ext import opencv_taps
from tolerances import RELEASED, RELEASED_FLOAT64, ROUNDED, SIGNIFICANCE, UNDECIDED

FILES = ("hourglass_48x48", "cpm_96x96")
SIZE = {"hourglass_48x48": 11, "cpm_96x96": 17}  # of the modulation that suits each
# Channel -> COCO joint; the channels of head top and neck have none.
COCO = {2: 6, 3: 8, 4: 10, 5: 5, 6: 7, 7: 9, 8: 12, 9: 14, 10: 16, 11: 11, 12: 13, 13: 15}
SIGMAS = {5: 0.079, 7: 0.072, 9: 0.062, 11: 0.107, 13: 0.087, 15: 0.089}  # left; right is alike


@dataclass(frozen=True)
class Real:
    """One of the files, as it is."""

    heatmaps: np.ndarray  # [N, 14, H, W] float16
    center_scale: np.ndarray  # [N, 3]
    keypoints: np.ndarray  # [N, 17, 3]
    area: np.ndarray  # [N]

    def maps(self) -> np.ndarray:
        """Every map by itself, [N * 14, H, W] float32."""
        return self.heatmaps.reshape(-1, *self.heatmaps.shape[2:]).astype(np.float32)


@cache
def load(data: Path, name: str) -> Real:
    with np.load(data / "heatmaps" / f"{name}.npz") as file:
        fields = ("heatmaps", "center_scale", "keypoints", "area")
        return Real(**{field: file[field] for field in fields})


@cache
def released(data: Path, name: str, k: int | None, storage: type) -> oracles.Decoded:
    return oracles.dark(load(data, name).maps(), k, storage)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("k", [None, 3, 7, 11, 17])
@pytest.mark.parametrize("name", FILES)
def test_decode_dark_equals_released_on_every_real_map(
    ops: Implementation, data: Path, name: str, k: int | None, dtype: torch.dtype
) -> None:
    storage, tolerance = (
        (np.float64, RELEASED_FLOAT64) if dtype == torch.float64 else (np.float32, RELEASED)
    )
    expected = released(data, name, k, storage)
    maps = torch.from_numpy(load(data, name).maps())
    # The kernels decode every map; the slower implementations a share of them.
    chosen = slice(None, None, 8 if ops.name == "reference" else len(maps) // ops.count(len(maps)))
    coords, scores = ops.decode(
        maps[chosen, None].to(ops.device, dtype), opencv_taps(k) if k else []
    )
    actual = coords[:, 0].cpu().numpy()
    sound = expected.steps_within(3.0)[chosen]
    assert sound.mean() > 0.9
    assert np.abs(actual - expected.coords[chosen])[sound].max() <= tolerance
    decided = ~expected.undecided(UNDECIDED)[chosen]
    assert np.abs(actual - expected.guarded(3.0)[chosen])[decided].max() <= tolerance
    assert np.array_equal(scores[:, 0].cpu().numpy(), expected.scores[chosen])


@pytest.mark.parametrize("method", ["argmax", "standard", "second_max"])
@pytest.mark.parametrize("name", FILES)
def test_decode_without_taylor_equals_numpy_on_every_real_map(
    ops: Implementation, data: Path, name: str, method: str
) -> None:
    maps = load(data, name).maps()
    maps = maps[:: len(maps) // ops.count(len(maps))]
    expected = {
        "argmax": lambda h: oracles.argmax(h)[0],
        "standard": oracles.standard_shift,
        "second_max": oracles.second_max,
    }[method](maps)
    coords, _ = ops.decode(torch.from_numpy(maps)[:, None].to(ops.device), [], method=method)
    difference = np.abs(coords[:, 0].cpu().numpy() - expected)
    assert difference.max() <= (ROUNDED if method == "second_max" else 0)


@cache
def oks_by_decoder(data: Path, name: str, device: str) -> dict[str, np.ndarray]:  # each [N]
    """Return the persons' object keypoint similarities by decoder, worst first in the paper."""
    real = load(data, name)
    maps = torch.from_numpy(real.heatmaps).to(device)
    width = real.heatmaps.shape[-1]
    center, side = real.center_scale[:, None, :2], real.center_scale[:, None, 2:]
    joints = list(COCO.values())
    sigmas = [SIGMAS[j if j in SIGMAS else j - 1] for j in joints]

    def similarity(taps: list[float], method: str) -> np.ndarray:
        coords, _ = torch.ops.dark.decode(maps, taps, method=method)
        image = (coords.double().cpu().numpy() - width / 2) * side / width + center
        return oks(image[:, list(COCO)], real.keypoints[:, joints], real.area, sigmas)

    return {
        "argmax": similarity([], "argmax"),
        "standard": similarity([], "standard"),
        "dark without modulation": similarity([], "dark"),
        "dark": similarity(opencv_taps(SIZE[name]), "dark"),
    }


@pytest.mark.parametrize("better", ["standard", "dark without modulation", "dark"])
@pytest.mark.parametrize("name", FILES)
def test_decoders_rank_as_in_the_paper(device: str, data: Path, name: str, better: str) -> None:
    # Table 1: argmax < standard < DARK; Table 2: DARK without modulation < with.
    similarity = oks_by_decoder(data, name, device)
    order = list(similarity)
    worse = order[order.index(better) - 1]
    labeled = np.isfinite(similarity["argmax"])
    gain = bootstrap_difference(similarity[better][labeled], similarity[worse][labeled])
    assert gain.mean > 0 and gain.p <= SIGNIFICANCE, gain
