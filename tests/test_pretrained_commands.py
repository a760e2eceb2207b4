# SPDX-License-Identifier: Apache-2.0
"""`huggingface:MODEL` in every command: as a checkpoint, as a network, without further options."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pretrained
from darkpose import PoseModel, Predictor
from darkpose.cli.implied import implied
from darkpose.cli.main import main
from darkpose.predict.distributed import as_checkpoint
from training_runs import files_of, weights

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


@pytest.fixture
def model() -> str:
    pretrained.vitpose(Path("vitpose"))
    return "huggingface:vitpose"


@pytest.fixture
def data_options(people: Path) -> list[str]:
    options = {**files_of(people), "workers": 0, "batch_size": 4}
    return [word for name, value in options.items() for word in (f"--data.{name}", str(value))]


def test_predict_draws_what_the_predictor_finds(model: str, two_photos: list[Path]) -> None:
    main(["predict", model, str(two_photos[0]), "--draw", "x.jpg", "--threads", "0"])
    (row,) = json.loads(Path("predictions.json").read_text())
    poses = Predictor.from_pretrained("vitpose")(two_photos[0])
    assert np.allclose(np.reshape(row["keypoints"], (17, 3)), poses.keypoints[0], atol=1e-3)
    assert poses.names[1] == "left_eye" and Path("x.jpg").stat().st_size > 1000


def test_rays_workers_get_it_as_a_checkpoint(model: str, tmp_path: Path) -> None:
    made = PoseModel.load(model)
    data = as_checkpoint(Path(model), made)
    assert data == as_checkpoint(Path(model), PoseModel.load(model))  # what a run is known by
    (tmp_path / "sent.ckpt").write_bytes(data)
    assert PoseModel.load(tmp_path / "sent.ckpt").metadata() == made.metadata()


def test_its_options_follow_from_it(model: str) -> None:
    option, text, *rest = implied(["--ckpt_path", model, "--out", "x"])
    assert option == "--config" and rest == ["--ckpt_path", model, "--out", "x"]
    for fact in ("sigma: 2.0", "convention: udp", "network: huggingface:vitpose", "padding: 1.25"):
        assert fact in text
    Path("a.yaml").write_text("model: {network: 'huggingface:vitpose'}")
    for same in (["--config", "a.yaml"], ["--config=a.yaml"], [f"--model.network={model}"]):
        assert implied(same)[:2] == ["--config", text]
    assert implied(["--ckpt_path", "best.ckpt"]) == ["--ckpt_path", "best.ckpt"]


def test_validate_takes_it_as_a_checkpoint(
    model: str, data_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["validate", "--ckpt_path", model, *data_options, "--out", "v"])
    assert "AP " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="trained with sigma 2.0, the configuration says 3.0"):
        main(["validate", "--ckpt_path", model, *data_options, "--codec.sigma", "3"])


def test_fit_starts_from_it_and_keeps_the_last_layer_of_the_same_joints(
    model: str, data_options: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    steps = ["--trainer.max_steps", "2", "--model.learning_rate", "1e-9"]
    main(["fit", "--model.network", model, *data_options, *steps, "--out", "f"])
    trained = PoseModel.load("f/checkpoints/last.ckpt")
    for key, value in PoseModel.load(model).state_dict().items():
        assert torch.allclose(trained.state_dict()[key], value, atol=1e-7)
    assert "initialized from huggingface:vitpose" in caplog.messages
    steps[1] = "4"
    going_on = ["--ckpt_path", "f/checkpoints/last.ckpt"]
    main(["fit", "--model.network", model, *data_options, *steps, "--out", "f", *going_on])


@pytest.mark.parametrize("expert", ["mpii", None])
def test_other_joints_or_another_expert_get_a_new_last_layer(
    data_options: list[str], caplog: pytest.LogCaptureFixture, expert: str | None
) -> None:
    caplog.set_level(logging.INFO)
    labels = [f"point {k}" for k in range(20)] if expert is None else pretrained.COCO_LABELS
    pretrained.vitpose(Path("plus"), experts=6, labels=labels)
    options = ["--model.network", "huggingface:plus", "--trainer.max_steps", "1"]
    options += [] if expert is None else ["--model.expert", expert]
    options += ["--model.learning_rate", "1e-9", "--seed", "1"]
    main(["fit", *options, *data_options, "--out", "f"])
    said = "initialized from huggingface:plus, with a new last layer for 17 joints"
    assert said in caplog.messages
    found = weights(Path("f/checkpoints/last.ckpt"))
    theirs = pretrained.vitpose(Path("again"), experts=6, labels=labels).state_dict()
    for key, value in theirs.items():
        same = found[f"network.model.{key}"]
        if "head.conv" in key:
            assert same.shape[0] == 17
            assert expert is None or "bias" in key or not torch.allclose(same, value)
        else:
            assert torch.allclose(same, value, atol=1e-7)


def test_convert_makes_a_checkpoint_of_it(
    model: str, two_photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["convert", model, "ours.ckpt"])
    expected = PoseModel.load(model)
    assert PoseModel.load("ours.ckpt").metadata() == expected.metadata()
    main(["predict", "ours.ckpt", str(two_photos[0])])
    with pytest.raises(SystemExit, match="vitpose says its sigma itself: leave out sigma"):
        main(["convert", model, "b.ckpt", "--sigma", "3"])
    pretrained.vitpose(Path("unnamed"), labels=[f"LABEL_{k}" for k in range(17)])
    with pytest.raises(SystemExit, match="must name its 17 joints in id2label"):
        main(["convert", "huggingface:unnamed", "b.ckpt"])
    main(["convert", "huggingface:unnamed", "b.ckpt", "--joints", "ap10k"])
    assert PoseModel.load("b.ckpt").spec.names[4] == "Root of tail"
    pretrained.vitpose(Path("plus"), experts=6)
    with pytest.raises(SystemExit, match="expert ap10k has other joints than the last layer"):
        main(["convert", "huggingface:plus", "c.ckpt", "--expert", "ap10k"])
    with pytest.raises(SystemExit, match="expert is for a ViTPose"):
        main(["convert", "b.ckpt", "c.ckpt", "--expert", "ap10k"])
    assert not Path("c.ckpt").exists()


def test_fit_starts_from_a_checkpoint_of_one(
    model: str, data_options: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    PoseModel.load(model).save("start.ckpt")
    pretrained.vitpose(Path("other"), seed=5)
    options = ["--model.network", "huggingface:other", "--model.init", "start.ckpt"]
    options += ["--trainer.max_steps", "1", "--model.learning_rate", "1e-9", *data_options]
    main(["fit", *options, "--out", "f"])
    for key, value in weights(Path("start.ckpt")).items():
        assert torch.allclose(weights(Path("f/checkpoints/last.ckpt"))[key], value, atol=1e-7)
    main(["fit", *options, "--out", "g", "--model.init_joints", "false", "--seed", "1"])
    key = "network.model.head.conv.weight"
    found, given = weights(Path("g/checkpoints/last.ckpt"))[key], weights(Path("start.ckpt"))[key]
    assert not torch.allclose(found, given)


def test_models_counts_it(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "--model", f"[{model}]"])
    values = sum(value.numel() for value in PoseModel.load(model).network.parameters())
    said = capsys.readouterr().out
    assert f"{values:,}" in said and "192 x 256" in said


def test_a_name_of_the_hub_is_looked_for_where_the_hub_keeps_it(tmp_path: Path) -> None:
    """What was downloaded once is found without network, by transformers' own code."""
    kept = tmp_path / "hub" / "models--someone--vitpose"
    pretrained.vitpose(kept / "snapshots" / "abc")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    program = (
        "from darkpose import Predictor; p = Predictor.from_pretrained('someone/vitpose');"
        "print(p.spec.num_joints);"
        "Predictor.from_pretrained('someone/else')"
    )
    environment: dict[str, Any] = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert ran.stdout == "17\n"
    error = ran.stderr.strip().splitlines()[-1]
    assert "huggingface:someone/else must have a config.json, on the hub or in its folder" in error
