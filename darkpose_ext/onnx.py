# SPDX-License-Identifier: Apache-2.0
"""Ops of `torch.ops.dark` in standard ONNX operators, so that files need no library.

    from darkpose_ext.onnx import OPSET, TRANSLATIONS

    torch.onnx.export(model, inputs, "pose.onnx", dynamo=True, opset_version=OPSET,
                      custom_translation_table=TRANSLATIONS)

`decode` and `decode_peaks` are served with all their arguments and types, `crop` for one image.
"""

from collections.abc import Callable
from typing import Any

import torch

from darkpose_ext import _library  # noqa: F401  (loads torch.ops.dark)
from darkpose_ext._onnx_crop import crop
from darkpose_ext._onnx_decode import decode
from darkpose_ext._onnx_peaks import decode_peaks

OPSET = 18
"""The version of ONNX's operators that are used."""

TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.dark.decode.default: decode,
    torch.ops.dark.decode_peaks.default: decode_peaks,
    torch.ops.dark.crop.default: crop,
}
"""For the argument `custom_translation_table` of `torch.onnx.export`."""
