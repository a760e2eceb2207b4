# SPDX-License-Identifier: Apache-2.0
"""What is trained and evaluated: a network, its codec, its joints and its optimizer."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from darkpose import models
from darkpose.codec import HeatmapCodec
from darkpose.data.dataset import Sample
from darkpose.data.spec import KeypointSpec
from darkpose.evaluation import Evaluation

# ImageNet's, as every released pose network has them: RGB, for values from 0 to 1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
METADATA = "darkpose"  # its key in a checkpoint
_FORMAT = 1


class PoseTask(LightningModule):
    """Train a network's heatmaps toward a codec's targets; evaluate what they decode to.

    Args:
        codec: sizes, sigma, convention and encoding.
        spec: the joints.
        network: a name of `darkpose.models.create`.
        learning_rate: of Adam.
        milestones: numbers of epochs after which the learning rate is multiplied by `gamma`.
        gamma: see `milestones`.
        warmup: steps over which the learning rate rises from 0.
        flip_test: evaluate on the average over the input and its mirror image.
        decoders: how to read the heatmaps in evaluation; the last one's AP is what is logged.
        channels_last: memory layout of the network.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        codec: HeatmapCodec,
        spec: KeypointSpec,
        network: str = "small",
        learning_rate: float = 1e-3,
        milestones: tuple[int, ...] = (170, 200),
        gamma: float = 0.1,
        warmup: int = 0,
        flip_test: bool = True,
        decoders: tuple[str, ...] = ("dark",),
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.codec = HeatmapCodec(**{**vars(codec), "flip_index": spec.flip_index})
        self.spec, self.network_name = spec, network
        self.network = models.create(network, spec.num_joints)
        self.learning_rate, self.warmup = learning_rate, warmup
        self.milestones, self.gamma = milestones, gamma
        self.flip_test, self.decoders = flip_test, decoders
        if channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(3, 1, 1), persistent=False)
        self.evaluation: Evaluation | None = None
        self._step_began = 0.0

    def forward(self, image: Tensor) -> Tensor:
        """Return heatmaps [B, K, H/4, W/4] for uint8 RGB crops [B, H, W, 3]."""
        x = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return self.network(x)

    # ---- training --------------------------------------------------------------------------------

    def training_step(self, batch: Sample, _index: int) -> Tensor:
        heatmaps = self(batch["image"])
        loss = self.codec.loss(
            heatmaps, batch["joints"], batch["weights"], batch["to_heatmap"]
        ).mean()
        now, people = time.perf_counter(), len(batch["image"]) * self.trainer.world_size
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=people)
        self.log("images/s", people / (now - self._step_began), prog_bar=True)
        return loss

    def on_train_batch_start(self, batch: Sample, _index: int) -> None:
        self._step_began = time.perf_counter()
        rate = self.rate(self.current_epoch, self.global_step)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.log("lr", rate)

    def rate(self, epoch: int, step: int) -> float:
        """Return the learning rate, which resuming cannot shift: a function of epoch and step."""
        drops = sum(epoch >= milestone for milestone in self.milestones)
        return self.learning_rate * self.gamma**drops * min(1.0, (step + 1) / max(1, self.warmup))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), self.learning_rate)

    # ---- evaluation ------------------------------------------------------------------------------

    def heatmaps(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return heatmaps and, for the flip test, those of the mirrored crops, in full precision.

        Half precision would round the heatmaps, which costs up to 0.04 pixels on decoding.
        """
        with torch.autocast(self.device.type, enabled=False):
            return self(image), self(image.flip(2)) if self.flip_test else None

    def on_validation_epoch_start(self) -> None:
        dataset = self.trainer.datamodule.val_set  # type: ignore[attr-defined]
        self.evaluation = Evaluation(self.codec, dataset, self.decoders)

    def validation_step(self, batch: Sample, _index: int) -> None:
        assert self.evaluation is not None
        heatmaps, flipped = self.heatmaps(batch["image"])
        loss = self.codec.loss(heatmaps, batch["joints"], batch["weights"], batch["to_heatmap"])
        self.log("val/loss", loss.mean(), on_epoch=True, batch_size=len(heatmaps), sync_dist=True)
        index = torch.as_tensor(batch["index"])
        self.evaluation.add(heatmaps, flipped, batch["to_image"], index)

    def on_validation_epoch_end(self) -> None:
        assert self.evaluation is not None
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        for decoder in self.decoders:
            found = self.evaluation.predictions(decoder)
            figures = found.average_precision(
                data.val_annotations, self.spec.oks_sigmas, data.val_set.category_id
            )
            prefix = "val" if decoder == self.decoders[-1] else f"val/{decoder}"
            for name, value in {**figures, **found.pck()}.items():
                bar = prefix == "val" and name == "AP"
                self.log(f"{prefix}/{name}", value, prog_bar=bar, sync_dist=True)

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end

    # ---- checkpoints -----------------------------------------------------------------------------

    def metadata(self) -> dict[str, Any]:
        """Return what a checkpoint must say of itself besides its weights, as plain values."""
        return {
            "format": _FORMAT,
            "network": self.network_name,
            "codec": self.codec.to_dict(),
            "joints": asdict(self.spec),
            "color": "rgb",
            "mean": MEAN,
            "std": STD,
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[METADATA] = self.metadata()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        check_metadata(checkpoint.get(METADATA), self.metadata())


def check_metadata(found: Mapping[str, Any] | None, expected: Mapping[str, Any]) -> None:
    """Raise ValueError, naming the first difference, if a checkpoint is of another kind of network.

    The encoding may differ: it shapes the training targets, not what heatmaps mean.
    """
    if found is None:
        raise ValueError("the checkpoint must be one that darkpose wrote, it has no metadata")
    differences = [
        (name, found.get(name), expected[name]) for name in ("format", "network", "color")
    ]
    codec, wanted = found["codec"], expected["codec"]
    for name in ("input_size", "heatmap_size", "sigma", "convention"):
        differences.append((name, codec.get(name), wanted[name]))
    differences.append(("joints", found["joints"]["names"], expected["joints"]["names"]))
    for name, was, is_ in differences:
        if _plain(was) != _plain(is_):
            raise ValueError(
                f"the checkpoint was trained with {name} {_plain(was)}, "
                f"the configuration says {_plain(is_)}"
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def load_task(path: str | Path, **options: Any) -> PoseTask:
    """Return the task of a checkpoint, in evaluation mode, all from what the file itself says.

    Args:
        path: a checkpoint written by training. Nothing in it is ever executed (`weights_only`).
        options: arguments of `PoseTask` that are not in the file, such as `flip_test`.

    Raises:
        ValueError: if darkpose did not write it.
    """
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if METADATA not in checkpoint:
        raise ValueError(f"{path} must be a checkpoint that darkpose wrote, it has no metadata")
    found = checkpoint[METADATA]
    joints = {name: _tuples(value) for name, value in found["joints"].items()}
    codec, spec = HeatmapCodec.from_dict(found["codec"]), KeypointSpec(**joints)
    task = PoseTask(codec, spec, found["network"], **options)
    task.load_state_dict(checkpoint["state_dict"])
    return task.eval()


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
