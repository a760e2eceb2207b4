# SPDX-License-Identifier: Apache-2.0
"""Lightning's average of the weights: what is evaluated, kept, predicted with, and gone on with."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from darkpose.cli.main import main
from darkpose.codec import HeatmapCodec
from darkpose.data.joint_sets import COCO
from darkpose.models.pose import PoseModel
from darkpose.train.task import PoseTask
from test_resume import Killed, last, one_thread
from training_runs import fit, logged, weights, write_config

DECAY = 0.75
SAVED = ("--checkpoint_steps=1", "--data.batch_size=8")  # 4 steps an epoch, 2 epochs


def callbacks(*more: dict[str, Any], decay: float = DECAY) -> str:
    path = "lightning.pytorch.callbacks.EMAWeightAveraging"
    average = {"class_path": path, "init_args": {"decay": decay}}
    return f"--trainer.callbacks={json.dumps([average, *more])}"


def kill(step: int) -> dict[str, Any]:
    return {"class_path": "test_resume.Kill", "init_args": {"step": step}}


class Record(Callback):
    """Keeps the weights that training has moved, after each step."""

    kept: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_args: Any, **_options: Any
    ) -> None:
        self.kept.append({k: v.clone() for k, v in pl_module.state_dict().items()})


@pytest.fixture(scope="module")
def config(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(people, tmp_path_factory.mktemp("config") / "config.yaml")


@pytest.fixture(scope="module")
def whole(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run, of one thread."""
    out = tmp_path_factory.mktemp("whole") / "run"
    Record.kept.clear()
    with one_thread():
        fit(config, out, *SAVED, callbacks({"class_path": "test_averaging.Record"}))
    return out


def test_the_checkpoint_holds_the_average_and_what_moves(whole: Path) -> None:
    """The first step's weights, then each time a quarter of the new ones; statistics too."""
    content = torch.load(last(whole), weights_only=True)
    expected, *others = ({key: value.double() for key, value in one.items()} for one in Record.kept)
    for one in others:
        expected = {key: DECAY * expected[key] + (1 - DECAY) * one[key] for key in expected}
    assert len(others) == 7 and content["averaging_state"]["n_averaged"] == 8
    for key, value in content["state_dict"].items():
        if not key.endswith("num_batches_tracked"):  # whole, which nothing reads
            torch.testing.assert_close(value.double(), expected[key], atol=1e-6, rtol=1e-5)
        assert torch.equal(content["current_model_state"][key], Record.kept[-1][key])


def test_averaging_moves_no_weight(config: Path, whole: Path, tmp_path: Path) -> None:
    with one_thread():
        plain = weights(fit(config, tmp_path, *SAVED))
    moved = torch.load(last(whole), weights_only=True)["current_model_state"]
    assert all(torch.equal(plain[key], moved[key]) for key in plain)


@pytest.mark.parametrize("step", [4, 7])
def test_an_averaged_run_that_was_killed_ends_as_if_it_was_not(
    config: Path, whole: Path, tmp_path: Path, step: int
) -> None:
    """Its last and its best checkpoint, and their scores."""
    with one_thread():
        with pytest.raises(Killed):
            fit(config, tmp_path, *SAVED, callbacks(kill(step)))
        fit(config, tmp_path, *SAVED, callbacks(), f"--ckpt_path={last(tmp_path)}")
    for name in ("last.ckpt", "best.ckpt"):
        one, other = (
            torch.load(out / "checkpoints" / name, weights_only=True) for out in (whole, tmp_path)
        )
        for state in ("state_dict", "current_model_state", "averaging_state"):
            assert all(torch.equal(value, other[state][key]) for key, value in one[state].items())
        assert one["callbacks"]["KeepBestAndLast"] == other["callbacks"]["KeepBestAndLast"]


def test_the_average_is_what_is_evaluated_and_what_the_checkpoint_is(
    config: Path, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = [row["val/loss"] for row in logged(whole) if row["val/loss"]]
    command = ["validate", "--config", str(config), "--out", str(tmp_path), callbacks()]
    with one_thread():  # in batches of the same size, whose sums round alike
        main([*command, SAVED[1], f"--ckpt_path={last(whole)}"])
    assert logged(tmp_path)[0]["val/loss"] == seen[-1]
    assert "WeightAveraging" not in caplog.text
    model, average = PoseModel.load(last(whole)), weights(last(whole))
    assert all(torch.equal(value, average[key]) for key, value in model.state_dict().items())


def test_rounding_does_not_move_the_normalization() -> None:
    """An average of one and the same number drifts off it, in float32."""
    task = PoseTask(HeatmapCodec((64, 64)), COCO)
    average = AveragedModel(task, avg_fn=get_ema_avg_fn(0.999), use_buffers=True)
    for _ in range(100):
        average.update_parameters(task)
    for name in ("mean", "std"):
        assert torch.equal(getattr(average.module.model, name), getattr(task.model, name))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "checkpoint's weights are an average: go on with the callback of trainer.callbacks"),
        ((callbacks(decay=0.5),), r"begun with other options: trainer.callbacks \["),
    ],
)
def test_going_on_with_another_average_is_refused(
    config: Path, whole: Path, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        fit(config, whole, *SAVED, *options, f"--ckpt_path={last(whole)}")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("current_model_state", 7, "current_model_state must be the network's tensors, got int"),
        ("current_model_state", {}, "current_model_state must hold exactly the network's tensors"),
        ("averaging_state", {}, "averaging_state must be n_averaged, a whole number, got another"),
    ],
)
def test_a_strangers_average_is_refused_before_it_is_read(
    config: Path, whole: Path, tmp_path: Path, name: str, value: Any, message: str
) -> None:
    content = torch.load(last(whole), weights_only=True)
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    torch.save({**content, name: value}, path)
    with pytest.raises(SystemExit, match=message):
        fit(config, tmp_path, *SAVED, callbacks(), f"--ckpt_path={path}")
