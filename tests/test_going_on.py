# SPDX-License-Identifier: Apache-2.0
"""A run that goes on is the run that was begun: what has changed is named."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from darkpose.data.annotations import load_annotations
from darkpose.data.digest import people_digest
from darkpose.models.checkpoints import read_checkpoint
from darkpose.train.changes import RUN, SameOptions, deciding, differences
from training_runs import files_of, fit, write_config


@pytest.fixture(scope="module")
def config(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(people, tmp_path_factory.mktemp("config") / "config.yaml")


@pytest.fixture(scope="module")
def begun(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch."""
    out = tmp_path_factory.mktemp("begun")
    fit(config, out, "--trainer.max_epochs=1")
    return out


def go_on(config: Path, run: Path, *options: str) -> Path:
    last = run / "checkpoints" / "last.ckpt"
    return fit(config, run, "--trainer.max_epochs=1", "--ckpt_path", str(last), *options)


# ---- changed options -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--model.learning_rate=0.01", "model.learning_rate 0.001 -> 0.01"),
        ("--model.milestones=[5]", "model.milestones [1] -> [5]"),
        ("--data.batch_size=8", "data.batch_size 16 -> 8"),
        ("--data.seed=4", "data.seed 0 -> 4"),
        ("--seed=4", "seed 0 -> 4"),
        ("--data.augmentation.rotation=10", "data.augmentation.rotation 30.0 -> 10.0"),
        ("--data.augmentation=null", "data.augmentation {'"),
        ("--trainer.gradient_clip_val=1", "trainer.gradient_clip_val None -> 1"),
    ],
)
def test_what_decides_the_result_is_named_and_refused(
    config: Path, begun: Path, option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (begun / "config.yaml").read_text()
    with pytest.raises(SystemExit) as end:
        go_on(config, begun, option)
    assert f"begun with other options: {said}" in str(end.value)
    assert "--resume_changed true" in str(end.value)
    assert (begun / "config.yaml").read_text() == settings


def test_other_people_are_named_by_what_they_say(
    people: Path, config: Path, begun: Path, tmp_path: Path
) -> None:
    train = files_of(people)["train"]
    content = json.loads(train.read_text())
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps(content, indent=1))
    content["annotations"][0]["keypoints"][0] += 1
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match=r"options: people of data.train '[0-9a-f]{16}' -> '"):
        go_on(config, begun, f"--data.train={changed}")
    go_on(config, begun, f"--data.train={moved}", "--data.workers=1", "--checkpoint_steps=1")


def test_a_change_that_is_asked_for_is_said_and_made(
    config: Path, begun: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "run"
    fit(config, out, "--trainer.max_epochs=1")
    settings = (out / "config.yaml").read_text()
    options = ("--resume_changed=true", "--model.learning_rate=0.01", "--trainer.max_epochs=2")
    last = out / "checkpoints" / "last.ckpt"
    fit(config, out, "--ckpt_path", str(last), *options)
    assert "goes on with other options: model.learning_rate 0.001 -> 0.01" in caplog.text
    assert "max_epochs" not in caplog.text  # raised, as it may be
    assert (out / "config.yaml").read_text() == settings
    assert read_checkpoint(last)[RUN]["model"]["learning_rate"] == 0.01


def test_a_run_may_become_longer_and_not_shorter() -> None:
    def of(epochs: Any) -> dict[str, Any]:
        return {"trainer": {"max_epochs": epochs}}

    for old, new in ((2, 3), (2, None), (2, -1)):
        assert differences(of(old), of(new)) == []
    assert differences(of(3), of(2)) == ["trainer.max_epochs 3 -> 2"]
    assert differences(of(-1), of(2)) == ["trainer.max_epochs -1 -> 2"]


def test_where_and_how_fast_decide_nothing() -> None:
    options = {
        "out": "a",
        "data": {"train": "a.json", "workers": 2, "extra": [{"file": "x", "repeat": 2}]},
        "trainer": {"devices": 1, "accelerator": "cpu", "logger": None, "precision": "16-mixed"},
    }
    expected = {"data": {"extra": [{"repeat": 2}]}, "trainer": {"precision": "16-mixed"}}
    assert deciding(options) == expected


def test_another_number_of_processes_is_named() -> None:
    data = SimpleNamespace(digests=dict)
    same = SameOptions({})
    checkpoint: dict[str, Any] = {}
    fitting = SimpleNamespace(fn="fit")
    one, two = (SimpleNamespace(datamodule=data, world_size=n, state=fitting) for n in (1, 2))
    same.on_save_checkpoint(one, None, checkpoint)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="other options: processes 1 -> 2"):
        SameOptions({}).on_load_checkpoint(two, None, checkpoint)  # type: ignore[arg-type]


def test_of_a_checkpoint_that_says_nothing_there_is_a_note(
    config: Path, begun: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = read_checkpoint(begun / "checkpoints" / "last.ckpt")
    del content[RUN]
    old = tmp_path / "checkpoints" / "last.ckpt"
    old.parent.mkdir()
    torch.save(content, old)
    with caplog.at_level("INFO"):
        fit(config, tmp_path, "--ckpt_path", str(old), "--model.learning_rate=0.5")
    assert "does not say with which options its run was begun" in caplog.text


def test_a_digest_is_of_what_people_are(people: Path) -> None:
    file = files_of(people)["val"]
    found = load_annotations(file, people)
    digest = people_digest(found.records, found.spec)
    again = load_annotations(file, people / "elsewhere")
    assert people_digest(again.records, again.spec) == digest
    assert people_digest(again.records[1:], again.spec) != digest
    first, *others = found.records
    for change in ({"image_size": (7, 8)}, {"head_size": 9.0}, {"box": (1.0, 2.0, 3.0, 4.0)}):
        assert people_digest([replace(first, **change), *others], found.spec) != digest


def test_what_a_run_was_begun_with_is_in_its_checkpoint(config: Path, begun: Path) -> None:
    run = read_checkpoint(begun / "checkpoints" / "last.ckpt")[RUN]
    said = yaml.safe_load((begun / "config.yaml").read_text())
    assert run["data"]["batch_size"] == said["data"]["batch_size"] == 16
    assert run["processes"] == 1 and len(run["people of data.val"]) == 16
    assert not {"train", "val", "workers"} & run["data"].keys() and "out" not in run
