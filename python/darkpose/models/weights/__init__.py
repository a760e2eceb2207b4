# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of other projects: read without executing anything, recognized, matched exactly."""

from darkpose.models.weights.backbone import load_backbone

__all__ = ["load_backbone"]
