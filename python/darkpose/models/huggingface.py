# SPDX-License-Identifier: Apache-2.0
"""Models of Hugging Face's hub, or of folders that `save_pretrained` wrote, by `huggingface:MODEL`.

What such a model's heatmaps mean is in its configuration, in its image processor's file, and in the
table of `darkpose.models.families`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darkpose.codec import HeatmapCodec
from darkpose.data import joint_sets
from darkpose.data.spec import KeypointSpec
from darkpose.geometry import Convention
from darkpose.interop.huggingface import PADDING, SAPIENS2_SIGMA
from darkpose.models.families import EXPERTS, expert_of, family_of, plain
from darkpose.models.matching import describe, differences
from darkpose.models.model_files import PROCESSOR, ModelFiles
from darkpose.models.transformers import TransformersNetwork
from darkpose.values import finite, integers, shown

_UNNAMED = "LABEL_"  # what transformers calls a label that has no name
_SETS = {"apt36k": "ap10k"}  # of experts that are called by another data set than their joints

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """A pose model of transformers with all that its heatmaps mean.

    Args:
        name: of the hub or of a folder, with `huggingface:` before it or without.
        joints: what its joints are, where its files do not say; they win where these do. A set's
            name and a YAML file are as good, see `darkpose.data.spec`.
        expert: of a ViTPose+, see `darkpose.models.families.EXPERTS`.

    Every attribute raises OSError where a file is missing, ValueError where it is not what it
    should be, and ImportError without transformers.
    """

    name: str
    joints: KeypointSpec | str | Path | None = None
    expert: str | None = None

    @cached_property
    def files(self) -> ModelFiles:
        """What it is read from."""
        return ModelFiles(self.name)

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What `TransformersNetwork` takes."""
        said = self.files.configuration
        with self.files.naming("a configuration that darkpose knows"):
            made = plain(said)
            expert = expert_of({**made, "expert": self.expert})
            return made if expert is None else {**made, "expert": expert}

    @cached_property
    def spec(self) -> KeypointSpec:
        """Its joints."""
        given = self.joints
        if given is None:
            return self._named()
        spec = given if isinstance(given, KeypointSpec) else KeypointSpec.from_yaml(given)
        if spec.num_joints != len(self._labels):
            raise ValueError(
                f"joints must name the {len(self._labels)} joints of {self.files.shown}, "
                f"got {spec.num_joints}"
            )
        return spec

    @cached_property
    def codec(self) -> HeatmapCodec:
        """Sizes, sigma and convention."""
        values, family = self.files.processor, family_of(self.configuration)
        sigma = family.sigma
        if sigma is None:
            given = values.get("keypoint_heatmap_sigma", SAPIENS2_SIGMA)
            sigma = finite([given], "keypoint_heatmap_sigma", 1).item()
        width, height = self._input_size
        scale = integers([values.get("keypoint_heatmap_downscale_factor", 4)], "scale", (1,)).item()
        return HeatmapCodec(
            (width, height),
            (width // scale, height // scale),
            sigma,
            Convention.udp,
            padding=PADDING,
            enlarging=family.enlarging,
        )

    @cached_property
    def normalization(self) -> dict[str, Any]:
        """`mean` and `std` of values from 0 to 1."""
        values = self.files.processor
        wanted = {"do_rescale": True, "rescale_factor": 1 / 255, "normalize_factor": 200.0}
        with self.files.naming(f"such a {PROCESSOR} as darkpose can follow"):
            for name, value in wanted.items():
                if abs(finite([values.get(name, value)], name, 1).item() - value) > 1e-6:
                    raise ValueError(f"{name} must be {value:g}, got {shown(values[name])}")
            if not values.get("do_normalize", True):
                return {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
            found = {n: finite(values.get(f"image_{n}"), f"image_{n}", 3) for n in ("mean", "std")}
        mean, std = (tuple(value.tolist()) for value in found.values())
        return {"mean": mean, "std": std}

    def network(self, num_joints: int) -> TransformersNetwork:
        """Return a network of its family with new weights, for so many joints."""
        return TransformersNetwork(self.configuration, num_joints)

    def check_expert(self) -> None:
        """Raise ValueError unless the expert is of the data set that the last layer is of."""
        if not self.expert_fits:
            raise ValueError(
                f"expert {self.configuration['expert']} has other joints than the last layer of "
                f"{self.files.shown}: name it only to train a new one, "
                "with model.expert of darkpose fit"
            )

    @property
    def expert_fits(self) -> bool:
        """Whether the last layer is of the data set that the expert is of, as far as that is known:
        the first one, which is asked if none is named, goes with any."""
        expert = str(self.configuration.get("expert", EXPERTS[0]))
        known = joint_sets.JOINT_SETS.get(_SETS.get(expert, expert))
        first = expert == EXPERTS[0]
        return first or (known is not None and known.names == self.spec.names)

    def weights(self) -> dict[str, Tensor]:
        """Return its tensors in full precision, by the keys of `TransformersNetwork`.

        Raises:
            ValueError: as `ModelFiles.weights`.
        """
        with torch.device("meta"):
            network = self.network(len(self._labels))
        found = self.files.weights(network.model)
        return {f"model.{key}": value for key, value in found.items()}

    @property
    def named(self) -> bool:
        """Whether its files say what its joints are."""
        return not self._labels[0].startswith(_UNNAMED) or self._known is not None

    @property
    def _labels(self) -> list[str]:
        """The joints' names as its configuration has them."""
        labels = self.files.configuration.get("id2label")
        if isinstance(labels, Mapping) and len(labels):
            with self.files.naming("joints' names by number"):
                return [str(labels[key]) for key in sorted(labels, key=int)]
        return [f"{_UNNAMED}{k}" for k in range(int(self.files.configuration.get("num_labels", 2)))]

    @property
    def _input_size(self) -> tuple[int, int]:
        """(width, height) in pixels, as configuration and processor have it."""
        size = self.files.processor.get("size")
        with self.files.naming("sizes in pixels"):
            backbone = self.configuration.get("backbone_config", self.configuration)
            height, width = integers(backbone["image_size"], "image_size", (2,)).tolist()
            given = (size["width"], size["height"]) if isinstance(size, Mapping) else size
        if given != (width, height):
            raise ValueError(
                f"size in {PROCESSOR} of {self.files.shown} must be {width} wide and {height} high "
                f"as its configuration says, got {shown(size)}"
            )
        return width, height

    def _named(self) -> KeypointSpec:
        """Return the joints that its files tell."""
        names = self._labels
        if not self.named:
            raise ValueError(
                f"{self.files.shown} must name its {len(names)} joints in id2label, "
                f"got {names[0]}: darkpose convert makes a checkpoint of it with --joints"
            )
        known = self._known or joint_sets.matching(names)
        names = list(names if known is None else known.names)
        with self.files.naming("joints that go together"):
            pairs, limbs = (
                [[names[k] for k in pair] for pair in given] if given else None
                for given in (self.files.configuration.get(key) for key in ("flip_pairs", "edges"))
            )
            return KeypointSpec.from_names(
                names, flip_pairs=pairs, skeleton=limbs, like=known, file=self.name
            )

    @cached_property
    def _known(self) -> KeypointSpec | None:
        """The joints of its family's published models, if its flip pairs are theirs: most of them,
        and none that exchanges other joints."""
        known = joint_sets.JOINT_SETS.get(family_of(self.configuration).joints)
        if known is None or known.num_joints != len(self._labels):
            return None
        with self.files.naming("flip_pairs"):
            said = {frozenset(pair) for pair in self.files.configuration.get("flip_pairs") or ()}
        pairs = {frozenset(pair) for pair in known.flip_pairs}
        paired = frozenset().union(*pairs)
        same = 2 * len(said & pairs) > len(pairs) and not any(
            pair & paired for pair in said - pairs
        )
        return known if same else None


def initialize(
    network: nn.Module, name: str, spec: KeypointSpec, *, last_layer: bool = True
) -> None:
    """Replace a network's weights by a model's, as far as the model has them.

    Args:
        network: of the model's family and size.
        name: `huggingface:MODEL`.
        spec: the network's joints. If the model's are others, or of another expert, the last layer
            stays new.
        last_layer: take it over where the joints are the same.

    Raises:
        ImportError, OSError, ValueError: as `Pretrained`; or the network is of another kind.
    """
    if not isinstance(network, TransformersNetwork):
        raise ValueError(f"{name} can only initialize network {name}, got another network")
    found = Pretrained(name, expert=network.expert)
    weights, own = found.weights(), network.state_dict()
    same = last_layer and found.named and found.spec.names == spec.names and found.expert_fits
    if not same:
        weights |= {key: own[key] for key in own if key.startswith(network.joint_layer)}
    if wrong := differences(weights, own):
        raise ValueError(f"{name} must have the tensors of this network, got {describe(wrong)}")
    network.load_state_dict(weights)
    new = "" if same else f", with a new last layer for {spec.num_joints} joints"
    _logger.info("initialized from %s%s", name, new)
