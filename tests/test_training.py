# SPDX-License-Identifier: Apache-2.0
"""Training from the command line: logs, checkpoints, resuming."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import Namespace

from darkpose.cli.main import main
from darkpose.codec import HeatmapCodec
from darkpose.data.spec import KeypointSpec
from darkpose.models.checkpoints import METADATA, write_checkpoint
from darkpose.models.pose import PoseModel
from darkpose.train.task import PoseTask
from training_runs import fit, logged, weights


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
    columns = logged(tmp_path / "run")[0].keys()
    assert {"train/loss_epoch", "val/AP", "val/PCK@0.05", "images/s", "lr"} <= columns
    assert {file.name for file in checkpoint.parent.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert content["epoch"] == 1
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert written["out"] == str(tmp_path / "run")
    assert written["data"]["batch_size"] == 16 and written["trainer"]["max_epochs"] == 2


def test_the_learning_rate_drops_at_the_milestone_not_an_epoch_early(
    config: Path, tmp_path: Path
) -> None:
    fit(config, tmp_path / "run", "--trainer.max_epochs=3", "--model.milestones=[2]")
    rows = logged(tmp_path / "run")
    rates = {int(row["epoch"]): float(row["lr"]) for row in rows if row["lr"]}
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
    for verb, figure in (("validate", "val/AP"), ("test", "test/AP")):
        # The file to train on is not read, so it need not be there.
        main(
            [verb, "--config", str(config), "--out", str(tmp_path / "run")]
            + ["--ckpt_path", str(checkpoint), "--data.train=nowhere.json"]
        )
        assert figure in logged(tmp_path / "run")[0]
    assert (tmp_path / "run" / "logs" / "version_0" / "metrics.csv").read_text() == first


def test_a_task_comes_back_from_its_checkpoint_alone(config: Path, tmp_path: Path) -> None:
    options = ("--trainer.max_epochs=1", "--codec.padding=1.1", "--model.mean=[0.5,0.4,0.3]")
    checkpoint = fit(config, tmp_path / "run", *options)
    task = PoseModel.load(checkpoint)
    assert task.codec.input_size == (64, 64) and task.spec.names[0] == "nose"
    assert task.codec.padding == 1.1 and task.normalization["mean"] == (0.5, 0.4, 0.3)
    assert not task.training
    saved = weights(checkpoint)
    assert all(torch.equal(value, saved[name]) for name, value in task.state_dict().items())


def test_mixed_precision_trains_and_evaluates_in_full_precision(
    config: Path, tmp_path: Path
) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.precision=bf16-mixed")
    assert all(value.dtype != torch.bfloat16 for value in weights(checkpoint).values())
    task = PoseModel.load(checkpoint)
    with torch.autocast("cpu", torch.bfloat16):
        heatmaps, flipped = task.heatmaps(
            torch.zeros(1, 64, 64, 3, dtype=torch.uint8), flip_test=True
        )
    assert heatmaps.dtype == torch.float32 and flipped is not None


def test_a_failed_write_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint({"step": 1}, path)

    def half(_checkpoint: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_images_per_second_count_all_of_a_batchs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """From start to start, but not across an epoch's end or an evaluation."""
    task = PoseTask(HeatmapCodec((64, 64)), KeypointSpec.from_names(["nose"]))
    found = []

    def log(_task: PoseTask, name: str, value: float, **_options: object) -> None:
        found.extend([value] if name == "images/s" else [])

    trainer = Namespace(world_size=2, log_every_n_steps=1, optimizers=[Namespace(param_groups=[])])
    clock = iter([0.0, 0.5, 10.0, 12.0])
    monkeypatch.setattr(PoseTask, "trainer", trainer)
    monkeypatch.setattr(PoseTask, "log", log)
    monkeypatch.setattr("darkpose.train.task.time", Namespace(perf_counter=lambda: next(clock)))
    batch = {"image": torch.zeros(8, 64, 64, 3)}
    for _ in range(2):
        task.on_train_batch_start(batch, 0)  # type: ignore[arg-type]
    task.on_validation_end()
    for _ in range(2):
        task.on_train_batch_start(batch, 0)  # type: ignore[arg-type]
    assert found == [32, 8]


def test_an_ablation_continues_interrupted_runs_and_keeps_finished_ones(
    config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ablation"
    command = ["ablation", "--config", str(config), "--out", str(out), "--seeds=1"]
    command += ["--trainer.max_epochs=1"]
    main(command)
    table = (out / "ablation.md").read_text()
    done, interrupted = out / "biased-0" / "run.json", out / "unbiased-0"
    before = done.stat().st_mtime_ns
    (interrupted / "run.json").unlink()
    main(command)
    assert done.stat().st_mtime_ns == before and (out / "ablation.md").read_text() == table
    assert len(list((interrupted / "logs").iterdir())) == 2

    with pytest.raises(
        SystemExit, match="biased-0 must not exist or must hold a run with the same"
    ):
        main([*command, "--model.learning_rate=0.1"])
    (interrupted / "config.yaml").unlink()
    with pytest.raises(SystemExit, match="unbiased-0 must not exist"):
        main(command)
    assert (interrupted / "run.json").exists()


def test_both_names_of_the_command_list_every_command() -> None:
    script = Path(sys.executable).with_name("darkpose")
    for command in ([str(script)], [sys.executable, "-m", "darkpose"]):
        text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
        for name in ("fit", "validate", "test", "ablation", "demo", "synth"):
            assert name in text.stdout
