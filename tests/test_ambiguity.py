# SPDX-License-Identifier: Apache-2.0
"""How high a joint's second peak is, and how much more often such joints are wrong."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from darkpose.codec import HeatmapCodec
from darkpose.data.joint_sets import COCO
from darkpose.decoders import ambiguity
from darkpose.evaluate.metrics import by_ambiguity
from darkpose.predict.predictor import Predictor
from darkpose.show.report.figures import ambiguity_table
from darkpose.show.report.matching import match
from predicting import BOXES, rgb_photo, untrained
from reporting import cells_of, evaluated
from samples import gaussians

NAN = math.nan
CODEC = HeatmapCodec((64, 64), flip_index=(1, 0))


def test_the_ambiguity_of_drawn_maps() -> None:
    """A second peak of 0.6 of the first; one, of the mirrored input alone; none; a map of zeros."""
    first, second = gaussians(torch.tensor([[4.0, 5.0], [11.0, 9.0]]), 16, 16, 1.0)
    maps = torch.stack((0.5 * first + 0.3 * second, first, first, 0 * first, first))
    maps[4, 0, 0] = NAN
    torch.testing.assert_close(
        ambiguity(CODEC, maps, None), torch.tensor([0.6, 0, 0, NAN, NAN]).double(), equal_nan=True
    )
    both = torch.stack((first, first))[None]
    mirrored = torch.stack((first, first + 0.8 * second))[None].flip(-1)  # of the other joint
    found = ambiguity(CODEC, both, mirrored)
    torch.testing.assert_close(found, torch.tensor([[0.4, 0.0]]).double())
    regressing = HeatmapCodec((64, 64), encoding="dsnt")
    assert ambiguity(regressing, both, None).isnan().all()


def test_a_predictor_says_how_sure_its_maps_are() -> None:
    predictor = Predictor(untrained(), device="cpu")
    boxes = np.concatenate([BOXES, [[10, 10, 0, 0]]])
    found = predictor(rgb_photo(), boxes)
    assert found.ambiguity.shape == (4, COCO.num_joints) and found.ambiguity.dtype == np.float32
    assert np.isnan(found.ambiguity[3]).all()
    assert ((found.ambiguity[:3] >= 0) & (found.ambiguity[:3] <= 1)).all()
    again = predictor(rgb_photo(), BOXES[:1]).ambiguity[0]
    np.testing.assert_allclose(again, found.ambiguity[0], atol=1e-4)


def test_shares_of_wrong_joints_by_hand() -> None:
    similarity = np.array([[0.1, 0.9, 0.8], [0.2, 0.9, NAN], [0.4, 0.1, 0.9]])
    ratios = np.array([[0.9, 0.1, 0.2], [0.6, 0.8, 0.9], [0.51, 0.5, NAN]])
    doubt = by_ambiguity(similarity, ratios)
    assert (doubt.ambiguous.count, doubt.others.count) == (4, 3)
    assert doubt.ambiguous.wrong == 0.75 and doubt.ambiguous.similarity == pytest.approx(0.4)
    assert doubt.others.wrong == pytest.approx(1 / 3)
    assert doubt.difference is not None
    assert doubt.difference.mean == pytest.approx(0.75 - 1 / 3)
    assert doubt.difference.low < doubt.difference.mean < doubt.difference.high
    assert by_ambiguity(similarity, 0 * ratios).difference is None


def test_the_report_sets_ambiguous_joints_beside_the_others(people: Path) -> None:
    evaluation = evaluated(people, ("dark",))
    assert ambiguity_table(match(evaluation)) == ""  # nobody has looked at the maps
    found = evaluation.predictions("dark")
    rows = np.arange(len(found.points))
    ratios = np.where(np.arange(found.scores.shape[1]) < 5, 0.7, np.full(found.scores.shape, 0.2))
    said = {"dark": found.points}, {"dark": found.scores}, ratios
    evaluation.put(rows, np.ones(len(rows), bool), *said)
    head, *kinds = cells_of(ambiguity_table(match(evaluation)), "Labeled joints by the height")
    assert head[:2] == ["second peak", "count"]
    for kind, joints in zip(kinds, (slice(5), slice(5, None)), strict=True):
        similarity = found.similarity[:, joints][found.labeled[:, joints]]
        wrong = 100 * (similarity < 0.5).mean()
        expected = [f"{similarity.size}", f"{wrong:.1f}", f"{similarity.mean():.3f}"]
        assert kind[1:] == expected
