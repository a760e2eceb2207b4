# SPDX-License-Identifier: Apache-2.0
"""Pose networks that are none of ours, called what they are by their keys."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

_LONGEST_HEADER = 10_000_000  # bytes
_HUGGING_FACE = "use huggingface: and its folder or name on the hub in place of the file"
_AUTHORS = "use huggingface: and the name of the same network there, as transformers has it"
_SIMCC = "whose output is two rows for each joint and no heatmap"
_DETECTOR = "which finds people and joints at once"
YOLO = f"a YOLO, {_DETECTOR}"

# All of the patterns are searched in the keys, one a line, without wrappers.
_OTHERS: tuple[tuple[tuple[str, ...], str], ...] = (
    ((r"hgs\.",), "princeton's Stacked Hourglass, which is another one than DarkPose's"),
    (
        (r"backbone\.encoder\.layer\.\d+\.", r"head\.(conv|deconv1)\."),
        f"a ViTPose: {_HUGGING_FACE}",
    ),
    ((r"(model\.)?embeddings\.", r"decode_head\.predictor\."), f"a Sapiens2: {_HUGGING_FACE}"),
    (
        (r"backbone\.(blocks|layers)\.\d+\.attn\.", r"head\.conv_layers\."),
        f"a Sapiens by its authors' keys: {_AUTHORS}",
    ),
    (
        (r"backbone\.(blocks|layers)\.\d+\.attn\.", r"(keypoint_head|head)\."),
        f"a ViTPose by its authors' or mmpose's keys: {_AUTHORS}",
    ),
    ((r"(.+\.)?(mlp_head_x|cls_x)\.",), f"a SimCC network such as RTMPose, {_SIMCC}"),
    (
        (r"(.+\.)?(keypoint_predictor\.kps_score_lowres|keypoint_head\.score_lowres)\.",),
        f"a Keypoint R-CNN, {_DETECTOR}",
    ),
    ((r"(model\.)?\d+\.(cv4\.\d+\.\d+|m_kpt)\.",), YOLO),
)


def other_network(keys: Iterable[str]) -> str | None:
    """Return what network of other people has such keys, and what to do; None: none known here."""
    lines = "\n".join(keys)
    for patterns, what in _OTHERS:
        if all(re.search(f"^{pattern}", lines, re.MULTILINE) for pattern in patterns):
            return what
    return None


def of_safetensors(path: Path) -> str:
    """Return what a file that safetensors wrote is, by its keys; no more of it is read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            keys = json.loads(file.read(min(length, _LONGEST_HEADER)))
    except (ValueError, RecursionError):
        keys = {}
    found = other_network(keys) if isinstance(keys, dict) else None
    return found or "a file of safetensors, which is not converted"
