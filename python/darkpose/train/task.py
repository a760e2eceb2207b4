# SPDX-License-Identifier: Apache-2.0
"""What is trained and evaluated: a network, its codec, its joints and its optimizer."""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning import LightningModule
from torch import Tensor, nn

from darkpose import models
from darkpose.codec import Decoder, HeatmapCodec
from darkpose.data.dataset import Sample
from darkpose.data.spec import KeypointSpec
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics.coco import Nms
from darkpose.files import expanded
from darkpose.models.checkpoints import FORMAT, METADATA, AtomicCheckpoints, check_metadata
from darkpose.models.weights import load_backbone

# ImageNet's, as every released pose network has them: RGB, for values from 0 to 1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

Network = Literal[  # names of `darkpose.models.MODELS`
    "small",
    "simple_r18",
    "simple_r50",
    "simple_r101",
    "simple_r152",
    "hrnet_w32",
    "hrnet_w48",
    "hourglass_4",
    "hourglass_8",
    "hourglass_2_princeton",
    "hourglass_8_princeton",
    "simple_small",
    "hrnet_small",
    "hourglass_small",
]
Color = Literal["rgb", "bgr"]


class PoseTask(LightningModule):
    """Train a network's heatmaps toward a codec's targets; evaluate what they decode to.

    Args:
        codec: sizes, sigma, convention and encoding.
        spec: the joints.
        network: a name of `darkpose.models.create`.
        init: checkpoint that training starts from: a backbone trained on ImageNet, or a whole pose
            network, in any format that `darkpose convert` reads.
        init_joints: take over a pose network's last layer too; not if its joints are others.
        learning_rate: of Adam.
        milestones: numbers of epochs after which the learning rate is multiplied by `gamma`.
        gamma: see `milestones`.
        warmup: steps over which the learning rate rises from 0.
        flip_test: evaluate on the average over the input and its mirror image.
        decoders: how to read the heatmaps in evaluation; the last one's AP is what is logged. The
            codec's best if None.
        nms: whom evaluation leaves out of an image: "hard", people alike a better one; "soft", all
            but 20; "none". See `darkpose.evaluate.metrics.coco_results`.
        channels_last: memory layout of the network.
        color: order of the channels that the network is given. SimpleBaseline and Hourglass were
            released with "bgr", and the mean and std of red for blue.
        mean: of the values from 0 to 1 that the network is given as 0, for its first, second and
            third channel.
        std: of these values, which the network is given as 1.

    Raises:
        ValueError: for sizes that the network does not have, or an unknown network.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        codec: HeatmapCodec,
        spec: KeypointSpec,
        network: Network = "small",
        init: Path | None = None,
        init_joints: bool = True,
        learning_rate: float = 1e-3,
        milestones: tuple[int, ...] = (170, 200),
        gamma: float = 0.1,
        warmup: int = 0,
        flip_test: bool = True,
        decoders: tuple[Decoder, ...] | None = None,
        nms: Nms = "hard",
        channels_last: bool = True,
        color: Color = "rgb",
        mean: tuple[float, float, float] = MEAN,
        std: tuple[float, float, float] = STD,
    ) -> None:
        super().__init__()
        self.codec = replace(codec, flip_index=spec.flip_index)
        self.spec, self.network_name = spec, network
        self.network = models.create(network, spec.num_joints)
        _check_sizes(codec, self.network)
        self.init, self.init_joints, self.color = init, init_joints, color
        self.nms: Nms = nms
        self.learning_rate, self.warmup = learning_rate, warmup
        self.milestones, self.gamma = milestones, gamma
        self.flip_test, self.decoders = flip_test, decoders or codec.decoders[-1:]
        if channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.normalization = {"mean": tuple(mean), "std": tuple(std)}
        for name, values in self.normalization.items():
            self.register_buffer(name, 255 * torch.tensor(values).view(3, 1, 1), persistent=False)
        self.evaluation: Evaluation | None = None
        self._batch_began: float | None = None

    def forward(self, image: Tensor) -> Tensor:
        """Return heatmaps [B, K, H/4, W/4] for uint8 RGB crops [B, H, W, 3].

        In training, a network of several stacks returns all of theirs, [S, B, K, H/4, W/4].
        """
        if self.color == "bgr":
            image = image.flip(-1)
        x = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return self.network(x.to(self.dtype))  # float64 with precision 64-true

    # ---- training --------------------------------------------------------------------------------

    def training_step(self, batch: Sample, _index: int) -> Tensor:
        loss = self._loss(self(batch["image"]), batch)
        people = len(batch["image"])
        # Not on the progress bar, which would wait for the device after every step.
        self.log("train/loss", loss, on_step=True, on_epoch=True, batch_size=people)
        return loss

    def _loss(self, heatmaps: Tensor, batch: Sample) -> Tensor:
        """Return the mean over people and joints, summed over stacks (Newell et al.)."""
        targets = (batch[name] for name in ("joints", "weights", "to_heatmap"))  # type: ignore[literal-required]
        stacks = heatmaps.shape[:-4]
        joints, weights, to_heatmap = (value.expand(*stacks, *value.shape) for value in targets)
        loss = self.codec.loss(heatmaps, joints, weights, to_heatmap)
        return loss.mean((-2, -1)).sum()

    def initialize(self) -> None:
        """Replace the new weights by those of `init`, if there are any.

        Raises:
            OSError, ValueError: as `darkpose.models.weights.load_backbone`.
        """
        if self.init is not None:
            path, joints = expanded(self.init), self.init_joints
            load_backbone(self.network, path, backbone_only=not joints)

    def on_train_batch_start(self, batch: Sample, _index: int) -> None:
        # From one batch's start to the next one's: reading, forward, backward and step.
        now, began = time.perf_counter(), self._batch_began
        # A number that is logged is copied to the device, which waits for it.
        logged = (self.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if began is not None and logged:
            people = len(batch["image"]) * self.trainer.world_size
            self.log("images/s", people / (now - began))
        self._batch_began = now
        rate = self.rate(self.current_epoch, self.global_step)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        if logged:
            self.log("lr", rate)

    def _forget_time(self) -> None:
        self._batch_began = None

    on_train_epoch_start = _forget_time
    on_validation_end = _forget_time

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
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        annotations = data.val_annotations
        self.evaluation = Evaluation(self.codec, data.val_set, annotations, self.decoders, self.nms)

    def validation_step(self, batch: Sample, _index: int) -> None:
        assert self.evaluation is not None
        heatmaps, flipped = self.heatmaps(batch["image"])
        name, people = f"{self._stage}/loss", len(heatmaps)
        self.log(
            name, self._loss(heatmaps, batch), on_epoch=True, batch_size=people, sync_dist=True
        )
        index = torch.as_tensor(batch["index"])
        read = torch.as_tensor(batch["image_read"])
        self.evaluation.add(heatmaps, flipped, batch["to_image"], read, index)

    def on_validation_epoch_end(self) -> None:
        assert self.evaluation is not None
        self.evaluation.gather()  # every process then has the same figures
        for decoder in self.decoders:
            last = decoder == self.decoders[-1]
            prefix = self._stage if last else f"{self._stage}/{decoder}"
            figures = self.evaluation.figures(decoder)
            for i, (name, value) in enumerate(figures.items()):
                if i == 0 and last:  # AP or PCKh, what the best checkpoint is chosen by
                    self.log(f"{prefix}/score", value)
                self.log(f"{prefix}/{name}", value, prog_bar=i == 0 and last)

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end

    @property
    def _stage(self) -> str:
        return "test" if self.trainer.testing else "val"

    # ---- checkpoints -----------------------------------------------------------------------------

    def metadata(self) -> dict[str, Any]:
        """Return what a checkpoint must say of itself besides its weights, as plain values."""
        return {
            "format": FORMAT,
            "network": self.network_name,
            "codec": self.codec.to_dict(),
            "joints": asdict(self.spec),
            "color": self.color,
            **self.normalization,
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[METADATA] = self.metadata()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        resuming = self._trainer is not None and self._trainer.state.fn == "fit"
        if resuming and "optimizer_states" not in checkpoint:
            raise ValueError(
                "the checkpoint has no state of an optimizer to go on with: "
                "start from its weights with model.init"
            )
        check_metadata(checkpoint[METADATA], self.metadata(), resuming=resuming)


def _check_sizes(codec: HeatmapCodec, network: nn.Module) -> None:
    models.check_input_size(network, codec.input_size)
    width, height = codec.input_size
    if codec.heatmap_size != (width // 4, height // 4):
        raise ValueError(
            f"heatmap_size must be a quarter of the input for these networks, "
            f"{width // 4} x {height // 4}, got {codec.heatmap_size}"
        )


def save_task(task: PoseTask, path: str | Path, **extra: Any) -> None:
    """Write a task as a checkpoint that nothing has trained: weights, and all that belongs to them.

    Args:
        task: whose network it is.
        path: of the file, which is there complete or not at all.
        extra: plain values that are to be in the file too.
    """
    content = {
        "state_dict": task.state_dict(),
        METADATA: task.metadata(),
        # What Lightning's trainer looks for before it evaluates a checkpoint.
        "pytorch-lightning_version": lightning.__version__,
        "epoch": 0,
        "global_step": 0,
        **extra,
    }
    AtomicCheckpoints().save_checkpoint(content, path)


def load_task(path: str | Path, **options: Any) -> PoseTask:
    """Return the task of a checkpoint, in evaluation mode, all from what the file itself says.

    Args:
        path: a checkpoint written by training. Nothing in it is ever executed.
        options: arguments of `PoseTask` that are not in the file, such as `flip_test`.

    Raises:
        OSError: there is no such file.
        ValueError: if darkpose did not write it, or not to its end.
    """
    checkpoint = AtomicCheckpoints().load_checkpoint(path)
    found = checkpoint[METADATA]
    codec, spec = HeatmapCodec.from_dict(found["codec"]), KeypointSpec(**found["joints"])
    given = {name: found[name] for name in ("network", "color", "mean", "std")}
    task = PoseTask(codec, spec, **given, **options)
    check_metadata(found, task.metadata())
    task.load_state_dict(checkpoint["state_dict"])
    return task.eval()
