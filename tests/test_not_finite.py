# SPDX-License-Identifier: Apache-2.0
"""A loss or gradient that is not finite ends a training before a checkpoint holds what follows."""

import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import killing
from darkpose.cli.main import main
from darkpose.train.finite import NotFiniteError, StopNotFinite, poison
from training_runs import fit, weights, write_config


@pytest.fixture(scope="module")
def config(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(people, tmp_path_factory.mktemp("config") / "config.yaml")


def break_loss_at(step: int, monkeypatch: pytest.MonkeyPatch, value: float = math.nan) -> None:
    """Multiply the loss of one step, counted from 0, and of all after it."""
    from darkpose.models.pose import PoseModel

    loss, calls = PoseModel.loss, iter(range(1000))

    def broken(self: PoseModel, *arguments: Any) -> torch.Tensor:
        found = loss(self, *arguments)
        bad = self.training and next(calls) >= step
        return found * value if bad else found

    monkeypatch.setattr(PoseModel, "loss", broken)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_training(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    every = "--checkpoint_steps=1"
    expected = weights(fit(config, tmp_path / "one", every, "--trainer.max_steps=1"))
    break_loss_at(1, monkeypatch, value)
    with pytest.raises(SystemExit, match="at step 2 of epoch 0: the loss or its gradient is not"):
        fit(config, tmp_path / "run", every)
    kept = weights(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert all(torch.equal(value, kept[name]) for name, value in expected.items())


def test_going_on_with_nan_can_be_asked_for(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_loss_at(0, monkeypatch)
    last = fit(config, tmp_path / "run", "--stop_not_finite=false")
    assert any(value.isnan().any() for value in weights(last).values())


def test_a_batch_of_an_accumulated_step_is_enough(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_loss_at(1, monkeypatch)
    with pytest.raises(SystemExit, match="at step 1 of epoch 0"):
        fit(config, tmp_path / "run", "--trainer.accumulate_grad_batches=2")


def test_a_finite_loss_is_bit_for_bit_the_same() -> None:
    x = torch.tensor([0.1, 0.2, 1e-30], requires_grad=True)
    expected = torch.autograd.grad(x.square().sum(), x)[0]
    loss = x.square().sum()
    assert poison(loss).equal(loss)
    assert torch.autograd.grad(poison(loss), x)[0].equal(expected)
    overflown = (x * 1e38).square().sum()  # whose gradient is finite
    assert torch.autograd.grad(poison(overflown), x)[0].isnan().all()


class Trainer(SimpleNamespace):
    current_epoch = 0


def step_through(norms: list[float], precision: str = "32-true") -> int:
    """Return after how many steps gradients of these norms end a training."""
    parameter = torch.nn.Parameter(torch.ones(()))
    optimizer, stop = torch.optim.SGD([parameter]), StopNotFinite()
    for step, norm in enumerate(norms):
        parameter.grad = torch.tensor(norm)
        trainer = Trainer(global_step=step, precision=precision)
        try:
            stop.on_before_optimizer_step(trainer, None, optimizer)  # type: ignore[arg-type]
        except NotFiniteError:
            return step + 1
    return 0


def test_the_twentieth_step_that_a_scaler_skips_ends_training() -> None:
    bad = [math.inf] * 19
    assert step_through([1.0, math.inf]) == 2
    assert step_through([*bad, 1.0, *bad], "16-mixed") == 0
    assert step_through([1.0, *bad, math.nan, 1.0], "16-mixed") == 21
    assert step_through([math.inf], "bf16-mixed") == 1


class _Event:
    """A GPU's, that tells when it is waited for."""

    waited = 0

    def synchronize(self) -> None:
        _Event.waited += 1


def test_a_gpu_is_waited_for_sixteen_steps_later_or_for_a_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("darkpose.train.finite._copy", lambda norm: (norm, _Event()))
    monkeypatch.setattr(_Event, "waited", 0)
    assert step_through([1.0] * 16) == 0 and _Event.waited == 0
    assert step_through([1.0] * 20) == 0 and _Event.waited == 4
    assert step_through([1.0, math.nan, *[1.0] * 30]) == 2 + 16
    for hook in ("on_save_checkpoint", "on_train_end"):
        stop, parameter = StopNotFinite(), torch.nn.Parameter(torch.ones(()))
        parameter.grad = torch.tensor(math.nan)
        trainer: Any = Trainer(global_step=4, precision="32-true")
        stop.on_before_optimizer_step(trainer, None, torch.optim.SGD([parameter]))  # type: ignore[arg-type]
        with pytest.raises(NotFiniteError, match="at step 5 of epoch 0"):
            getattr(stop, hook)(trainer, *[None] * (1 + (hook == "on_save_checkpoint")))


class Spoiled(torch.nn.Sequential):
    """A tiny network whose second step overflows in the second process alone."""

    calls = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        bad = self.training and self.calls == 2 and os.environ.get("LOCAL_RANK") == "1"
        found: torch.Tensor = super().forward(image)
        return found * math.inf if bad else found


def spoiled(joints: int, input_size: tuple[int, int]) -> torch.nn.Module:
    return Spoiled(*killing.tiny(joints, input_size))


def test_what_one_of_two_processes_finds_ends_both_at_the_same_step(
    config: Path, tmp_path: Path
) -> None:
    every = "--checkpoint_steps=1"
    one, run, said = tmp_path / "one", tmp_path / "run", tmp_path / "said"
    runs = killing.Runs(config, (every, "--trainer.max_steps=1"), processes=2)
    assert runs.go(one) == 0, one.with_suffix(".said").read_text()
    network = "--model.network=test_not_finite:spoiled"
    command = killing.Runs(config, (every, network), processes=2).command(run)
    statuses = killing.forked(lambda: main(command), said, 2, wait=True)
    assert statuses == {1}, said.read_text()
    assert said.read_text().count("at step 2 of epoch 0: the loss or its gradient is not") == 2
    expected, kept = (weights(at / "checkpoints" / "last.ckpt") for at in (one, run))
    assert all(torch.equal(value, kept[name]) for name, value in expected.items())
