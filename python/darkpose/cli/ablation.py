# SPDX-License-Identifier: Apache-2.0
"""`darkpose ablation`: encoding x decoding over several seeds."""

from jsonargparse import Namespace

from darkpose.paper.ablation import ablation
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
        ablation(Recipe(self.parser, config), config.out, seeds)
