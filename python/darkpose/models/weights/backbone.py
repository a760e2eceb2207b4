# SPDX-License-Identifier: Apache-2.0
"""Initializes a network from weights that somebody has trained, ours or others', strictly."""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from darkpose.models.checkpoints import read_checkpoint
from darkpose.models.matching import complete, describe, differences
from darkpose.models.transformers import TransformersNetwork
from darkpose.models.weights.formats import (
    JOINT_LAYERS,
    joint_layers,
    joints_in,
    read_weights,
    without_classifier,
)

_NOT_IN_CLASSIFIERS = ("deconv_layers.", "final_layer.")

_logger = logging.getLogger(__name__)


def load_backbone(network: nn.Module, path: str | Path, *, backbone_only: bool = False) -> None:
    """Replace a network's weights by a file's, as far as the file has them.

    A ResNet or HRNet trained on ImageNet gives all but SimpleBaseline's deconvolutions and the last
    layer, which stay as they are. A pose network gives everything.

    Args:
        network: one of `darkpose.models`.
        path: a file of torchvision, timm, HRNet, SimpleBaseline, DarkPose, mmpose or darkpose
            itself; for a network of transformers only darkpose's. Nothing in it is ever executed.
        backbone_only: leave the layers whose size is the number of joints as they are. A pose
            network may then be for other joints.

    Raises:
        OSError: there is no such file.
        ValueError: it holds anything else than weights, weights are missing, left over or of
            another shape, or a pose network's joints are not as many. The network is unchanged.
    """
    given: Mapping[str, Tensor]
    own = network.state_dict()
    layers = joint_layers(network)
    if isinstance(network, TransformersNetwork):
        state = read_checkpoint(path)["state_dict"]
        given = {key.removeprefix("network."): value for key, value in state.items()}
    else:
        given = read_weights(path).tensors
    joints, wanted = (joints_in(tensors) for tensors in (given, own))
    left: tuple[str, ...] = ()
    if joints is None and layers == JOINT_LAYERS:
        given, left = without_classifier(given), _NOT_IN_CLASSIFIERS
    elif backbone_only:
        given = {key: value for key, value in given.items() if not key.startswith(layers)}
        left = layers
    elif joints is not None and joints != wanted:
        raise ValueError(
            f"{path} must be for the {wanted} joints of the network, got one for "
            f"{joints}: model.init_joints=false takes all but its last layer"
        )
    kept = {key: value for key, value in own.items() if key.startswith(left)}
    expected = {key: value for key, value in own.items() if key not in kept}
    if found := differences(given, expected):
        kind = "backbone" if joints is None else "network"
        raise ValueError(
            f"{path} must hold exactly the tensors of this {kind}, got {describe(found)}"
        )
    network.load_state_dict({**kept, **complete(given, expected)})
    _logger.info("initialized from %s, all but %d tensors", path, len(kept))
