# SPDX-License-Identifier: Apache-2.0
"""A pose network with all that its heatmaps mean: what a checkpoint is, without a trainer."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from darkpose import models
from darkpose.codec import HeatmapCodec
from darkpose.data.dataset import Sample
from darkpose.data.spec import KeypointSpec
from darkpose.importing import is_import_path
from darkpose.models import huggingface, transformers
from darkpose.models.checkpoints import (
    FORMAT,
    METADATA,
    check_metadata,
    naming,
    read_checkpoint,
    write_checkpoint,
)
from darkpose.models.matching import complete, describe, differences
from darkpose.models.model_files import is_model
from darkpose.values import printable

# ImageNet's, as every released pose network has them: RGB, for values from 0 to 1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

Color = Literal["rgb", "bgr"]


class PoseModel(nn.Module):
    """A network, the normalization of its input, its codec and its joints.

    Args:
        codec: sizes, sigma, convention and encoding; its `flip_index` becomes that of the joints.
        spec: the joints.
        network: a name of `darkpose.models.create`.
        configuration: of the network, if it is of transformers.
        color: order of the channels that the network is given. SimpleBaseline and Hourglass were
            released with "bgr", and the mean and std of red for blue.
        mean: of the values from 0 to 1 that the network is given as 0, for its first, second and
            third channel.
        std: of these values, which the network is given as 1.
        channels_last: memory layout of the network; one of transformers keeps its own.

    Raises:
        ImportError, ValueError: as `darkpose.models.create`; the codec's sizes are not the
            network's.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        codec: HeatmapCodec,
        spec: KeypointSpec,
        network: str = "small",
        *,
        configuration: Mapping[str, Any] | None = None,
        color: Color = "rgb",
        mean: tuple[float, float, float] = MEAN,
        std: tuple[float, float, float] = STD,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.codec = replace(codec, flip_index=spec.flip_index)
        self.spec, self.color = spec, color
        self.network = models.create(network, spec.num_joints, codec.input_size, configuration)
        configuration = getattr(self.network, "configuration", {})
        self.network_name: str = configuration.get("model_type", network)
        found = models.heatmap_size(self.network, codec.input_size, spec.num_joints)
        if codec.heatmap_size != found:
            raise ValueError(
                f"codec.heatmap_size must be {found[0]} x {found[1]}, what network {network} gives "
                f"for this input, got {codec.heatmap_size}"
            )
        if channels_last and not configuration:  # transformers' gain nothing; decoding loses
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.normalization = {"mean": tuple(mean), "std": tuple(std)}
        for name, values in self.normalization.items():
            self.register_buffer(name, 255 * torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return heatmaps [B, K, h, w] for uint8 RGB crops [B, H, W, 3].

        In training, a network of several stacks returns all of theirs, [S, B, K, h, w].
        """
        if self.color == "bgr":
            image = image.flip(-1)
        x = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return self.network(x.to(next(self.network.parameters(), x).dtype))

    def heatmaps(self, image: Tensor, flip_test: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return heatmaps and, for the flip test, those of the mirrored crops, in full precision.

        Half precision would round the heatmaps, which costs up to 0.04 pixels on decoding.
        """
        with torch.autocast(self.mean.device.type, enabled=False):
            return self(image), self(image.flip(2)) if flip_test else None

    def loss(self, heatmaps: Tensor, batch: Sample) -> Tensor:
        """Return the mean loss over people and joints, summed over stacks (Newell et al.).

        Args:
            heatmaps: what `forward` returned for the batch's images.
            batch: of `KeypointDataset`; its `joints`, `weights` and `to_heatmap` are read.
        """
        targets = (batch[name] for name in ("joints", "weights", "to_heatmap"))  # type: ignore[literal-required]
        stacks = heatmaps.shape[:-4]
        joints, weights, to_heatmap = (value.expand(*stacks, *value.shape) for value in targets)
        loss = self.codec.loss(heatmaps, joints, weights, to_heatmap)
        return loss.mean((-2, -1)).sum()

    # ---- checkpoints -----------------------------------------------------------------------------

    def metadata(self) -> dict[str, Any]:
        """Return what a checkpoint must say of itself besides its weights, as plain values."""
        configuration = getattr(self.network, "configuration", None)
        return {
            "format": FORMAT,
            "network": self.network_name,
            **({} if configuration is None else {"configuration": configuration}),
            "codec": self.codec.to_dict(),
            "joints": self.spec.to_dict(),
            "color": self.color,
            **self.normalization,
        }

    def save(self, path: str | Path, **extra: Any) -> None:
        """Write the model as a checkpoint: weights, and all that belongs to them.

        Args:
            path: of the file, which is there complete or not at all.
            extra: plain values that are to be in the file too.
        """
        write_checkpoint({**self.checkpoint(), **extra}, path)

    def checkpoint(self) -> dict[str, Any]:
        """Return what `save` writes."""
        return {"state_dict": self.state_dict(), METADATA: self.metadata()}

    @classmethod
    def load(cls, path: str | Path, *, network: str | None = None) -> "PoseModel":
        """Return the model of a checkpoint, in evaluation mode, as the file itself describes it.

        Args:
            path: a checkpoint that `save`, training or `darkpose convert` wrote, of which nothing
                is ever executed; or `huggingface:MODEL`, see `from_pretrained`.
            network: `module:function` of your own code that makes its network, as the file names
                it. None: the network must be one of darkpose's own.

        Raises:
            OSError: there is no such file.
            ValueError: darkpose did not write it, or not to its end; it has another network, or
                one of other people's code that is not named here.
        """
        if is_model(path):
            return cls.from_pretrained(str(path))
        checkpoint = read_checkpoint(path)
        found = checkpoint[METADATA]
        _check_network(path, found["network"], network)
        codec, spec = HeatmapCodec.from_dict(found["codec"]), KeypointSpec(**found["joints"])
        names = ("network", "configuration", "color", "mean", "std")
        given = {name: found[name] for name in names if name in found}
        with naming(path):
            weights = checkpoint["state_dict"]
            if network is None and all(spec.num_joints not in w.shape for w in weights.values()):
                raise ValueError(f"state_dict must have heatmaps of {spec.num_joints} joints")
            made: AbstractContextManager[None] = nullcontext()
            if "configuration" in given:
                transformers.fitting(given["configuration"], weights, spec.num_joints)
                made = transformers.without_values()
            with made:
                model = cls(codec, spec, **given)
            check_metadata(found, model.metadata())
            model.load_state_dict(weights)
        return model.eval()

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        joints: KeypointSpec | str | Path | None = None,
        expert: str | None = None,
    ) -> "PoseModel":
        """Return a pose model of Hugging Face's transformers, in evaluation mode.

        Args:
            name: of a ViTPose, ViTPose+ or Sapiens2 on the hub, such as
                `usyd-community/vitpose-base-simple`, or a folder that `save_pretrained` wrote;
                with `huggingface:` before it or without.
            joints: what its joints are, where its files do not say: the name of a joint set, a
                YAML file, or a spec.
            expert: of a ViTPose+, one of `darkpose.models.families.EXPERTS`; COCO's if None.

        Raises:
            ImportError: transformers is not installed.
            OSError: there is no such model, or a file of it is missing.
            ValueError: it is another kind of model, its files contradict one another or do not say
                what its joints are, or the expert is not that of its last layer.
        """
        found = huggingface.Pretrained(name, joints, expert)
        found.check_expert()
        with transformers.without_values():
            model = cls(
                found.codec,
                found.spec,
                found.configuration["model_type"],
                configuration=found.configuration,
                **found.normalization,
            )
        model.network.load_state_dict(found.weights())
        return model.eval()

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """See `nn.Module.load_state_dict`.

        Raises:
            ValueError: tensors are missing, left over, of another shape or another kind of numbers.
                Nothing has then been loaded.
        """
        if not strict:
            return super().load_state_dict(state_dict, strict, assign)
        own = self.state_dict()
        if found := differences(state_dict, own):
            raise ValueError(
                f"a checkpoint of {self.network_name} must hold exactly its tensors, "
                f"got {describe(found)}"
            )
        return super().load_state_dict(complete(state_dict, own), assign=assign)


def _check_network(path: object, found: str, given: str | None) -> None:
    """Raise ValueError unless a file's network is darkpose's own, or the one that is given.

    A file from a stranger must not choose what is imported.
    """
    if given is not None and given != found:
        raise ValueError(f"{path} must have network {given}, got {printable(found)}")
    if given is None and is_import_path(found):
        raise ValueError(
            f"{path} has a network of other people's code, {printable(found)}, which is only "
            f"imported where network={printable(found)} is given"
        )
