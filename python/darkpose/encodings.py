# SPDX-License-Identifier: Apache-2.0
"""What networks are trained toward: target heatmaps, or coordinates by a loss of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from darkpose.regression import RegressionLoss, dsnt_loss, ipr_loss


@dataclass(frozen=True)
class Encoding:
    """One of them."""

    targets: Mapping[str, Any] | None = None
    """How `darkpose_ext.encode` and `heatmap_mse` write joints; None: there are no heatmaps."""
    loss: RegressionLoss | None = None
    """Of coordinate regression."""


ENCODINGS: dict[str, Encoding] = {
    "unbiased": Encoding({"rounding": "none", "truncate": False}),  # DarkPose
    "biased": Encoding({"rounding": "round", "truncate": True}),  # HRNet, SimpleBaseline
    "dsnt": Encoding(loss=dsnt_loss),
    "ipr": Encoding(loss=ipr_loss),
}
"""By name, those of heatmaps first."""
if TYPE_CHECKING:
    EncodingName = str
else:
    EncodingName = Literal[tuple(ENCODINGS)]

HEATMAP_ENCODINGS = tuple(name for name, encoding in ENCODINGS.items() if encoding.targets)
