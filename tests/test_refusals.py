# SPDX-License-Identifier: Apache-2.0
"""What training and evaluation refuse: each with one sentence that names what is wrong."""

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from darkpose.cli.main import main
from darkpose.codec import HeatmapCodec
from darkpose.data.joint_sets import COCO
from darkpose.data.spec import KeypointSpec
from darkpose.models.checkpoints import check_metadata
from darkpose.models.pose import PoseModel
from training_runs import fit


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_evaluation_without_a_checkpoint_is_refused(config: Path, verb: str) -> None:
    with pytest.raises(SystemExit, match=f"darkpose {verb}: needs --ckpt_path"):
        main([verb, "--config", str(config)])


def test_a_new_run_does_not_overwrite_another(config: Path, tmp_path: Path) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.max_epochs=1")
    before = checkpoint.read_bytes()
    with pytest.raises(SystemExit, match="already holds a run: resume it with --ckpt_path"):
        fit(config, tmp_path / "run")
    other = tmp_path / "elsewhere.ckpt"
    other.write_bytes(before)
    with pytest.raises(SystemExit, match="already holds a run"):
        fit(config, tmp_path / "run", "--ckpt_path", str(other))
    assert checkpoint.read_bytes() == before


def test_training_resumes_with_the_same_encoding_only(config: Path, tmp_path: Path) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.max_epochs=1")
    biased = ("--ckpt_path", str(checkpoint), "--codec.encoding=biased")
    main(["validate", "--config", str(config), "--out", str(tmp_path / "run"), *biased])
    with pytest.raises(SystemExit, match="with encoding unbiased, the configuration says biased"):
        fit(config, tmp_path / "run", *biased)
    assert "encoding: unbiased" in (tmp_path / "run" / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--codec.convention=udp", "trained with convention darkpose, the configuration says udp"),
        ("--codec.input_size=[96,128]", r"trained with input_size \[64, 64\]"),
        ("--codec.sigma=2", "trained with sigma 0.5, the configuration says 2.0"),
        ("--model.network=simple_r18", "trained with network small"),
        ("--model.std=[1,1,1]", r"trained with std \[0.229, 0.224, 0.225\]"),
        ("--codec.padding=1", "trained with padding 1.25, the configuration says 1.0"),
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
        PoseModel.load(tmp_path / "foreign.ckpt")


@pytest.mark.parametrize("content", [b"", b"garbage" * 99, b"PK\x03\x04 cut short"])
def test_a_damaged_checkpoint_is_named(config: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="last.ckpt must be a complete checkpoint"):
        PoseModel.load(path)
    with pytest.raises(SystemExit, match="last.ckpt must be a complete checkpoint"):
        main(["validate", "--config", str(config), "--ckpt_path", str(path)])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--data.val=nowhere.json", "nowhere.json"),
        ("--data.val=${DARKPOSE_NOWHERE}/val.json", "DARKPOSE_NOWHERE, which is not set"),
        ("--data.train=nowhere.json", "nowhere.json"),
        ("--data.train=null", "got no data.train"),
        ("--data.train_images=null", "got no data.train_images"),
        ("--model.network=resnet", "network must be one of small, simple_r18, simple_r50"),
        ("--codec.encoding=soft", "must be unbiased, biased, dsnt or ipr, got soft"),
        ("--codec.convention=openpose", "hrnet"),
        ("--codec.input_size=[72,96]", "input_size must be divisible by 32"),
        (
            "--codec.heatmap_size=[32,32]",
            "heatmap_size must be 16 x 16, what network small gives",
        ),
        ("--config=nowhere.yaml", "must be a file or one of coco/hourglass_4_128_baseline.yaml, "),
        ("--trainer.precision=7", "precision"),
        ("--trainer.limit_train_batches=1.5", "invalid value 1.5 for limit_train_batches"),
        ("--trainer.precision=bf16-true", "use bf16-mixed or 16-mixed"),
        ("--trainer.default_root_dir=x", "unrecognized arguments"),
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
    for workers in ("--data.workers=0", "--data.workers=1"):
        with pytest.raises(SystemExit, match=rf"annotation \d+: .*{broken.name}") as error:
            fit(config, tmp_path / workers, *options, workers)
        assert "\n" not in str(error.value) and "Error" not in str(error.value)
    assert fit(config, tmp_path / "skip", *options, "--data.on_bad_image=skip").exists()


def test_a_missing_extra_is_named_with_what_installs_it() -> None:
    code = "import sys; sys.modules['lightning'] = None; from darkpose.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "fit"], capture_output=True, text=True)
    assert (
        done.stderr.strip() == "darkpose: darkpose needs lightning: pip install 'darkpose[train]'"
    )


def test_a_regression_checkpoint_is_not_read_as_heatmaps() -> None:
    """Its maps are logits: DARK would give coordinates without a word."""
    spec = KeypointSpec.from_names(["nose"])

    def metadata(**changes: Any) -> dict[str, Any]:
        return PoseModel(HeatmapCodec((64, 64), **changes), spec).metadata()

    with pytest.raises(ValueError, match="trained with encoding ipr, the configuration says unb"):
        check_metadata(metadata(encoding="ipr"), metadata())
    check_metadata(metadata(encoding="biased", modulation=11, border="fit"), metadata(modulation=3))
    wide = replace(spec, oks_sigmas=(0.3,))  # of the evaluation, not of the weights
    check_metadata(metadata(), PoseModel(HeatmapCodec((64, 64)), wide).metadata(), resuming=True)
    with pytest.raises(ValueError, match="trained with modulation 11"):
        check_metadata(metadata(modulation=11), metadata(modulation=3), resuming=True)


def test_a_strangers_state_of_training_is_refused_before_it_is_read(
    config: Path, tmp_path: Path
) -> None:
    checkpoint = fit(config, tmp_path / "run", "--trainer.max_epochs=1")
    sound = torch.load(checkpoint, weights_only=True)
    for place, value, words in (
        (
            ("loops", "fit_loop", "epoch_progress", "total", "ready"),
            "x",
            "ready must be int, got st",
        ),
        (("loops", "fit_loop", "epoch_progress"), None, "epoch_progress must be dict, got None"),
        (("loops", "fit_loop"), {}, "fit_loop must have epoch_loop.* and 6 more, got none"),
        (("optimizer_states",), [{}], "optimizer_states must have param_groups, state, got none"),
        (
            ("optimizer_states", 0, "state", 0, "exp_avg"),
            torch.zeros(()).expand(2**40),
            r"state.0.exp_avg must be numbers .*, got torch.float32 .1099511627776",
        ),
    ):
        content = copy.deepcopy(sound)
        inside = content
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = value
        torch.save(content, checkpoint)
        with pytest.raises(SystemExit, match=f"^darkpose fit: .*{words}"):
            fit(config, tmp_path / "run", "--ckpt_path", str(checkpoint))


def test_converted_weights_are_nothing_to_resume_from(config: Path, tmp_path: Path) -> None:
    task = PoseModel(HeatmapCodec((64, 64)), COCO)
    path = tmp_path / "converted.ckpt"
    task.save(path)
    with pytest.raises(SystemExit, match="model.init"):
        main(["fit", "--config", str(config), "--out", str(tmp_path), "--ckpt_path", str(path)])
