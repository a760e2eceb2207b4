# SPDX-License-Identifier: Apache-2.0
"""Checkpoints from strangers: one value changed at a time, each refused in a sentence or harmless.

Damaged ones too: no bit of a file may change without a word.
"""

import copy
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import published
from darkpose import PoseModel, models
from darkpose.codec import HeatmapCodec
from darkpose.data.spec import KeypointSpec
from darkpose.models.checkpoints import METADATA
from darkpose.models.weights import load_backbone
from darkpose.models.weights.convert import convert

_LAUGHS: list[Any] = ["ha"]
for _ in range(40):
    _LAUGHS = [_LAUGHS] * 10  # 10^40 of them in a few hundred bytes
_ITSELF: list[Any] = []
_ITSELF.append(_ITSELF)
VALUES: dict[str, Any] = {
    "null": None,
    "yes": True,
    "zero": 0,
    "minus": -1,
    "huge": 2**62,
    "larger than any": 10**5000,
    "half": 0.5,
    "NaN": float("nan"),
    "infinite": float("inf"),
    "empty": "",
    "word": "many",
    "control": "\x1b[31m\u202ered\n\ud800",
    "long": "x" * 100_000,
    "nothing": [],
    "NaNs": [float("nan")] * 3,
    "two": [2**40, 2**40],
    "pairs": [[0, 99], [-1, 0], [1]],
    "mapping": {"a": {1: 2}},
    "tensor": torch.zeros(3),
    "expanded": torch.zeros(()).expand(2**40),
    "laughs": _LAUGHS,
    "itself": _ITSELF,
}


class Tiny(nn.Module):
    """A network of one layer, for hundreds of files."""

    stride, smallest = 4, 4

    def __init__(self, num_joints: int, _input_size: tuple[int, int]) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(3, num_joints, 4, 4)
        self.norm = nn.BatchNorm2d(num_joints)

    def forward(self, image: Tensor) -> Tensor:
        heatmaps: Tensor = self.norm(self.final_layer(image))
        return heatmaps


