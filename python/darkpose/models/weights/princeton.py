# SPDX-License-Identifier: Apache-2.0
"""Key names of princeton-vl/pytorch_stacked_hourglass, in terms of ours, which are DarkPose's.

Both are Newell's network, with three differences. Princeton's hourglasses are nested modules, ours
a list by depth. Every residual block of princeton's has a convolution beside it, also where input
and output have the same channels and it is never used: these are dropped. And the second and third
residual block before the first hourglass go from 128 to 128 and 256 channels in princeton's, from
128 to 256 and 256 in DarkPose's: another function, which shows in the tensors' shapes.
"""

import re
from collections.abc import Mapping

from torch import Tensor

_DEPTH = 4  # halvings of an hourglass
_HOURGLASS = re.compile(r"hgs\.(\d+)\.0\.((?:low2\.)*)(up1|low1|low2|low3)\.")
_PLACES = {"up1": 0, "low1": 1, "low3": 2, "low2": 3}  # low2 where nothing deeper is nested
_BESIDE = re.compile(r"(.*\.)skip_layer\.conv\.(?:weight|bias)")
_RESIDUALS = {
    r"pre\.1\.": "layer1.0.",
    r"pre\.3\.": "layer2.0.",
    r"pre\.4\.": "layer3.0.",
    r"features\.(\d+)\.0\.": r"res.\1.0.",
}
_INSIDE_RESIDUAL = {r"(conv\d)\.conv\.": r"\1.", r"skip_layer\.conv\.": "downsample.0."}
_OTHERS = {
    r"pre\.0\.conv\.": "conv1.",
    r"pre\.0\.bn\.": "bn1.",
    r"features\.(\d+)\.1\.conv\.": r"fc.\1.0.",
    r"features\.(\d+)\.1\.bn\.": r"fc.\1.1.",
    r"outs\.(\d+)\.conv\.": r"score.\1.",
    r"merge_features\.(\d+)\.conv\.conv\.": r"fc_.\1.",
    r"merge_preds\.(\d+)\.conv\.conv\.": r"score_.\1.",
}


def is_princeton(keys: Mapping[str, Tensor]) -> bool:
    """Return whether these are princeton's key names, without prefixes."""
    return any(key.startswith("hgs.") for key in keys)


def used(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that the network computes with."""
    return {key: value for key, value in state.items() if not _is_unused(key, state)}


def _is_unused(key: str, state: Mapping[str, Tensor]) -> bool:
    beside = _BESIDE.fullmatch(key)
    if beside is None:
        return False
    before, after = (state.get(beside[1] + layer) for layer in ("bn1.weight", "conv3.conv.weight"))
    return before is not None and after is not None and before.shape[:1] == after.shape[:1]


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under our names; what princeton's network does not have keeps its own."""
    return {_name(key): value for key, value in state.items()}


def _name(key: str) -> str:
    if match := _HOURGLASS.match(key):
        stack, nested, place = match.groups()
        depth = _DEPTH - 1 - nested.count("low2")
        block = f"hg.{stack}.hg.{depth}.{_PLACES[place]}.0."
        return block + _replaced(key[match.end() :], _INSIDE_RESIDUAL)
    for pattern, block in _RESIDUALS.items():
        if match := re.match(pattern, key):
            return match.expand(block) + _replaced(key[match.end() :], _INSIDE_RESIDUAL)
    return _replaced(key, _OTHERS)


def _replaced(key: str, names: Mapping[str, str]) -> str:
    for pattern, name in names.items():
        if match := re.match(pattern, key):
            return match.expand(name) + key[match.end() :]
    return key
