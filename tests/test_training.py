# SPDX-License-Identifier: Apache-2.0
"""Training from the command line: logs, checkpoints, resuming, and what is refused."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from darkpose.cli import main
from darkpose.data.synthetic import write_dataset
from darkpose.task import METADATA, load_task
from darkpose.training import AtomicCheckpoints


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few synthetic people."""
    folder = tmp_path_factory.mktemp("people") / "set"
    write_dataset(folder, {"train": 24, "val": 10}, seed=3)
    return folder


@pytest.fixture
def config(people: Path, tmp_path: Path) -> Path:
    """A configuration that trains on them for two short epochs."""
    path = tmp_path / "config.yaml"
    content = {
        "codec": {"input_size": [64, 64]},
        "data": {
            "train": f"{people}/annotations/person_keypoints_train.json",
            "train_images": f"{people}/images/train",
            "val": f"{people}/annotations/person_keypoints_val.json",
            "val_images": f"{people}/images/val",
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


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, weights_only=True)["state_dict"]


def test_fit_writes_logs_and_checkpoints_with_all_a_user_needs(
    config: Path, tmp_path: Path
) -> None:
    checkpoint = fit(config, tmp_path / "run")
    content = torch.load(checkpoint, weights_only=True)
    metadata = content[METADATA]
    assert metadata["network"] == "small" and metadata["color"] == "rgb"
    codec = metadata["codec"]
    assert codec["convention"] == "darkpose" and codec["sigma"] == 0.5
    assert tuple(codec["heatmap_size"]) == (16, 16) and codec["encoding"] == "unbiased"
    assert metadata["joints"]["names"][0] == "nose" and len(metadata["joints"]["oks_sigmas"]) == 17
    assert len(metadata["joints"]["flip_pairs"]) == 8 and len(metadata["mean"]) == 3

    assert list((tmp_path / "run" / "tensorboard" / "version_0").glob("events.out.tfevents.*"))
    with (tmp_path / "run" / "logs" / "version_0" / "metrics.csv").open() as file:
        columns = next(csv.reader(file))
    assert {"train/loss_epoch", "val/AP", "val/PCK@0.05", "images/s", "lr"} <= set(columns)
    assert {file.name for file in checkpoint.parent.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert content["epoch"] == 1


def test_the_learning_rate_drops_at_the_milestone_not_an_epoch_early(
    config: Path, tmp_path: Path
) -> None:
    fit(config, tmp_path / "run", "--trainer.max_epochs=3", "--model.milestones=[2]")
    with (tmp_path / "run" / "logs" / "version_0" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["lr"]]
    rates = {int(row["epoch"]): float(row["lr"]) for row in rows}
    assert rates == pytest.approx({0: 1e-3, 1: 1e-3, 2: 1e-4})


def test_resuming_after_an_epoch_ends_with_the_same_weights(config: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = weights(fit(config, tmp_path / "whole"))
        first = fit(config, tmp_path / "parts", "--trainer.max_epochs=1")
        resumed = weights(fit(config, tmp_path / "parts", "--ckpt_path", str(first)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_second_run_in_the_same_folder_keeps_the_first_ones_logs(
    config: Path, tmp_path: Path
) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.max_epochs=1")
    first = (tmp_path / "run" / "logs" / "version_0" / "metrics.csv").read_text()
    main(
        ["validate", "--config", str(config), "--out", str(tmp_path / "run")]
        + ["--ckpt_path", str(checkpoint)]
    )
    assert (tmp_path / "run" / "logs" / "version_0" / "metrics.csv").read_text() == first


def test_a_new_run_does_not_overwrite_another(config: Path, tmp_path: Path) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.max_epochs=1")
    before = checkpoint.read_bytes()
    with pytest.raises(SystemExit, match="already holds a run: resume it with --ckpt_path"):
        fit(config, tmp_path / "run")
    assert checkpoint.read_bytes() == before


def test_a_task_comes_back_from_its_checkpoint_alone(config: Path, tmp_path: Path) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.max_epochs=1")
    task = load_task(checkpoint)
    assert task.codec.input_size == (64, 64) and task.spec.names[0] == "nose"
    assert not task.training
    saved = weights(checkpoint)
    assert all(torch.equal(value, saved[name]) for name, value in task.state_dict().items())


def test_mixed_precision_trains_and_evaluates_in_full_precision(
    config: Path, tmp_path: Path
) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.precision=bf16-mixed")
    assert all(value.dtype != torch.bfloat16 for value in weights(checkpoint).values())
    task = load_task(checkpoint)
    with torch.autocast("cpu", torch.bfloat16):
        heatmaps, flipped = task.heatmaps(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert heatmaps.dtype == torch.float32 and flipped is not None


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--codec.convention=udp", "trained with convention darkpose, the configuration says udp"),
        ("--codec.input_size=[96,128]", r"trained with input_size \[64, 64\]"),
        ("--codec.sigma=2", "trained with sigma 0.5, the configuration says 2.0"),
        ("--model.network=simple_r18", "trained with network small"),
    ],
)
def test_a_checkpoint_of_another_shape_or_convention_is_refused(
    config: Path, tmp_path: Path, option: str, words: str
) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.max_epochs=1")
    validate = ["validate", "--config", str(config), "--out", str(tmp_path / "other")]
    with pytest.raises(SystemExit, match=words):
        main([*validate, "--ckpt_path", str(checkpoint), option])


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(ValueError, match="must be a checkpoint that darkpose wrote"):
        load_task(tmp_path / "foreign.ckpt")


def test_a_failed_write_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpoints().save_checkpoint({"step": 1}, path)

    def half(_checkpoint: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        AtomicCheckpoints().save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--data.val=nowhere.json", "nowhere.json"),
        ("--data.val=${DARKPOSE_NOWHERE}/val.json", "DARKPOSE_NOWHERE, which is not set"),
        ("--model.network=resnet", "model must be one of"),
        ("--codec.encoding=soft", "encoding must be one of"),
    ],
)
def test_a_bad_configuration_ends_with_one_sentence(
    config: Path, tmp_path: Path, option: str, words: str
) -> None:
    with pytest.raises(SystemExit) as error:
        fit(config, tmp_path / "run", option)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_an_image_that_cannot_be_read_is_named_and_skipped_only_if_told_to(
    people: Path, config: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for image in (people / "images" / "train").iterdir():
        (images / image.name).write_bytes(image.read_bytes())
    broken = sorted(images.iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:2000])
    options = (f"--data.train_images={images}", "--trainer.max_epochs=1")
    with pytest.raises(SystemExit, match=rf"annotation \d+: .*{broken.name}"):
        fit(config, tmp_path / "raise", *options)
    assert fit(config, tmp_path / "skip", *options, "--data.on_bad_image=skip").exists()


def test_both_names_of_the_command_list_every_command() -> None:
    script = Path(sys.executable).with_name("darkpose")
    for command in ([str(script)], [sys.executable, "-m", "darkpose"]):
        text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
        for name in ("fit", "validate", "test", "ablation", "demo", "synth"):
            assert name in text.stdout
