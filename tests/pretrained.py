# SPDX-License-Identifier: Apache-2.0
"""Folders as transformers' `save_pretrained` writes them, of small models with random weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

COCO_LABELS = (
    *("Nose", "L_Eye", "R_Eye", "L_Ear", "R_Ear", "L_Shoulder", "R_Shoulder", "L_Elbow"),
    *("R_Elbow", "L_Wrist", "R_Wrist", "L_Hip", "R_Hip", "L_Knee", "R_Knee", "L_Ankle", "R_Ankle"),
)
"""As the published ViTPose files spell them."""

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def vitpose(
    folder: Path,
    *,
    experts: int = 1,
    labels: Any = COCO_LABELS,
    seed: int = 0,
    **backbone: Any,
) -> Any:
    """Write a ViTPose, or a ViTPose+ of so many experts; return transformers' model."""
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    inside = {
        "image_size": [256, 192],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "out_indices": [2],
        **({"num_experts": experts, "part_features": 8} if experts > 1 else {}),
        **backbone,
    }
    config = transformers.VitPoseConfig(
        backbone_config=transformers.VitPoseBackboneConfig(**inside),
        id2label=dict(enumerate(labels)),
        label2id={label: k for k, label in enumerate(labels)},
        edges=[[15, 13], [13, 11], [0, 1]] if len(labels) == 17 else [],
    )
    processor = {
        "image_processor_type": "VitPoseImageProcessor",
        "do_affine_transform": True,
        "normalize_factor": 200.0,
        "size": {"height": 256, "width": 192},
    }
    return _written(transformers.VitPoseForPoseEstimation, config, processor, folder, seed)


def sapiens2(folder: Path, *, joints: int = 308, size: tuple[int, int] = (192, 256)) -> Any:
    """Write a Sapiens2; return transformers' model. Of 308 joints it has the published flip pairs
    and no names, of 17 COCO's names, of others neither."""
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    from darkpose.data.joint_sets import JOINT_SETS

    width, height = size
    pairs = [list(pair) for pair in JOINT_SETS["sapiens308"].flip_pairs] if joints == 308 else None
    config = transformers.Sapiens2Config(
        image_size=[height, width],
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_attention_heads=2,
        flip_pairs=pairs,
        **({"id2label": dict(enumerate(COCO_LABELS))} if joints == 17 else {"num_labels": joints}),
        head_config={"upsample_out_channels": [16, 16], "conv_out_channels": [16]},
    )
    processor = {
        "image_processor_type": "Sapiens2ImageProcessor",
        "keypoint_heatmap_downscale_factor": 4,
        "keypoint_heatmap_sigma": 6.0,
        "size": {"height": height, "width": width},
    }
    return _written(transformers.Sapiens2ForPoseEstimation, config, processor, folder)


def _written(
    network: Any, config: Any, processor: dict[str, Any], folder: Path, seed: int = 0
) -> Any:
    torch.manual_seed(seed)
    model = network(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():  # peaks in place of hardly any values
            value.mul_(5 if value.dim() > 1 and "head" not in name else 1)
    model.save_pretrained(folder)
    common = {"do_normalize": True, "do_rescale": True, "rescale_factor": 1 / 255}
    said = {**common, "image_mean": MEAN, "image_std": STD, **processor}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return model
