# SPDX-License-Identifier: Apache-2.0
"""Reads what torch.save wrote, whoever wrote it: checked first, and nothing in it is executed.

A file of torch.save is a pickle, which may name any function of any module to be called while it is
read. `torch.load(weights_only=True)` calls what is on a list and refuses the rest. Harmless files
hold a few more things beside their weights; these are let through as what stands in for them, so
that none of NumPy's or mmengine's code is ever called.

What torch does not look at is looked at here: whether the bytes are those that were written, and
whether the file is as large as what it says it holds.
"""

import io
import logging
import mmap
import pickle
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from darkpose.data.published import missing
from darkpose.values import printable, shown

# By the names pickles have them under: NumPy before and since version 2.
DISCARDED = (
    "numpy.core.multiarray.scalar",  # HRNet's and SimpleBaseline's `perf`
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",  # mmpose 1.x: joint weights and colors in `meta`
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    "mmengine.logging.history_buffer.HistoryBuffer",  # mmengine's `message_hub`
    "argparse.Namespace",  # a training script's options
    "types.SimpleNamespace",
    "datetime.datetime",
    *(
        f"{module}.{kind}"  # where data and results were
        for module in ("pathlib", "pathlib._local")
        for kind in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
    ),
)
# What torch.load makes of plain values, dense and sparse tensors. Not bytearray, which a few bytes
# make of any length, nor torch's older ways to make a tensor of any size.
_PLAIN = {
    *("collections.OrderedDict", "collections.Counter", "_codecs.encode", "set", "complex"),
    *("torch.Size", "torch.device", "torch.nn.parameter.Parameter"),
    *("torch.serialization._get_layout", "torch._tensor._rebuild_from_type_v2"),
    *(f"torch._utils._rebuild_{kind}" for kind in ("tensor", "tensor_v2", "tensor_v3")),
    *(f"torch._utils._rebuild_{kind}" for kind in ("parameter", "parameter_with_state")),
    *(f"torch._utils._rebuild_{kind}" for kind in ("sparse_tensor", "meta_tensor_no_storage")),
    *(str(value) for value in vars(torch).values() if isinstance(value, torch.dtype)),
}
_BYTES = {  # of an element, by the kind of storage
    **dict.fromkeys(("Untyped", "Byte", "Char", "Bool"), 1),
    **dict.fromkeys(("Short", "Half", "BFloat16"), 2),
    **dict.fromkeys(("Int", "Float"), 4),
    **dict.fromkeys(("Long", "Double", "ComplexFloat"), 8),
    "ComplexDouble": 16,
}
_MAGIC = 0x1950A86A20F9469CFC6C  # of torch's format without an archive
_LOCAL_HEADER = 30  # bytes, of an entry of a zip archive, before its name

_logger = logging.getLogger(__name__)


class Discarded:
    """Stands in for an object that is not needed: takes whatever a pickle gives it, runs none.

    What it was given is seen by `floats` alone.
    """

    __slots__ = ("__dict__", "_arguments", "_state")
    _arguments: tuple[Any, ...]
    _state: Any

    def __new__(cls, *arguments: object) -> "Discarded":
        made = super().__new__(cls)
        made._arguments, made._state = arguments, None
        return made

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self._state = state


def floats(value: Any, count: int) -> list[float] | None:
    """Return so many numbers of a file, a list or what NumPy wrote; None: it is neither."""
    if type(value) is Discarded:
        # An array's state: version, shape, type, order, bytes; a type's arguments begin with its
        # name, its state with version and byte order.
        try:
            _, shape, kind, _, content = value._state
            name, order = kind._arguments[0], kind._state[1]
            if name not in ("f4", "f8") or tuple(shape) != (count,):
                return None
            value = np.frombuffer(content, f"{order}{name}", count).tolist()
        except (AttributeError, IndexError, TypeError, ValueError):
            return None
    if not isinstance(value, list | tuple) or len(value) != count:
        return None
    if not all(type(one) in (int, float) for one in value):
        return None
    return [float(f"{one:.6g}") for one in value]  # 0.026 of a float32


