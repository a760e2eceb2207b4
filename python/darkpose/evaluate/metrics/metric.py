# SPDX-License-Identifier: Apache-2.0
"""Every metric that an evaluation has: an entry of `METRICS`, and training, files and reports have
its figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from darkpose.data.wholebody import parts
from darkpose.evaluate.metrics.coco import STATS, evaluate_oks
from darkpose.evaluate.metrics.nme import box_normalizers, nme
from darkpose.evaluate.metrics.pck import THRESHOLDS, pck
from darkpose.evaluate.metrics.pckh import MPII_GROUPS, PCKH_THRESHOLDS, pckh
from darkpose.evaluate.predictions import Predictions


@dataclass(frozen=True)
class Metric:
    """A way to score keypoints."""

    figures: Callable[[Predictions], dict[str, float]]
    """Its figures by name, those of `tables`; NaN for the mean of nothing."""
    needs: Callable[[Predictions], bool]
    """Whether what it compares with is known of these people; without, it has no figures."""
    tables: Mapping[str, Sequence[str]]
    """The names of all its figures, by the captions under which a report shows them. Of a name
    such as `PCKh@0.5/Knee`, a table's column has what follows the last stroke."""
    share: bool = True
    """Whether figures are shares, the higher the better, which a report shows in percent."""

    def __call__(self, found: Predictions) -> dict[str, float]:
        """Return the figures of people, nothing if what it needs is not known.

        Raises:
            ValueError: the figures are others than `tables` has.
        """
        if not self.needs(found):
            return {}
        figures = self.figures(found)
        names = [name for column in self.tables.values() for name in column]
        if figures.keys() != set(names):
            raise ValueError(f"a metric must return its tables' {names}, got {list(figures)}")
        return figures


def has_annotations(found: Predictions) -> bool:
    """Whether there is a COCO-style file with people to compare with."""
    return found.annotations is not None


def has_head_sizes(found: Predictions) -> bool:
    """Whether everybody's head is annotated, as MPII's are."""
    return not np.isnan(found.head_sizes).any()


def has_joints(found: Predictions) -> bool:
    """Whether anybody's joints are annotated; those of detected people are not."""
    return bool(found.labeled.any())


def _oks(found: Predictions) -> dict[str, float]:
    assert found.annotations is not None
    sigmas = found.subjects.spec.oks_sigmas
    return evaluate_oks(found.annotations, found.results(), sigmas, image_ids=found.image_ids)


def has_parts(found: Predictions) -> bool:
    """Whether there is a COCO-style file with people, whose joints are COCO-WholeBody's."""
    return has_annotations(found) and bool(parts(found.subjects.spec.names))


def _oks_by_part(found: Predictions) -> dict[str, float]:
    assert found.annotations is not None
    spec, results = found.subjects.spec, found.results()
    figures = {
        part: evaluate_oks(
            found.annotations, results, spec.oks_sigmas, image_ids=found.image_ids, joints=joints
        )["AP"]
        for part, joints in {**parts(spec.names), "whole": range(spec.num_joints)}.items()
    }
    figures["hands"] = (figures["left hand"] + figures["right hand"]) / 2
    return {f"AP/{part}": figures[part] for part in PARTS}


def _pckh(found: Predictions) -> dict[str, float]:
    joints = found.joints
    rows = pckh(found.points, joints, joints[..., 2], found.head_sizes)
    groups = {f"{name}/{g}": share for name, at in rows.items() for g, share in at.groups.items()}
    return {name: at.mean for name, at in rows.items()} | groups


def _pck(found: Predictions) -> dict[str, float]:
    return pck(found.points, found.joints, found.boxes, THRESHOLDS)


def _nme(found: Predictions) -> dict[str, float]:
    return {"NME": nme(found.points, found.joints, box_normalizers(found.boxes))}


PARTS = ("body", "foot", "face", "hands", "left hand", "right hand", "whole")
METRICS: dict[str, Metric] = {
    "OKS": Metric(_oks, has_annotations, {"OKS, as COCO evaluates, in percent": STATS}),
    "OKS by part": Metric(
        _oks_by_part,
        has_parts,
        {"AP by part, as COCO-WholeBody evaluates, in percent": [f"AP/{part}" for part in PARTS]},
    ),
    "PCKh": Metric(
        _pckh,
        has_head_sizes,
        {
            f"PCKh@{t:g}, in percent": [f"PCKh@{t:g}", *(f"PCKh@{t:g}/{g}" for g in MPII_GROUPS)]
            for t in PCKH_THRESHOLDS
        },
    ),
    "PCK": Metric(
        _pck,
        has_joints,
        {
            "Labeled joints within a share of the box's longer side, in percent": [
                f"PCK@{t:g}" for t in THRESHOLDS
            ]
        },
    ),
    "NME": Metric(
        _nme, has_joints, {"Mean error in roots of the box's area": ["NME"]}, share=False
    ),
}
"""In the order in which figures are shown; the first figure that people have chooses the best
checkpoint."""
