# SPDX-License-Identifier: Apache-2.0
"""Keypoint codecs for mmpose 1.x: in a configuration only the codec's `type` changes.

    custom_imports = dict(imports=["darkpose.interop.mmpose_plugin"])
    codec = dict(type="DarkMSRAHeatmap", input_size=(192, 256), heatmap_size=(48, 64), sigma=2,
                 unbiased=True)

| `type` | in place of | input and heatmap correspond as in |
| --- | --- | --- |
| `DarkMSRAHeatmap` | `MSRAHeatmap` | `hrnet` (`darkpose.geometry`) |
| `DarkUDPHeatmap` | `UDPHeatmap` of Gaussians | `udp` |

Outside of configuration files `register()` does what the import does. The classes themselves need
no mmpose. They decode a batch at once where it is, on a CPU or a GPU: mmpose's heads see that they
can, and call `batch_decode`.

What differs from mmpose's codecs:

- DARK smooths with the training sigma where no `blur_kernel_size` is named. mmpose takes 11 then,
  which suits sigma 2; most of its configurations of DARK for 288x384, sigma 3, name none.
- A step is taken only where it is safe (`darkpose_ext.decode`); within two sigma of the border a
  Gaussian is fitted (its `border`).
- A map without a positive value gives its argmax, not (-1, -1); its score tells that it is none.
- Joints of a visibility below 0.5 get weight 0; there they keep it, as the weight of an empty map.
- Negative coordinates are rounded as others are, not toward zero (`darkpose_ext.encode`).

Keypoints are (x, y) in pixels of the network's input, [1, K, 2]: one person, as with mmpose's.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkpose.interop.border import as_array, decode_of, decode_to_the_border
from darkpose_ext import gaussian_taps, opencv_taps
from darkpose_ext.numpy import encode

Heatmaps = Any  # tensors or arrays


class _HeatmapCodec:
    """What mmpose asks of a codec, for both kinds."""

    # By these mmpose's `GenerateTarget` and `PackPoseInputs` know what `encode` takes and returns.
    auxiliary_encode_keys: frozenset[str] = frozenset()
    field_mapping_table = {"heatmaps": "heatmaps"}
    instance_mapping_table: dict[str, str] = {}
    label_mapping_table = {"keypoint_weights": "keypoint_weights"}
    support_batch_decoding = True

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    sigma: float
    blur_kernel_size: int
    """Of DARK's modulation: the one named, or that of a Gaussian of sigma."""
    scale_factor: NDArray[np.float32]
    """(x, y) input pixels per heatmap pixel."""

    _encoding: dict[str, object]  # of `darkpose_ext.encode`
    _dark = True  # else HRNet's quarter pixel
    _decoded_scale: NDArray[np.float32]  # (x, y) of a decoded coordinate per heatmap pixel

    def __init__(
        self,
        input_size: Sequence[int],
        heatmap_size: Sequence[int],
        sigma: float,
        blur_kernel_size: int | None,
    ) -> None:
        for name, given in (("input_size", input_size), ("heatmap_size", heatmap_size)):
            if np.shape(given) != (2,) or min(given) < 2:
                raise ValueError(f"{name} must be (width, height) of at least 2, got {given}")
        self.input_size = (int(input_size[0]), int(input_size[1]))
        self.heatmap_size = (int(heatmap_size[0]), int(heatmap_size[1]))
        self.sigma = float(sigma)
        size = blur_kernel_size
        self._taps = gaussian_taps(sigma) if size is None else opencv_taps(size)
        self.blur_kernel_size = len(self._taps)

    def encode(
        self,
        keypoints: ArrayLike,  # [1, K, 2]
        keypoints_visible: ArrayLike | None = None,  # [1, K]
    ) -> dict[str, NDArray[np.float32]]:
        """Return `heatmaps` [K, H, W] and `keypoint_weights` [1, K], float32.

        Args:
            keypoints: [1, K, 2] (x, y) in pixels of the network's input.
            keypoints_visible: [1, K]; below 0.5 a joint is not labeled. All are, if None.

        Raises:
            ValueError: for a wrong shape.
        """
        joints = np.asarray(keypoints, np.float64)
        if joints.ndim != 3 or joints.shape[0] != 1 or joints.shape[2] != 2:
            raise ValueError(f"keypoints must be [1, K, 2], got shape {list(joints.shape)}")
        visible = np.ones(joints.shape[:2], np.float32)
        if keypoints_visible is not None:
            visible = np.asarray(keypoints_visible, np.float32)
        if visible.shape != joints.shape[:2]:
            raise ValueError(
                f"keypoints_visible must be {list(joints.shape[:2])}, got {list(visible.shape)}"
            )
        points = joints / self.scale_factor
        centers = np.floor(points + 0.5) if self._encoding["truncate"] else points
        end = np.array(self.heatmap_size) + 3 * self.sigma
        reaches = ((centers >= -3 * self.sigma - 1) & (centers < end)).all(-1)
        width, height = self.heatmap_size
        heatmaps, weights = encode(
            points.astype(np.float32),
            np.where(reaches & (visible >= 0.5), visible, 0).astype(np.float32),
            height,
            width,
            self.sigma,
            **self._encoding,  # type: ignore[arg-type]
        )
        return {"heatmaps": heatmaps[0], "keypoint_weights": weights}

    def decode(self, encoded: Heatmaps) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return keypoints [1, K, 2] and scores [1, K] of one person's heatmaps [K, H, W]."""
        keypoints, scores = self.batch_decode(encoded[None])
        return keypoints[0], scores[0]

    def batch_decode(
        self, batch_encoded: Heatmaps
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Return for each of B people keypoints [1, K, 2] and scores [1, K].

        Args:
            batch_encoded: heatmaps [B, K, H, W], a tensor on any device or an array.

        Raises:
            ValueError: for a wrong shape.
        """
        width, height = self.heatmap_size
        if batch_encoded.ndim != 4 or tuple(batch_encoded.shape[2:]) != (height, width):
            raise ValueError(
                f"heatmaps must be [B, K, {height}, {width}], got {list(batch_encoded.shape)}"
            )
        read: Any = partial(decode_to_the_border, taps=self._taps)
        if not self._dark:
            read = partial(decode_of(batch_encoded), taps=[], method="standard")
        coords, scores = (as_array(found).astype(np.float32) for found in read(batch_encoded))
        return list((coords * self._decoded_scale)[:, None]), list(scores[:, None])


class DarkMSRAHeatmap(_HeatmapCodec):
    """In place of mmpose's `MSRAHeatmap`.

    Args:
        input_size: (width, height) of the network's input in pixels.
        heatmap_size: (width, height) of its heatmaps.
        sigma: of the Gaussians in heatmap pixels.
        unbiased: Gaussians at sub-pixel positions, decoded by DARK; else rounded, cut off and
            decoded by a quarter pixel, as HRNet's are.
        blur_kernel_size: of DARK's modulation with OpenCV's sigma for it; a Gaussian of `sigma` if
            None.

    Raises:
        ValueError: for an impossible size or sigma.

    >>> codec = DarkMSRAHeatmap((288, 384), (72, 96), sigma=3, unbiased=True)
    >>> keypoints, scores = codec.decode(codec.encode([[[101.7, 120.2]]])["heatmaps"])
    >>> codec.blur_kernel_size, [round(x, 1) for x in keypoints[0, 0].tolist()]
    (17, [101.7, 120.2])
    """

    def __init__(
        self,
        input_size: Sequence[int],
        heatmap_size: Sequence[int],
        sigma: float,
        unbiased: bool = False,
        blur_kernel_size: int | None = None,
    ) -> None:
        super().__init__(input_size, heatmap_size, sigma, blur_kernel_size)
        self.unbiased = self._dark = unbiased
        self.scale_factor = (np.array(input_size) / np.array(heatmap_size)).astype(np.float32)
        self._decoded_scale = self.scale_factor
        rounding = "none" if unbiased else "round"
        self._encoding = {"rounding": rounding, "truncate": not unbiased}


class DarkUDPHeatmap(_HeatmapCodec):
    """In place of mmpose's `UDPHeatmap` with Gaussian heatmaps.

    Like that one it decodes to pixels that are input_size / (input_size - 1) larger than those it
    encodes: mmpose makes up for it on the way back to the image, where its other codecs need it.

    Args:
        input_size, heatmap_size, sigma, blur_kernel_size: as in `DarkMSRAHeatmap`.
        heatmap_type: "gaussian".
        radius_factor: of the other type of heatmaps; here so that configurations may name it.

    Raises:
        ValueError: for an impossible size or sigma, or another type of heatmaps.
    """

    def __init__(
        self,
        input_size: Sequence[int],
        heatmap_size: Sequence[int],
        heatmap_type: str = "gaussian",
        sigma: float = 2.0,
        radius_factor: float = 0.0546875,
        blur_kernel_size: int | None = None,
    ) -> None:
        if heatmap_type != "gaussian":
            raise ValueError(f"heatmap_type must be gaussian, got {heatmap_type}")
        super().__init__(input_size, heatmap_size, sigma, blur_kernel_size)
        self.heatmap_type, self.radius_factor = heatmap_type, radius_factor
        input_, heatmap = np.array(self.input_size), np.array(self.heatmap_size)
        self.scale_factor = ((input_ - 1) / (heatmap - 1)).astype(np.float32)
        self._decoded_scale = (input_ / (heatmap - 1)).astype(np.float32)
        self._encoding = {"rounding": "none", "truncate": True}


def register() -> None:
    """Make mmpose know both classes by their names; a second time changes nothing.

    Raises:
        ImportError: mmpose is not installed.
    """
    try:
        from mmpose.registry import KEYPOINT_CODECS  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        if error.name not in ("mmpose", "mmpose.registry"):  # the latter: mmpose 0.x
            raise  # it lacks something itself
        raise ImportError("register needs mmpose 1.x: pip install mmpose") from error
    for codec in (DarkMSRAHeatmap, DarkUDPHeatmap):
        KEYPOINT_CODECS.register_module(module=codec, force=True)