def read_torch_file(path: str | Path) -> Any:
    """Read a file of torch.save to the CPU. Nothing in it is ever executed.

    A file without checksums, of torch before 1.6 or written with them switched off, is read with a
    note.

    Raises:
        OSError: there is no such file, or it is a folder or another thing that is no file.
        ValueError: it is damaged or cut short, holds a function or class beside those in
            `DISCARDED`, or says that it holds more than its size.
    """
    path, name = Path(path), printable(str(path))
    if not path.exists():
        raise FileNotFoundError(missing(printable(str(path.absolute()))))
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "what is no file"
        raise OSError(f"{name} must be a checkpoint, got {kind}")
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        checked = _check(content)
        allowed: list[Callable | tuple[Callable, str]] = [(Discarded, known) for known in DISCARDED]
        with torch.serialization.safe_globals(allowed):
            found = _plain(torch.load(path, map_location="cpu", weights_only=True), {})
    except PermissionError:
        raise
    except _Refused as refused:
        raise ValueError(f"{name} {refused}") from None
    except Exception as error:  # a damaged file fails in as many ways as it has parts
        raise ValueError(
            f"{name} must be a complete checkpoint, got a file that torch cannot read"
        ) from error
    if not checked:
        _logger.warning("%s has no checksums: damage in it would not be noticed", name)
    return found


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """Return a copy in which dicts are no more than dicts and tensors no more than tensors: a file
    may give both attributes, which hide what they can do. `done` has by id what is copied."""
    if id(value) not in done:
        if isinstance(value, dict):
            made: dict[Any, Any] = {}
            done[id(value)] = made
            made.update((key, _plain(each, done)) for key, each in dict.items(value))
        elif type(value) is list:
            kept: list[Any] = []
            done[id(value)] = kept
            kept.extend(_plain(each, done) for each in value)
        elif type(value) is tuple:
            done[id(value)] = tuple(_plain(each, done) for each in value)
        elif isinstance(value, Tensor):
            done[id(value)] = Tensor.detach(value)
        else:
            return value
    return done[id(value)]


class _Refused(ValueError):
    """What a file is refused for, in words that follow its name."""


def _check(content: mmap.mmap) -> bool:
    """Return whether a file has checksums, all of them right.

    Raises:
        Exception: the file is damaged.
        _Refused: it may not be read, for this reason.
    """
    beginning = content[:40]
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in beginning):
        raise _Refused(
            f"must be a complete checkpoint, got text that begins with {beginning.decode()!r}"
        )
    if not beginning.startswith(b"PK\x03\x04"):
        if _Storages(content).load() != _MAGIC:
            raise _Refused("must be a complete checkpoint, got a file of another kind")
        for _version_and_machine in range(2):
            _Storages(content).load()
        saved = _Storages(content)
        saved.load()
        _check_sum(saved.sizes.values(), len(content))
        return False
    with zipfile.ZipFile(content) as archive:  # type: ignore[call-overload]
        entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
    if "constants.pkl" in entries:
        raise _Refused("must hold weights, got a TorchScript program, which is code")
    _check_sum((entry.file_size for entry in entries.values()), len(content))
    parts = {name: _part(memoryview(content), entry) for name, entry in entries.items()}
    # Where writing them was switched off all are 0.
    checked = any(entry.CRC for entry in entries.values())
    if checked and any(zlib.crc32(parts[name]) != entry.CRC for name, entry in entries.items()):
        raise _Refused("is damaged: what it holds is not what its checksums are of")
    saved = _Storages(io.BytesIO(parts["data.pkl"]))
    saved.load()
    if any(size != len(parts[f"data/{key}"]) for key, size in saved.sizes.items()):
        raise _Refused("is damaged: its tensors are of other sizes than it says")
    return checked


def _check_sum(sizes: Iterable[int], available: int) -> None:
    if (claimed := sum(sizes)) > available:
        raise _Refused(f"says that it holds {claimed} bytes, and has {available}")


def _part(content: memoryview, entry: zipfile.ZipInfo) -> memoryview:
    """Return the bytes of an entry of an archive, where torch reads them."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise _Refused("must be as torch.save wrote it, got an archive that is compressed")
    start = entry.header_offset + _LOCAL_HEADER
    lengths = content[start - 4 : start]  # of name and extra field, two bytes each
    start += sum(int.from_bytes(lengths[i : i + 2], "little") for i in (0, 2))
    return content[start : start + entry.file_size]


class _Inert:
    """Stands in for everything while storages are counted."""

    def __new__(cls, *_arguments: object) -> "_Inert":
        return super().__new__(cls)

    def take(self, *_values: object) -> None:
        """Take what a pickle adds or sets."""

    __init__ = __setstate__ = __setitem__ = append = extend = add = take  # type: ignore[assignment]


class _Storages(pickle._Unpickler):
    """Reads a pickle without making anything of it, and notes the storages that it names.

    Raises:
        _Refused: it names a function or class that is not let through.
    """

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.sizes: dict[str, int] = {}
        """Bytes by key."""

    def find_class(self, module: str, name: str) -> Any:
        kind = name.removesuffix("Storage")
        if module in ("torch", "torch.storage") and kind != name and kind in _BYTES:
            return _BYTES[kind]
        if (module, name) == ("torch", "Tensor"):
            return _Inert()  # named by tensors with attributes; called, it makes one of any size
        full = name if module in ("builtins", "__builtin__") else f"{module}.{name}"
        if full not in _PLAIN and full not in DISCARDED:
            raise _Refused(
                f"holds {shown(full)[1:-1]}, which is refused: a checkpoint may hold tensors and "
                "plain values only; whoever trusts it writes its weights anew where that is "
                "installed: torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)"
            )
        return _Inert

    def persistent_load(self, pid: Any) -> Any:
        _storage, element, key, _device, count, *_view = pid
        if not isinstance(key, str) or type(element) is not int or not 0 <= count < 2**60:
            raise _Refused("is damaged: it names a storage that cannot be")
        self.sizes[key] = element * count
        return _Inert()
