# SPDX-License-Identifier: Apache-2.0
"""What torch.save wrote is read as it was written, and nothing else is: damage, bombs, other files.

What a file may hold is in `test_foreign_reading.py`; that any value in it is harmless, in
`test_hostile_checkpoints.py`.
"""

import argparse
import io
import logging
import os
import pathlib
import random
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from darkpose import PoseModel, models
from darkpose.codec import HeatmapCodec
from darkpose.data.joint_sets import COCO
from darkpose.models.torch_files import Discarded, read_torch_file
from darkpose.models.weights import load_backbone
from darkpose.models.weights.convert import convert

LEGACY = {"_use_new_zipfile_serialization": False}
STATE = {f"layer{i}.weight": torch.arange(40.0).view(5, 8) + i for i in range(4)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.ckpt"


def archive(path: Path, change: Callable[[str, bytes], bytes], **options: int) -> None:
    """Write a file as torch does, with other records and right checksums."""
    whole = io.BytesIO()
    torch.save(STATE, whole)
    with zipfile.ZipFile(whole) as given, zipfile.ZipFile(path, "w", **options) as made:
        for name in given.namelist():
            made.writestr(name, change(name.partition("/")[2], given.read(name)))


def test_every_bit_flip_is_refused_or_changes_no_weight(path: Path) -> None:
    torch.save(STATE, path)
    content, draw, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        damaged, at = bytearray(content), draw.randrange(len(content))
        damaged[at] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            found = read_torch_file(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path} ") and str(error).isprintable()
            continue
        assert found.keys() == STATE.keys(), at
        assert all(torch.equal(found[key], STATE[key]) for key in STATE), at
    assert 100 < refused < 300  # some bits are padding


def test_every_bit_of_a_tensor_is_checked(path: Path) -> None:
    torch.save(STATE, path)
    content = path.read_bytes()
    at = content.index(STATE["layer0.weight"].numpy().tobytes())
    for byte in (at, at + 79, at + 159):
        damaged = bytearray(content)
        damaged[byte] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"^{path} is damaged: .* checksums [^\n]*$"):
            read_torch_file(path)


def test_a_file_cut_short_is_refused(path: Path) -> None:
    torch.save(STATE, path)
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=f"^{path} (must be a complete|is damaged)"):
            read_torch_file(path)


@pytest.mark.parametrize("kind", ["older", "switched off", "today's"])
def test_a_file_without_checksums_is_read_with_a_note(
    path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(kind != "switched off")
    torch.save(STATE, path, **(LEGACY if kind == "older" else {}))
    torch.serialization.set_crc32_options(before)
    found = read_torch_file(path)
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)
    note = f"{path} has no checksums: damage in it would not be noticed"
    assert [record.getMessage() for record in caplog.records] == [note] * (kind != "today's")
    assert all(record.levelno == logging.WARNING for record in caplog.records)


# ---- what says that it holds more than it has ----------------------------------------------------


def test_a_compressed_archive_is_refused_before_it_is_unpacked(path: Path) -> None:
    def bomb(name: str, content: bytes) -> bytes:
        return bytes(2**22) if name == "data/0" else content

    archive(path, bomb, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**15
    with pytest.raises(ValueError, match=f"{path} says that it holds 41[0-9]* bytes, and has"):
        read_torch_file(path)
    archive(path, lambda _name, content: content, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="got an archive that is compressed"):
        read_torch_file(path)


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_a_storage_larger_than_the_file_is_refused_before_it_is_allocated(
    path: Path, options: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(STATE, path, **options)
    small, huge = b"K(t", b"\x8a\x06\x00\x00\x00\x00\x00\x01t"  # of 40 and of 2^40 elements
    if options:
        path.write_bytes(path.read_bytes().replace(b"K(N", huge[:-1] + b"N"))
    else:
        archive(path, lambda _name, content: content.replace(small, huge))
    assert huge[:-1] in path.read_bytes()
    monkeypatch.delattr(torch, "load")
    with pytest.raises(ValueError, match="says that it holds 1759[0-9]* bytes|of other sizes than"):
        read_torch_file(path)


def test_a_few_bytes_that_make_a_long_array_are_refused(path: Path) -> None:
    torch.save({"x": bytearray(3)}, path)
    with pytest.raises(ValueError, match=f"{path} holds bytearray, which is refused"):
        read_torch_file(path)


def test_a_program_is_called_one(path: Path) -> None:
    archive(path, lambda _name, content: content)
    with zipfile.ZipFile(path, "a") as made:
        made.writestr("archive/constants.pkl", b"")
    with pytest.raises(ValueError, match="must hold weights, got a TorchScript program"):
        read_torch_file(path)


# ---- what is harmless, and what is no file -------------------------------------------------------


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_a_scripts_options_and_paths_are_read_as_nothing(
    path: Path, options: dict[str, bool]
) -> None:
    told = argparse.Namespace(lr=0.1, out=Path("runs"), inner=argparse.Namespace())
    paths = [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:/d"), Path("e")]
    content = {"state_dict": OrderedDict(STATE), "args": told, "paths": paths}
    torch.save(content, path, **options)
    found = read_torch_file(path)
    assert all(torch.equal(found["state_dict"][key], STATE[key]) for key in STATE)
    for discarded in (found["args"], *found["paths"]):
        assert type(discarded) is Discarded and vars(discarded) == {}


def test_what_is_refused_says_the_way_out_and_it_is_one(path: Path, tmp_path: Path) -> None:
    network = models.create("small", 3)
    torch.save({"state_dict": network.state_dict(), "optimizer": nn_module()}, path)
    with pytest.raises(ValueError, match="anew") as refused:
        load_backbone(network, path)
    assert str(refused.value).startswith(f"{path} holds torch.nn.modules.linear.Linear, which is")
    _, _, line = str(refused.value).partition("installed: ")
    new = tmp_path / "new.pth"
    exec(line, {"torch": torch, "FILE": path, "NEW": new})
    load_backbone(models.create("small", 3), new)


def nn_module() -> torch.nn.Module:
    return torch.nn.Linear(2, 2)


def test_another_projects_file_is_told_of_convert(path: Path) -> None:
    torch.save({"state_dict": STATE, "args": argparse.Namespace()}, path)
    with pytest.raises(ValueError, match=f"{path} must be a checkpoint that darkpose wrote.* conv"):
        PoseModel.load(path)


def test_a_folder_a_missing_file_and_a_pipe_are_one_sentence(path: Path) -> None:
    reads: list[Callable[[], object]] = [
        lambda: PoseModel.load(path),
        lambda: load_backbone(models.create("small", 3), path),
        lambda: convert(path, path.with_name("out.ckpt")),
    ]

    def sentences() -> set[str]:
        said = set()
        for read in reads:
            with pytest.raises(OSError) as error:
                read()
            said.add(str(error.value))
        return said

    assert sentences() == {f"{path} must be a file, got no such file"}
    path.mkdir()
    assert sentences() == {f"{path} must be a checkpoint, got a folder"}
    path.rmdir()
    os.mkfifo(path)  # reading it would wait for ever
    assert sentences() == {f"{path} must be a checkpoint, got what is no file"}


def test_other_joints_are_told_of_the_option(path: Path) -> None:
    PoseModel(HeatmapCodec((64, 64)), COCO).save(path)
    with pytest.raises(ValueError, match="3 joints of the network, got one for 17: model.init_joi"):
        load_backbone(models.create("small", 3), path)
