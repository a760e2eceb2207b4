# SPDX-License-Identifier: Apache-2.0
"""How good keypoints are: COCO's average precision, MPII's PCKh, and errors by joint."""

from darkpose.evaluate.metrics.ambiguity import Doubt, by_ambiguity
from darkpose.evaluate.metrics.coco import (
    STATS,
    coco_results,
    evaluate_oks,
)
from darkpose.evaluate.metrics.nme import box_normalizers, joint_normalizers, nme
from darkpose.evaluate.metrics.nms import oks_nms, soft_oks_nms
from darkpose.evaluate.metrics.oks import oks
from darkpose.evaluate.metrics.pck import (
    Difference,
    JointErrors,
    bootstrap_difference,
    error_table,
    pck,
    pck_per_joint,
    pck_per_person,
)
from darkpose.evaluate.metrics.pckh import PCKH_THRESHOLDS, PCKh, pckh

__all__ = [
    "PCKH_THRESHOLDS",
    "STATS",
    "Difference",
    "Doubt",
    "JointErrors",
    "PCKh",
    "bootstrap_difference",
    "box_normalizers",
    "by_ambiguity",
    "coco_results",
    "error_table",
    "evaluate_oks",
    "joint_normalizers",
    "nme",
    "oks",
    "oks_nms",
    "pck",
    "pck_per_joint",
    "pck_per_person",
    "pckh",
    "soft_oks_nms",
]
