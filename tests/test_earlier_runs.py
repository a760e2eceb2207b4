# SPDX-License-Identifier: Apache-2.0
"""Runs of before the Python layer had rooms: their configurations and checkpoints are today's."""

from pathlib import Path

import pytest
import torch
import yaml

from training_runs import draw_people, fit, logged

# As `fit` wrote it, but for its paths.
EARLIER = """
codec:
  input_size: [64, 64]
  convention: hrnet
  encoding: biased
  padding: 1.25
  modulation: 3
data:
  val: PEOPLE/annotations/person_keypoints_val.json
  val_images: PEOPLE/images/val
  train: PEOPLE/annotations/person_keypoints_train.json
  train_images: PEOPLE/images/train
  data_format: coco
  detection_threshold: 0.0
  extra: []
  batch_size: 16
  workers: 0
  augmentation: {rotation: 30.0, rotation_probability: 0.6, scale: 0.35, flip_probability: 0.5,
    half_body_probability: 0.3, half_body_joints: 9, half_body_upper: 0.5, half_body_padding: 1.5,
    gain: 0.0, brightness: 0.0}
  clip_boxes: true
  on_bad_image: raise
  cache_images: false
  scaled_decoding: false
  group_images: 1
  seed: 0
model:
  network: small
  init_joints: true
  learning_rate: 0.001
  milestones: [1]
  gamma: 0.1
  warmup: 0
  flip_test: true
  decoders: [argmax, standard, dark]
  nms: hard
  channels_last: true
  color: rgb
  mean: [0.485, 0.456, 0.406]
  std: [0.229, 0.224, 0.225]
trainer: {accelerator: cpu, strategy: auto, devices: auto, num_nodes: 1, fast_dev_run: false,
  max_epochs: 2, max_steps: -1, overfit_batches: 0.0, check_val_every_n_epoch: 1,
  log_every_n_steps: 1, enable_progress_bar: false, accumulate_grad_batches: 1,
  inference_mode: true, detect_anomaly: false, sync_batchnorm: false,
  reload_dataloaders_every_n_epochs: 0}
seed: 0
out: OUT
"""

CHECKPOINT = {
    *("epoch", "global_step", "pytorch-lightning_version", "state_dict", "loops", "callbacks"),
    *("optimizer_states", "lr_schedulers", "darkpose"),
}
METADATA = {"format", "network", "codec", "joints", "color", "mean", "std"}
CODEC = {
    *("input_size", "heatmap_size", "sigma", "convention", "encoding", "padding", "modulation"),
    "flip_index",
}
LATER = {"enlarging": "bilinear", "border": "stay"}
JOINTS = {"names", "flip_pairs", "oks_sigmas", "skeleton", "upper_body", "assumed_sigmas"}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that an earlier `config.yaml` describes, of one epoch."""
    folder = tmp_path_factory.mktemp("earlier")
    text = EARLIER.replace("PEOPLE", str(draw_people(folder / "people")))
    (folder / "config.yaml").write_text(text.replace("OUT", str(folder / "run")))
    fit(folder / "config.yaml", folder / "run", "--trainer.max_epochs=1")
    return folder


def test_an_earlier_configuration_is_read_and_written_as_it_was(earlier: Path) -> None:
    was, is_ = (
        yaml.safe_load((earlier / name).read_text()) for name in ("config.yaml", "run/config.yaml")
    )
    assert is_.pop("trainer") == {**was.pop("trainer"), "max_epochs": 1}
    later = {name: is_["codec"].pop(name) for name in LATER}
    assert later == LATER  # what an earlier one means
    assert is_["data"].pop("crop_on") == "worker"
    assert is_ == was


def test_a_checkpoint_has_the_keys_that_it_had(earlier: Path) -> None:
    content = torch.load(earlier / "run/checkpoints/last.ckpt", weights_only=True)
    assert (
        content.keys() == CHECKPOINT | {"darkpose_run"} and content["darkpose"].keys() == METADATA
    )
    assert content["darkpose"]["codec"].keys() == CODEC | LATER.keys()
    assert content["darkpose"]["joints"].keys() == JOINTS
    names = list(content["state_dict"])
    assert len(names) == 142 and names[0] == "network.stem.0.0.weight"
    assert all(name.startswith("network.") for name in names)


def test_an_earlier_run_goes_on_with_another_logger(earlier: Path) -> None:
    """W&B's and MLflow's are asked for in the same way."""
    config = yaml.safe_load((earlier / "config.yaml").read_text())
    config["trainer"]["logger"] = {
        "class_path": "lightning.pytorch.loggers.CSVLogger",
        "init_args": {"save_dir": str(earlier / "run"), "name": "logs"},
    }
    (earlier / "more.yaml").write_text(yaml.safe_dump(config))
    board = earlier / "run" / "tensorboard"
    before = sorted(board.rglob("*"))
    last = earlier / "run/checkpoints/last.ckpt"
    fit(earlier / "more.yaml", earlier / "run", f"--ckpt_path={last}")
    assert {row["epoch"] for row in logged(earlier / "run")} == {"1"}
    assert sorted(board.rglob("*")) == before
