# SPDX-License-Identifier: Apache-2.0
"""What is trained and evaluated: a pose model and its optimizer, for Lightning's trainer."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from torch import Tensor

from darkpose.codec import HeatmapCodec
from darkpose.data.dataset import Sample
from darkpose.data.spec import KeypointSpec
from darkpose.decoders import find_decoder
from darkpose.evaluate.evaluation import Evaluation
from darkpose.evaluate.metrics.coco import Nms
from darkpose.files import expanded
from darkpose.models.checkpoints import METADATA, check_alike, check_metadata
from darkpose.models.huggingface import initialize
from darkpose.models.model_files import is_model
from darkpose.models.pose import MEAN, STD, Color, PoseModel
from darkpose.models.weights import load_backbone
from darkpose.train.averaging import check_average
from darkpose.train.drop_path import DropPath
from darkpose.train.finite import poison
from darkpose.train.freezing import freeze_backbone
from darkpose.train.optimizer import (
    OptimizerOptions,
    check_optimizer,
    make_optimizer,
    set_rate,
    transformer_layers,
)


@dataclass(frozen=True)
class ModelOptions(OptimizerOptions):
    """The network, how it is trained, and how it is evaluated; `OptimizerOptions` has the rest.

    Args:
        network: a name that `darkpose models` lists, or `module:function` of your own code, which
            is called with the number of joints and the input's (width, height) and returns an
            `nn.Module` from images [B, 3, H, W] to heatmaps [B, K, h, w]; or `huggingface:MODEL`, a
            ViTPose, ViTPose+ or Sapiens2 of the hub or of a folder, which training starts from.
        init: checkpoint that training starts from: a backbone trained on ImageNet, or a whole pose
            network, in any format that `darkpose convert` reads. None: new weights, or those of
            `huggingface:MODEL`, with a new last layer for other joints.
        init_joints: take over a pose network's last layer too; not if its joints are others.
        expert: of a ViTPose+, the data set whose expert is trained: coco, aic, mpii, ap10k, apt36k
            or coco_wholebody; any but the one of the joints gets a new last layer. Default: coco.
        flip_test: evaluate on the average over the input and its mirror image.
        decoders: how to read the heatmaps in evaluation, names of `darkpose.decoders.DECODERS` or
            `module:function` of your own code; the last one's AP is what is logged. The codec's
            best if None.
        nms: whom evaluation leaves out of an image: "hard", people alike a better one; "soft", all
            but 20; "none". See `darkpose.evaluate.metrics.coco_results`.
        channels_last: memory layout of the network.
        color: order of the channels that the network is given. SimpleBaseline and Hourglass were
            released with "bgr", and the mean and std of red for blue.
        mean: of the values from 0 to 1 that the network is given as 0, for its first, second and
            third channel.
        std: of these values, which the network is given as 1.
    """

    network: str = "small"
    init: Path | None = None
    init_joints: bool = True
    expert: str | None = None
    flip_test: bool = True
    decoders: tuple[str, ...] | None = None
    nms: Nms = "hard"
    channels_last: bool = True
    color: Color = "rgb"
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD


class PoseTask(LightningModule):
    """Train a network's heatmaps toward a codec's targets; evaluate what they decode to.

    Its state is that of its `model`, so that checkpoints of training are the model's.

    Args:
        codec: sizes, sigma, convention and encoding.
        spec: the joints.
        options: the network, its optimizer and its evaluation.

    Raises:
        ValueError: for sizes that the network does not have, an unknown network or decoder, or one
            that cannot be trained in this way.
    """

    def __init__(
        self, codec: HeatmapCodec, spec: KeypointSpec, options: ModelOptions = ModelOptions()
    ) -> None:
        super().__init__()
        self.options = options
        self.model = PoseModel(
            codec,
            spec,
            options.network,
            configuration=None if options.expert is None else {"expert": options.expert},
            color=options.color,
            mean=options.mean,
            std=options.std,
            channels_last=options.channels_last,
        )
        self.decoders = options.decoders or codec.decoders[-1:]
        for name in self.decoders:
            find_decoder(codec, name)  # what is unknown is found before training
        network = self.model.network
        self.frozen = freeze_backbone(network) if options.freeze else []
        self.drop_path: DropPath | None = None
        if options.drop_path is not None:
            layers = transformer_layers(network, "model.drop_path")
            self.drop_path = DropPath(layers, options.drop_path)
        make_optimizer(network, options)  # so is what it cannot have
        self.train()
        self.evaluation: Evaluation | None = None
        self._batch_began: float | None = None

    def forward(self, image: Tensor) -> Tensor:
        """See `PoseModel.forward`."""
        return self.model(image)

    def initialize(self) -> None:
        """Replace the new weights by those that training starts from, if there are any.

        Raises:
            OSError, ValueError: as `darkpose.models.weights.load_backbone` or
                `darkpose.models.huggingface.initialize`.
        """
        options, network = self.options, self.model.network
        source = str(options.init or options.network)
        if is_model(source):
            initialize(network, source, self.model.spec, last_layer=options.init_joints)
        elif options.init is not None:
            load_backbone(network, expanded(options.init), backbone_only=not options.init_joints)

    # ---- training --------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> "PoseTask":
        """See `nn.Module.train`; what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self.frozen:
            module.training = False
        return self

    def on_before_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        if self.trainer.training:
            seed, epoch = self.trainer.datamodule.people.options.seed, self.current_epoch  # type: ignore[attr-defined]
            samples = torch.as_tensor(batch["index"])
            # Networks draw too, for dropout and Sapiens2 for its positions: by batch, as all else.
            drawn = np.random.SeedSequence((seed, epoch, int(samples[0]), 2)).generate_state(1)
            torch.manual_seed(int(drawn[0]))
            if self.drop_path is not None:
                self.drop_path.draw(seed, epoch, samples, self.device)
        return batch

    def training_step(self, batch: Sample, _index: int) -> Tensor:
        loss = self.model.loss(self(batch["image"]), batch)
        people = len(batch["image"])
        # Not on the progress bar, which would wait for the device after every step.
        self.log("train/loss", loss, on_step=True, on_epoch=True, batch_size=people)
        return poison(loss)

    def on_train_batch_start(self, batch: Sample, _index: int) -> None:
        # From one batch's start to the next one's: reading, forward, backward and step.
        now, began = time.perf_counter(), self._batch_began
        # A number that is logged is copied to the device, which waits for it.
        logged = (self.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if began is not None and logged:
            people = len(batch["image"]) * self.trainer.world_size
            self.log("images/s", people / (now - began))
        self._batch_began = now
        rate = self.options.rate(self.current_epoch, self.global_step)
        set_rate(self.trainer.optimizers[0].param_groups, rate)
        if logged:
            self.log("lr", rate)

    def _forget_time(self) -> None:
        self._batch_began = None

    on_train_epoch_start = _forget_time
    on_validation_end = _forget_time

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.model.network, self.options)

    # ---- evaluation ------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        people = self.trainer.datamodule.people  # type: ignore[attr-defined]
        self.evaluation = Evaluation(
            self.model.codec, people.val_set, people.truth, self.decoders, self.options.nms
        )

    def validation_step(self, batch: Sample, _index: int) -> None:
        assert self.evaluation is not None
        heatmaps, flipped = self.model.heatmaps(batch["image"], self.options.flip_test)
        name, people = f"{self._stage}/loss", len(heatmaps)
        self.log(
            name, self.model.loss(heatmaps, batch), on_epoch=True, batch_size=people, sync_dist=True
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

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """Return the model's."""
        return self.model.state_dict(*args, **options)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load the model's."""
        return self.model.load_state_dict(state_dict, strict, assign)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        """Find the model's state below another module too: Lightning averages copies of a task."""
        for key in [key for key in state_dict if key.startswith(prefix)]:
            state_dict[f"{prefix}model.{key.removeprefix(prefix)}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Return those that training changes: the normalization is not to be averaged."""
        return self.model.network.buffers(recurse)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[METADATA] = self.model.metadata()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        resuming = self._trainer is not None and self._trainer.state.fn == "fit"
        if resuming and "optimizer_states" not in checkpoint:
            raise ValueError(
                "the checkpoint has no state of an optimizer to go on with: "
                "start from its weights with model.init"
            )
        check_metadata(checkpoint[METADATA], self.model.metadata(), resuming=resuming)
        if resuming:
            self._check_state(checkpoint)

    def _check_state(self, checkpoint: dict[str, Any]) -> None:
        """Raise ValueError if the states to resume from are not made as this trainer's."""
        loops = {"fit_loop": self.trainer.fit_loop.state_dict()}
        check_alike(checkpoint.get("loops"), loops, "loops")
        for callback in self.trainer.checkpoint_callbacks:
            state = checkpoint.get("callbacks", {}).get(callback.state_key)
            if state is not None:
                check_alike(state, callback.state_dict(), callback.state_key)
        check_average(checkpoint, self.trainer, self.state_dict())
        check_optimizer(checkpoint["optimizer_states"], self.configure_optimizers())
