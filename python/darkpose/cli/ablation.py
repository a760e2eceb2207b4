# SPDX-License-Identifier: Apache-2.0
"""`darkpose ablation`: encoding x decoding over several seeds."""

from pathlib import Path

from jsonargparse import Namespace
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from darkpose.files import write_text
from darkpose.paper import ablation
from darkpose.train.trainer import Recipe, training_parser


class Ablation:
    """Encoding x decoding over several seeds."""

    def __init__(self) -> None:
        self.parser = training_parser()
        seeds = (
            "How many runs of each encoding, with the seeds from --seed on. "
            "Encoding, data.seed and the run's folder are set by this command."
        )
        self.parser.add_argument("--seeds", type=int, default=5, help=seeds)

    def run(self, config: Namespace) -> None:
        seeds = range(config.seed, config.seed + config.seeds)
        recipe = Recipe(self.parser, config)
        runs = ablation.ablation(recipe, config.out, ("biased", "unbiased"), seeds)
        self._publish(config.out / "ablation.md", ablation.report(runs))

    @staticmethod
    @rank_zero_only
    def _publish(path: Path, text: str) -> None:
        write_text(path, text)
        print(text)
