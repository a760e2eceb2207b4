# SPDX-License-Identifier: Apache-2.0
"""`darkpose ensemble`: several checkpoints as one predictor."""

from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace

from darkpose.console import say
from darkpose.data.options import DataOptions
from darkpose.evaluate.ensemble import DECODER, evaluate_ensemble
from darkpose.evaluate.metrics.coco import Nms
from darkpose.evaluate.writing import write_evaluation


class Ensemble:
    """Several checkpoints as one predictor."""

    def __init__(self) -> None:
        self.parser = ArgumentParser(exit_on_error=False)
        self.parser.add_argument(
            "--config", action="config", help="YAML file with any of these options."
        )
        self.parser.add_argument(
            "--checkpoints", type=list[Path], required=True, help="Two or more checkpoints."
        )
        self.parser.add_class_arguments(DataOptions, "data")
        self.parser.add_argument(
            "--flip_test", type=bool, default=True, help="Average over the mirrored input too."
        )
        self.parser.add_argument("--nms", type=Nms, default="hard", help="See `darkpose fit`.")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.parser.add_argument("--device", type=str, default=device, help="Device to run on.")
        self.parser.add_argument(
            "--out", type=Path, default=Path("runs/ensemble"), help="Folder to write."
        )

    def run(self, config: Namespace) -> None:
        data = self.parser.instantiate(config).data
        evaluation = evaluate_ensemble(
            config.checkpoints, data, config.flip_test, config.nms, config.device
        )
        for name, value in write_evaluation(evaluation, DECODER, config.out).items():
            say(f"{name:12} {value:.4f}")
