# SPDX-License-Identifier: Apache-2.0
"""Convex outlines in the image plane, from which every part is put together."""

import cv2
import numpy as np

_CAP = np.linspace(-np.pi / 2, np.pi / 2, 7)


def capsules(
    start: np.ndarray,  # [P, 2] (x, y)
    end: np.ndarray,  # [P, 2]
    start_radius: np.ndarray,  # [P]
    end_radius: np.ndarray,  # [P]
    start_bulge: np.ndarray,  # [P] 1 for a round end, 0 for a flat one
    end_bulge: np.ndarray,  # [P]
) -> np.ndarray:
    """Return the outlines [P, 14, 2] of tapered capsules."""
    along = end - start
    length = np.linalg.norm(along, axis=1, keepdims=True)
    along = np.where(length > 1e-3, along / np.maximum(length, 1e-3), (0.0, 1.0))
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)

    def cap(center: np.ndarray, radius: np.ndarray, bulge: np.ndarray, sign: int) -> np.ndarray:
        forward = np.cos(_CAP)[:, None] * (sign * bulge * radius)[:, None, None] * along[:, None]
        sideways = np.sin(_CAP)[:, None] * (sign * radius)[:, None, None] * across[:, None]
        return center[:, None] + forward + sideways  # [P, 7, 2]

    return np.concatenate(
        [cap(start, start_radius, start_bulge, -1), cap(end, end_radius, end_bulge, 1)], axis=1
    )


def hull(*points: np.ndarray) -> np.ndarray:
    """Return the convex hull [N, 2] of point sets [., 2]."""
    return cv2.convexHull(np.concatenate(points).astype(np.float32))[:, 0].astype(np.float64)


def ellipse(center: np.ndarray, half_axes: np.ndarray, corners: int = 20) -> np.ndarray:
    """Return the outline [corners, 2] of an ellipse; ``half_axes`` [2, 2] holds them as columns."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return center + np.stack([np.cos(angles), np.sin(angles)], axis=1) @ half_axes.T
