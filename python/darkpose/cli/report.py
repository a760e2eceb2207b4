# SPDX-License-Identifier: Apache-2.0
"""`darkpose report`: evaluate a checkpoint with every decoder and write the outcome as a page."""

from collections.abc import Callable
from pathlib import Path

import torch
from jsonargparse import Namespace
from torch import Tensor

from darkpose.cli.implied import implied
from darkpose.console import say
from darkpose.data.dataset import KeypointDataset
from darkpose.decoders import flip_average
from darkpose.models.pose import PoseModel
from darkpose.show.report.page import write_report
from darkpose.show.report.people import check_count
from darkpose.train.trainer import build, training_parser


class ReportCommand:
    """Evaluation as `validate` does it, with another outcome."""

    def __init__(self) -> None:
        self.parser = training_parser()
        self.parser.add_argument("--ckpt_path", type=Path | None, help="Checkpoint to evaluate.")
        self.parser.add_argument(
            "--people", type=int, default=40, help="How many to show as pictures, half the worst."
        )
        self.parser.add_argument("--title", type=str | None, help="Of the page.")

    implied = staticmethod(implied)

    def run(self, config: Namespace) -> None:
        if config.ckpt_path is None:
            raise ValueError("needs --ckpt_path, the checkpoint to evaluate")
        check_count(config.people)  # not after hours of evaluation
        task, data, trainer = build(self.parser, config)
        task.decoders = (
            task.model.codec.decoders
        )  # a report compares them, whatever training logged
        trainer.validate(
            task, datamodule=data, ckpt_path=config.ckpt_path, weights_only=True, verbose=False
        )
        if not trainer.is_global_zero:
            return
        assert task.evaluation is not None
        path = config.out / "report.html"
        facts = {
            "checkpoint": config.ckpt_path,
            "network": task.model.network_name,
            "annotations": config.data.val,
            "flip test": "yes" if task.options.flip_test else "no",
        }
        write_report(
            task.evaluation,
            path,
            title=config.title or f"Evaluation of {config.ckpt_path}",
            facts=facts,
            maps=network_maps(task.model, task.options.flip_test, task.evaluation.dataset),
            count=config.people,
        )
        say(f"The report is {path}.")


def network_maps(
    model: PoseModel, flip_test: bool, dataset: KeypointDataset
) -> Callable[[int], Tensor]:
    """Return what gives the maps [K, h, w] of the person at a position of a data set's records."""

    def maps(row: int) -> Tensor:
        image = dataset[row]["image"][None].to(model.mean.device)
        with torch.inference_mode():
            return flip_average(model.codec, *model.eval().heatmaps(image, flip_test))[0].cpu()

    return maps
