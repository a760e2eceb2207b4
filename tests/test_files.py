# SPDX-License-Identifier: Apache-2.0
"""Files are written whole or not at all, by any number of writers, and what is no file is not
replaced."""

import errno
import os
import stat
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from darkpose.data.images import decode_bytes, decode_image
from darkpose.files import replacing, write_text
from darkpose.models.checkpoints import write_checkpoint
from darkpose.predict.ahead import Room
from darkpose.predict.outputs import kind_of
from darkpose.predict.sources import Source, plan


def test_two_writers_of_one_name_do_not_mix(tmp_path: Path) -> None:
    """One process, so one pid: each file is one writer's."""
    path = tmp_path / "a.bin"
    texts = [bytes([i]) * 200_000 for i in range(8)]
    start = threading.Barrier(len(texts))

    def write(text: bytes) -> None:
        start.wait()
        with replacing(path) as file:
            for at in range(0, len(text), 1000):
                file.write(text[at : at + 1000])

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in texts
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    "write", [write_text, lambda path, text: write_checkpoint({"a": torch.ones(2**18)}, path)]
)
def test_a_full_disk_is_named_with_the_file(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "a.json"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.json'$") as refused:
        write(path, "text")
    assert refused.value.errno == errno.ENOSPC


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_fails_after_the_writing_names_the_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Some disks tell that they are full at the end only."""

    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.json'$"):
        write_text(tmp_path / "a.json", "text")
    assert os.listdir(tmp_path) == []


def test_an_error_of_what_is_written_keeps_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"), replacing(tmp_path / "a.json"):
        (tmp_path / "gone").read_bytes()


def test_a_name_as_long_as_a_disk_allows_is_written(tmp_path: Path) -> None:
    name = 83 * "\u5b57" + ".json"  # 254 bytes
    write_text(tmp_path / name, "text")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="Linux tells of open files")
def test_an_open_file_is_written_to_and_its_link_stays(tmp_path: Path) -> None:
    """`/dev/stdout` is such a link."""
    with open(tmp_path / "out.txt", "w") as file:
        link = tmp_path / "stdout"
        link.symlink_to(f"/proc/self/fd/{file.fileno()}")
        write_text(link, "text")
        assert link.is_symlink() and (tmp_path / "out.txt").read_text() == "text\n"
        write_text(f"/proc/self/fd/{file.fileno()}", "more")
    assert (tmp_path / "out.txt").read_text() == "more\n"
    assert sorted(os.listdir(tmp_path)) == ["out.txt", "stdout"]


def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "null.json"
    path.symlink_to("/dev/null")
    write_text(path, "text")
    assert os.listdir(tmp_path) == ["null.json"]
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert kind_of(Path("/dev/null")) is kind_of(Path("a.json"))


def test_a_folder_of_an_outputs_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    with pytest.raises(ValueError, match=r"x\.json must be a file to write, got a folder"):
        kind_of(tmp_path / "x.json")
    (tmp_path / "v1.0").mkdir()
    assert kind_of(tmp_path / "v1.0").drawn_from == "images"


# ---- images and videos of a folder ---------------------------------------------------------------


def test_what_is_not_looked_at_is_counted(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.JPG", "c.mts", "d.heic", "e.txt", ".hidden.txt"):
        (tmp_path / name).touch()
    work = plan([tmp_path])
    assert [source.name for source in work.sources] == ["a.jfif", "b.JPG", "c.mts"]
    (note,) = work.notes
    assert (
        note == f"files that are no images or videos, not looked at: 2, such as {tmp_path}/d.heic"
    )


def test_a_file_named_by_itself_is_tried_as_a_video(tmp_path: Path) -> None:
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (48, 32))
    for frame in frames:
        writer.write(frame)
    writer.release()
    strange = (tmp_path / "a.avi").rename(tmp_path / "a.dav")
    picture = tmp_path / "b.picture"
    picture.write_bytes(cv2.imencode(".png", frames[0])[1].tobytes())
    text = tmp_path / "c.txt"
    text.write_text("no film")
    found = {path: Source(path, path.name, 1, None).is_video for path in (strange, picture, text)}
    assert found == {strange: True, picture: False, text: False}
    assert len(list(plan([strange]).shots(lambda name, error: pytest.fail(error)))) == 3


def test_a_pipe_named_as_a_video_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    work = plan([tmp_path / "a.mp4"])
    assert work.total == 1 and not work.sources[0].is_video
    (shot,) = work.shots(lambda name, error: pytest.fail(error))
    with pytest.raises(
        ValueError, match=r"a\.mp4 must be a file, got a folder, a device or a pipe"
    ):
        decode_image(shot.request.image)


# ---- room for decoded images ---------------------------------------------------------------------


def png_of(width: int, height: int) -> bytes:
    """Return the header of a PNG."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + size + bytes(9)


def test_large_images_wait_for_room() -> None:
    room, large = Room(4), png_of(2**14, 2**13)  # half a GiB
    done = threading.Event()

    def third() -> None:
        with room.take(large):
            done.set()

    thread = threading.Thread(target=third, daemon=True)
    with room.take(large):
        with room.take(large), room.take(png_of(1000, room.small // 3000)):
            thread.start()
            assert not done.wait(0.1)
        assert done.wait(10)
    with room.take(png_of(2**15, 2**15)):  # larger than all the room there is, but alone
        pass


def test_a_decoded_image_is_what_is_counted() -> None:
    data = cv2.imencode(".png", np.zeros((30, 50, 3), np.uint8))[1].tobytes()
    assert decode_bytes(data, "a").pixels.nbytes == 3 * 50 * 30
