# SPDX-License-Identifier: Apache-2.0
"""DARK: the coordinate representation of heatmap-based keypoint networks."""
