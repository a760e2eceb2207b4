# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning: paths that images leave out, frozen backbones, and runs that go on with them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from darkpose import models
from darkpose.paper.recipes import recipes
from darkpose.train.drop_path import DropPath
from darkpose.train.freezing import freeze_backbone
from darkpose.train.trainer import training_parser
from test_resume import Killed, assert_equal, kill_at, last, one_thread
from training_runs import fit, weights, write_config
from transformer import Transformer

CPU = torch.device("cpu")

TUNED = {
    "network": "transformer:make",
    "learning_rate": 0.002,
    "weight_decay": 0.1,
    "layer_decay": 0.75,
    "drop_path": 0.5,
    "warmup": 2,
}
CLIPPED = ("--trainer.gradient_clip_val=0.001", "--trainer.accumulate_grad_batches=2")
SAVED = ("--checkpoint_steps=1", "--data.batch_size=8")  # 4 steps an epoch


@pytest.fixture(scope="module")
def config(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a transformer of two layers with all that ViTPose's training has."""
    path = write_config(people, tmp_path_factory.mktemp("config") / "config.yaml")
    content = yaml.safe_load(path.read_text())
    content["model"] |= TUNED
    path.write_text(yaml.safe_dump(content))
    return path


# ---- drop path -----------------------------------------------------------------------------------


def test_drop_path_rises_with_depth_and_keeps_the_expectation() -> None:
    network = Transformer(3, (64, 64), depth=4)
    names = network.state_dict().keys()
    drop = DropPath(list(network.layers), 0.3)
    assert network.state_dict().keys() == names
    drop.draw(0, 0, torch.arange(4000), CPU)
    assert drop.factors is not None
    dropped = (drop.factors == 0).double().mean(1)
    expected = torch.tensor([0, 0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3])  # attention and mlp of a layer
    torch.testing.assert_close(dropped, expected.double(), atol=0.025, rtol=0)
    kept = drop.factors.amax(1)
    torch.testing.assert_close(kept, 1 / (1 - expected))
    both = (drop.factors[6] == 0) & (drop.factors[7] == 0)
    assert abs(both.double().mean() - 0.09) < 0.02  # each by itself


def test_an_image_passes_by_what_is_dropped_and_only_in_training() -> None:
    network = Transformer(3, (64, 64), depth=1)
    layer, x = network.layers[0], torch.randn(3, 5, 8)
    attention = layer.attention(layer.norm1(x))[0]
    whole = layer(x)
    drop = DropPath([torch.nn.Module(), layer][1:], 0.5)
    drop.rates = np.array([0.5, 0.5])  # the only layer is the first one, which drops nothing
    drop.factors = torch.tensor([[0.0, 2.0, 2.0], [0.0, 0.0, 2.0]])
    found = layer(x)
    after = x + 2 * attention
    both = after + 2 * layer.mlp.eval()(layer.norm2(after))
    torch.testing.assert_close(found, torch.stack([x[0], after[1], both[2]]))
    assert torch.equal(layer.eval()(x), whole)


def test_what_is_dropped_depends_on_the_sample_alone() -> None:
    """Not on its place in a batch, as two processes or a run that goes on have others."""
    drop = DropPath(list(Transformer(3, (64, 64)).layers), 0.5)

    def drawn(*samples: int, seed: int = 3, epoch: int = 7) -> torch.Tensor:
        drop.draw(seed, epoch, torch.tensor(samples), CPU)
        assert drop.factors is not None
        return drop.factors

    many = drawn(*range(40))
    assert torch.equal(drawn(31, 2), many[:, [31, 2]])
    for other in (drawn(*range(40), epoch=8), drawn(*range(40), seed=4)):
        assert not torch.equal(other, many)


# ---- frozen --------------------------------------------------------------------------------------

HEADS = {
    "small": ("final_layer.",),
    "hrnet_small": ("final_layer.",),
    "simple_small": ("deconv_layers.", "final_layer."),
    "hourglass_small": ("score.", "score_."),
}


@pytest.mark.parametrize("name", [*HEADS, "transformer:make"])
def test_of_a_frozen_network_only_the_head_changes(name: str) -> None:
    network = models.create(name, 3, (64, 64))
    heads = HEADS.get(name, ("head.",))
    frozen = freeze_backbone(network)
    for module in frozen:
        module.training = False
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(
        [p for p in network.parameters() if p.requires_grad], 0.01, weight_decay=1
    )
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(key.startswith(heads) for key in changed)
    trained = {key for key, _ in network.named_parameters() if key.startswith(heads)}
    assert trained - changed <= {"head.3.bias"} | {k for k in trained if "bias" in k}


def test_a_frozen_run_trains_its_head_and_goes_on(config: Path, tmp_path: Path) -> None:
    """In batches too, before and after an evaluation, nothing else counts or moves."""
    frozen = ("--model.freeze=backbone", *SAVED)
    first = weights(fit(config, tmp_path / "first", *frozen, "--trainer.max_steps=1"))
    out = tmp_path / "run"
    with pytest.raises(Killed):
        fit(config, out, *frozen, kill_at(4))
    after = weights(fit(config, out, *frozen, "--ckpt_path", str(last(out))))
    changed = {key for key in first if not torch.equal(first[key], after[key])}
    assert {"network.head.1.running_mean", "network.head.3.weight"} <= changed
    assert all(key.startswith("network.head.") for key in changed)
    with pytest.raises(SystemExit, match="must have 8 groups of parameters to go on with, got 2"):
        fit(config, out, *SAVED, "--resume_changed=true", "--ckpt_path", str(last(out)))


# ---- runs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run, of one thread."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with one_thread():
        fit(config, out, *SAVED, *CLIPPED)
    return out


def test_a_tuned_run_that_was_killed_ends_with_the_same_weights(
    config: Path, whole: Path, tmp_path: Path
) -> None:
    """Clipped and accumulated, with paths dropped in both halves of a step."""
    with one_thread():
        with pytest.raises(Killed):
            fit(config, tmp_path, *SAVED, *CLIPPED, kill_at(6))
        fit(config, tmp_path, *SAVED, *CLIPPED, f"--ckpt_path={last(tmp_path)}")
    assert_equal(last(tmp_path), last(whole))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--model.weight_decay=0.2", "model.weight_decay 0.1 -> 0.2"),
        ("--model.layer_decay=0.5", "model.layer_decay 0.75 -> 0.5"),
        ("--model.drop_path=null", "model.drop_path 0.5 -> None"),
    ],
)
def test_going_on_with_another_recipe_is_refused(
    config: Path, whole: Path, option: str, said: str
) -> None:
    with pytest.raises(SystemExit, match=f"begun with other options: {said}"):
        fit(config, whole, *SAVED, *CLIPPED, option, f"--ckpt_path={last(whole)}")


