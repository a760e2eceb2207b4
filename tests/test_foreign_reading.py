# SPDX-License-Identifier: Apache-2.0
"""Other projects' files are read safely: nothing is executed, and what is no weight is refused."""

import io
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import published
from darkpose.models.torch_files import Discarded
from darkpose.models.weights.reading import read_state_dict
from published import save

LEGACY = {"_use_new_zipfile_serialization": False}
SERIALIZATIONS = pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])

file = published.file


# ---- nothing is executed -------------------------------------------------------------------------


class Call:
    """Pickles as a call, which unpickling makes."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@SERIALIZATIONS
@pytest.mark.parametrize("place", ["state_dict", "optimizer"])
def test_a_function_in_a_file_is_refused_by_name_and_not_called(
    file: Path, tmp_path: Path, place: str, options: dict[str, bool]
) -> None:
    marker = tmp_path / "called"
    content: dict[str, Any] = {"state_dict": {"conv1.weight": torch.zeros(1)}, "optimizer": {}}
    for function, argument, name in [
        (os.system, f"touch {marker}", r"(posix|nt)\.system"),
        (eval, f"open({str(marker)!r}, 'w')", "eval"),
        (Path.touch, marker, r"pathlib\.\S+|getattr"),
    ]:
        content[place]["x"] = Call(function, argument)
        save(content, file, **options)
        with pytest.raises(ValueError, match=rf"holds ({name}), which is refused: [^\n]*$"):
            read_state_dict(file)
        assert not marker.exists()
        torch.load(file, weights_only=False)  # the file does call it where calling is allowed
        marker.unlink()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_bare_pickle_is_refused_and_not_executed(file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "called"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        content = pickle.dumps(Call(os.system, f"touch {marker}"), protocol)
        file.write_bytes(content)
        with pytest.raises(ValueError, match="torch cannot read|is refused|got text"):
            read_state_dict(file)
        assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()


def test_a_class_of_another_project_is_refused_by_name(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("mmengine.config")
    module.ConfigDict = type("ConfigDict", (dict,), {"__module__": module.__name__})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mmengine", ModuleType("mmengine"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    save({"state_dict": {"conv1.weight": torch.zeros(1)}, "cfg": module.ConfigDict()}, file)
    with pytest.raises(ValueError, match=r"holds mmengine\.config\.ConfigDict, which is refused"):
        read_state_dict(file)


# ---- what is harmless is read --------------------------------------------------------------------


@SERIALIZATIONS
def test_numpy_scalars_beside_the_weights_do_no_harm(file: Path, options: dict[str, bool]) -> None:
    state = {"conv1.weight": torch.randn(2, 3)}
    save(published.hrnet_checkpoint(state), file, **options)
    found, others = read_state_dict(file)
    torch.testing.assert_close(found["module.conv1.weight"], state["conv1.weight"], rtol=0, atol=0)
    assert others["epoch"] == 210 and type(others["perf"]) is Discarded


def test_numpy_scalars_written_before_numpy_2_do_no_harm(file: Path) -> None:
    save(published.hrnet_checkpoint({"conv1.weight": torch.zeros(2)}), file, **LEGACY)
    content = file.read_bytes()
    assert content.count(b"numpy._core.multiarray\nscalar") == (np.__version__ >= "2")
    file.write_bytes(content.replace(b"numpy._core.", b"numpy.core."))
    assert type(read_state_dict(file)[1]["perf"]) is Discarded


@SERIALIZATIONS
def test_mmengine_histories_are_read_as_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, bool]
) -> None:
    state = {"conv1.weight": torch.randn(2, 3), "final_layer.bias": torch.zeros(17)}
    save(published.mmpose_1(state, monkeypatch), file, **options)
    monkeypatch.undo()
    assert "mmengine" not in sys.modules
    found, others = read_state_dict(file)
    assert set(found) == {"backbone.conv1.weight", "head.final_layer.bias"}
    history = others["message_hub"]["log_scalars"]["train/loss"]
    sigmas = others["meta"]["dataset_meta"]["sigmas"]
    for discarded in (history, sigmas):
        assert type(discarded) is Discarded and vars(discarded) == {}
    assert others["meta"]["cfg"] == "use_udp = False"


@pytest.mark.parametrize("container", ["state_dict", "best_state_dict", "model", None])
def test_a_state_dict_is_found_in_its_container(file: Path, container: str | None) -> None:
    state = {"conv1.weight": nn.Parameter(torch.ones(2))}
    save({container: state, "epoch": 3} if container else state, file)
    found, others = read_state_dict(file)
    assert set(found) == {"conv1.weight"} and others == ({"epoch": 3} if container else {})


def test_a_file_that_is_no_checkpoint_is_refused_in_one_sentence(file: Path) -> None:
    whole = io.BytesIO()
    torch.save({"conv1.weight": torch.zeros(1000)}, whole)
    contents = {
        b"": "torch cannot read",
        whole.getvalue()[:-2000]: "torch cannot read",
        bytes(range(256)): "torch cannot read",
        b"<!DOCTYPE html>\n<html><head><title>Quota exceeded</title>": "begins with '<!DOC",
        b"version https://git-lfs.github.com/spec/v1\noid": "begins with 'version https",
    }
    for content, reason in contents.items():
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{file} must be [^\n]*{reason}[^\n]*$"):
            read_state_dict(file)
    with pytest.raises(FileNotFoundError):
        read_state_dict(file.with_name("none.pth"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (torch.zeros(2), "got Tensor"),
        ({}, "with tensors, got an empty one"),
        ({"epoch": 3, "arch": "resnet"}, "got int as epoch"),
        ({"w": torch.zeros(2, dtype=torch.int8)}, "tensor of torch.int8 on cpu as w"),
        ({"w": torch.zeros(2, 2).to_sparse()}, "a torch.sparse_coo tensor"),
        ({"w": torch.zeros(2, device="meta")}, "on meta as w"),
        ({"w": torch.zeros(2, dtype=torch.complex64)}, "tensor of torch.complex64"),
        ({0: torch.zeros(2)}, "as 0"),
    ],
)
def test_anything_but_floating_point_weights_is_refused(
    file: Path, content: object, reason: str
) -> None:
    save(content, file)
    with pytest.raises(ValueError, match=f"must hold a state dict[^\n]*{reason}"):
        read_state_dict(file)
