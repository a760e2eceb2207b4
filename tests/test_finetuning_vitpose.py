# SPDX-License-Identifier: Apache-2.0
"""A ViTPose of transformers fine-tuned for twenty joints of one's own, by the packaged recipe; and
drop path in Sapiens2."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import pretrained
from darkpose.cli.main import main
from darkpose.models.families import plain
from darkpose.models.pose import PoseModel
from darkpose.models.transformers import TransformersNetwork
from darkpose.train.drop_path import DropPath
from test_resume import Killed, assert_equal, kill_at, one_thread
from training_runs import files_of, weights

SIZE = 64  # of the input, in pixels
MORE = ("top", "left_toe", "right_toe")


def with_more_joints(source: Path, target: Path) -> Path:
    """Write an annotation file of 20 joints: COCO's, the top of the head and the toes."""
    content = json.loads(source.read_text())
    for category in content["categories"]:
        category["keypoints"] += MORE
    for person in content["annotations"]:
        given = person["keypoints"]
        for k in (0, 15, 16):  # nose and ankles
            x, y, visible = given[3 * k : 3 * k + 3]
            given.extend([x, y - 5 if k == 0 else y + 5, visible])
    target.write_text(json.dumps(content))
    return target


@pytest.fixture(scope="module")
def command(people: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is typed: the recipe with another model and data, for a few steps."""
    folder = tmp_path_factory.mktemp("own")
    model = folder / "vitpose"
    pretrained.vitpose(model, image_size=[SIZE, SIZE], num_hidden_layers=3, out_indices=[3])
    processor = model / "preprocessor_config.json"
    said = json.loads(processor.read_text())
    processor.write_text(json.dumps(said | {"size": {"height": SIZE, "width": SIZE}}))
    files: dict[str, Any] = files_of(people)
    for name in ("train", "val"):
        files[name] = with_more_joints(files[name], folder / f"{name}.json")
    options = {
        **{f"data.{name}": path for name, path in files.items()},
        **{"data.batch_size": 8, "data.workers": 0, "codec.input_size": f"[{SIZE},{SIZE}]"},
        **{"model.network": f"huggingface:{model}", "model.warmup": 2},
        **{"trainer.max_epochs": 2, "trainer.check_val_every_n_epoch": 1, "checkpoint_steps": 1},
        **{"trainer.accelerator": "cpu", "trainer.enable_progress_bar": "false"},
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    return ["fit", "--config", "vitpose/base_own.yaml", *given]


@pytest.fixture(scope="module")
def whole(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run, of one thread."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with one_thread():
        main([*command, "--out", str(out)])
    return out / "checkpoints" / "last.ckpt"


def test_the_recipe_for_own_joints_trains_a_new_last_layer(command: list[str], whole: Path) -> None:
    """The average is what its checkpoint is, without a file of the model that it began with."""
    model = PoseModel.load(whole)
    assert model.spec.num_joints == 20 and model.spec.names[17:] == MORE
    assert (18, 19) in model.spec.flip_pairs
    assert model(torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8)).shape == (1, 20, 16, 16)
    content = torch.load(whole, weights_only=True)
    own, moved = model.state_dict(), content["current_model_state"]
    assert all(torch.equal(value, content["state_dict"][key]) for key, value in own.items())
    assert not torch.equal(
        moved["network.model.head.conv.weight"], own["network.model.head.conv.weight"]
    )
    groups = content["optimizer_states"][0]["param_groups"]
    shares = {group["share"] for group in groups}
    assert shares == {0.75**power for power in range(5)}  # of the head, three layers, the patches
    assert {group["weight_decay"] for group in groups} == {0.0, 0.1}


def test_layers_move_by_their_share_from_the_models_weights(
    command: list[str], tmp_path: Path
) -> None:
    """In Adam's first step every value moves by the rate: here half of it, in the warmup."""
    still = ["--model.weight_decay=0", "--trainer.callbacks=null", "--trainer.max_steps=1"]
    main([*command, *still, "--out", str(tmp_path)])
    name = next(word for word in command if "model.network" in word).partition("=")[2]
    began = PoseModel.load(name).state_dict()
    found = weights(tmp_path / "checkpoints" / "last.ckpt")
    for key, power in (
        ("backbone.embeddings.patch_embeddings.projection.weight", 4),
        ("backbone.encoder.layer.0.mlp.fc1.weight", 3),
        ("backbone.encoder.layer.2.mlp.fc1.weight", 1),
    ):
        moved = (found[f"network.model.{key}"] - began[f"network.model.{key}"]).abs()
        assert float(moved.median()) == pytest.approx(0.5e-4 * 0.75**power, rel=0.02), key


def test_it_goes_on_where_it_was_killed(command: list[str], whole: Path, tmp_path: Path) -> None:
    average = "lightning.pytorch.callbacks.EMAWeightAveraging"
    callbacks = [{"class_path": average, "init_args": {"decay": 0.99}}]
    kill = json.loads(kill_at(5).partition("=")[2])
    killed = f"--trainer.callbacks={json.dumps([*callbacks, *kill])}"
    with one_thread():
        with pytest.raises(Killed):
            main([*command, "--out", str(tmp_path), killed])
        last = tmp_path / "checkpoints" / "last.ckpt"
        main([*command, "--out", str(tmp_path), f"--ckpt_path={last}"])
    assert_equal(last, whole)


def test_sapiens2s_own_drop_path_makes_room_for_the_rising_one(tmp_path: Path) -> None:
    pretrained.sapiens2(tmp_path, joints=5, size=(SIZE, SIZE))
    configuration = plain(json.loads((tmp_path / "config.json").read_text()))
    network = TransformersNetwork(
        {**configuration, "drop_path_rate": 0.9, "pos_embed_rescale": None}, 5
    ).train()
    image = torch.randn(3, 3, SIZE, SIZE)
    drop = DropPath(list(network.layers), 0.5)
    seen: list[torch.Tensor] = []
    for layer in network.layers:
        layer.register_forward_hook(lambda _layer, given, found: seen.extend((given[0], found)))
    drop.factors = torch.ones(4, 3)
    drop.factors[2:, 1] = 0  # the second image passes by both branches of the last layer
    network(image)
    _, _, given, found = seen
    assert torch.equal(found[1], given[1]) and not torch.isclose(found[0], given[0]).all()
    seen.clear()
    network.eval()(image)
    torch.testing.assert_close(seen[3][[0, 2]], found[[0, 2]])  # else it is as in evaluation