def norms(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return where the norms of all gradients that AdamW steps with will be."""
    found: list[float] = []
    step = torch.optim.AdamW.step

    def counted(self: torch.optim.AdamW, closure: Any = None) -> Any:
        def inner() -> Any:
            loss = closure()
            gradients = [p.grad for g in self.param_groups for p in g["params"]]
            found.append(float(torch.nn.utils.get_total_norm(gradients)))
            return loss

        return step(self, inner)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    return found


def test_gradients_are_clipped_after_they_are_accumulated(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = norms(monkeypatch)
    fit(config, tmp_path, *CLIPPED, "--data.batch_size=16", "--trainer.max_epochs=1")
    assert found == pytest.approx([0.001, 0.001], rel=1e-4)


def test_a_clipped_gradient_that_is_not_finite_still_ends_the_run(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_not_finite import break_loss_at

    break_loss_at(3, monkeypatch)  # the second batch of the second step
    with pytest.raises(SystemExit, match="at step 2 of epoch 0: the loss or its gradient is not"):
        fit(config, tmp_path, *CLIPPED, *SAVED)
    assert all(value.isfinite().all() for value in weights(last(tmp_path)).values())


# ---- recipes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "network", "layer_decay", "drop_path"),
    [
        ("small_coco", "vitpose-plus-small", 0.8, 0.1),
        ("base_coco", "vitpose-base", 0.75, 0.3),
        ("base_own", "vitpose-base", 0.75, 0.3),
    ],
)
def test_vitposes_recipes_are_those_of_its_configurations(
    name: str, network: str, layer_decay: float, drop_path: float
) -> None:
    recipe = training_parser().parse_args(["--config", recipes()[f"vitpose/{name}.yaml"]])
    model, codec, augmentation = recipe.model, recipe.codec, recipe.data.augmentation
    assert model.network == f"huggingface:usyd-community/{network}"
    assert (model.layer_decay, model.drop_path, model.weight_decay) == (layer_decay, drop_path, 0.1)
    assert (codec.input_size, codec.sigma, codec.modulation) == ((192, 256), 2, 11)
    assert (codec.convention.value, codec.encoding, codec.padding) == ("udp", "unbiased", 1.25)
    assert (augmentation.rotation, augmentation.scale) == (40, 0.5)
    assert (augmentation.rotation_probability, augmentation.flip_probability) == (0.6, 0.5)
    assert (augmentation.half_body_probability, augmentation.half_body_joints) == (0.3, 9)
    assert recipe.trainer.gradient_clip_val == 1 and recipe.out == Path("runs/vitpose", name)
    if name.endswith("coco"):
        found = (model.learning_rate, model.warmup, model.milestones, model.gamma)
        assert found == (5e-4, 500, (170, 200), 0.1)
        assert (recipe.data.batch_size, recipe.trainer.max_epochs) == (512, 210)
        assert not recipe.trainer.callbacks and str(recipe.data.val).endswith("val2017.json")
