# SPDX-License-Identifier: Apache-2.0
"""How good keypoints are: COCO's average precision, and errors by joint."""

from darkpose.metrics.oks import coco_results, evaluate_oks, oks, oks_nms, person_scores
from darkpose.metrics.pck import (
    Difference,
    JointErrors,
    bootstrap_difference,
    error_table,
    pck,
    pck_per_joint,
    pck_per_person,
)

__all__ = [
    "Difference",
    "JointErrors",
    "bootstrap_difference",
    "coco_results",
    "error_table",
    "evaluate_oks",
    "oks",
    "oks_nms",
    "pck",
    "pck_per_joint",
    "pck_per_person",
    "person_scores",
]