file = published.file
SPEC = KeypointSpec.from_names(
    ["nose", "left_eye", "right_eye"], joint_colors=["#ff8000", "#00ff00", "#3399ff"]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where in nested dicts something stands."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield (*path, key)
            yield from places(inside, (*path, key))


def changed(content: dict[str, Any], place: tuple[Any, ...], *value: Any) -> dict[str, Any]:
    """Return a copy with another value at a place; with none the key is left out."""
    *outer, last = place
    made = copy.copy(content)
    inside = made
    for key in outer:
        inside[key] = copy.copy(inside[key])
        inside = inside[key]
    if value:
        inside[last] = value[0]
    else:
        del inside[last]
    return made


@pytest.fixture
def good(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The content of a small checkpoint."""
    monkeypatch.setitem(models.MODELS, "tiny", Tiny)
    torch.manual_seed(0)
    model = PoseModel(HeatmapCodec((32, 32)), SPEC, "tiny")
    trained = {"epoch": 1, "global_step": 3, "pytorch-lightning_version": "2.6.0", "loops": {}}
    return {
        "state_dict": model.state_dict(),
        METADATA: model.metadata(),
        **trained,
        **{"callbacks": {}, "optimizer_states": [], "lr_schedulers": []},
    }


def check(path: Path, content: object, sound: dict[str, Any]) -> str:
    """Save and load; return the sentence it is refused with, "" if it is what was meant."""
    torch.save(content, path)
    try:
        model = PoseModel.load(path)
    except ValueError as error:
        words = str(error)
        assert words.startswith(str(path)) and words.isprintable() and len(words) < 1000, words
        return words
    weights = model.state_dict()
    assert all(torch.equal(weights[key], sound["state_dict"][key]) for key in weights)
    assert (model.codec.input_size, model.spec.num_joints) == ((32, 32), 3)
    model(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    return ""


@pytest.mark.parametrize("value", VALUES)
def test_any_value_of_any_field_is_one_sentence_or_harmless(
    good: dict[str, Any], tmp_path: Path, value: str
) -> None:
    path = tmp_path / "x.ckpt"
    accepted = set()
    for place in [*places(good[METADATA], (METADATA,)), *((name,) for name in good)]:
        if not check(path, changed(good, place, VALUES[value]), good):
            accepted.add(place[-1])
    unused = {name for name, value in good[METADATA]["joints"].items() if value == ()}
    filled_in = {"heatmap_size", "sigma", "modulation", "encoding", "convention", "padding"}
    filled_in |= {"enlarging", "border"}
    harmless = {
        "null": filled_in,
        "yes": {"format", "sigma", "padding", "modulation"},
        "zero": {"epoch", "global_step"},
        "half": {"sigma", "padding"},
        "huge": {"padding"},
        "nothing": {"upper_body", "joint_colors", *unused},
        "mapping": {"loops", "callbacks"},
    }
    unread = {"optimizer_states", "lr_schedulers"} if isinstance(VALUES[value], list) else set()
    assert accepted == harmless.get(value, set()) | unread


def test_any_key_that_is_missing_is_one_sentence(good: dict[str, Any], tmp_path: Path) -> None:
    places_ = [*places(good[METADATA], (METADATA,)), *places(good["state_dict"], ("state_dict",))]
    accepted = {p[-1] for p in places_ if not check(tmp_path / "x", changed(good, p), good)}
    assert accepted == {
        *("heatmap_size", "sigma", "convention", "encoding", "padding", "modulation"),
        *("enlarging", "border"),
        *(
            {field.name for field in fields(KeypointSpec) if field.default is not MISSING}
            - {"limb_colors"}
        ),  # it is not written where there are no limbs
        "network.norm.num_batches_tracked",
    }


def _tensors(tensor: Tensor) -> dict[str, object]:
    """Return what may stand in a tensor's place; the last two say the same."""
    with_attribute = tensor.clone()
    with_attribute.is_floating_point = "x"  # type: ignore[assignment, method-assign]
    return {
        "shape": torch.zeros(2, *tensor.shape),
        "empty": tensor.new_zeros(0),
        "whole": tensor.to(torch.int64) if tensor.is_floating_point() else tensor.double(),
        "complex": tensor.to(torch.complex64),
        "bits": torch.zeros(tensor.shape, dtype=torch.uint8).view(torch.float8_e4m3fn),
        "sparse": tensor.to_sparse(),
        "meta": tensor.to("meta"),
        "expanded": torch.zeros((), dtype=tensor.dtype).expand(2, *tensor.shape),
        "immense": torch.zeros((), dtype=tensor.dtype).expand(2**40),
        "list": tensor.tolist(),
        "attribute": with_attribute,
        "twice as wide": tensor.double() if tensor.is_floating_point() else tensor,
    }


def test_any_other_tensor_is_one_sentence(good: dict[str, Any], tmp_path: Path) -> None:
    for key, tensor in good["state_dict"].items():
        for kind, other in _tensors(tensor).items():
            words = check(tmp_path / "x", changed(good, ("state_dict", key), other), good)
            assert bool(words) == (kind not in ("attribute", "twice as wide")), (key, kind, words)


def test_more_joints_than_heatmaps_are_refused_before_a_network_is_made(
    good: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = KeypointSpec(tuple(map(str, range(20_000))), (), (0.05,) * 20_000)
    monkeypatch.delitem(models.MODELS, "tiny")
    words = check(tmp_path / "x", changed(good, (METADATA, "joints"), asdict(spec)), good)
    assert words.endswith("state_dict must have heatmaps of 20000 joints")


def test_foreign_files_hold_any_value_and_are_refused_or_right(file: Path) -> None:
    network = published.trained("simple_small", 3)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    keys = ("conv1.weight", "bn1.num_batches_tracked", "final_layer.weight", "final_layer.bias")
    contents: list[object] = list(VALUES.values())
    for value in VALUES.values():
        contents += [{"state_dict": value}, {"state_dict": state, "meta": {"config": value}}]
        contents += [{**state, keys[0]: value}, {"model": {"stage2.0": value}}]
    for key in keys:
        contents += [{**state, key: other} for other in _tensors(state[key]).values()]
    huge = torch.zeros(()).expand
    contents += [{**state, keys[2]: huge(count, 16, 1, 1)} for count in (0, 2**40)]
    contents += [{**state, f"stage4.{'9' * 5000}.x": huge(1)}, {"module." * 9999: huge(1)}]
    accepted = 0
    for content in contents:
        torch.save(content, file)
        try:
            load_backbone(network, file)
            accepted += 1
        except ValueError as error:
            words = str(error)
            assert str(file) in words and words.isprintable() and len(words) < 2000, words
        found = network.state_dict()
        assert all(torch.equal(found[key], state[key]) for key in found)
    # What is beside the weights but an integer that torch does not read, and in each of four places
    # a tensor with an attribute and a wide one.
    assert accepted == len(VALUES) - 1 + 8


@pytest.mark.parametrize("count", [0, 2**40])
def test_a_foreign_network_of_no_or_of_immensely_many_joints_is_refused(
    file: Path, tmp_path: Path, count: int
) -> None:
    weights = torch.zeros(()).expand(count, 16, 1, 1)
    torch.save({"final_layer.weight": weights, "stage2.x": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match=f"{file} must have heatmaps of joints, got {count}"):
        convert(file, tmp_path / "out.ckpt")
