# SPDX-License-Identifier: Apache-2.0
"""Short training runs on a few synthetic people, for the tests of training."""

import csv
from pathlib import Path
from typing import Any

import torch
import yaml

from darkpose.cli.main import main
from darkpose.codec import HeatmapCodec
from darkpose.data.batches import Batches
from darkpose.data.options import DataOptions
from darkpose.paper.synthetic import write_dataset
from darkpose.show.plots import newest_log


def draw_people(folder: Path) -> Path:
    """Draw a few synthetic people into a new folder."""
    write_dataset(folder, {"train": 24, "val": 10}, seed=3)
    return folder


def files_of(people: Path) -> dict[str, Path]:
    """Return the options of a run's data that name their files."""
    return {
        "train": people / "annotations/person_keypoints_train.json",
        "train_images": people / "images/train",
        "val": people / "annotations/person_keypoints_val.json",
        "val_images": people / "images/val",
    }


def run_data(people: Path, **options: Any) -> Batches:
    """Return the data of a run on them: 24 images to train on."""
    chosen = DataOptions(**{**files_of(people), "workers": 0, **options})
    return Batches(HeatmapCodec((64, 64)), chosen)


def write_config(people: Path, path: Path) -> Path:
    """Write a configuration that trains on them for two short epochs."""
    content = {
        "codec": {"input_size": [64, 64]},
        "data": {
            **{name: str(path) for name, path in files_of(people).items()},
            "batch_size": 16,
            "workers": 0,
            "augmentation": {"rotation": 30},
        },
        "model": {"milestones": [1]},
        "trainer": {
            "max_epochs": 2,
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "log_every_n_steps": 1,
        },
    }
    path.write_text(yaml.safe_dump(content))
    return path


def fit(config: Path, out: Path, *options: str) -> Path:
    main(["fit", "--config", str(config), "--out", str(out), *options])
    return out / "checkpoints" / "last.ckpt"


def logged(out: Path) -> list[dict[str, str]]:
    """Return the rows of the newest run's log."""
    with newest_log(out).open() as file:
        return list(csv.DictReader(file))


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, weights_only=True)["state_dict"]
